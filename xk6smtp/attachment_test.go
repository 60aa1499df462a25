package xk6smtp

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"strings"
	"testing"
)

// parts lists a message's parts, however deep, as "type [disposition; filename] [Content-ID] content".
func parts(t *testing.T, header interface{ Get(string) string }, body io.Reader) (list []string) {
	t.Helper()
	media, params, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(media, "multipart/") {
		list = append(list, media)
		for reader := multipart.NewReader(body, params["boundary"]); ; {
			part, err := reader.NextPart()
			if err == io.EOF {
				return list
			}
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, parts(t, part.Header, part)...)
		}
	}
	content, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	if header.Get("Content-Transfer-Encoding") == "base64" {
		if content, err = io.ReadAll(base64.NewDecoder(base64.StdEncoding, bytes.NewReader(content))); err != nil {
			t.Fatal(err)
		}
	}
	_, disposition, err := mime.ParseMediaType(header.Get("Content-Disposition"))
	name := ""
	if err == nil {
		if name, err = new(mime.WordDecoder).DecodeHeader(disposition["filename"]); err != nil {
			t.Fatal(err)
		}
	}
	return append(list, strings.Join([]string{media, name, header.Get("Content-Id"), strings.TrimSpace(string(content))}, "|"))
}

func TestAttachmentsAndInlineImages(t *testing.T) {
	server := newFakeServer(t, nil)
	v := newVU(t).activate().global("PORT", server.port())
	got := v.run(`
		const client = new Client({host: '127.0.0.1', port: PORT});
		const message = new Message({from: 'a@src.test', to: 'b@dst.test', text: 'plain', html: '<img src="cid:logo">',
			attachments: [{filename: 'zähler.bin', content: new Uint8Array([0, 1, 255, 13, 10, 46]).buffer}, {filename: 'a.txt', content: 'text', contentType: 'text/plain'}],
			inline: [{cid: 'logo', filename: 'logo.png', content: 'PNG', contentType: 'image/png'}]});
		return (await client.send(message)).ok`)
	if got != "true" {
		t.Fatal(got)
	}
	parsed, err := mail.ReadMessage(strings.NewReader(server.messages()[0]))
	if err != nil {
		t.Fatal(err)
	}
	expectLines(t, "parts", parts(t, parsed.Header, parsed.Body),
		"multipart/mixed", "multipart/related", "multipart/alternative", "text/plain|||plain", `text/html|||<img src="cid:logo">`,
		"image/png|logo.png|<logo>|PNG", "application/octet-stream|zähler.bin||\x00\x01\xff\r\n.", "text/plain|a.txt||text")
}

func TestFieldsAreFilledInPerSending(t *testing.T) {
	server := newFakeServer(t, nil, offering("8BITMIME"))
	v := newVU(t).activate().global("PORT", server.port())
	got := v.run(`
		const client = new Client({host: '127.0.0.1', port: PORT});
		const message = new Message({from: 'a@src.test', to: 'b@dst.test', subject: 'Order {{order}}', text: 'Dear {{name}},\nyour order {{order}}.\n{{unknown}}\n',
			headers: {'X-Order': '{{order}}'}, fields: {name: 'customer', order: 0}});
		await Promise.all([client.send(message), client.send(message, {fields: {name: 'Zoë', order: 7}}), client.send(message, {fields: {name: '.dot\n.dot'}})]);
		const raw = new Message({from: 'a@src.test', to: 'b@dst.test', raw: 'Subject: {{s}}\n\n{{s}}', fields: {s: 'x'}});
		return (await client.send(raw, {fields: {s: 'ü'}})).ok`)
	if got != "true" {
		t.Fatal(got)
	}
	for i, want := range [][]string{
		{"Subject: Order 0\r\n", "X-Order: 0\r\n", "Dear customer,\r\nyour order 0.\r\n{{unknown}}\r\n"},
		{"Subject: Order 7\r\n", "X-Order: 7\r\n", "Dear Zo=C3=AB,\r\nyour order 7.\r\n"},
		{"Dear .dot\r\n..dot,\r\nyour order 0.\r\n"},
		{"Subject: =?utf-8?q?=C3=BC?=\r\n\r\nü\r\n"},
	} {
		for _, text := range want {
			if body := server.messages()[i]; !strings.Contains(body, text) {
				t.Errorf("message %d has no %q: %q", i, text, body)
			}
		}
	}
}

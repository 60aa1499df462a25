package xk6smtp

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"

	"github.com/smtpstorm/xk6-smtp/xk6smtp/client"
)

// messageOptions is what new Message takes.
type messageOptions struct {
	from                 string
	to, cc, bcc, replyTo []string
	subject              string
	text, html           string
	headers              []pair
	size                 int
	raw                  []byte
	attachments          []attachment
	inline               []attachment
	fields               []pair
	given                map[string]bool
}

// markers are the fields' in the text.
func (o *messageOptions) markers() []string {
	markers := make([]string, len(o.fields))
	for i, f := range o.fields {
		markers[i] = "{{" + f.name + "}}"
	}
	return markers
}

// newMessage builds a message; errors are *optionErrors.
func newMessage(o *messageOptions) (*message, error) {
	if !o.given["from"] {
		return nil, &optionError{messageOwner, "from", "is required"}
	}
	if o.raw != nil {
		for _, key := range []string{"subject", "text", "html", "headers", "size", "cc", "bcc", "replyTo", "attachments", "inline"} {
			if o.given[key] {
				return nil, &optionError{messageOwner, key, "can't be combined with raw"}
			}
		}
	} else if o.size > 0 && len(o.fields) > 0 {
		return nil, &optionError{messageOwner, "size", "can't be combined with fields, whose values have a length of their own"}
	}
	m := &message{fields: o.fields}
	header, err := m.addresses(o)
	if err != nil {
		return nil, err
	}
	if o.raw != nil {
		return m, m.finishRaw(o)
	}
	if header, err = m.header(o, header); err != nil {
		return nil, err
	}
	return m, m.build(o, header)
}

// addresses reads all addresses: for the envelope, and for the header, whose fields it returns.
func (m *message) addresses(o *messageOptions) (header []*headerField, err error) {
	markers := o.markers()
	if m.sender, err = cutAddress(o.from, markers); err == nil && o.raw == nil {
		err = m.sender.check(true)
	}
	if err != nil {
		return nil, &optionError{messageOwner, "from", fmt.Sprintf("wants a mail address, not %q: %v", o.from, err)}
	}
	header = append(header, addressField("From", m.sender))
	for _, list := range []struct {
		key, name string
		addresses []string
		receives  bool
	}{{"to", "To", o.to, true}, {"cc", "Cc", o.cc, true}, {"bcc", "", o.bcc, true}, {"replyTo", "Reply-To", o.replyTo, false}} {
		var parsed []*gapAddress
		for _, text := range list.addresses {
			a, err := cutAddress(text, markers)
			if err == nil {
				err = a.check(o.raw == nil && list.name != "")
			}
			if err != nil {
				return nil, &optionError{messageOwner, list.key, fmt.Sprintf("wants mail addresses, not %q: %v", text, err)}
			}
			parsed = append(parsed, a)
		}
		if list.receives {
			m.rcpts = append(m.rcpts, parsed...)
		}
		if len(parsed) > 0 && list.name != "" {
			header = append(header, addressField(list.name, parsed...))
		}
	}
	return header, nil
}

// header adds the other fields of the header.
func (m *message) header(o *messageOptions, header []*headerField) ([]*headerField, error) {
	markers := o.markers()
	if hasControl(o.subject) {
		return nil, &optionError{messageOwner, "subject", "must not hold line breaks or control characters"}
	}
	if o.subject != "" {
		text, err := cutText(o.subject, markers)
		if err != nil {
			return nil, &optionError{messageOwner, "subject", fmt.Sprintf("can't be %q: %v", o.subject, err)}
		}
		header = append(header, &headerField{name: "Subject", text: text})
	}
	for _, h := range o.headers {
		switch strings.ToLower(h.name) {
		case "date":
			m.date = true
		case "message-id":
			m.messageID = true
		case strings.ToLower(tokenHeader):
			m.hasStormID = true
		case "reply-to":
			if o.given["replyTo"] {
				return nil, &optionError{messageOwner, "headers." + h.name, "is given by replyTo"}
			}
		}
		if problem := headerProblem(h); problem != "" {
			return nil, &optionError{messageOwner, "headers." + h.name, problem}
		}
		field, err := cutHeaderField(h.name, h.value, markers)
		if err == nil && !field.open() {
			err = field.check(nil)
		}
		if err != nil {
			wants := "wants mail addresses, not"
			if !isStructured(h.name) {
				wants = "can't be"
			}
			return nil, &optionError{messageOwner, "headers." + h.name, fmt.Sprintf("%s %q: %v", wants, h.value, err)}
		}
		header = append(header, field)
	}
	return header, nil
}

// build writes the MIME message.
func (m *message) build(o *messageOptions, header []*headerField) error {
	if len(o.fields) > 0 {
		return m.buildTemplate(o, header)
	}
	var wire []byte
	for _, field := range header {
		wire = field.append(wire, nil)
	}
	m.utf8 = !isASCII(wire)
	text := o.text
	if o.size > 0 {
		var err error
		if text, err = m.fill(o, wire); err != nil {
			return err
		}
	}
	parts, err := render(o, text, o.html)
	if err != nil {
		return err
	}
	m.body = client.NewBody(append(wire, parts...))
	m.setDefaults(nil)
	return nil
}

// buildTemplate is build for a message with fields.
func (m *message) buildTemplate(o *messageOptions, header []*headerField) error {
	m.template = &template{}
	for _, field := range header {
		m.template.add(segment{field: field})
	}
	lines := lineGaps{words: standIns(strings.Count(o.text+o.html, "{{"), o.text+"\n"+o.html)}
	text := lines.cutLines(o.text, o.markers())
	parts, err := render(o, text, lines.cutLines(o.html, o.markers()))
	if err != nil {
		return err
	}
	lines.cutAt(string(parts), m.template)
	return m.finish(o)
}

// finishRaw takes a complete message as it is.
func (m *message) finishRaw(o *messageOptions) error {
	m.date, m.messageID = true, true
	m.hasStormID = hasField(o.raw, tokenHeader)
	if len(o.fields) == 0 {
		m.body = client.NewBody(o.raw)
		m.setDefaults(nil)
		return nil
	}
	m.template = cutRaw(string(o.raw), o.markers())
	return m.finish(o)
}

// finish holds a message with fields to them, and fills in their defaults.
func (m *message) finish(o *messageOptions) error {
	for i, f := range o.fields {
		used := m.template.uses(i) || m.sender.uses(i)
		for _, a := range m.rcpts {
			used = used || a.uses(i)
		}
		if !used {
			return &optionError{messageOwner, "fields." + f.name, "stands nowhere as {{" + f.name + "}} (an attachment can't hold a field)"}
		}
	}
	values := m.values(nil)
	m.body = &client.Body{}
	if m.unsound = m.template.check(values); m.unsound != nil {
		w := m.body.Overwrite()
		w.End()
		return nil
	}
	m.utf8 = m.template.fill(m.body, values)
	m.setDefaults(values)
	return nil
}

// setDefaults fills in the envelope, and what the body has of its own. Defaults that make none are no error yet: "" stands for what every sending has to say.
func (m *message) setDefaults(values []string) {
	m.envelope, m.unsound = m.address(values)
	if m.hasStormID {
		m.stormID = ownStormID(m.body)
	}
}

// render has go-mail write what follows the fields of our own: MIME-Version, Content-Type and the body.
func render(o *messageOptions, text, html string) ([]byte, error) {
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	switch {
	case html == "":
		msg.SetBodyString(gomail.TypeTextPlain, text)
	case text == "":
		msg.SetBodyString(gomail.TypeTextHTML, html)
	default:
		msg.SetBodyString(gomail.TypeTextPlain, text)
		msg.AddAlternativeString(gomail.TypeTextHTML, html)
	}
	for _, file := range o.attachments {
		if err := msg.AttachReader(file.name, bytes.NewReader(file.content), file.options("attachment")...); err != nil {
			return nil, &optionError{messageOwner, "attachments", err.Error()}
		}
	}
	for _, file := range o.inline {
		if err := msg.EmbedReader(file.name, bytes.NewReader(file.content), file.options("inline")...); err != nil {
			return nil, &optionError{messageOwner, "inline", err.Error()}
		}
	}
	var buf bytes.Buffer
	if _, err := msg.WriteTo(&buf); err != nil {
		return nil, &optionError{owner: messageOwner, problem: err.Error()}
	}
	return cutField(cutField(buf.Bytes(), "Date"), "Message-ID"), nil
}

// headerProblem says why a field can't be sent, or returns the empty string (RFC 5322 section 2.2).
func headerProblem(h pair) string {
	if h.name == "" || len(h.name) > maxHeaderName || strings.ContainsFunc(h.name, func(r rune) bool { return r <= ' ' || r == ':' || r > '~' }) {
		return fmt.Sprintf("is no name for a header field (printable ASCII without blanks and \":\", at most %d octets)", maxHeaderName)
	}
	switch strings.ToLower(h.name) {
	case "from", "to", "cc", "bcc", "subject":
		return "has an option of its own"
	case "mime-version", "content-type", "content-transfer-encoding":
		return "follows from text and html (raw sends a message as it is)"
	}
	if hasControl(h.value) {
		return "wants a value without line breaks and control characters"
	}
	return ""
}

// fillLine is the length of a line of filler with its CRLF: short enough never to be folded by an encoder (RFC 2045 section
// 6.7).
const fillLine = 74

// fill returns the text extended so that the whole message, with the lines that appendHeader puts before it, has o.size octets.
func (m *message) fill(o *messageOptions, header []byte) (string, error) {
	text := o.text
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\r\n"
	}
	parts, err := render(o, text+filler(fillLine), o.html)
	if err != nil {
		return "", err
	}
	fresh := ownStormID(client.NewBody(header)) == ""
	own := m.appendHeader(nil, idDomain(m.sender.fixed.mailbox), strings.Repeat("x", tokenLength), fresh, new(dateLine).at(time.Time{}))
	fixed := client.NewBody(slices.Concat(header, parts)).Size() + len(own) - fillLine
	if o.size <= fixed {
		return "", &optionError{messageOwner, "size", fmt.Sprintf("wants at least %d for this message, not %d", fixed+1, o.size)}
	}
	return text + filler(o.size-fixed), nil
}

// filler returns n octets of text in lines, the last one unfinished.
func filler(n int) string {
	fill := bytes.Repeat([]byte("x"), n)
	for i := fillLine; i < n; i += fillLine {
		fill[i-2], fill[i-1] = '\r', '\n'
	}
	return string(fill)
}

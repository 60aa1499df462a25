package xk6smtp

import (
	"bytes"
	"fmt"
	"io"
	"net/mail"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func options(keys ...string) *messageOptions {
	o := &messageOptions{given: map[string]bool{}}
	for _, key := range keys {
		o.given[key] = true
	}
	return o
}

// epoch is when messages are sent in tests.
var epoch = time.Unix(1700000000, 0).UTC()

// sent is the message as a server gets it, dots undone.
func (m *message) sent(t testing.TB, token string) string {
	t.Helper()
	wire := append(m.appendHeader(nil, m.idDomain, token, !m.hasStormID, new(dateLine).at(epoch)), m.body.Wire()...)
	text, ok := strings.CutSuffix(string(wire), ".\r\n")
	if !ok {
		t.Fatalf("no final dot in %q", wire)
	}
	return strings.ReplaceAll(text, "\r\n..", "\r\n.")
}

func TestMessageIsValidMail(t *testing.T) {
	o := options("from", "to")
	o.from, o.to, o.cc, o.bcc = "Jörg <a@src.test>", []string{"b@dst.test", "Zoë <c@dst.test>"}, []string{"d@dst.test"}, []string{"secret@dst.test"}
	o.subject, o.text, o.html = "Grüße", "plain\n.dot\n", "<p>rich</p>"
	o.headers = []pair{{"X-Campaign", "42"}}
	m, err := newMessage(o)
	if err != nil {
		t.Fatal(err)
	}
	if m.from != "a@src.test" {
		t.Errorf("sender %q", m.from)
	}
	expectLines(t, "recipients", m.to, "b@dst.test", "c@dst.test", "d@dst.test", "secret@dst.test")
	raw := m.sent(t, "run-1")
	parsed, err := mail.ReadMessage(strings.NewReader(raw))
	if err != nil {
		t.Fatalf("%v in %q", err, raw)
	}
	date, err := parsed.Header.Date()
	if err != nil || !date.Equal(time.Unix(1700000000, 0)) {
		t.Errorf("date %v, %v", date, err)
	}
	for name, want := range map[string]string{
		"Message-Id": "<run-1@src.test>", "X-Storm-Id": "run-1", "X-Campaign": "42", "Bcc": "", "User-Agent": "", "Mime-Version": "1.0",
	} {
		if got := parsed.Header.Get(name); got != want || len(parsed.Header[name]) > 1 {
			t.Errorf("%s is %q", name, parsed.Header[name])
		}
	}
	body, err := io.ReadAll(parsed.Body)
	if err != nil || !bytes.Contains(body, []byte("\r\n.dot\r\n")) || !bytes.Contains(body, []byte("<p>rich</p>")) {
		t.Errorf("body %q, %v", body, err)
	}
	if m.body.EightBit() {
		t.Error("the message has octets above 127")
	}
}

func TestOwnDateAndMessageIDStay(t *testing.T) {
	o := options("from")
	o.from, o.text = "a@src.test", "x"
	o.headers = []pair{{"Date", "Mon, 01 Jan 2024 00:00:00 +0000"}, {"message-id", "<mine@x>"}}
	m, err := newMessage(o)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := mail.ReadMessage(strings.NewReader(m.sent(t, "run-1")))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"Date": "Mon, 01 Jan 2024 00:00:00 +0000", "Message-Id": "<mine@x>", "X-Storm-Id": "run-1"} {
		if got := parsed.Header[name]; len(got) != 1 || got[0] != want {
			t.Errorf("%s is %q, expected %q", name, got, want)
		}
	}
}

func TestRawMessageStaysAsItIs(t *testing.T) {
	for _, test := range []struct{ raw, want string }{
		{"Subject: x\n\n.hello\n", "X-Storm-Id: t\r\nSubject: x\r\n\r\n.hello\r\n"},
		{"x-storm-id:\n mine\nSubject: x\n\nhello", "x-storm-id:\r\n mine\r\nSubject: x\r\n\r\nhello\r\n"},
		{"Subject: x\n\nX-Storm-Id: body\n", "X-Storm-Id: t\r\nSubject: x\r\n\r\nX-Storm-Id: body\r\n"},
	} {
		o := options("from", "raw")
		o.raw = []byte(test.raw)
		m, err := newMessage(o)
		if err != nil {
			t.Fatal(err)
		}
		if got := m.sent(t, "t"); got != test.want {
			t.Errorf("%q goes out as %q, expected %q", test.raw, got, test.want)
		}
	}
}

func TestSizeIsExact(t *testing.T) {
	tokens := newTokens()
	rapid.Check(t, func(t *rapid.T) {
		o := options("from")
		o.from = "a@src.test"
		o.subject = rapid.StringMatching(`[a-zé ]{0,100}`).Draw(t, "subject")
		o.text = rapid.StringOf(rapid.RuneFrom([]rune("ab.=é \n"))).Draw(t, "text")
		if rapid.Bool().Draw(t, "with html") {
			o.html = "<p>x</p>"
		}
		o.size = rapid.IntRange(1200, 5000).Draw(t, "size")
		m, err := newMessage(o)
		if err != nil {
			if strings.Contains(err.Error(), "wants at least") {
				t.Skip("too small for its parts")
			}
			t.Fatal(err)
		}
		if got := len(m.appendHeader(nil, m.idDomain, tokens.next(), !m.hasStormID, new(dateLine).at(time.Now().UTC()))) + m.body.Size(); got != o.size {
			t.Fatalf("%d octets, expected %d", got, o.size)
		}
	})
}

func TestSmallestSizeThatIsNamedIsPossible(t *testing.T) {
	o := options("from")
	o.from, o.size = "a@src.test", 1
	_, err := newMessage(o)
	if err == nil {
		t.Fatal("no error for a message of one octet")
	}
	if _, scanErr := fmt.Sscanf(err.Error(), `Message: option "size" wants at least %d for this message`, &o.size); scanErr != nil {
		t.Fatalf("%v names no size: %v", err, scanErr)
	}
	if _, err := newMessage(o); err != nil {
		t.Error(err)
	}
}

func TestTokensAreUniqueAndOfOneLength(t *testing.T) {
	tokens, seen := newTokens(), map[string]bool{}
	tokens.last.Store(35)
	for range 3000 {
		token := tokens.next()
		if seen[token] || len(token) != tokenLength {
			t.Fatalf("token %q after %d", token, len(seen))
		}
		seen[token] = true
	}
}

func TestEverySendingHasItsOwnToken(t *testing.T) {
	server := newFakeServer(t, nil)
	v := newVU(t).activate().global("PORT", server.port())
	got := v.run(newClientAndMessage + "const a = await client.send(message), b = await client.send(message); return a.token + ' ' + b.token")
	bodies := server.messages()
	a, b, _ := strings.Cut(got, " ")
	if len(bodies) != 2 || a == b || !strings.Contains(bodies[0], "X-Storm-Id: "+a+"\r\n") || !strings.Contains(bodies[1], "X-Storm-Id: "+b+"\r\n") {
		t.Errorf("tokens %s, bodies %q", got, bodies)
	}
}

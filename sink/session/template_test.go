package session_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/plan"
	"github.com/smtpstorm/xk6-smtp/sink/session"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// textRows keeps what rows say of the words of replies.
type textRows struct {
	recording
	texts []string
	ids   []uint64
}

func (r *textRows) Attempt(a *session.Attempt) { r.texts = append(r.texts, "attempt "+a.Text) }
func (r *textRows) Transaction(t *session.Transaction) {
	r.texts = append(r.texts, "transaction "+t.Text)
}
func (r *textRows) Connection(c *session.Connection) { r.texts = append(r.texts, "connection "+c.Text) }
func (r *textRows) Message(m *event.Message)         { r.ids = append(r.ids, m.QueueID) }

func planOf(tb testing.TB, text string) *fault.Plan {
	tb.Helper()
	f, err := plan.Parse("test.yaml", []byte("version: 1\nseed: 7\n"+text))
	if err != nil {
		tb.Fatal(err)
	}
	return f.Plan
}

// TestTemplatesInRows: rows have the words as they stood on the wire, and message rows the queue id that a reply names.
func TestTemplatesInRows(t *testing.T) {
	s := sinktest.Setup{Config: session.Config{Hostname: "sink.example"}, Plan: planOf(t, `
rules:
  - {stage: mail, match: {sender: "*@bad.example"}, reply: {code: 450, text: "[TSS04] Messages from {{client}} deferred"}}
  - {stage: rcpt, match: {recipient: "*@bad.example"}, reply: {code: 550, text: "{{recipient}}, {{client}}"}}
  - {stage: data, match: {sender: "*@data.example"}, reply: {code: 451, text: ["{{date}}", "{{queue_id}}"]}}
plain: {message: "Ok: queued as {{queue_id}}", quit: "Bye {{client}}"}
`)}
	rows := &textRows{}
	p := sinktest.NewSessionConn(s, &session.Env{Recorder: rows})
	p.Send([]byte(strings.ReplaceAll(`EHLO c.example
MAIL FROM:<a@bad.example>
MAIL FROM:<a@x.example>
RCPT TO:<b@bad.example>
RCPT TO:<b@x.example>
DATA
.
MAIL FROM:<a@data.example>
RCPT TO:<b@x.example>
DATA
RSET
QUIT
`, "\n", "\r\n")))
	var ids []string
	for message := range uint64(4) {
		ids = append(ids, string(smtp.AppendQueueID(nil, fault.QueueID(7, netip.MustParseAddr("192.0.2.1"), 1, message))))
	}
	date := sinktest.Epoch.UTC().Format(time.RFC1123Z)
	said := strings.Join(p.Unread(), "\n")
	for _, want := range []string{
		"450 4.2.0 [TSS04] Messages from 192.0.2.1 deferred", "550 5.1.1 b@bad.example, 192.0.2.1", "250 2.0.0 Ok: queued as " + ids[2],
		"451-4.3.0 " + date + "\n451 4.3.0 " + ids[3], "221 2.0.0 Bye 192.0.2.1",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("the sink said\n%s\nand not %s", said, want)
		}
	}
	want := []string{
		"transaction [TSS04] Messages from 192.0.2.1 deferred", "attempt b@bad.example, 192.0.2.1", "attempt Ok: queued as " + ids[2],
		"attempt " + date + "\n" + ids[3], "connection Bye 192.0.2.1",
	}
	if !slices.Equal(rows.texts, want) {
		t.Errorf("rows have the texts\n%q, want\n%q", rows.texts, want)
	}
	if got := rows.ids; len(got) != 1 || string(smtp.AppendQueueID(nil, got[0])) != ids[2] {
		t.Errorf("message rows have the ids %X, want %s", got, ids[2])
	}
}

// TestTextOfTheConnection: the connection's row has the words of the last reply only.
func TestTextOfTheConnection(t *testing.T) {
	s := sinktest.Setup{Plan: planOf(t, `rules: [{stage: connect, reply: {code: 554, text: "Not {{client}}"}}]`)}
	for input, want := range map[string]string{"": "connection Not 192.0.2.1", "NOOP\r\n": "connection "} {
		rows := &textRows{}
		p := sinktest.NewSessionConn(s, &session.Env{Recorder: rows})
		p.Send([]byte(input))
		p.CloseWrite()
		if len(rows.texts) != 1 || rows.texts[0] != want {
			t.Errorf("after %q rows have the texts %q, want %q", input, rows.texts, want)
		}
	}
}

// TestTemplateAllocations: a plan without templates pays nothing for them, and one with them little.
func TestTemplateAllocations(t *testing.T) {
	for _, test := range []struct {
		text string
		most float64
	}{
		{`rules: [{stage: noop, reply: {code: 250, text: "Hello, this is nobody in particular"}}]`, 0},
		{`plain: {noop: "Hello, this is nobody in particular"}`, 0},
		{`rules: [{stage: noop, reply: {code: 250, text: "Hello {{client}}, it is {{date}}, {{queue_id}}"}}]`, 2},
	} {
		b := newBenchOf(t, sinktest.Setup{Plan: planOf(t, test.text)})
		noop := []byte("NOOP\r\n")
		if n := testing.AllocsPerRun(100, func() { b.feed(t, noop, len(noop)) }); n > test.most && !raceDetector {
			t.Errorf("%s: %v allocations of a reply, want at most %v", test.text, n, test.most)
		}
	}
}

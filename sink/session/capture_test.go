package session_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/session"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// capturing is a session whose captured messages are kept, or not.
type capturing struct {
	*sinktest.SessionConn
	*verdicts
	room   *session.Captures
	kept   []string // "RECIPIENT SIZE OCTETS"
	ticket uint64
	err    error // what becomes of those to come
	late   bool  // nobody answers
}

func newCapturing(t *testing.T, plan string, flags ...string) *capturing {
	t.Helper()
	c := &capturing{room: session.NewCaptures(100<<10, 300<<10)}
	c.SessionConn, c.verdicts = newPlanned(t, session.Env{Captures: c.room}, plan, append(flags, "--capture", "null")...)
	c.Captures = func(m *session.Captured, ticket uint64) {
		if c.ticket = ticket; c.late {
			return
		}
		if c.err == nil {
			c.kept = append(c.kept, fmt.Sprintf("%s %d %q", m.Recipient, m.Size, m.Octets))
		}
		c.room.Release(m)
		c.Session.Committed(c.Now, ticket, c.err)
	}
	return c
}

// notify runs transactions whose message is text, one to each recipient.
func notify(sender, text string, recipients ...string) []string {
	lines := []string{"MAIL FROM:<" + sender + ">"}
	for _, r := range recipients {
		lines = append(lines, "RCPT TO:<"+r+">")
	}
	return append(lines, "DATA", text+"\r\n.")
}

// TestCapture: a message with the null sender is captured as it was before SMTP, before its sender is told that it was accepted, if it is
// delivered, whatever that is told; no other is.
func TestCapture(t *testing.T) {
	for _, test := range []struct {
		name, plan string
		lines      []string
		codes      string
		kept       string
	}{
		{"null sender", "", notify("", "A: b\r\n\r\ntext", "s@c.example"), "250 250 354 250", `s@c.example 14 "A: b\r\n\r\ntext\r\n"`},
		{"another sender", "", notify("a@c.example", "text", "s@c.example"), "250 250 354 250", ""},
		{"dots", "", notify("", "A: b\r\n\r\n..\r\n...\r\n. ..\r\nx.", "s@c.example"), "250 250 354 250", `s@c.example 24 "A: b\r\n\r\n.\r\n..\r\n ..\r\nx.\r\n"`},
		{"nothing", "", []string{"MAIL FROM:<>", "RCPT TO:<s@c.example>", "DATA", "."}, "250 250 354 250", `s@c.example 0 ""`},
		{"chunks", "", []string{"MAIL FROM:<>", "RCPT TO:<s@c.example>", "BDAT 3\r\n.\r\nBDAT 4 LAST\r\n.."}, "250 250 250 250", `s@c.example 7 ".\r\n..\r\n"`},
		{"several recipients", "", notify("", "text", "s@c.example", "t@c.example"), "250 250 250 354 250", `s@c.example 6 "text\r\n"`},
		{"refused at RCPT", "- {stage: rcpt, reply: 450}", notify("", "text", "s@c.example")[:2], "250 450", ""},
		{"refused at the end", "- {stage: message, reply: 550}", notify("", "text", "s@c.example"), "250 250 354 550", ""},
		{"refused and kept", "- {stage: message, reply: 550, delivery: keep}", notify("", "text", "s@c.example"), "250 250 354 550", `s@c.example 6 "text\r\n"`},
		{"accepted and dropped", "- {stage: message, delivery: discard}", notify("", "text", "s@c.example"), "250 250 354 250", ""},
		{"cut off and kept", "- {stage: message, close: rst, delivery: keep}", notify("", "text", "s@c.example"), "250 250 354", `s@c.example 6 "text\r\n"`},
		{"cut off", "- {stage: message, close: rst}", notify("", "text", "s@c.example"), "250 250 354", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			plan := test.plan
			if plan == "" {
				plan = "- {stage: rset, reply: 250}"
			}
			c := newCapturing(t, plan)
			if got := say(t, c.SessionConn, append([]string{"EHLO c"}, test.lines...)...); got != "220 250 "+test.codes {
				t.Errorf("got %s, want %s", got, test.codes)
			}
			if got := strings.Join(c.kept, "\n"); got != test.kept {
				t.Errorf("captured\n%s\nwant\n%s", got, test.kept)
			}
		})
	}
}

// TestCaptureAll: on a listener for notifications the sender doesn't matter.
func TestCaptureAll(t *testing.T) {
	c := newCapturing(t, "- {stage: rset, reply: 250}", "--capture", "all")
	say(t, c.SessionConn, append([]string{"EHLO c"}, notify("mailer-daemon@mx.example", "text", "s@c.example")...)...)
	if len(c.kept) != 0 {
		t.Errorf("captured %v with the last choice being null", c.kept)
	}
	setup := planned(t, "- {stage: rset, reply: 250}", "--capture", "all")
	p := sinktest.NewSessionConn(setup, &session.Env{Captures: session.NewCaptures(1000, 1000)})
	captured := 0
	p.Captures = func(_ *session.Captured, ticket uint64) { captured++; p.Session.Committed(p.Now, ticket, nil) }
	say(t, p, append([]string{"EHLO c"}, notify("mailer-daemon@mx.example", "text", "s@c.example")...)...)
	if captured != 1 {
		t.Errorf("%d messages were captured, want 1", captured)
	}
}

// TestCaptureFails: what can't be kept, or not in time, is refused for now; an answer that comes too late changes nothing.
func TestCaptureFails(t *testing.T) {
	c := newCapturing(t, "- {stage: rset, reply: 250}")
	c.err = errors.New("disk full")
	envelope := notify("", "text", "s@c.example")
	if got := say(t, c.SessionConn, append([]string{"EHLO c"}, envelope...)...); got != "220 250 250 250 354 451" {
		t.Errorf("got %s, want 451 when the disk is full", got)
	}
	c.err, c.late = nil, true
	if got := say(t, c.SessionConn, envelope...); got != "250 250 354" || !c.Session.Committing() {
		t.Errorf("got %s, want no reply before the message is kept", got)
	}
	if err := c.Pass(session.DefaultMaxCommit); err != nil {
		t.Fatal(err)
	}
	if got := string(c.Output()); !strings.HasPrefix(got, "451 4.3.0 ") {
		t.Errorf("after its time the session says %q, want 451", got)
	}
	c.Session.Committed(c.Now, c.ticket, nil)
	wantEffects(t, c.Session, "a late answer", "")
	wantLines(t, "rows", c.rows, []string{
		"<s@c.example> reply at message 451 by protocol",
		"<s@c.example> reply at message 451 by protocol",
	})
	if len(c.kept) > 0 {
		t.Errorf("captured %v", c.kept)
	}
}

// TestCaptureAndCommit: with a durable ledger the message is kept first, and then its rows.
func TestCaptureAndCommit(t *testing.T) {
	c := newCapturing(t, "- {stage: rset, reply: 250}", "--commit")
	var order []string
	keep := c.Captures
	c.Captures = func(m *session.Captured, ticket uint64) { order = append(order, "capture"); keep(m, ticket) }
	c.Commits = func(ticket uint64) { order = append(order, "commit"); c.Session.Committed(c.Now, ticket, nil) }
	if got := say(t, c.SessionConn, append([]string{"EHLO c"}, notify("", "text", "s@c.example")...)...); got != "220 250 250 250 354 250" {
		t.Errorf("got %s", got)
	}
	if got := strings.Join(order, " "); got != "capture commit" {
		t.Errorf("the order was %q", got)
	}
}

// TestCapturePerRecipient: in LMTP a message is captured once, with its first delivery; where that can't be, no recipient is told 250.
func TestCapturePerRecipient(t *testing.T) {
	const plan = "- {stage: message, match: {recipient: no@c.example}, reply: 550}"
	envelope := append([]string{"LHLO c"}, notify("", "text", "no@c.example", "s@c.example", "t@c.example")...)
	c := newCapturing(t, plan, "--lmtp")
	if got := say(t, c.SessionConn, envelope...); got != "220 250 250 250 250 250 354 550 250 250" || len(c.kept) != 1 || !strings.HasPrefix(c.kept[0], "s@c.example ") {
		t.Errorf("got %s, captured %v", got, c.kept)
	}
	c = newCapturing(t, plan, "--lmtp")
	c.err = errors.New("disk full")
	if got := say(t, c.SessionConn, envelope...); got != "220 250 250 250 250 250 354 550 451 451" {
		t.Errorf("got %s", got)
	}
}

// TestCaptureIsBounded: of a long message its beginning is kept; a message for which there is no memory is refused for now; what is not
// needed any more is given back.
func TestCaptureIsBounded(t *testing.T) {
	c := newCapturing(t, "- {stage: message, match: {recipient: no@c.example}, reply: 550}")
	line := strings.Repeat("x", 98) + "\r\n"
	say(t, c.SessionConn, append([]string{"EHLO c"}, notify("", strings.Repeat(line, 3000), "s@c.example")...)...)
	if len(c.kept) != 1 || len(c.kept[0]) < 100<<10 || len(c.kept[0]) > 110<<10 || !strings.HasPrefix(c.kept[0], "s@c.example 300002 ") {
		t.Fatalf("captured %d messages, of %.30q... (%d octets)", len(c.kept), c.kept, len(c.kept[0]))
	}
	for range 5 { // refused, given up, and too much at once: each time all comes back
		say(t, c.SessionConn, notify("", strings.Repeat(line, 3000), "no@c.example")...)
		others := make([]*sinktest.SessionConn, 4)
		for i := range others {
			p := sinktest.NewSessionConn(planned(t, "- {stage: rset, reply: 250}", "--capture", "null"), &session.Env{Captures: c.room})
			say(t, p, "EHLO c", "MAIL FROM:<>", "RCPT TO:<s@c.example>", "DATA")
			if err := p.Send([]byte(strings.Repeat(line, 1100))); err != nil {
				t.Fatal(err)
			}
			others[i] = p
		}
		if got := say(t, others[3], "."); got != "452" {
			t.Errorf("beyond the memory of all the reply is %s, want 452", got)
		}
		for _, p := range others {
			p.Session.Closed(p.Now.Add(time.Second), errors.New("gone"))
		}
	}
	if got := say(t, c.SessionConn, notify("", "text", "s@c.example")...); got != "250 250 354 250" {
		t.Errorf("then the reply is %s", got)
	}
}

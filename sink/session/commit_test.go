package session_test

import (
	"errors"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/session"
)

// TestCommit: no positive reply after a body goes out before its rows are on disk.
func TestCommit(t *testing.T) {
	p, _ := newPlanned(t, session.Env{}, "- {stage: message, match: {recipient: no@s.example}, reply: 550}", "--commit")
	var ticket uint64
	p.Commits = func(n uint64) { ticket = n }
	envelope := []string{"EHLO c", "MAIL FROM:<a@c.example>", "RCPT TO:<b@s.example>", "DATA", "."}
	if got := say(t, p, append(envelope, "NOOP")...); got != "220 250 250 250 354" || ticket == 0 {
		t.Fatalf("got %s, ticket %d; want no reply yet", got, ticket)
	}
	if wait := p.Session.Deadline().Sub(p.Now); wait != session.DefaultMaxCommit || !p.Session.Committing() {
		t.Errorf("the session waits for %v for the disk, want %v", wait, session.DefaultMaxCommit)
	}
	p.Session.Committed(p.Now, ticket+1, nil)
	wantEffects(t, p.Session, "another ticket", "")
	p.Session.Committed(p.Now, ticket, nil)
	wantEffects(t, p.Session, "committed", "write, resume")
	if err := p.Send(nil); err != nil {
		t.Fatal(err)
	}
	first := ticket

	p, v := newPlanned(t, session.Env{}, "- {stage: message, match: {recipient: no@s.example}, reply: 550}", "--commit")
	fail := error(nil)
	p.Commits = func(n uint64) { ticket = n; p.Session.Committed(p.Now, n, fail) }
	if got := say(t, p, envelope...); got != "220 250 250 250 354 250" || ticket != first {
		t.Errorf("got %s, ticket %d", got, ticket)
	}
	fail = errors.New("disk full")
	if got := say(t, p, append(envelope, "MAIL FROM:<>", "RCPT TO:<no@s.example>", "DATA", ".", "QUIT")...); got != "250 250 250 354 451 250 250 354 550 221" {
		t.Errorf("got %s, want 451 for the failed commit and none for a refusal", got)
	}
	if ticket == first {
		t.Error("two commits have the same ticket")
	}
	wantLines(t, "rows", v.rows, []string{
		"<b@s.example> reply at message delivered pending 250 by plain",
		"<b@s.example> reply at message delivered committed 250 by plain",
		"<b@s.example> reply at message delivered pending 250 by plain",
		"<b@s.example> reply at message 451 by protocol",
		`<no@s.example> reply at message 550 by rule "rule 1"`,
		"connection: quit, last quit 221",
	})
	if v.connection.Delivered != 1 {
		t.Errorf("%d attempts were delivered, want 1", v.connection.Delivered)
	}
}

// TestCommitPerRecipient: in LMTP each positive reply has its own commit; a client that goes while it waits leaves rows.
func TestCommitPerRecipient(t *testing.T) {
	p, v := newPlanned(t, session.Env{}, "- {stage: message, match: {recipient: no@s.example}, reply: 550}", "--commit", "--lmtp")
	tickets := map[uint64]bool{}
	p.Commits = func(n uint64) {
		if tickets[n] {
			t.Errorf("the ticket %d comes twice", n)
		}
		tickets[n] = true
		if len(tickets) < 2 {
			p.Session.Committed(p.Now, n, nil)
		}
	}
	got := say(t, p, "LHLO c", "MAIL FROM:<>", "RCPT TO:<b@s.example>", "RCPT TO:<no@s.example>", "RCPT TO:<c@s.example>", "RCPT TO:<d@s.example>", "DATA", ".")
	if got != "220 250 250 250 250 250 250 354 250 550" {
		t.Errorf("got %s", got)
	}
	p.Session.Closed(p.Now, errors.New("gone"))
	wantLines(t, "rows", v.rows, []string{
		"<b@s.example> reply at message delivered pending 250 by plain",
		"<b@s.example> reply at message delivered committed 250 by plain",
		`<no@s.example> reply at message 550 by rule "rule 1"`,
		"<c@s.example> reply at message delivered pending 250 by plain",
		"<c@s.example> lost at message delivered amended 250 unsent by plain",
		"<d@s.example> lost at message",
		"connection: error, last message 550",
	})
}

// TestCommitThatHangs: a disk that doesn't answer holds no connection for longer than MaxCommit, and what was promised to the ledger
// is amended. In LMTP the recipients after that don't wait again.
func TestCommitThatHangs(t *testing.T) {
	p, v := newPlanned(t, session.Env{}, "- {stage: rset, reply: 250}", "--commit")
	var ticket uint64
	p.Commits = func(n uint64) { ticket = n }
	envelope := []string{"MAIL FROM:<a@c.example>", "RCPT TO:<b@s.example>", "DATA", "."}
	say(t, p, append([]string{"EHLO c"}, append(envelope, "NOOP")...)...)
	if err := p.Pass(session.DefaultMaxCommit - time.Second); err != nil {
		t.Fatal(err)
	}
	if got := string(p.Output()); got != "" {
		t.Errorf("before its time the session says %q", got)
	}
	if err := p.Pass(time.Second); err != nil {
		t.Fatal(err)
	}
	if got := string(p.Output()); got != "451 4.3.0 Message could not be stored, try again later\r\n250 2.0.0 OK\r\n" {
		t.Errorf("after its time the session says %q, want 451 and the reply to NOOP", got)
	}
	late := ticket
	say(t, p, envelope...)
	p.Session.Committed(p.Now, late, nil) // the disk is back, but not for this message
	wantEffects(t, p.Session, "a late answer", "")
	p.Session.Committed(p.Now, ticket, nil)
	wantLines(t, "rows", v.rows, []string{
		"<b@s.example> reply at message delivered pending 250 by plain",
		"<b@s.example> reply at message amended 451 by protocol",
		"<b@s.example> reply at message delivered pending 250 by plain",
		"<b@s.example> reply at message delivered committed 250 by plain",
	})

	p, v = newPlanned(t, session.Env{}, "- {stage: rset, reply: 250}", "--commit", "--lmtp")
	p.Commits = func(uint64) {}
	say(t, p, "LHLO c", "MAIL FROM:<>", "RCPT TO:<b@s.example>", "RCPT TO:<c@s.example>", "DATA", ".")
	if err := p.Pass(session.DefaultMaxCommit); err != nil {
		t.Fatal(err)
	}
	wantLines(t, "rows", v.rows, []string{
		"<b@s.example> reply at message delivered pending 250 by plain",
		"<b@s.example> reply at message amended 451 by protocol",
		"<c@s.example> reply at message 451 by protocol",
	})
}

// TestCommitThenCutOff: a client that goes in the middle of a reply whose rows are on disk was not told it.
func TestCommitThenCutOff(t *testing.T) {
	p, v := newPlanned(t, session.Env{}, "- {stage: message, dribble: {octets: 1, every: 1s}}", "--commit")
	p.Commits = func(n uint64) { p.Session.Committed(p.Now, n, nil) }
	if err := p.Send([]byte("EHLO c\r\nMAIL FROM:<a@c.example>\r\nRCPT TO:<b@s.example>\r\nDATA\r\n.\r\n")); err != nil {
		t.Fatal(err)
	}
	p.Session.Closed(p.Now, errors.New("gone"))
	wantLines(t, "rows", v.rows, []string{
		`<b@s.example> reply at message delivered pending 250 by rule "rule 1" dribble`,
		`<b@s.example> lost at message delivered amended 250 unsent by rule "rule 1" dribble`,
		"connection: error, last data 354",
	})
}

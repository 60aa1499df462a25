package session_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/session"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// TestRows holds the rows that a session writes: one for each RCPT command, one for each transaction that died before RCPT, and
// the connection as the last.
func TestRows(t *testing.T) {
	const ehlo = "EHLO c.example"
	tests := []struct {
		name  string
		flags string
		run   func(t *testing.T, p *sinktest.SessionConn)
		want  []string
	}{
		{"delivered", "", func(t *testing.T, p *sinktest.SessionConn) {
			say(t, p, ehlo, "MAIL FROM:<a@c.example> ENVID=id1", "RCPT TO:<b@s.example>", "RCPT TO:<c@s.example>", "DATA")
			pass(t, p, 3*time.Second)
			say(t, p, "text", ".", "QUIT")
		}, []string{
			"attempt <a@c.example> -> <b@s.example> n=0 token=id1 0s..3s: reply at message 250 2.0.0 delivered size=6",
			"attempt <a@c.example> -> <c@s.example> n=0 token=id1 0s..3s: reply at message 250 2.0.0 delivered size=6",
			"connection 1 test 192.0.2.1:50000: helo=c.example messages=1 attempts=2 delivered=2 in=118 out=339 8bit=0: quit err=<nil>",
		}},
		{"bounced by rules that count attempts", "--reply rcpt=550 --seed 1 --delay rcpt=uniform(1s,1s)", func(t *testing.T, p *sinktest.SessionConn) {
			say(t, p, ehlo, "MAIL FROM:<a@c.example>", "RCPT TO:<b@s.example>", "RCPT TO:<b@s.example>")
			pass(t, p, time.Second)
			codes(t, p)
			pass(t, p, time.Second)
			say(t, p, "QUIT")
		}, []string{
			"attempt <a@c.example> -> <b@s.example> n=1 token=a@c.example 0s..1s: reply at rcpt 550 5.1.1",
			"attempt <a@c.example> -> <b@s.example> n=2 token=a@c.example 1s..2s: reply at rcpt 550 5.1.1",
			"connection 1 ...",
		}},
		{"refused MAIL, and a RCPT after it", "--reply mail=451:1 --seed 2 --delay mail=uniform(1s,1s)", func(t *testing.T, p *sinktest.SessionConn) {
			say(t, p, ehlo, "MAIL FROM:<a@c.example>", "RCPT TO:<b@s.example>", "RCPT TO:<bad@>")
			pass(t, p, time.Second)
			say(t, p, "QUIT")
		}, []string{
			"transaction <a@c.example> n=1 token=a@c.example 0s..1s: reply at mail 451 4.3.0",
			"attempt <> -> <b@s.example> n=0 token= 1s..1s: reply at rcpt 503 5.5.1",
			"attempt <> -> <> n=0 token= 1s..1s: reply at rcpt 503 5.5.1",
			"connection 1 ...",
		}},
		{"protocol errors", "--max-recipients 1", func(t *testing.T, p *sinktest.SessionConn) {
			say(t, p, ehlo, "MAIL FROM:<>", "RCPT TO:<bad@>", "RCPT TO:<ü@s.example>", "RCPT TO:<b@s.example>", "RCPT TO:<c@s.example>", "RSET", "MAIL FROM:<>", "QUIT")
		}, []string{
			"attempt <> -> <> n=0 token= 0s..0s: reply at rcpt 501 5.1.3",
			"attempt <> -> <ü@s.example> n=0 token= 0s..0s: reply at rcpt 553 5.6.7",
			"attempt <> -> <c@s.example> n=0 token= 0s..0s: reply at rcpt 452 4.5.3",
			"attempt <> -> <b@s.example> n=0 token= 0s..0s: abandoned at rset",
			"transaction <> n=0 token= 0s..0s: abandoned at quit",
			"connection 1 ...",
		}},
		{"a refused DATA decides unless the client tries again", "--reply data=451", func(t *testing.T, p *sinktest.SessionConn) {
			say(t, p, ehlo, "MAIL FROM:<a@c.example>", "RCPT TO:<b@s.example>", "DATA", "EHLO again.example", "QUIT")
		}, []string{
			"attempt <a@c.example> -> <b@s.example> n=0 token=a@c.example 0s..0s: reply at data 451 4.3.0",
			"connection 1 test 192.0.2.1:50000: helo=again.example...",
		}},
		{"421 within a transaction", "--reply noop=421", func(t *testing.T, p *sinktest.SessionConn) {
			say(t, p, ehlo, "MAIL FROM:<a@c.example>", "RCPT TO:<b@s.example>", "NOOP", "QUIT")
		}, []string{
			"attempt <a@c.example> -> <b@s.example> n=0 token=a@c.example 0s..0s: reply at noop 421 4.3.0",
			"connection 1 test 192.0.2.1:50000: helo=c.example messages=1 attempts=1 delivered=0 in=70 out=280 8bit=0: reply err=<nil>",
		}},
		{"connection lost in the body", "", func(t *testing.T, p *sinktest.SessionConn) {
			say(t, p, ehlo, "MAIL FROM:<a@c.example>", "RCPT TO:<b@s.example>", "DATA", "12345678")
			p.Session.Closed(p.Now, errors.New("connection reset by peer"))
		}, []string{
			"attempt <a@c.example> -> <b@s.example> n=0 token=a@c.example 0s..0s: lost at message size=10",
			"connection 1 test 192.0.2.1:50000: helo=c.example messages=1 attempts=1 delivered=0 in=80 out=263 8bit=0: error err=connection reset by peer",
		}},
		{"connection lost while the final reply is delayed", "--delay message=1m", func(t *testing.T, p *sinktest.SessionConn) {
			say(t, p, ehlo, "MAIL FROM:<a@c.example>", "RCPT TO:<b@s.example>", "DATA", ".")
			pass(t, p, time.Second)
			p.Session.Closed(p.Now, nil)
		}, []string{
			"attempt <a@c.example> -> <b@s.example> n=0 token=a@c.example 0s..1s: lost at message 250 2.0.0 unsent",
			"connection 1 ...",
		}},
		{"connection lost while RCPT is delayed", "--delay rcpt=1m --reply rcpt=450", func(t *testing.T, p *sinktest.SessionConn) {
			say(t, p, ehlo, "MAIL FROM:<a@c.example>", "RCPT TO:<b@s.example>")
			p.Session.Closed(p.Now, nil)
		}, []string{
			"attempt <a@c.example> -> <b@s.example> n=0 token=a@c.example 0s..0s: lost at rcpt 450 4.2.0 unsent",
			"connection 1 ...",
		}},
		{"connection lost while MAIL is delayed", "--delay mail=1m", func(t *testing.T, p *sinktest.SessionConn) {
			say(t, p, ehlo, "MAIL FROM:<a@c.example>")
			p.Session.Closed(p.Now, nil)
		}, []string{
			"transaction <a@c.example> n=0 token=a@c.example 0s..0s: lost at mail 250 2.1.0 unsent",
			"connection 1 ...",
		}},
		{"end of input before DATA", "", func(t *testing.T, p *sinktest.SessionConn) {
			say(t, p, ehlo, "MAIL FROM:<a@c.example>", "RCPT TO:<b@s.example>")
			if err := p.CloseWrite(); err != nil {
				t.Fatal(err)
			}
		}, []string{
			"attempt <a@c.example> -> <b@s.example> n=0 token=a@c.example 0s..0s: lost at data",
			"connection 1 test 192.0.2.1:50000: helo=c.example messages=1 attempts=1 delivered=0 in=64 out=217 8bit=0: eof err=<nil>",
		}},
		{"silence", "--idle-timeout 10s", func(t *testing.T, p *sinktest.SessionConn) {
			say(t, p, ehlo, "MAIL FROM:<a@c.example>", "RCPT TO:<b@s.example>")
			pass(t, p, 10*time.Second)
		}, []string{
			"attempt <a@c.example> -> <b@s.example> n=0 token=a@c.example 0s..10s: timeout at data",
			"connection 1 test 192.0.2.1:50000: helo=c.example messages=1 attempts=1 delivered=0 in=64 out=271 8bit=0: timeout err=<nil>",
		}},
		{"a failed chunk", "--reply bdat=452", func(t *testing.T, p *sinktest.SessionConn) {
			say(t, p, ehlo, "MAIL FROM:<a@c.example>", "RCPT TO:<b@s.example>", "BDAT 2", "BDAT 2 LAST", "RSET", "QUIT")
		}, []string{
			"attempt <a@c.example> -> <b@s.example> n=0 token=a@c.example 0s..0s: reply at bdat 452 4.3.1 size=2",
			"connection 1 ...",
		}},
		{"LMTP: each recipient has its own fate", "--lmtp --seed 3 --reply message=250:1,550:1", func(t *testing.T, p *sinktest.SessionConn) {
			say(t, p, "LHLO c.example", "MAIL FROM:<a@c.example>", "RCPT TO:<b0@s.example>", "RCPT TO:<b1@s.example>", "RCPT TO:<b2@s.example>", "RCPT TO:<b3@s.example>", "DATA", ".", "QUIT")
		}, []string{
			"attempt <a@c.example> -> <b0@s.example> n=1 token=a@c.example 0s..0s: reply at message 250 2.0.0 delivered",
			"attempt <a@c.example> -> <b1@s.example> n=1 token=a@c.example 0s..0s: reply at message 250 2.0.0 delivered",
			"attempt <a@c.example> -> <b2@s.example> n=1 token=a@c.example 0s..0s: reply at message 550 5.1.1",
			"attempt <a@c.example> -> <b3@s.example> n=1 token=a@c.example 0s..0s: reply at message 550 5.1.1",
			"connection 1 ...",
		}},
		{"LMTP: lost between the recipients' replies", "--lmtp --delay message=1s", func(t *testing.T, p *sinktest.SessionConn) {
			say(t, p, "LHLO c.example", "MAIL FROM:<a@c.example>", "RCPT TO:<b0@s.example>", "RCPT TO:<b1@s.example>", "RCPT TO:<b2@s.example>", "DATA", ".")
			pass(t, p, time.Second)
			p.Session.Closed(p.Now, nil)
		}, []string{
			"attempt <a@c.example> -> <b0@s.example> n=0 token=a@c.example 0s..1s: reply at message 250 2.0.0 delivered",
			"attempt <a@c.example> -> <b1@s.example> n=0 token=a@c.example 0s..1s: lost at message 250 2.0.0 unsent",
			"attempt <a@c.example> -> <b2@s.example> n=0 token=a@c.example 0s..1s: lost at message",
			"connection 1 ...",
		}},
		{"8-bit octets that nobody declared", "", func(t *testing.T, p *sinktest.SessionConn) {
			for _, parameter := range []string{"", " BODY=7BIT", " BODY=8BITMIME", " SMTPUTF8"} {
				say(t, p, ehlo, "MAIL FROM:<>"+parameter, "RCPT TO:<b@s.example>", "DATA", "\xe9", ".")
			}
			say(t, p, "QUIT")
		}, []string{
			"attempt...", "attempt...", "attempt...", "attempt...",
			"connection 1 test 192.0.2.1:50000: helo=c.example messages=4 attempts=4 delivered=4 in=299 out=1054 8bit=2: quit err=<nil>",
		}},
		{"a line without end", "", func(t *testing.T, p *sinktest.SessionConn) {
			say(t, p, ehlo, "MAIL FROM:<>", "RCPT TO:<b@s.example>", strings.Repeat("x", 70000))
		}, []string{
			"attempt <> -> <b@s.example> n=0 token= 0s..0s: lost at data",
			"connection 1 test 192.0.2.1:50000: helo=c.example messages=1 attempts=1 delivered=0 in=65589 out=242 8bit=0: abuse err=<nil>",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, r := newPeer(t, strings.Fields(tt.flags)...)
			pass(t, p, 0)
			tt.run(t, p)
			got := r.rows
			for i := range min(len(got), len(tt.want)) {
				if part, ok := strings.CutSuffix(tt.want[i], "..."); ok && strings.HasPrefix(got[i], part) {
					got[i] = tt.want[i]
				}
			}
			wantLines(t, "rows", got, tt.want)
		})
	}
}

// pass lets time pass.
func pass(t *testing.T, p *sinktest.SessionConn, d time.Duration) {
	t.Helper()
	if err := p.Pass(d); err != nil {
		t.Fatal(err)
	}
}

// TestInFlight: what was decided but not replied is in flight, until its time comes or its connection is lost.
func TestInFlight(t *testing.T) {
	p, r := newPeer(t, "--delay", "noop=1m")
	say(t, p, "NOOP")
	if r.inFlight != 1 {
		t.Errorf("with a delayed reply %d are in flight, want 1", r.inFlight)
	}
	pass(t, p, time.Minute)
	if r.inFlight != 0 {
		t.Errorf("after its delay %d are in flight, want 0", r.inFlight)
	}
	say(t, p, "NOOP")
	p.Session.Closed(p.Now, nil)
	if r.inFlight != 1 {
		t.Errorf("after the connection was lost %d are in flight, want 1", r.inFlight)
	}
	wantLines(t, "replies", r.replies, []string{
		"decided connect 220 plain", "replied connect 220 plain",
		"decided noop 250 rule", "replied noop 250 rule", "decided noop 250 rule",
	})
	if deadline := p.Session.Deadline(); !deadline.IsZero() {
		t.Errorf("a lost session has the deadline %v, want none", deadline)
	}
	if n := p.Session.Feed(p.Now, []byte("NOOP\r\n")); n != 6 {
		t.Errorf("a lost session took %d octets, want all 6", n)
	}
	var kinds []session.EffectKind
	for e, ok := p.Session.Next(); ok; e, ok = p.Session.Next() {
		kinds = append(kinds, e.Kind)
	}
	if len(kinds) != 1 || kinds[0] != session.EffectDone {
		t.Errorf("a lost session gave the effects %v, want done", kinds)
	}
}

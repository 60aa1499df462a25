package session_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/session"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// recording is a Recorder that writes down what it is told, one line each.
type recording struct {
	rows     []string // attempts, transactions and the connection
	replies  []string // what was decided and replied
	inFlight int
	enhanced []toldReply
	struck   []toldReply
}

// toldReply is a reply as a recorder is told of it.
type toldReply struct {
	code     smtp.Code
	enhanced smtp.Enhanced
}

func (r *recording) Decided(s smtp.Stage, d *fault.Decision, e smtp.Enhanced, _ *fault.View) {
	r.enhanced = append(r.enhanced, toldReply{d.Reply.Code, e})
	r.inFlight++
	r.replies = append(r.replies, fmt.Sprintf("decided %v %d %v", s, d.Reply.Code, d.Cause))
}

func (r *recording) Replied(s smtp.Stage, d *fault.Decision, e smtp.Enhanced, _ *fault.View) {
	r.enhanced = append(r.enhanced, toldReply{d.Reply.Code, e})
	r.inFlight--
	r.replies = append(r.replies, fmt.Sprintf("replied %v %d %v", s, d.Reply.Code, d.Cause))
}

func since(t time.Time) time.Duration { return t.Sub(sinktest.Epoch) }

func (r *recording) Struck(s smtp.Stage, d *fault.Decision, e smtp.Enhanced, _ *fault.View) {
	r.struck = append(r.struck, toldReply{d.Reply.Code, e})
	r.replies = append(r.replies, fmt.Sprintf("struck %v %s", s, d.Chosen.Fault))
}

func (r *recording) Attempt(a *session.Attempt) {
	row := fmt.Sprintf("attempt <%s> -> <%s> n=%d token=%s %v..%v: %v at %v", a.Sender, a.Recipient, a.N, a.Token,
		since(a.Time), since(a.End), a.Ending, a.Stage)
	r.rows = append(r.rows, row+verdict(a.Code, a.Enhanced, a.ReplySent, a.Delivered, a.Size))
}

func verdict(code smtp.Code, enhanced smtp.Enhanced, sent, delivered bool, size int64) (s string) {
	if code != 0 {
		s += fmt.Sprintf(" %d %v", code, enhanced)
		if !sent {
			s += " unsent"
		}
	} else if sent {
		s += " sent without a code"
	}
	if delivered {
		s += " delivered"
	}
	if size > 0 {
		s += fmt.Sprintf(" size=%d", size)
	}
	return s
}

func (r *recording) Transaction(t *session.Transaction) {
	row := fmt.Sprintf("transaction <%s> n=%d token=%s %v..%v: %v at %v", t.Sender, t.N, t.Token, since(t.Time), since(t.End), t.Ending, t.Stage)
	r.rows = append(r.rows, row+verdict(t.Code, t.Enhanced, t.ReplySent, false, 0))
}

func (r *recording) Message(*event.Message)                   {}
func (r *recording) Told(*event.Exception)                    {}
func (r *recording) Standing(*event.Standing, session.Origin) {}
func (r *recording) Connection(c *session.Connection) {
	r.rows = append(r.rows, fmt.Sprintf("connection %d %s %v: helo=%s messages=%d attempts=%d delivered=%d in=%d out=%d 8bit=%d: %v err=%v",
		c.Conn, c.Listener, c.Client, c.Helo, c.Messages, c.Attempts, c.Delivered, c.OctetsIn, c.OctetsOut, c.Undeclared8Bit, c.Reason, c.Err))
}

// counters is a session.Attempts of its own, unbounded.
type counters map[string]uint64

func (c counters) Mail(sender []byte) uint64 { return c.next("m", string(sender)) }
func (c counters) Recipient(sender, recipient []byte) uint64 {
	return c.next("r", string(sender)+">"+string(recipient))
}

func (c counters) next(kind, key string) uint64 {
	c[kind+key]++
	return c[kind+key]
}

func setup(t testing.TB, flags ...string) sinktest.Setup {
	t.Helper()
	s, err := sinktest.ParseFlags(flags)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// newPeer starts a session with its own counters that is recorded.
func newPeer(t testing.TB, flags ...string) (*sinktest.SessionConn, *recording) {
	t.Helper()
	r := &recording{}
	return sinktest.NewSessionConn(setup(t, flags...), &session.Env{Attempts: counters{}, Recorder: r}), r
}

// say sends lines and returns the codes of the replies, such as "250 250 354".
func say(t testing.TB, p *sinktest.SessionConn, lines ...string) string {
	t.Helper()
	if err := p.Send([]byte(strings.Join(lines, "\r\n") + "\r\n")); err != nil {
		t.Fatal(err)
	}
	return codes(t, p)
}

// codes returns the codes of the replies that nobody has read.
func codes(t testing.TB, p *sinktest.SessionConn) string {
	t.Helper()
	if err := p.Err(); err != nil {
		t.Fatal(err)
	}
	var codes []string
	for _, line := range p.Unread() {
		if line[3] == ' ' {
			codes = append(codes, line[:3])
		}
	}
	p.Output()
	return strings.Join(codes, " ")
}

func wantLines(t testing.TB, what string, got, want []string) {
	t.Helper()
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("%s:\n got:\n%s\nwant:\n%s", what, g, w)
	}
}

package session_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/session"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// told is the recorder of these tests: rows in short.
type told struct {
	tally
	rows []string
}

func (r *told) Attempt(a *session.Attempt) {
	if a.Commit == session.CommitDone {
		return
	}
	r.rows = append(r.rows, fmt.Sprintf("attempt %d %s %v %d", a.Message, bytes.Split(a.Recipient, []byte("@"))[0], a.Stage, a.Code))
}

func (r *told) Transaction(t *session.Transaction) {
	r.rows = append(r.rows, fmt.Sprintf("transaction %d %v %d", t.Message, t.Stage, t.Code))
}

func (r *told) Message(m *event.Message) {
	r.rows = append(r.rows, fmt.Sprintf("message %d", m.Message))
}

func (r *told) Told(e *event.Exception) {
	r.rows = append(r.rows, fmt.Sprintf("told %d %v", e.Message, e.Told))
}

func (r *told) Standing(*event.Standing, session.Origin) {}

func (r *told) Connection(c *session.Connection) {
	r.rows = append(r.rows, strings.TrimSpace(fmt.Sprintf("connection %v", c.Told)))
}

const (
	hello    = "EHLO c.example\r\n"
	envelope = "MAIL FROM:<a@s.example>\r\nRCPT TO:<b@r.example>\r\n"
	body     = "Subject: x\r\n\r\ntext\r\n.\r\n"
)

// TestTold goes through the table of what tells a reply (docs/reconciliation.md), with the driver's facts given.
func TestTold(t *testing.T) {
	waiting, crossed, refused := session.Receipt{Waiting: true}, session.Receipt{Unacknowledged: true}, session.Receipt{Refused: true}
	reset := errors.New("reset")
	closed := session.Receipt{Refused: true, Finished: true} // EPIPE
	type step any                                            // string: send; Receipt: of what comes next; Duration: pass; "FIN"; error: vanish
	for _, tt := range []struct {
		name, flags string
		steps       []step
		want        string
	}{
		{"read and QUIT", "", []step{hello, envelope, "DATA\r\n", body, "QUIT\r\n"}, "message 1, attempt 1 b message 250, connection told"},
		{"read and went on", "", []step{hello, envelope, "DATA\r\n", body, "MAIL FROM:<a@s>\r\n", "RCPT TO:<c@r>\r\n", reset},
			"message 1, attempt 1 b message 250, attempt 2 c data 0, connection"},
		{"read and closed", "", []step{hello, envelope, "DATA\r\n", body, "FIN"}, "message 1, attempt 1 b message 250, connection told"},
		{"FIN crossed the reply, which was refused", "", []step{hello, envelope, "DATA\r\n", body, refused, "FIN"},
			"message 1, attempt 1 b message 250, connection untold"},
		{"FIN crossed the reply, half-closed", "", []step{hello, envelope, "DATA\r\n", body, crossed, "FIN"},
			"message 1, attempt 1 b message 250, connection unknown"},
		{"reset, nothing between", "", []step{hello, envelope, "DATA\r\n", body, reset}, "message 1, attempt 1 b message 250, connection unknown"},
		{"the send failed", "", []step{hello, envelope, "DATA\r\n", body, refused, reset}, "message 1, attempt 1 b message 250, connection untold"},
		{"blind QUIT, then reset", "", []step{hello, envelope, "DATA\r\n", body, reset, "QUIT\r\n"},
			"message 1, attempt 1 b message 250, connection unknown"},
		{"QUIT and closed at once", "", []step{hello, envelope, "DATA\r\n", body, "QUIT\r\n"},
			"message 1, attempt 1 b message 250, connection told"},
		{"blind MAIL, then reset", "", []step{hello, envelope, "DATA\r\n", body, "MAIL FROM:<a@s>\r\n", reset},
			"message 1, attempt 1 b message 250, told 1 unknown, transaction 2 rcpt 0, connection"},
		{"pipelined QUIT", "", []step{hello, envelope, "DATA\r\n", body + "QUIT\r\n"}, "message 1, attempt 1 b message 250, connection unknown"},
		{"waiting QUIT", "", []step{hello, envelope, "DATA\r\n", body, waiting, "QUIT\r\n"}, "message 1, attempt 1 b message 250, connection unknown"},
		{"crossing QUIT", "", []step{hello, envelope, "DATA\r\n", body, crossed, "QUIT\r\n"}, "message 1, attempt 1 b message 250, connection unknown"},
		{"pipelined transaction, told by its body", "", []step{hello, envelope, "DATA\r\n", body + envelope + "DATA\r\n", body, reset},
			"message 1, attempt 1 b message 250, message 2, attempt 2 b message 250, connection unknown"},
		{"pipelined refusal tells nothing", "--reply rcpt=550", []step{hello, "MAIL FROM:<>\r\nRCPT TO:<a@r>\r\nRSET\r\nMAIL FROM:<>\r\nRCPT TO:<b@r>\r\n", "QUIT\r\n"},
			"attempt 1 a rcpt 550, told 1 unknown, attempt 2 b rcpt 550, connection told"},
		{"delayed reply, FIN before, refused", "--delay message=2s", []step{hello, envelope, "DATA\r\n", body, 700 * time.Millisecond, "FIN", refused, 2 * time.Second},
			"message 1, attempt 1 b message 250, connection untold"},
		{"delayed reply, FIN before, half-closed", "--delay message=2s", []step{hello, envelope, "DATA\r\n", body, 700 * time.Millisecond, "FIN", 2 * time.Second},
			"message 1, attempt 1 b message 250, connection unknown"},
		{"delayed reply, EPIPE", "--delay message=2s", []step{hello, envelope, "DATA\r\n", body, 2 * time.Second, closed, reset},
			"message 1, attempt 1 b message 250, connection untold"},
		{"delayed reply, QUIT before it", "--delay message=2s", []step{hello, envelope, "DATA\r\n", body, "QUIT\r\n", 2 * time.Second},
			"message 1, attempt 1 b message 250, connection unknown"},
		{"delayed reply, read", "--delay message=2s", []step{hello, envelope, "DATA\r\n", body, 2 * time.Second, "QUIT\r\n"},
			"message 1, attempt 1 b message 250, connection told"},
		{"LMTP: gone between two replies", "--lmtp --delay message=1s", []step{"LHLO c\r\n", envelope + "RCPT TO:<c@r>\r\n", "DATA\r\n", body, time.Second, "FIN", refused, time.Second},
			"message 1, attempt 1 b message 250, told 1 told, attempt 1 c message 250, connection untold"},
		{"pipelined QUIT, closed before its reply", "farewell", []step{hello, envelope, "DATA\r\n", body + "QUIT\r\n", "FIN"}, "message 1, attempt 1 b message 250, told 1 told, connection"},
		{"waiting QUIT, closed before its reply", "farewell", []step{hello, envelope, "DATA\r\n", body, waiting, "QUIT\r\n", "FIN"}, "message 1, attempt 1 b message 250, told 1 told, connection"},
		{"pipelined QUIT, FIN crossed the reply", "farewell", []step{hello, envelope, "DATA\r\n", body + "QUIT\r\n", crossed, "FIN"}, "message 1, attempt 1 b message 250, told 1 unknown, connection"},
		{"pipelined QUIT, FIN crossed the reply, which was refused", "farewell", []step{hello, envelope, "DATA\r\n", body + "QUIT\r\n", refused, "FIN"}, "message 1, attempt 1 b message 250, told 1 untold, connection"},
		{"pipelined QUIT, reset", "farewell", []step{hello, envelope, "DATA\r\n", body + "QUIT\r\n", reset}, "message 1, attempt 1 b message 250, connection unknown"},
		{"pipelined QUIT, waited for", "farewell", []step{hello, envelope, "DATA\r\n", body + "QUIT\r\n", time.Second}, "message 1, attempt 1 b message 250, connection unknown"},
		{"pipelined QUIT behind a proxy", "proxied farewell", []step{hello, envelope, "DATA\r\n", body + "QUIT\r\n", "FIN"}, "message 1, attempt 1 b message 250, connection unknown"},
		{"pipelined QUIT behind a refusal, closed before its reply", "farewell --reply rcpt=550", []step{hello, "MAIL FROM:<>\r\nRCPT TO:<a@r>\r\nQUIT\r\n", "FIN"}, "attempt 1 a rcpt 550, told 1 told, connection"},
		{"refused MAIL", "--reply mail=550", []step{hello, "MAIL FROM:<a@s>\r\n", reset}, "transaction 1 mail 550, connection unknown"},
		{"refused DATA", "--reply data=554", []step{hello, envelope, "DATA\r\n", "QUIT\r\n"}, "attempt 1 b data 554, connection told"},
		{"refused RCPT, told, then one untold", "--reply rcpt=550", []step{hello, "MAIL FROM:<>\r\n", "RCPT TO:<a@r>\r\n", "RCPT TO:<b@r>\r\n", refused, "FIN"},
			"attempt 1 a rcpt 550, attempt 1 b rcpt 550, connection unknown"},
		{"idle to the end", "", []step{hello, envelope, "DATA\r\n", body, 10 * time.Minute}, "message 1, attempt 1 b message 250, connection unknown"},
		{"behind a proxy", "proxied", []step{hello, envelope, "DATA\r\n", body, "QUIT\r\n"}, "message 1, attempt 1 b message 250, connection unknown"},
		{"behind a proxy, told by a body", "proxied", []step{hello, envelope, "DATA\r\n", body, envelope, "DATA\r\n", body, "FIN"},
			"message 1, attempt 1 b message 250, message 2, attempt 2 b message 250, connection unknown"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rest, proxied := strings.CutPrefix(tt.flags, "proxied")
			rest, farewell := strings.CutPrefix(strings.TrimSpace(rest), "farewell")
			set := setup(t, strings.Fields(rest)...)
			set.Config.Proxied = proxied
			if farewell {
				set.Config.Farewell = time.Second
			}
			r := &told{}
			p := sinktest.NewSessionConn(set, &session.Env{Attempts: counters{}, Recorder: r})
			for i, step := range tt.steps {
				p.Output()
				switch step := step.(type) {
				case string:
					if step == "FIN" {
						_ = p.CloseWrite()
					} else {
						_ = p.Send([]byte(step))
					}
				case session.Receipt:
					p.Receipt = step
				case time.Duration:
					_ = p.Pass(step)
				case error:
					if i == len(tt.steps)-1 {
						p.Vanish(step)
					} else { // while the session's close is under way
						p.End = step
					}
				}
			}
			if got := strings.Join(r.rows, ", "); got != tt.want {
				t.Errorf("rows:\n got %s\nwant %s", got, tt.want)
			}
			if err := p.Err(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestFarewell: the reply to a QUIT that was pipelined behind a message waits for the client's FIN, and no longer than it is told to. Others don't wait.
func TestFarewell(t *testing.T) {
	for _, tt := range []struct {
		name         string
		send         []string
		waits        bool
		after        time.Duration
		want, wanted string // what has come before, and then
	}{
		{"FIN", []string{hello, envelope, "DATA\r\n", body + "QUIT\r\n"}, true, 0, "250", "221"},
		{"no FIN", []string{hello, envelope, "DATA\r\n", body + "QUIT\r\n"}, true, time.Second, "250", "221"},
		{"QUIT after the reply was read", []string{hello, envelope, "DATA\r\n", body, "QUIT\r\n"}, false, 0, "221", ""},
		{"no message", []string{hello, envelope + "RSET\r\nQUIT\r\n"}, false, 0, "221", ""},
		{"another message between", []string{hello, envelope, "DATA\r\n", body + "NOOP\r\n", "QUIT\r\n"}, false, 0, "221", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			set := setup(t)
			set.Config.Farewell = time.Second
			p := sinktest.NewSessionConn(set, &session.Env{Attempts: counters{}, Recorder: &told{}})
			last := func() string {
				lines := strings.Split(strings.TrimSpace(string(p.Output())), "\r\n")
				return lines[len(lines)-1][:min(3, len(lines[len(lines)-1]))]
			}
			got := ""
			for _, text := range tt.send {
				_ = p.Send([]byte(text))
				got = last()
			}
			if waits := got != "221"; got != tt.want || waits != tt.waits {
				t.Errorf("the last reply is %q, want %q", got, tt.want)
			}
			if tt.after > 0 {
				_ = p.Pass(tt.after - time.Millisecond)
				if got := last(); got != "" {
					t.Errorf("too early: %q", got)
				}
				_ = p.Pass(time.Millisecond)
			} else if tt.waits {
				_ = p.CloseWrite()
			}
			if got := last(); got != tt.wanted {
				t.Errorf("then comes %q, want %q", got, tt.wanted)
			}
		})
	}
}

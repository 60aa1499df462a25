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

func (r *told) Connection(c *session.Connection) {
	r.rows = append(r.rows, strings.TrimSpace(fmt.Sprintf("connection %v", c.Told)))
}

const (
	hello    = "EHLO c.example\r\n"
	envelope = "MAIL FROM:<a@s.example>\r\nRCPT TO:<b@r.example>\r\n"
	body     = "Subject: x\r\n\r\ntext\r\n.\r\n"
)

// TestTold goes through the table of what tells a reply (docs/books.md), with the driver's facts given.
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
			flags := strings.Fields(tt.flags)
			proxied := tt.flags == "proxied"
			if proxied {
				flags = nil
			}
			set := setup(t, flags...)
			set.Config.Proxied = proxied
			r := &told{}
			p := sinktest.NewSessionPeer(set, &session.Env{Attempts: counters{}, Recorder: r})
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

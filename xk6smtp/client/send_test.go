package client

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

const ms = time.Millisecond

func TestStepwiseMessage(t *testing.T) {
	dialogue(t, greeted+`
		C: MAIL FROM:<a@src.test>
		+1ms
		S: 250 2.1.0 ok
		C: RCPT TO:<b@dst.test>
		+2ms
		S: 250 2.1.5 ok
		C: RCPT TO:<c@dst.test>
		+4ms
		S: 250 ok
		C: DATA
		+8ms
		S: 354 go on
		C. 3
		+16ms
		S: 250 2.0.0 queued as 4711
		`, func(s *session) {
		s.connect()
		if err := s.send("b@dst.test", "c@dst.test"); err != nil {
			t.Fatal(err)
		}
		want := Timings{Mail: 1 * ms, Rcpt: 6 * ms, Data: 8 * ms, Sending: 0, Waiting: 16 * ms, Duration: 31 * ms}
		if s.result.Timings != want {
			t.Errorf("timings %v, expected %v", s.result.Timings, want)
		}
		if s.result.Pipelined || s.result.Accepted != 2 {
			t.Errorf("pipelined %v, accepted %d", s.result.Pipelined, s.result.Accepted)
		}
		s.finals("message 250", "message 250")
		if text := s.result.Recipients[0].Reply.Text; text != "queued as 4711" {
			t.Errorf("text %q", text)
		}
		s.log.expect(t, "mail 250 2.1.0", "rcpt 250 2.1.5", "rcpt 250", "data 354", "message 250 2.0.0")
		if !s.conn.Usable() {
			t.Error("the connection is no longer usable")
		}
	})
}

func TestPipelinedMessageSharesOneInstant(t *testing.T) {
	dialogue(t, piped+`
		C: MAIL FROM:<a@src.test>
		C: RCPT TO:<b@dst.test>
		C: RCPT TO:<c@dst.test>
		C: DATA
		+1ms
		S: 250 ok
		+2ms
		S: 250 ok
		+4ms
		S: 250 ok
		+8ms
		S: 354 go on
		C. 3
		+16ms
		S: 250 ok
		`, func(s *session) {
		s.connect()
		if err := s.send("b@dst.test", "c@dst.test"); err != nil {
			t.Fatal(err)
		}
		want := Timings{Mail: 1 * ms, Rcpt: 7 * ms, Data: 15 * ms, Sending: 0, Waiting: 16 * ms, Duration: 31 * ms}
		if s.result.Timings != want || !s.result.Pipelined {
			t.Errorf("timings %v, pipelined %v, expected %v, true", s.result.Timings, s.result.Pipelined, want)
		}
		s.finals("message 250", "message 250")
	})
}

// writes counts what goes into each write.
type writes struct {
	net.Conn
	sizes []int
}

func (w *writes) Write(p []byte) (int, error) {
	w.sizes = append(w.sizes, len(p))
	return w.Conn.Write(p)
}

func TestGroupsAndBodiesLeaveInOneWrite(t *testing.T) {
	dialogue(t, piped+`
		C: MAIL FROM:<a@src.test>
		C: RCPT TO:<b@dst.test>
		C: DATA
		S: 250 ok
		S: 250 ok
		S: 354 go on
		C. 4
		S: 250 ok
		C: MAIL FROM:<a@src.test>
		C: RCPT TO:<b@dst.test>
		C: DATA
		S: 250 ok
		S: 250 ok
		S: 354 go on
		C. 3001
		S: 250 ok
		`, func(s *session) {
		w := &writes{Conn: s.cfg.Dialer.(pipeDialer).conn}
		s.cfg.Dialer = pipeDialer{w}
		s.connect()
		w.sizes = nil
		message := &Message{From: "a@src.test", To: []string{"b@dst.test"}, Header: []byte("X-Storm-Id: 1\r\n"), Body: NewBody([]byte("Subject: x\n\nhello\n"))}
		if err := s.conn.Send(s.ctx, message, &s.result); err != nil {
			t.Fatal(err)
		}
		if len(w.sizes) != 2 {
			t.Errorf("%d writes of %v octets, expected one for the commands and one for the body", len(w.sizes), w.sizes)
		}
		if want := w.sizes[1]; s.result.Octets != want {
			t.Errorf("%d octets noted, %d written", s.result.Octets, want)
		}
		w.sizes = nil
		message.Body = NewBody([]byte(strings.Repeat(strings.Repeat("x", 98)+"\r\n", 3000)))
		if err := s.conn.Send(s.ctx, message, &s.result); err != nil {
			t.Fatal(err)
		}
		if len(w.sizes) != 3 {
			t.Errorf("%d writes of %v octets, expected two for a body of 300 kB", len(w.sizes), w.sizes)
		}
	})
}

func TestPipeliningCanBeForbidden(t *testing.T) {
	dialogue(t, piped+`
		C: MAIL FROM:<a@src.test>
		S: 550 5.7.1 no
		`, func(s *session) {
		s.cfg.ForbidPipelining = true
		s.connect()
		if err := s.send("b@dst.test"); err != nil || s.result.Pipelined {
			t.Errorf("error %v, pipelined %v", err, s.result.Pipelined)
		}
		s.finals("mail 550")
	})
}

func TestMailParameters(t *testing.T) {
	dialogue(t, `
		S: 220 mx.test
		C: EHLO localhost
		S: 250-mx.test
		S: 250-SIZE
		S: 250-8BITMIME
		S: 250 SMTPUTF8
		C: MAIL FROM:<jörg@src.test> SIZE=13 BODY=8BITMIME SMTPUTF8
		S: 550 no
		C: MAIL FROM:<> SIZE=6
		S: 550 no
		`, func(s *session) {
		s.connect()
		for _, m := range []Message{
			{From: "jörg@src.test", To: []string{"b@dst.test"}, Header: []byte("A: b\r\n"), Body: NewBody([]byte("\n.é\n"))},
			{From: "", To: []string{"b@dst.test"}, Body: NewBody([]byte("\n.x\n"))},
		} {
			if err := s.conn.Send(s.ctx, &m, &s.result); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestRefusals(t *testing.T) {
	for _, test := range []struct {
		name, script string
		to           []string
		finals       []string
		observed     []string
	}{
		{"MAIL refused, stepwise", greeted + `
			C: MAIL FROM:<a@src.test>
			S: 452 4.3.1 full
			C: NOOP
			S: 250 ok`,
			[]string{"b@x.test"}, []string{"mail 452"}, []string{"mail 452 4.3.1", "noop 250"}},
		{"every RCPT refused, stepwise: no DATA", greeted + `
			C: MAIL FROM:<a@src.test>
			S: 250 ok
			C: RCPT TO:<b@x.test>
			S: 450 4.2.1 later
			C: RCPT TO:<c@x.test>
			S: 550 5.1.1 never
			C: NOOP
			S: 250 ok`,
			[]string{"b@x.test", "c@x.test"}, []string{"rcpt 450", "rcpt 550"}, []string{"mail 250", "rcpt 450 4.2.1", "rcpt 550 5.1.1", "noop 250"}},
		{"one RCPT refused, stepwise", greeted + `
			C: MAIL FROM:<a@src.test>
			S: 250 ok
			C: RCPT TO:<b@x.test>
			S: 550 5.1.1 never
			C: RCPT TO:<c@x.test>
			S: 251 2.1.5 forwarded
			C: DATA
			S: 354 go
			C. 3
			S: 451 4.3.0 oops
			C: NOOP
			S: 250 ok`,
			[]string{"b@x.test", "c@x.test"}, []string{"rcpt 550", "message 451"},
			[]string{"mail 250", "rcpt 550 5.1.1", "rcpt 251 2.1.5", "data 354", "message 451 4.3.0", "noop 250"}},
		{"DATA refused", greeted + `
			C: MAIL FROM:<a@src.test>
			S: 250 ok
			C: RCPT TO:<b@x.test>
			S: 250 ok
			C: DATA
			S: 451 4.3.0 oops
			C: NOOP
			S: 250 ok`,
			[]string{"b@x.test"}, []string{"data 451"}, []string{"mail 250", "rcpt 250", "data 451 4.3.0", "noop 250"}},
		{"DATA answered by 250 does not open the body, and ends the connection: the server is out of step", greeted + `
			C: MAIL FROM:<a@src.test>
			S: 250 ok
			C: RCPT TO:<b@x.test>
			S: 250 ok
			C: DATA
			S: 250 2.0.0 thanks`,
			[]string{"b@x.test"}, []string{"data 250"}, []string{"mail 250", "rcpt 250", "data 250 2.0.0", "noop lost: aborted: use of closed network connection"}},
		{"MAIL answered by 354 likewise", greeted + `
			C: MAIL FROM:<a@src.test>
			S: 354 go on`,
			[]string{"b@x.test"}, []string{"mail 354"}, []string{"mail 354", "noop lost: aborted: use of closed network connection"}},
		{"421 behind a reply is the next command's", greeted + `
			C: MAIL FROM:<a@src.test>
			S= "250 ok\r\n421 4.3.2 bye\r\n"
			C: RCPT TO:<b@x.test>`,
			[]string{"b@x.test"}, []string{"rcpt 421"}, []string{"mail 250", "rcpt 421 4.3.2", "noop lost: aborted: use of closed network connection"}},
		{"pipelined: MAIL refused, the rest is read", piped + `
			C: MAIL FROM:<a@src.test>
			C: RCPT TO:<b@x.test>
			C: DATA
			S: 550 5.7.1 no
			S: 503 5.5.1 what
			S: 503 5.5.1 what
			C: NOOP
			S: 250 ok`,
			[]string{"b@x.test"}, []string{"mail 550"}, []string{"mail 550 5.7.1", "rcpt 503 5.5.1", "data 503 5.5.1", "noop 250"}},
		{"pipelined: every RCPT refused, DATA refused", piped + `
			C: MAIL FROM:<a@src.test>
			C: RCPT TO:<b@x.test>
			C: DATA
			S: 250 ok
			S: 550 5.1.1 never
			S: 554 5.5.1 nobody
			C: NOOP
			S: 250 ok`,
			[]string{"b@x.test"}, []string{"rcpt 550"}, []string{"mail 250", "rcpt 550 5.1.1", "data 554 5.5.1", "noop 250"}},
		{"pipelined: every RCPT refused, DATA accepted: the dot alone (RFC 2920 section 3.1)", piped + `
			C: MAIL FROM:<a@src.test>
			C: RCPT TO:<b@x.test>
			C: DATA
			S: 250 ok
			S: 550 5.1.1 never
			S: 354 go
			C. 0
			S: 554 5.5.1 nobody
			C: NOOP
			S: 250 ok`,
			[]string{"b@x.test"}, []string{"rcpt 550"}, []string{"mail 250", "rcpt 550 5.1.1", "data 354", "message 554 5.5.1", "noop 250"}},
		{"pipelined: one of two refused", piped + `
			C: MAIL FROM:<a@src.test>
			C: RCPT TO:<b@x.test>
			C: RCPT TO:<c@x.test>
			C: DATA
			S: 250 ok
			S: 250 ok
			S: 450 4.2.1 later
			S: 354 go
			C. 3
			S: 250 2.0.0 ok
			C: NOOP
			S: 250 ok`,
			[]string{"b@x.test", "c@x.test"}, []string{"message 250", "rcpt 450"},
			[]string{"mail 250", "rcpt 250", "rcpt 450 4.2.1", "data 354", "message 250 2.0.0", "noop 250"}},
		{"pipelined: DATA refused for the accepted one", piped + `
			C: MAIL FROM:<a@src.test>
			C: RCPT TO:<b@x.test>
			C: RCPT TO:<c@x.test>
			C: DATA
			S: 250 ok
			S: 250 ok
			S: 450 4.2.1 later
			S: 451 4.3.0 oops
			C: NOOP
			S: 250 ok`,
			[]string{"b@x.test", "c@x.test"}, []string{"data 451", "rcpt 450"},
			[]string{"mail 250", "rcpt 250", "rcpt 450 4.2.1", "data 451 4.3.0", "noop 250"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dialogue(t, test.script, func(s *session) {
				s.connect()
				if err := s.send(test.to...); err != nil {
					t.Fatalf("a refusal is a result, not the error %v", err)
				}
				s.finals(test.finals...)
				if _, err := s.conn.Noop(s.ctx); err != nil && strings.Contains(test.script, "NOOP") {
					t.Errorf("noop: %v", err)
				}
				s.log.expect(t, test.observed...)
			})
		})
	}
}

func TestOpenTransactionIsResetBeforeTheNextMessage(t *testing.T) {
	for _, test := range []struct{ name, script string }{
		{"stepwise", greeted + `
			C: MAIL FROM:<a@src.test>
			S: 250 ok
			C: RCPT TO:<b@x.test>
			S: 550 never
			C: RSET
			S: 250 ok
			C: MAIL FROM:<a@src.test>
			S: 250 ok
			C: RCPT TO:<b@x.test>
			S: 250 ok
			C: DATA
			S: 354 go
			C. 3
			S: 250 ok
			C: MAIL FROM:<a@src.test>
			S: 550 no`},
		{"pipelined, in the same write", piped + `
			C: MAIL FROM:<a@src.test>
			C: RCPT TO:<b@x.test>
			C: DATA
			S: 250 ok
			S: 550 never
			S: 554 nobody
			C: RSET
			C: MAIL FROM:<a@src.test>
			C: RCPT TO:<b@x.test>
			C: DATA
			S: 250 ok
			S: 250 ok
			S: 250 ok
			S: 354 go
			C. 3
			S: 250 ok
			C: MAIL FROM:<a@src.test>
			C: RCPT TO:<b@x.test>
			C: DATA
			S: 550 no
			S: 503 no
			S: 503 no`},
	} {
		t.Run(test.name, func(t *testing.T) {
			dialogue(t, test.script, func(s *session) {
				s.connect()
				for _, final := range []string{"rcpt 550", "message 250", "mail 550"} {
					if err := s.send("b@x.test"); err != nil {
						t.Fatal(err)
					}
					s.finals(final)
				}
			})
		})
	}
}

func TestManyRecipientsGoInGroups(t *testing.T) {
	var script strings.Builder
	script.WriteString(piped + "C: MAIL FROM:<a@src.test>\n")
	var to []string
	for i := range 250 {
		to = append(to, fmt.Sprintf("r%d@x.test", i))
	}
	for first := 0; first < len(to); first += maxPipelined {
		group := to[first:min(first+maxPipelined, len(to))]
		for _, address := range group {
			fmt.Fprintf(&script, "C: RCPT TO:<%s>\n", address)
		}
		if first == 200 {
			script.WriteString("C: DATA\n")
		}
		if first == 0 {
			script.WriteString("S: 250 mail ok\n")
		}
		script.WriteString(strings.Repeat("S: 250 ok\n", len(group)))
	}
	script.WriteString("S: 354 go\nC. 3\nS: 250 ok\n")
	dialogue(t, script.String(), func(s *session) {
		s.connect()
		if err := s.send(to...); err != nil {
			t.Fatal(err)
		}
		if s.result.Accepted != 250 || s.result.Recipients[249].Reply.Phase != smtp.StageMessage {
			t.Errorf("accepted %d, the last one's final reply is at %v", s.result.Accepted, s.result.Recipients[249].Reply.Phase)
		}
	})
}

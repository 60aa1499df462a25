package client

import (
	"context"
	"errors"
	"fmt"
	"io"
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
		{"DATA answered by 250 does not open the body", greeted + `
			C: MAIL FROM:<a@src.test>
			S: 250 ok
			C: RCPT TO:<b@x.test>
			S: 250 ok
			C: DATA
			S: 250 2.0.0 thanks
			C: NOOP
			S: 250 ok`,
			[]string{"b@x.test"}, []string{"data 250"}, []string{"mail 250", "rcpt 250", "data 250 2.0.0", "noop 250"}},
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

func TestEveryAwaitedReplyIsCountedOnce(t *testing.T) {
	const closed = "connection closed by the server"
	commands := "C: MAIL FROM:<a@src.test>\nC: RCPT TO:<b@x.test>\nC: RCPT TO:<c@x.test>\nC: DATA\n"
	for _, test := range []struct {
		name, script string
		finals       []string
		observed     []string
	}{
		{"closed before MAIL's reply", greeted + "C: MAIL FROM:<a@src.test>\n+1ms\nclose", []string{"mail 0", "mail 0"}, []string{"mail lost: " + closed}},
		{"silence after MAIL", greeted + "C: MAIL FROM:<a@src.test>\nhang", []string{"mail 0", "mail 0"}, []string{"mail lost: timeout"}},
		{"pipelined, closed at once", piped + commands + "close", []string{"mail 0", "mail 0"},
			[]string{"mail lost: " + closed, "rcpt lost: " + closed, "rcpt lost: " + closed, "data lost: " + closed}},
		{"pipelined, closed in the middle", piped + commands + "S: 250 ok\nS: 550 no\nS~ 250 o\n+1ms\nclose", []string{"rcpt 550", "rcpt 0"},
			[]string{"mail 250", "rcpt 550", "rcpt lost: " + closed, "data lost: " + closed}},
		{"pipelined, silence in the middle", piped + commands + "S: 250 ok\nhang", []string{"rcpt 0", "rcpt 0"},
			[]string{"mail 250", "rcpt lost: timeout", "rcpt lost: timeout", "data lost: timeout"}},
		{"pipelined, garbage in the middle", piped + commands + "S: 250 ok\nS: 250 ok\nS: 999 what\nhang", []string{"rcpt 0", "rcpt 0"},
			[]string{"mail 250", "rcpt 250",
				`rcpt lost: malformed reply: line does not start with a reply code from 200 to 599: "999 what"`,
				`data lost: malformed reply: line does not start with a reply code from 200 to 599: "999 what"`}},
		{"pipelined, 421 in the middle ends the session", piped + commands + "S: 250 ok\nS: 250 ok\nS: 421 4.3.2 bye\n+1ms\nclose", []string{"rcpt 421", "rcpt 421"},
			[]string{"mail 250", "rcpt 250", "rcpt 421 4.3.2"}},
		{"no reply to the message", piped + commands + "S: 250 ok\nS: 250 ok\nS: 450 no\nS: 354 go\nC. 3\n+1ms\nclose", []string{"message 0", "rcpt 450"},
			[]string{"mail 250", "rcpt 250", "rcpt 450", "data 354", "message lost: " + closed}},
		{"421 to the message", greeted + "C: MAIL FROM:<a@src.test>\nS: 250 ok\nC: RCPT TO:<b@x.test>\nS: 250 ok\nC: RCPT TO:<c@x.test>\nS: 250 ok\nC: DATA\nS: 354 go\nC. 3\nS: 421 bye\n+1ms\nclose",
			[]string{"message 421", "message 421"}, []string{"mail 250", "rcpt 250", "rcpt 250", "data 354", "message 421"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dialogue(t, test.script, func(s *session) {
				s.connect()
				err := s.send("b@x.test", "c@x.test")
				if farewell := strings.Contains(test.script, "421"); farewell != (err == nil) {
					t.Errorf("error %v", err)
				}
				s.finals(test.finals...)
				s.log.expect(t, test.observed...)
				if s.conn.Usable() {
					t.Error("the connection is still usable")
				}
			})
		})
	}
}

func TestAbortEndsTheWait(t *testing.T) {
	dialogue(t, greeted+`
		C: MAIL FROM:<a@src.test>
		hang
		`, func(s *session) {
		s.connect()
		cause := errors.New("iteration over")
		ctx, cancel := context.WithCancelCause(s.ctx)
		start := time.Now()
		time.AfterFunc(3*time.Second, func() { cancel(cause) })
		err := s.conn.Send(ctx, &Message{To: []string{"b@x.test"}, From: "a@src.test", Body: NewBody(nil)}, &s.result)
		if !errors.Is(err, ErrAborted) || !errors.Is(err, cause) || time.Since(start) != 3*time.Second {
			t.Errorf("got %v after %v, expected an abort after 3s", err, time.Since(start))
		}
		s.log.expect(t, "mail lost: aborted: iteration over")
	})
}

func TestCloseEndsTheWait(t *testing.T) {
	dialogue(t, greeted+`
		C: MAIL FROM:<a@src.test>
		hang
		`, func(s *session) {
		s.connect()
		time.AfterFunc(3*time.Second, s.conn.Close)
		if err := s.send("b@x.test"); !errors.Is(err, ErrAborted) {
			t.Errorf("got %v, expected an abort", err)
		}
		if err := s.send("b@x.test"); !errors.Is(err, ErrAborted) || !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v on a closed connection", err)
		}
		s.log.expect(t, "mail lost: aborted: io: read/write on closed pipe", "mail lost: aborted: use of closed network connection")
	})
}

func TestTimeoutRunsPerPhase(t *testing.T) {
	dialogue(t, greeted+`
		C: MAIL FROM:<a@src.test>
		+50s
		S: 250 ok
		C: RCPT TO:<b@x.test>
		+50s
		S: 250 ok
		C: DATA
		+50s
		S: 354 go
		C. 3
		+9m
		S: 250 ok
		`, func(s *session) {
		s.cfg.Timeouts[smtp.StageMessage] = 10 * time.Minute // RFC 5321 section 4.5.3.2.6
		s.connect()
		if err := s.send("b@x.test"); err != nil {
			t.Error(err)
		}
		s.finals("message 250")
	})
}

func TestAReplyTooManyIsNeverTheNextOne(t *testing.T) {
	dialogue(t, greeted+`
		C: NOOP
		S= "250 ok\r\n250 one too many\r\n"
		`, func(s *session) {
		s.connect()
		if _, err := s.conn.Noop(s.ctx); err != nil {
			t.Error(err)
		}
		if s.conn.Usable() {
			t.Error("a reply is waiting that no command asked for, and yet the connection is usable")
		}
	})
}

func TestEndlessReplyLineIsCutOff(t *testing.T) {
	server, conn := net.Pipe()
	written := make(chan int, 1)
	go func() {
		n, _ := io.WriteString(server, "220 ")
		piece := strings.Repeat("x", 1<<16)
		for n < 100<<20 {
			m, err := io.WriteString(server, piece)
			n += m
			if err != nil {
				break
			}
		}
		written <- n
	}()
	cfg := Config{Dialer: pipeDialer{conn}, Timeouts: AllTimeouts(time.Minute), Now: time.Now}
	var greeting Greeting
	_, err := Connect(context.Background(), &cfg, &log{}, &greeting)
	var malformed *smtp.ReplySyntaxError
	if !errors.As(err, &malformed) {
		t.Errorf("got %v, expected a malformed reply", err)
	}
	if n := <-written; n > 2*smtp.MaxParsedReplyLine {
		t.Errorf("read %d octets of one line", n)
	}
}

func TestQuitReadsTheReplyAndCloses(t *testing.T) {
	dialogue(t, greeted+`
		C: QUIT
		S: 221 2.0.0 bye
		`, func(s *session) {
		s.connect()
		reply, err := s.conn.Quit(s.ctx)
		if err != nil || reply.Code != 221 || reply.Text != "bye" || s.conn.Open() {
			t.Errorf("got %v, %v, still open: %v", reply, err, s.conn.Open())
		}
		s.log.expect(t, "quit 221 2.0.0")
	})
}

func TestEnvelopesThatCannotBeSent(t *testing.T) {
	dialogue(t, greeted, func(s *session) {
		s.connect()
		for _, test := range []struct {
			from string
			to   []string
			want string
		}{
			{"a@x.test", nil, "envelope: to: a message needs a recipient"},
			{"a@x.test", []string{""}, "envelope: to: a recipient must not be empty"},
			{"a@x.test\r\nRSET", []string{"b@x.test"}, `envelope: from: "a@x.test\r\nRSET": holds a control character`},
			{"a@x.test", []string{"b@x.test> SIZE=1"}, `envelope: to: "b@x.test> SIZE=1": holds a blank or an angle bracket`},
			{`"a b"@x.test`, []string{`"b@x.test`}, `envelope: to: "\"b@x.test": ends within a quoted string`},
			{strings.Repeat("x", 3000), []string{"b@x.test"}, `too long`},
		} {
			err := s.conn.Send(s.ctx, &Message{From: test.from, To: test.to, Body: NewBody(nil)}, &s.result)
			var wrong *EnvelopeError
			if !errors.As(err, &wrong) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%q to %q: got %v, expected %s", test.from, test.to, err, test.want)
			}
		}
		s.log.expect(t)
		if !s.conn.Usable() {
			t.Error("nothing was written, and yet the connection is not usable")
		}
	})
}

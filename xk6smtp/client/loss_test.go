package client

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

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
			{"a@x.test", []string{""}, "envelope: to: must not hold an empty recipient"},
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

package client

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

func TestOctetsAndRepliesApart(t *testing.T) {
	dialogue(t, `
		C: PROXY TCP4 192.0.2.1 192.0.2.2 1 25
		S: 220 mx.test ready
		C: EHLO localhost
		S: 250 mx.test
		C: MAIL FROM:<a@src.test>
		C: RCPT TO:<b@dst.test>
		C: DATA
		S= "250 2.1.0 ok\r\n550 5.1.1 no\r\n554 5.5.1 none\r\n"
		C: NOOP
		S: 250 2.0.0 ok
		C: RSET
		S: 250 2.0.0 ok
		C: MAIL FROM:<c@src.test>
		S: 421 4.3.2 bye
		close
		`, func(s *session) {
		conn, err := Dial(s.ctx, &s.cfg, &s.log, &s.greeting)
		if err != nil {
			t.Fatal(err)
		}
		if s.conn = conn; !conn.Ungreeted() || !conn.Loose() || !conn.Open() {
			t.Error("the greeting was read")
		}
		write := func(text string) {
			t.Helper()
			if err := conn.Write(s.ctx, []byte(text)); err != nil {
				t.Fatal(err)
			}
		}
		write("PROXY TCP4 192.0.2.1 192.0.2.2 1 25\r\n")
		if err := conn.Resume(s.ctx, &s.greeting, false); err != nil || conn.Ungreeted() || s.greeting.Banner != "mx.test ready" || s.greeting.Timings.Connecting != NotMeasured {
			t.Errorf("%v, %+v", err, s.greeting)
		}
		write("MAIL FROM:<a@src.test>\r\nRCPT TO:<b@dst.test>\r\nDA")
		write("TA\r\n")
		for _, phase := range []smtp.Stage{smtp.StageMail, smtp.StageRcpt, smtp.StageData} {
			if reply, err := conn.Read(s.ctx, phase); err != nil || reply.Phase != phase {
				t.Errorf("%v: %+v, %v", phase, reply, err)
			}
			if phase == smtp.StageMail {
				write("NO") // behind replies that wait
			}
		}
		write("OP\r\n")
		if reply, err := conn.Read(s.ctx, smtp.StageNoop); err != nil || reply.Code != 250 || !conn.Loose() {
			t.Errorf("%+v, %v", reply, err)
		}
		if conn.RepliesRead(); conn.Loose() {
			t.Error("what was written by hand is not over")
		}
		// The transaction may be anything by now: the next message begins with RSET.
		if err := conn.Send(s.ctx, &Message{From: "c@src.test", To: []string{"b@dst.test"}, Body: NewBody([]byte("x"))}, &s.result); err != nil {
			t.Error(err)
		}
		if err := conn.Write(s.ctx, []byte("x")); !errors.Is(err, ErrAborted) {
			t.Errorf("on a closed connection: %v", err)
		}
		if _, err := conn.Read(s.ctx, smtp.StageUnknown); !errors.Is(err, ErrAborted) {
			t.Errorf("on a closed connection: %v", err)
		}
		s.log.expect(t, "connect 220", "ehlo 250", "mail 250 2.1.0", "rcpt 550 5.1.1", "data 554 5.5.1", "noop 250 2.0.0", "rset 250 2.0.0", "mail 421 4.3.2",
			"unknown lost: aborted: use of closed network connection", "unknown lost: aborted: use of closed network connection")
	})
}

// TestGreetingByHand reads the greeting as a reply.
func TestGreetingByHand(t *testing.T) {
	dialogue(t, `
		S: 554 5.7.1 not you
		close
		`, func(s *session) {
		conn, err := Dial(s.ctx, &s.cfg, &s.log, &s.greeting)
		if err != nil {
			t.Fatal(err)
		}
		s.conn = conn
		reply, err := conn.Read(s.ctx, smtp.StageNoop)
		if err != nil || reply.Phase != smtp.StageConnect || reply.Code != 554 || reply.Enhanced.String() != "5.7.1" || reply.Text != "not you" {
			t.Errorf("%+v, %v", reply, err)
		}
		s.log.expect(t, "connect 554")
	})
}

// TestTranscriptHidesSecretsAndControls has a caller write AUTH by hand, to a server that would steer a terminal.
func TestTranscriptHidesSecretsAndControls(t *testing.T) {
	dialogue(t, `
		S= "220 \x1b]0;owned\x07mx\r\n"
		C: EHLO localhost
		S= "250-mx\r\n250 AUTH PLAIN LOGIN\r\n"
		C: AUTH PLAIN c2VjcmV0
		S= "535 \x9b31mno\r\n"
		C: auth login c2VjcmV0
		S: 334 UGFzc3dvcmQ6
		C: c2VjcmV0
		S: 535 no
		C: AUTH LOGIN
		S: 334 VXNlcm5hbWU6
		C: c2VjcmV0
		S: 535 no
		C~ HELP
		S: 214 no
		`, func(s *session) {
		var shown strings.Builder
		s.cfg.Trace = func(e TraceEntry) { fmt.Fprintln(&shown, e.Text) }
		s.connect()
		for _, line := range []string{"AUTH PLAIN c2VjcmV0", "auth login c2VjcmV0", "c2VjcmV0"} {
			if _, err := s.conn.Raw(s.ctx, line); err != nil {
				t.Fatal(err)
			}
		}
		for _, octets := range []string{"AUTH LOGIN\r\n", "c2VjcmV0\r\n"} {
			if err := s.conn.Write(s.ctx, []byte(octets)); err != nil {
				t.Fatal(err)
			}
			if _, err := s.conn.Read(s.ctx, smtp.StageAuth); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.conn.Raw(s.ctx, "HELP \x1b[2J"); err != nil {
			t.Fatal(err)
		}
		text := shown.String()
		if strings.Contains(text, "c2VjcmV0") || strings.Count(text, masked) != 4 {
			t.Errorf("a secret is told:\n%s", text)
		}
		if strings.ContainsAny(text, "\x1b\x07\r") || strings.Contains(text, "\x9b") || !strings.Contains(text, `HELP \x1b[2J`) || !strings.Contains(text, `535 \x9b31mno`) {
			t.Errorf("control octets:\n%q", text)
		}
	})
}

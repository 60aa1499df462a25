package client

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// credentials are ann's.
func credentials(t *testing.T, mechanism string) *Credentials {
	t.Helper()
	c, err := NewCredentials(mechanism, "ann", "secret")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestAuthAnnouncements are the ways in which servers say what AUTH takes.
func TestAuthAnnouncements(t *testing.T) {
	for _, test := range []struct{ lines, used string }{
		{"S: 250 AUTH PLAIN LOGIN", "PLAIN"},
		{"S: 250 auth plain login", "PLAIN"},
		{"S: 250 AUTH=LOGIN PLAIN", "PLAIN"},
		{"S: 250 AUTH=LOGIN", "LOGIN"},
		{"S: 250-AUTH LOGIN\nS: 250 AUTH PLAIN", "PLAIN"},
		{"S: 250-AUTH LOGIN\nS: 250 AUTH=CRAM-MD5 LOGIN", "CRAM-MD5"},
		{"S: 250 AUTH\tLOGIN PLAIN", "PLAIN"},
		{"S: 250 AUTH  \t LOGIN\tPLAIN ", "PLAIN"},
		{"S: 250 XAUTH PLAIN\t", ""},
		{"S: 250 AUTH", ""},
		{"S: 250 AUTH PLAINTEXT", ""},
	} {
		t.Run(test.lines, func(t *testing.T) {
			script := "S: 220 mx.test\nC: EHLO localhost\nS: 250-mx.test\n" + test.lines + "\n"
			want := "auth: " + ErrNoMechanism.Error()
			if test.used != "" {
				script, want = script+"auth "+test.used+"\n", "<nil>"
			}
			dialogue(t, script, func(s *session) {
				s.cfg.Credentials = credentials(t, "")
				var err error
				if s.conn, err = Connect(s.ctx, &s.cfg, &s.log, &s.greeting); fmt.Sprint(err) != want {
					t.Errorf("error %v, expected %s", err, want)
				}
			})
		})
	}
}

func TestExtensionsBehindTabs(t *testing.T) {
	dialogue(t, "S: 220 mx.test\nC: EHLO localhost\nS: 250-mx.test\nS: 250-SIZE\t1000\nS: 250 PIPELINING\t\n", func(s *session) {
		s.connect()
		if size, ok := s.conn.Capabilities().Find("size"); !ok || size != "1000" || !s.conn.capabilities.pipelining {
			t.Errorf("SIZE %q %v, pipelining %v", size, ok, s.conn.capabilities.pipelining)
		}
	})
}

// TestAuthWithUnusualChallenges are prompts that no base64 is, base64 without padding, and servers that ask again for what AUTH had said.
func TestAuthWithUnusualChallenges(t *testing.T) {
	b64 := base64.StdEncoding.EncodeToString
	user, password, plain := b64([]byte("ann")), b64([]byte("secret")), b64([]byte("\x00ann\x00secret"))
	login := func(first, second string) string {
		return "C: AUTH LOGIN\nS: 334 " + first + "\nC: " + user + "\nS: 334 " + second + "\nC: " + password + "\nS: 235 2.7.0 ok\n"
	}
	const accepted = "<nil>"
	for _, test := range []struct{ name, mechanism, script, want string }{
		{"LOGIN in base64", "LOGIN", login("VXNlcm5hbWU6", "UGFzc3dvcmQ6"), accepted},
		{"LOGIN in plain text", "LOGIN", login("Username:", "Password:"), accepted},
		{"LOGIN without padding", "LOGIN", login("VXNlciBOYW1lAA", "UGFzc3dvcmQA"), accepted},
		{"LOGIN without a word", "LOGIN", "C: AUTH LOGIN\nS= \"334\\r\\n\"\nC: " + user + "\nS= \"334\\r\\n\"\nC: " + password + "\nS: 235 ok\n", accepted},
		{"LOGIN empty", "LOGIN", login("", ""), accepted},
		{"LOGIN that goes on", "LOGIN", "C: AUTH LOGIN\nS: 334 a\nC: " + user + "\nS: 334 b\nC: " + password + "\nS: 334 c\nC: *\nS: 501 5.7.0 ended\n", "auth: unexpected challenge"},
		{"PLAIN asked again", "PLAIN", "C: AUTH PLAIN " + plain + "\nS: 334 \nC: " + plain + "\nS: 235 2.7.0 ok\n", accepted},
		{"PLAIN asked again, without a space", "PLAIN", "C: AUTH PLAIN " + plain + "\nS= \"334\\r\\n\"\nC: " + plain + "\nS: 235 2.7.0 ok\n", accepted},
		{"PLAIN asked again, in plain text", "PLAIN", "C: AUTH PLAIN " + plain + "\nS: 334 Go ahead\nC: " + plain + "\nS: 235 2.7.0 ok\n", accepted},
		{"PLAIN asked again, by an equals sign", "PLAIN", "C: AUTH PLAIN " + plain + "\nS: 334 =\nC: " + plain + "\nS: 235 2.7.0 ok\n", accepted},
		{"PLAIN asked for ever", "PLAIN", "C: AUTH PLAIN " + plain + "\nS: 334 \nC: " + plain + "\nS: 334 \nC: *\nS: 501 5.7.0 ended\n", "auth: unexpected challenge"},
		{"XOAUTH2 asked again", "XOAUTH2", "C~ AUTH XOAUTH2 \nS: 334 \nC~ dXNlcj1hbm4BYXV0aD1C\nS: 235 2.7.0 ok\n", accepted},
		{"CRAM-MD5 without padding", "CRAM-MD5", "C: AUTH CRAM-MD5\nS: 334 PDFAbXguPg\nC: YW5uIDJmY2E1NzFhOTIwZDczYzZhNmY1OWE2NWU1MDQ3Y2Fl\nS: 235 2.7.0 ok\n", accepted},
		{"CRAM-MD5 in blanks", "CRAM-MD5", "C: AUTH CRAM-MD5\nS: 334   PDFAbXguPg==\t\nC: YW5uIDJmY2E1NzFhOTIwZDczYzZhNmY1OWE2NWU1MDQ3Y2Fl\nS: 235 2.7.0 ok\n", accepted},
	} {
		t.Run(test.name, func(t *testing.T) {
			dialogue(t, "S: 220 mx.test\nC: EHLO localhost\nS: 250-mx.test\nS: 250 AUTH "+test.mechanism+"\n"+test.script, func(s *session) {
				s.cfg.Credentials = credentials(t, test.mechanism)
				var err error
				if s.conn, err = Connect(s.ctx, &s.cfg, &s.log, &s.greeting); fmt.Sprint(err) != test.want {
					t.Errorf("error %v, expected %s", err, test.want)
				}
			})
		})
	}
}

// scramServer answers AUTH SCRAM-SHA-256 with an iteration count, by a nonce that extends the client's.
func scramServer(t *testing.T, iterations string, run func(*session)) {
	t.Helper()
	script := "S: 220 mx.test\nC: EHLO localhost\nS: 250-mx.test\nS: 250 AUTH SCRAM-SHA-256\nscram " + iterations + "\nhang"
	dialogue(t, script, func(s *session) {
		s.cfg.Credentials = credentials(t, "")
		run(s)
	})
}

func TestScramIterationsAreBounded(t *testing.T) {
	for _, iterations := range []string{"2000000000", "1000001", "99999999999999999999", "-1", "", "x"} {
		t.Run(iterations, func(t *testing.T) {
			scramServer(t, iterations, func(s *session) {
				_, err := Connect(s.ctx, &s.cfg, &s.log, &s.greeting)
				if !errors.Is(err, ErrChallenge) || !strings.Contains(err.Error(), "are more than 1000000, or no number") {
					t.Errorf("error %v", err)
				}
			})
		})
	}
}

// TestScramIsInterrupted has the longest allowed computation end by the phase's limit, by the context and by Close. What computes is
// replaced by what never ends before it is told to: no machine is too fast or too slow for that.
func TestScramIsInterrupted(t *testing.T) {
	for _, test := range []struct {
		name      string
		interrupt func(*session, *Conn)
		want      error
	}{
		{"by the limit", func(*session, *Conn) {}, ErrTimeout},
		{"by the context", func(s *session, _ *Conn) { s.cancel() }, ErrAborted},
		{"by Close", func(_ *session, c *Conn) { c.Close() }, ErrAborted},
	} {
		t.Run(test.name, func(t *testing.T) {
			dialogue(t, "S: 220 mx.test\nhang", func(s *session) {
				conn, err := Open(s.ctx, &s.cfg, &s.log, &s.greeting)
				if err != nil {
					t.Fatal(err)
				}
				computing, over := make(chan struct{}), make(chan struct{})
				x := exchange{
					iterations: func([]byte) int { return maxIterations },
					next: func([]byte) ([]byte, error) {
						close(computing)
						<-over
						return nil, nil
					},
				}
				done := make(chan *Error)
				start := time.Now()
				go func() {
					conn.begin(s.ctx)
					defer conn.end()
					_, err := conn.respond(&x, nil)
					var broken *Error
					errors.As(err, &broken)
					done <- broken
				}()
				<-computing
				if test.want == ErrAborted {
					time.Sleep(time.Second) // virtual
				}
				test.interrupt(s, conn)
				broken := <-done
				if broken == nil || !errors.Is(broken, test.want) || conn.Open() {
					t.Errorf("error %v, expected %v; open %v", broken, test.want, conn.Open())
				}
				if took := time.Since(start); test.want == ErrAborted && took != time.Second || test.want == ErrTimeout && took != time.Minute {
					t.Errorf("it took %v", took)
				}
				close(over)
				synctest.Wait()
			})
		})
	}
}

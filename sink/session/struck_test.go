package session_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/session"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// TestFaultsCountWhenTheyStrike: a fault that waits in a body or a handshake is told of when it happens, and not when it is drawn.
func TestFaultsCountWhenTheyStrike(t *testing.T) {
	body := strings.Repeat("x", 20)
	data := []string{"EHLO c", "MAIL FROM:<>", "RCPT TO:<b@s.example>", "DATA", body, "."}
	bdat := []string{"EHLO c", "MAIL FROM:<>", "RCPT TO:<b@s.example>"}
	for _, tt := range []struct {
		name, plan string
		lines      []string
		struck     string // what the recorder is told of strikes, and of replies that were decided and not given
		row        string // of the attempt
	}{
		{"a body that is too short", "- {name: r, stage: data, body: {after: 64KiB, close: rst}}", data, "",
			"<b@s.example> reply at message delivered 250 by plain"},
		{"a body that is too short to stop in", "- {name: r, stage: data, body: {after: 64KiB, stop_reading: true}}", data, "",
			"<b@s.example> reply at message delivered 250 by plain"},
		{"a body", "- {name: r, stage: data, body: {after: 10, close: rst}}", data, "struck data body-rst",
			`<b@s.example> lost at message "r" body-rst`},
		{"a chunk", "- {name: r, stage: bdat, body: {after: 10, close: fin}}", append(bdat, "BDAT 22", body), "struck bdat body-fin, unsent bdat 250",
			`<b@s.example> lost at bdat "r" body-fin`},
		{"the last chunk, whose reply is another stage's", "- {name: r, stage: bdat, body: {after: 10, close: fin}}", append(bdat, "BDAT 22 LAST", body),
			"struck bdat body-fin", `<b@s.example> lost at message "r" body-fin`},
		{"a chunk that is too short", "- {name: r, stage: bdat, body: {after: 23, close: fin}}", append(bdat, "BDAT 22 LAST", body), "",
			"<b@s.example> reply at message delivered 250 by plain"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, v := &recording{}, &verdicts{}
			for _, recorder := range []session.Recorder{r, v} {
				p := sinktest.NewSessionConn(planned(t, tt.plan), &session.Env{Recorder: recorder})
				if err := p.Send([]byte(strings.Join(tt.lines, "\r\n") + "\r\n")); err != nil {
					t.Fatal(err)
				}
				p.Vanish(nil)
			}
			if got := strings.Join(struckAndUnsent(r.replies), ", "); got != tt.struck {
				t.Errorf("the recorder was told of %q, want %q", got, tt.struck)
			}
			if got := v.rows[0]; got != tt.row {
				t.Errorf("got the row %s, want %s", got, tt.row)
			}
			if whole := tt.struck == ""; whole && strings.Contains(v.rows[1], "body-") {
				t.Errorf("the row of the connection tells of a fault that never struck: %s", v.rows[1])
			}
		})
	}
}

// TestHandshakeFaultsCount: with implicit TLS the greeting, and with it the fault, is decided before the handshake.
func TestHandshakeFaultsCount(t *testing.T) {
	r := &recording{}
	setup := planned(t, "- {name: r, stage: connect, tls: garbage}")
	setup.Config.TLS = session.TLSImplicit
	p := sinktest.NewSessionConn(setup, &session.Env{Recorder: r})
	p.Vanish(nil)
	if got, want := strings.Join(struckAndUnsent(r.replies), ", "), "unsent connect 220, struck connect tls-garbage"; got != want {
		t.Errorf("the recorder was told of %q, want %q", got, want)
	}
}

// TestHandshakeFaultsNameTheirRule: whether the handshake fails, or stalls until the client is silent for too long.
func TestHandshakeFaultsNameTheirRule(t *testing.T) {
	for _, tt := range []struct {
		fault string
		end   func(*sinktest.SessionConn, *session.Session)
	}{
		{"garbage", func(p *sinktest.SessionConn, s *session.Session) {
			s.TLSDone(p.Now, session.TLSInfo{}, errors.New("bad record"))
		}},
		{"stall", func(p *sinktest.SessionConn, s *session.Session) { s.Advance(s.Deadline()) }},
	} {
		v := &verdicts{}
		setup := planned(t, "- {name: r, stage: connect, tls: "+tt.fault+"}")
		setup.Config.TLS = session.TLSImplicit
		p := sinktest.NewSessionConn(setup, &session.Env{Recorder: v})
		tt.end(p, p.Session)
		p.Vanish(nil)
		if c := v.connection; c.Cause != fault.CauseRule || c.By != "r" || c.Fault != "tls-"+tt.fault {
			t.Errorf("%s: the connection's row names %v %q %q, want the rule and its fault", tt.fault, c.Cause, c.By, c.Fault)
		}
	}
}

// TestStrikesStandInTheRowOfTheirReply: without enhanced status codes, too.
func TestStrikesStandInTheRowOfTheirReply(t *testing.T) {
	for _, hello := range []string{"HELO c", "EHLO c"} {
		for _, tt := range []struct{ plan, command string }{
			{"- {stage: data, body: {after: 10, close: rst}}", "DATA"},
			{"- {stage: bdat, reply: 250/2.6.0, body: {after: 10, close: rst}}", "BDAT 30"},
			{"- {stage: bdat, body: {after: 10, close: rst}}", "BDAT 30"},
		} {
			r := &recording{}
			p := sinktest.NewSessionConn(planned(t, tt.plan), &session.Env{Recorder: r})
			say(t, p, hello, "MAIL FROM:<>", "RCPT TO:<b@s.example>", tt.command, strings.Repeat("x", 40))
			p.Vanish(nil)
			if decided := r.enhanced[len(r.enhanced)-1]; len(r.struck) != 1 || r.struck[0] != decided {
				t.Errorf("%s, %s: told of strikes at %v, want one at %v, which was decided", hello, tt.plan, r.struck, decided)
			}
		}
	}
}

// struckAndUnsent returns what a recorder was told of faults that struck, and of replies that were decided and never given.
func struckAndUnsent(told []string) (out []string) {
	for i, line := range told {
		if strings.HasPrefix(line, "struck") {
			out = append(out, line)
			continue
		}
		words := strings.Fields(line)
		given := i+1 < len(told) && strings.HasPrefix(told[i+1], "replied "+words[1])
		if words[0] == "decided" && !given {
			out = append(out, "unsent "+words[1]+" "+words[2])
		}
	}
	return out
}

// TestRepliesAreToldAsOnTheWire: an enhanced status code that the session has not given is none.
func TestRepliesAreToldAsOnTheWire(t *testing.T) {
	for _, tt := range []struct{ name, plan, hello, want string }{
		{"HELO", "- {stage: rcpt, reply: 550/5.1.1}", "HELO c", ""},
		{"EHLO", "- {stage: rcpt, reply: 550/5.1.1}", "EHLO c", "5.1.1"},
		{"not announced", "- {stage: ehlo, missing: [ENHANCEDSTATUSCODES]}\n- {stage: rcpt, reply: 550/5.1.1}", "EHLO c", ""},
		{"never to EHLO", "- {stage: ehlo, reply: 550/5.7.1}", "EHLO c", ""},
	} {
		r := &recording{}
		p := sinktest.NewSessionConn(planned(t, tt.plan), &session.Env{Recorder: r})
		say(t, p, tt.hello, "MAIL FROM:<>", "RCPT TO:<b@s.example>", "QUIT")
		n := 0
		for _, e := range r.enhanced {
			if e.code == 550 {
				n++
				if e.enhanced.String() != tt.want {
					t.Errorf("%s: told 550 %v, want %s as on the wire", tt.name, e.enhanced, tt.want)
				}
			}
		}
		if n != 2 { // decided and replied
			t.Errorf("%s: told %d times of a 550, want 2", tt.name, n)
		}
	}
}

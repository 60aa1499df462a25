package session_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/session"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// Sessions that share scratch space, while delayed replies of some hold theirs, say the same as sessions that don't.
func TestSessionsShareScratch(t *testing.T) {
	for _, scratch := range []*session.Scratch{nil, {}} {
		const n = 4
		s := setup(t, "--delay", "mail=1s")
		env := &session.Env{Plans: sinktest.FixedPlan{Plan: s.Plan}, Scratch: scratch}
		var sessions [n]*session.Session
		var said [n]string
		drain := func(i int) {
			for e, ok := sessions[i].Next(); ok; e, ok = sessions[i].Next() {
				if e.Kind == session.EffectWrite {
					said[i] += string(e.Data)
				}
			}
		}
		for i := range sessions {
			sessions[i] = session.New(&s.Config, env, session.ConnInfo{ID: uint64(i)}, sinktest.Epoch)
			drain(i)
			said[i] = ""
		}
		now := sinktest.Epoch
		for _, line := range []string{"HELO c%d.example\r\n", "MAIL FROM:<a%d@c.example>\r\n", "RCPT TO:<b%d@s.example>\r\n", "VRFY\r\n"} {
			for i := range sessions {
				if line[0] == 'V' && i%2 == 0 {
					continue
				}
				text := []byte(line)
				if line[0] != 'V' {
					text = fmt.Appendf(nil, line, i)
				}
				if taken := sessions[i].Feed(now, text); taken != len(text) {
					t.Fatalf("session %d took %d octets of %q", i, taken, text)
				}
				drain(i)
			}
			now = now.Add(time.Second)
			for i := range sessions {
				sessions[i].Advance(now)
				drain(i)
			}
		}
		for i := range said {
			want := "250 sink.example\r\n250 OK\r\n250 OK\r\n"
			if i%2 == 1 {
				want += "501 Syntax error, parameter missing\r\n"
			}
			if said[i] != want {
				t.Errorf("scratch %v: session %d said %q, want %q", scratch != nil, i, said[i], want)
			}
		}
	}
}

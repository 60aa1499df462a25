package session_test

import (
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/plan"
	"github.com/smtpstorm/xk6-smtp/sink/session"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// takes checks that nothing more is said before this time has passed, and that the reply which is said then begins so.
func takes(t *testing.T, p *sinktest.SessionConn, d time.Duration, prefix string) {
	t.Helper()
	if err := p.Pass(d - 1); err != nil {
		t.Fatal(err)
	}
	if early := p.Output(); len(early) > 0 {
		t.Fatalf("%q came before %v had passed", early, d)
	}
	if err := p.Pass(1); err != nil {
		t.Fatal(err)
	}
	if got := string(p.Output()); !strings.HasPrefix(got, prefix) {
		t.Fatalf("after %v came %q, want %s...", d, got, prefix)
	}
}

// TestSlowInput: what a client sends at once takes as long as its octets need, by DATA and BDAT, and by commands one by one.
func TestSlowInput(t *testing.T) {
	body := strings.Repeat(strings.Repeat("x", 98)+"\r\n", 1000)[:100_000-len("\r\n.\r\n")] + "\r\n.\r\n"
	for _, c := range []struct {
		name, rate string
		send       string
		want       time.Duration
	}{
		{"100 kB at 40 kbit/s", "40kbit/s", body, 20 * time.Second},
		{"100 kB at 100 kbit/s", "100kbit/s", body, 8 * time.Second},
		{"an octet at a time", "3B/s", "text\r\n.\r\n", 3 * time.Second},
		{"a rate that no second is a multiple of", "70B/s", body[len(body)-700:], 10 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, v := newPlanned(t, session.Env{}, "- {name: slow, stage: data, bandwidth: {in: "+c.rate+"}}", "--idle-timeout", "1m")
			for _, line := range []string{"EHLO c.example", "MAIL FROM:<a@c.example>", "RCPT TO:<b@s.example>", "DATA"} {
				if err := p.Send([]byte(line + "\r\n")); err != nil {
					t.Fatal(err)
				}
			}
			if got := string(p.Output()); !strings.Contains(got, "354 ") {
				t.Fatalf("DATA got %q", got)
			}
			if !p.Narrow {
				t.Error("the driver was not told that the client is read slowly")
			}
			if err := p.Send([]byte(c.send)); err != nil {
				t.Fatal(err)
			}
			takes(t, p, c.want, "250 2.0.0 ")
			if err := p.Send([]byte("QUIT\r\n")); err != nil {
				t.Fatal(err)
			}
			for end := p.Now.Add(3 * time.Second); !p.Closed() && p.Now.Before(end); {
				if err := p.Pass(p.Session.Deadline().Sub(p.Now)); err != nil {
					t.Fatal(err)
				}
			}
			if want := `connection: quit by rule "slow" bandwidth, last quit 221`; v.rows[len(v.rows)-1] != want {
				t.Errorf("the row is %q, want %q", v.rows[len(v.rows)-1], want)
			}
		})
	}

	p, _ := newPlanned(t, session.Env{}, "- {stage: rcpt, bandwidth: {in: 1kB/s}}\n- {stage: message, bandwidth: none}")
	for _, line := range []string{"EHLO c.example", "MAIL FROM:<a@c.example>", "RCPT TO:<b@s.example>"} {
		if err := p.Send([]byte(line + "\r\n")); err != nil {
			t.Fatal(err)
		}
	}
	p.Output()
	for _, part := range []struct {
		send, prefix string
		want         time.Duration
	}{
		{"BDAT 986\r\n" + strings.Repeat("x", 986), "250 2.0.0 986 octets", 996 * time.Millisecond},
		{"BDAT 0 LAST\r\n", "250 2.0.0 ", 13 * time.Millisecond},
		{"NOOP\r\n", "250 2.0.0 ", 0},
	} {
		if err := p.Send([]byte(part.send)); err != nil {
			t.Fatal(err)
		}
		if part.want > 0 {
			takes(t, p, part.want, part.prefix)
		} else if got := string(p.Output()); !strings.HasPrefix(got, part.prefix) {
			t.Errorf("%.20q got %q at once, want %s", part.send, got, part.prefix)
		}
	}
}

// TestSlowLinkSavesNothing: who is silent for long isn't faster then; pipelined commands are answered one by one.
func TestSlowLinkSavesNothing(t *testing.T) {
	p, _ := newPlanned(t, session.Env{}, "- {stage: ehlo, bandwidth: {in: 10B/s}}")
	if err := p.Send([]byte("EHLO c.example\r\n")); err != nil {
		t.Fatal(err)
	}
	p.Output()
	if err := p.Pass(time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := p.Send([]byte("NOOP\r\nRSET\r\nHE")); err != nil {
		t.Fatal(err)
	}
	takes(t, p, 600*time.Millisecond, "250 2.0.0 ")
	takes(t, p, 600*time.Millisecond, "250 2.0.0 ")
	if err := p.Pass(200 * time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if err := p.Send([]byte("LP\r\n")); err != nil {
		t.Fatal(err)
	}
	takes(t, p, 400*time.Millisecond, "214 ")
}

// TestSlowOutput: the last octet of a reply comes when all of it has had its time, no more at once than pass in a tenth of a second, whatever
// else a fault makes of it; what is pipelined behind it waits.
func TestSlowOutput(t *testing.T) {
	for name, beside := range map[string]string{
		"alone": "", "dribbled faster than the link": ", dribble: {octets: 3, every: 1ms}", "in packets": ", split: {packets: 3}",
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := newPlanned(t, session.Env{}, "- {stage: help, bandwidth: {out: 100B/s}"+beside+"}\n- {stage: quit, reply: 221, bandwidth: {out: none}}")
			if err := p.Send([]byte("EHLO c.example\r\n")); err != nil {
				t.Fatal(err)
			}
			p.Output()
			writes := p.Writes
			if err := p.Send([]byte("HELP\r\nNOOP\r\nQUIT\r\n")); err != nil {
				t.Fatal(err)
			}
			var got []byte
			for start := p.Now; !p.Closed() && p.Now.Sub(start) < time.Minute; {
				if err := p.Pass(time.Millisecond); err != nil {
					t.Fatal(err)
				}
				before := len(got)
				got = append(got, p.Output()...)
				if passed := 1 + int(p.Now.Sub(start)*100/time.Second); len(got) > passed && !p.Closed() {
					t.Fatalf("%d octets came in %v, want at most %d: %q", len(got), p.Now.Sub(start), passed, got)
				}
				if help := "214 2.0.0 Help message\r\n"; before < len(help) && len(got) == len(help) && p.Now.Sub(start) != time.Duration(len(help))*10*time.Millisecond {
					t.Fatalf("the reply to HELP took %v", p.Now.Sub(start))
				} else if noop := help + "250 2.0.0 OK\r\n"; p.Closed() && p.Now.Sub(start) != time.Duration(len(noop))*10*time.Millisecond {
					t.Fatalf("both replies took %v, want %d octets at 100 a second", p.Now.Sub(start), len(noop))
				}
			}
			if want := "214 2.0.0 Help message\r\n250 2.0.0 OK\r\n221 2.0.0 "; !strings.HasPrefix(string(got), want) {
				t.Errorf("got %q, want %q...", got, want)
			}
			if n := p.Writes - writes; beside == "" && n != 3+2+1 {
				t.Errorf("the replies went out by %d writes, want 10 octets at a time but for the last", n)
			}
		})
	}
}

// TestSlowLinkIsTimed: the session is called so often as octets need it, whatever waits, and never for nothing; it keeps no input.
func TestSlowLinkIsTimed(t *testing.T) {
	file, err := plan.Parse("test", []byte("version: 1\nrules: [{stage: data, bandwidth: 40kbit/s}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	setup := setup(t)
	setup.Plan = file.Plan
	now := sinktest.Epoch
	s := session.New(&setup.Config, &session.Env{Plans: sinktest.FixedPlan{Plan: setup.Plan}}, session.ConnInfo{ID: 1, Listener: "test"}, now)
	said := ""
	perform := func() {
		for e, ok := s.Next(); ok; e, ok = s.Next() {
			if e.Kind == session.EffectWrite {
				said += string(e.Data)
			}
		}
	}
	perform()
	feed := func(text string) (taken int) {
		taken = s.Feed(now, []byte(text))
		perform()
		return taken
	}
	feed("EHLO c.example\r\nMAIL FROM:<a@c.example>\r\nRCPT TO:<b@s.example>\r\nDATA\r\n")
	calls := 0
	advance := func() {
		if calls++; calls > 1000 {
			t.Fatal("calls without end")
		}
		// A timer that fires up to 350 ms late costs nothing of the rate.
		now = s.Deadline().Add(time.Duration(calls%6) * 70 * time.Millisecond)
		s.Advance(now)
		perform()
	}
	for !strings.Contains(said, "354 ") {
		advance()
	}
	if want := s.WantRead(); want != 1024 {
		t.Errorf("the session wants %d octets at a time, want 1024: 500 pass in 100 ms", want)
	}
	body := strings.Repeat("text of a line\r\n", 2500)
	body = body[:40_000-len("\r\n.\r\n")] + "\r\n.\r\n"
	began := now
	calls = 0
	before := s.Held() // buffers and transaction may be used ones with room for much
	for rest := body; rest != ""; {
		offered := rest[:min(len(rest), s.WantRead())]
		for offered != "" {
			n := feed(offered)
			offered, rest = offered[n:], rest[n:]
			if offered != "" || s.Deadline().IsZero() {
				advance()
			}
			if held := s.Held(); held > before+(8<<10) {
				t.Fatalf("the session holds %d octets, and held %d before the body", held, before)
			}
		}
	}
	for !strings.Contains(said, "250 2.0.0") {
		advance()
	}
	took, least := now.Sub(began), 8*time.Second
	if took < least || took > least+500*time.Millisecond {
		t.Errorf("40 kB and a reply took %v, want %v, and no more besides than the timer was late at last", took, least)
	}
	if most := 120; calls > most {
		t.Errorf("the session was called %d times in %v, want at most %d", calls, took, most)
	}
}

// TestSlowLinkWhateverTheReads: however the octets come, they pass at the same times, and are answered at the same times.
func TestSlowLinkWhateverTheReads(t *testing.T) {
	const dialogue = "EHLO c.example\r\nMAIL FROM:<a@c.example>\r\nRCPT TO:<b@s.example>\r\nDATA\r\nSubject: x\r\n\r\nA line. And\r\n. one more.\r\n..\r\n.\r\n" +
		"MAIL FROM:<a@c.example>\r\nRCPT TO:<b@s.example>\r\nBDAT 70\r\n1234567890123456789012345678901234567890123456789012345678901234567890BDAT 4 LAST\r\nabcdNOOP\r\nQUIT\r\n"
	answers := func(size int) (said []string) {
		p, _ := newPlanned(t, session.Env{}, "- {stage: ehlo, bandwidth: {in: 700B/s, out: 3kB/s}}\n- {stage: data, body: {after: 20, reply: 451}}")
		for rest := dialogue; rest != ""; {
			n := min(size, len(rest))
			if err := p.Send([]byte(rest[:n])); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		for end := p.Now.Add(time.Minute); !p.Closed() && p.Now.Before(end); {
			if err := p.Pass(p.Session.Deadline().Sub(p.Now)); err != nil {
				t.Fatal(err)
			}
			if out := p.Output(); len(out) > 0 {
				said = append(said, p.Now.Sub(sinktest.Epoch).String()+" "+string(out))
			}
		}
		return said
	}
	whole := answers(len(dialogue))
	if last := whole[len(whole)-1]; !strings.Contains(last, "221 ") {
		t.Fatalf("the dialogue ends with %q", last)
	}
	for _, size := range []int{1, 2, 3, 7, 64} {
		if got := answers(size); strings.Join(got, "") != strings.Join(whole, "") {
			t.Errorf("read %d octets at a time:\n%q\nat once:\n%q", size, got, whole)
		}
	}
}

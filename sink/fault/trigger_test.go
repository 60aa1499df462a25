package fault

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

func TestAddressTrigger(t *testing.T) {
	for _, c := range []struct {
		recipient string
		reply     string // empty: none
		delay     time.Duration
		malformed bool
	}{
		{recipient: "550-5.1.1+anything@example.org", reply: "550 5.1.1 Requested action not taken: mailbox unavailable"},
		{recipient: "450+x@y", reply: "450 4.2.0 Requested mail action not taken: mailbox unavailable"},
		{recipient: "450+@y", reply: "450 4.2.0 Requested mail action not taken: mailbox unavailable"},
		{recipient: "250+x+y@z", reply: "250 2.1.5 OK"},
		{recipient: "421-4.7.0+x", reply: "421 4.7.0 Service not available, closing transmission channel"},
		{recipient: "delay-5s+x@y", delay: 5 * time.Second},
		{recipient: "delay-1.5s+450+x@y", reply: "450 4.2.0 Requested mail action not taken: mailbox unavailable", delay: 1500 * time.Millisecond},
		{recipient: "delay-5s+user+tag@y", delay: 5 * time.Second},
		{recipient: "999+x@y", malformed: true},
		{recipient: "199+x@y", malformed: true},
		{recipient: "550-4.1.1+x@y", malformed: true},
		{recipient: "550-5.1+x@y", malformed: true},
		{recipient: "550-+x@y", malformed: true},
		{recipient: "delay-soon+x@y", malformed: true},
		{recipient: "delay--5s+x@y", malformed: true},
		{recipient: "delay-1h+x@y", malformed: true},
		{recipient: "delay-5s+600+x@y", malformed: true},
		{recipient: "450+" + strings.Repeat("x", 61) + "@y", malformed: true},
		{recipient: "delay-5s+" + strings.Repeat("x", 61) + "@y", malformed: true},
		{recipient: "450@y"}, {recipient: "450-4.2.0@y"}, {recipient: "4500+x@y"}, {recipient: "45+x@y"}, {recipient: "4a0+x@y"},
		{recipient: "user+450@y"}, {recipient: "delayed+x@y"}, {recipient: "x@450+y"}, {recipient: ""}, {recipient: "postmaster"}, {recipient: "d@y"},
	} {
		s, malformed := AddressTrigger([]byte(c.recipient))
		reply := ""
		if s.Reply != nil {
			reply = s.Reply.String()
		}
		if reply != c.reply || s.Delay.At(0) != c.delay || s.HasDelay != (c.delay > 0) || malformed != c.malformed || malformed && !s.IsZero() {
			t.Errorf("%q asks for %q after %v, malformed %v, want %q after %v, %v", c.recipient, reply, s.Delay, malformed, c.reply, c.delay, c.malformed)
		}
	}
	for _, usual := range []string{"user@example.org", "550@example.org", "dave@example.org", "delay@example.org", "12+x@example.org"} {
		if n := testing.AllocsPerRun(100, func() { AddressTrigger([]byte(usual)) }); n != 0 {
			t.Errorf("%s allocates %v times, want 0", usual, n)
		}
	}
}

// header is a message's header for tests.
type header map[string]string

// Header returns the fields of a name, which a line feed separates; next counts them.
func (h header) Header(name string, from int) (value []byte, next int, ok bool) {
	values, ok := h[name]
	if all := strings.Split(values, "\n"); ok && from < len(all) {
		return []byte(all[from]), from + 1, true
	}
	return nil, 0, false
}

func TestHeaderSwitch(t *testing.T) {
	for _, c := range []struct {
		header    header
		reply     string
		mode      Mode
		delay     string // of a switch that has one
		malformed int
	}{
		{header: header{"subject": "x"}},
		{header: header{"x-storm-reply": "550 5.1.1 No such user"}, reply: "550 5.1.1 No such user"},
		{header: header{"x-storm-reply": "451"}, reply: "451 4.3.0 Requested action aborted: local error in processing"},
		{header: header{"x-storm-reply": "451 4.7.1"}, reply: "451 4.7.1 Requested action aborted: local error in processing"},
		{header: header{"x-storm-reply": "554  Really not"}, reply: "554 5.3.0 Really not"},
		{header: header{"x-storm-reply": "550\ttext"}, reply: "550 5.1.1 text"},
		{header: header{"x-storm-reply": "550\t5.1.1\t \tNo such user"}, reply: "550 5.1.1 No such user"},
		{header: header{"x-storm-reply": "550  5.1.1\tNo\tuser"}, reply: `550 5.1.1 No\tuser`},
		{header: header{"x-storm-reply": "550-5.1.1"}, reply: "550 5.1.1 Requested action not taken: mailbox unavailable"},
		{header: header{"x-storm-reply": "550-5.1.1\tNo such user"}, reply: "550 5.1.1 No such user"},
		{header: header{"x-storm-reply": "550/5.7.1 Go away"}, reply: "550 5.7.1 Go away"},
		{header: header{"x-storm-reply": "550-No such user"}, malformed: 1},
		{header: header{"x-storm-reply": "550-4.1.1 No such user"}, malformed: 1},
		{header: header{"x-storm-reply": "550-"}, malformed: 1},
		{header: header{"x-storm-reply": "550 a\x1b[2Jb"}, malformed: 1},
		{header: header{"x-storm-reply": "nonsense\n451 4.7.1 Later\n550"}, reply: "451 4.7.1 Later", malformed: 1},
		{header: header{"x-storm-reply": "451 4.7.1 Later\nnonsense"}, reply: "451 4.7.1 Later"},
		{header: header{"x-storm-reply": "600"}, malformed: 1},
		{header: header{"x-storm-reply": "550 4.1.1 x"}, malformed: 1},
		{header: header{"x-storm-reply": "bounce"}, malformed: 1},
		{header: header{"x-storm-reply": "550 " + strings.Repeat("x", 600)}, malformed: 1},
		{header: header{"x-storm-reply": "550 a\x00b"}, malformed: 1},
		{header: header{"x-storm-reply": "550 a\rb"}, malformed: 1},
		{header: header{"x-storm-reply": ""}, malformed: 1},
		{header: header{"x-storm-mode": "Bounce"}, mode: ModeBounce},
		{header: header{"x-storm-mode": "angry"}, malformed: 1},
		{header: header{"x-storm-mode": "angry\nsad\nbounce\noffline"}, mode: ModeBounce, malformed: 2},
		{header: header{"x-storm-mode": ""}, malformed: 1},
		{header: header{"x-storm-delay": "3s"}, delay: "3s"},
		{header: header{"x-storm-delay": "uniform(1s, 2s)"}, delay: "uniform(1s,2s)"},
		{header: header{"x-storm-delay": "0s"}, delay: "none"},
		{header: header{"x-storm-delay": "2h"}, malformed: 1},
		{header: header{"x-blackhole-mode": "accept"}, mode: ModeAccept},
		{header: header{"x-blackhole-mode": "RANDOM"}, mode: ModeRandom},
		{header: header{"x-blackhole-mode": "offline"}, mode: ModeOffline},
		{header: header{"x-blackhole-mode": "unavailable", "x-blackhole-delay": "10"}, mode: ModeUnavailable, delay: "10s"},
		{header: header{"x-blackhole-delay": "10, 30"}, delay: "uniform(10s,30s)"},
		{header: header{"x-blackhole-delay": "10,30"}, delay: "uniform(10s,30s)"},
		{header: header{"x-blackhole-delay": "10,600"}, delay: "uniform(10s,1m0s)"},
		{header: header{"x-blackhole-delay": "99999999999"}, delay: "1m0s"},
		{header: header{"x-blackhole-delay": "70,80"}, delay: "1m0s"},
		{header: header{"x-blackhole-delay": "0"}, delay: "none"},
		{header: header{"x-blackhole-delay": "30, 10"}, malformed: 1},
		{header: header{"x-blackhole-delay": "-1"}, malformed: 1},
		{header: header{"x-blackhole-delay": "10s"}, malformed: 1},
		{header: header{"x-blackhole-delay": "1,2,3"}, malformed: 1},
		{header: header{"x-storm-mode": "accept", "x-blackhole-mode": "bounce", "x-storm-delay": "1s", "x-blackhole-delay": "9"}, mode: ModeAccept, delay: "1s"},
		{header: header{"x-storm-mode": "nonsense", "x-blackhole-mode": "bounce", "x-storm-delay": "x"}, mode: ModeBounce, malformed: 2},
	} {
		s, bad := HeaderSwitch(c.header)
		malformed := bad.Count
		reply, delay := "", ""
		if s.Reply != nil {
			reply = s.Reply.String()
		}
		if s.HasDelay {
			delay = s.Delay.String()
		}
		if reply != c.reply || s.Mode != c.mode || delay != c.delay || malformed != c.malformed {
			t.Errorf("%v asks for %q, mode %q, delay %q, %d malformed, want %+v", c.header, reply, s.Mode, delay, malformed, c)
		}
	}
	long := header{"x-storm-reply": "550" + strings.Repeat(" ", 2000) + "5.1.1", "x-storm-mode": "bounce", "x-storm-delay": "1" + strings.Repeat(" ", 2000)}
	if s, bad := HeaderSwitch(long); bad.Count != 2 || s.Mode != ModeBounce {
		t.Errorf("of three switches, two of which are longer than any that means something, %d are bad, and the mode is %v", bad.Count, s.Mode)
	}
	if s, bad := HeaderSwitch(nil); !s.IsZero() || bad.Count != 0 {
		t.Errorf("no header asks for %+v", s)
	}
	_, bad := HeaderSwitch(header{"x-storm-mode": "angry\xff\x00", "x-storm-reply": strings.Repeat("x", 1000), "x-storm-delay": "y"})
	if want := (BadSwitches{Count: 3, First: "x-storm-mode: angry?\x00"}); bad != want {
		t.Errorf("switches that mean nothing: %+v, want %+v", bad, want)
	}
	if _, bad := HeaderSwitch(header{"x-storm-reply": strings.Repeat("\xff", 1000)}); len(bad.First) > MaxBadSwitch {
		t.Errorf("%d octets of a bad switch are kept, want at most %d", len(bad.First), MaxBadSwitch)
	}
}

func TestSwitchDecides(t *testing.T) {
	p := mustPlan(t, PlanSpec{Seed: 4, Rules: []RuleSpec{{Stage: smtp.StageMessage, Outcomes: []OutcomeSpec{{Weight: 1, Code: 451}}, Delay: fixed(time.Minute)}}})
	v, o := p.View(stormStart, time.Time{}), golden(smtp.StageMessage)
	s, _ := HeaderSwitch(header{"x-storm-reply": "250 2.0.0 Fine", "x-storm-delay": "2s"})
	if d := s.Decide(v, o); d.Cause != CauseTrigger || d.Reply.String() != "250 2.0.0 Fine" || d.Delay != 2*time.Second || d.Rule != nil {
		t.Errorf("a reply and a delay lead to %+v", d)
	}
	s, _ = HeaderSwitch(header{"x-storm-delay": "2s"})
	if d := s.Decide(v, o); d.Cause != CauseRule || d.Reply.Code != 451 || d.Delay != 2*time.Second || d.Rule != p.Rules()[0] {
		t.Errorf("a delay alone leads to %+v, want the rule's reply after 2s", d)
	}
	s, _ = HeaderSwitch(header{"x-storm-mode": "unavailable"})
	if d := s.Decide(v, o); d.Cause != CauseTrigger || d.Reply.Code != 421 || d.Delay != 0 || d.Rule != nil {
		t.Errorf("mode unavailable leads to %+v", d)
	}
	if d := s.Decide(nil, o); d.Reply.Code != 421 {
		t.Errorf("mode unavailable without a plan leads to %+v", d)
	}
}

// TestModeSwitchDraws: the mode's table is drawn from evenly, anew for each message, and again the same for the same message.
func TestModeSwitchDraws(t *testing.T) {
	s, _ := HeaderSwitch(header{"x-blackhole-mode": "bounce"})
	counts := make([]float64, len(ModeCodes(ModeBounce)))
	for n := range 16_000 {
		o := golden(smtp.StageMessage)
		o.MaxRcptN, o.MessageN = 0, uint64(n)
		first, again := s.Decide(nil, o), s.Decide(nil, o)
		if first != again {
			t.Fatalf("message %d meets %v, then %v", n, first.Reply, again.Reply)
		}
		counts[first.Outcome]++
	}
	even := make([]float64, len(counts))
	for i := range even {
		even[i] = 1 / float64(len(even))
	}
	if got := goodness(counts, even); got < alpha {
		t.Errorf("p = %.3g of %v against even odds", got, counts)
	}
	ids := map[int32]bool{}
	for _, id := range []string{"<a@x>", "<b@x>", "<c@x>", "<d@x>", "<e@x>", "<f@x>"} {
		o := golden(smtp.StageMessage)
		o.Headers = header{"message-id": id}
		ids[s.Decide(nil, o).Outcome] = true
	}
	if len(ids) < 2 {
		t.Error("six messages that differ in their Message-ID all meet the same code")
	}
}

// FuzzSwitches: no address and no header panics, and what is asked for is valid.
func FuzzSwitches(f *testing.F) {
	for _, seed := range []string{"550-5.1.1+x@y", "delay-5s+450+x@y", "550 5.1.1 text", "uniform(1s,2s)", "10, 20", "random", "d+", "999+"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		check := func(s Switch) {
			if s.Reply != nil {
				if err := s.Reply.Validate(); err != nil {
					t.Errorf("%q: %v", data, err)
				}
				if bytes.Count(s.Reply.Append(nil, true), []byte("\r\n")) != 1 {
					t.Errorf("%q: reply of several lines: %v", data, s.Reply)
				}
			}
			if err := s.Delay.Validate(); err != nil {
				t.Errorf("%q: %v", data, err)
			}
			s.Decide(nil, golden(smtp.StageMessage))
		}
		s, malformed := AddressTrigger(data)
		if check(s); malformed && !s.IsZero() {
			t.Errorf("%q is malformed, and asks for %+v", data, s)
		}
		text := string(data)
		s, _ = HeaderSwitch(header{"x-storm-reply": text, "x-storm-mode": text, "x-storm-delay": text, "x-blackhole-mode": text, "x-blackhole-delay": text})
		check(s)
	})
}

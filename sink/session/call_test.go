package session_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"unsafe"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/session"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// turns feeds input to the session as a driver does whose client takes all output, and returns the replies of each call.
func turns(t *testing.T, s *session.Session, input string) (replies []int) {
	t.Helper()
	take := func() (drain bool) {
		n := 0
		for e, ok := s.Next(); ok; e, ok = s.Next() {
			switch e.Kind {
			case session.EffectWrite:
				for line := range bytes.Lines(e.Data) {
					if len(line) > 3 && line[3] == ' ' {
						n++
					}
				}
			case session.EffectAwaitDrain:
				drain = true
			}
		}
		replies = append(replies, n)
		return drain
	}
	rest := []byte(input)
	drain := take()
	for len(rest) > 0 || drain {
		if len(replies) > 1_000_000 {
			t.Fatal("the session makes no progress")
		}
		if drain {
			s.Drained(sinktest.Epoch)
		} else {
			rest = rest[s.Feed(sinktest.Epoch, rest):]
		}
		drain = take()
	}
	return replies
}

// One call does a bounded amount of work, whatever a client pipelines; all of it is done in the end.
func TestOneClientsShareOfATurnIsBounded(t *testing.T) {
	const turn = 128 // plain commands
	rules := fault.PlanSpec{}
	for i := range 1600 { // each is asked for each recipient
		rules.Rules = append(rules.Rules, fault.RuleSpec{
			Name: fmt.Sprint(i), Stage: smtp.StageRcpt, Match: fault.Match{Recipients: []string{"a@x.test"}, Messages: fault.Range{From: 1000}},
		})
	}
	slow, err := fault.NewPlan(rules)
	if err != nil {
		t.Fatal(err)
	}
	envelope := "LHLO c\r\nMAIL FROM:<s@x.test>\r\n" + strings.Repeat("RCPT TO:<a@x.test>\r\n", 1000) + "DATA\r\n"
	for name, c := range map[string]struct {
		flags []string
		plan  *fault.Plan
		input string
		total int // replies, the greeting among them
		most  int // in one call
	}{
		"NOOP":    {input: strings.Repeat("NOOP\r\n", 1000), total: 1001, most: turn},
		"VRFY":    {input: strings.Repeat("VRFY a\r\n", 1000), total: 1001, most: turn},
		"unknown": {input: strings.Repeat("X\r\n", 1000), total: 1001, most: turn},
		"EHLO":    {input: strings.Repeat("EHLO a\r\n", 1000), total: 1001, most: turn / 8},
		"AUTH":    {input: strings.Repeat("AUTH X\r\n", 1000), total: 1001, most: turn / 32},
		"chunks of one octet": {
			input: "EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<a@x.test>\r\n" + strings.Repeat("BDAT 1\r\nx", 1000), total: 1004, most: turn,
		},
		"recipients that ask many rules": {
			plan: slow, input: "EHLO a\r\nMAIL FROM:<>\r\n" + strings.Repeat("RCPT TO:<a@x.test>\r\n", 500), total: 503, most: 2,
		},
		"LMTP's replies": {flags: []string{"--lmtp"}, input: envelope + "\r\n.\r\n", total: 2 + 1 + 1000 + 1 + 1000, most: turn},
	} {
		t.Run(name, func(t *testing.T) {
			env := session.Env{}
			if c.plan != nil {
				env.Plans = sinktest.FixedPlan{Plan: c.plan}
			}
			replies := turns(t, newSession(t, env, c.flags...), c.input)
			sum, most := 0, 0
			for _, n := range replies[1:] {
				sum, most = sum+n, max(most, n)
			}
			if sum+replies[0] != c.total || most > c.most+1 {
				t.Errorf("%d replies in %d calls, up to %d in one; want %d, and at most %d", sum+replies[0], len(replies), most, c.total, c.most)
			}
		})
	}
}

// Where many connections are busy each does less in one call, and reads less of a body.
func TestShareFallsWhenManyAreBusy(t *testing.T) {
	for _, c := range []struct{ busy, most, read, short int }{
		{0, 128, 64 << 10, 64 << 10}, {32, 128, 64 << 10, 64 << 10}, {33, 124, 64 << 10, 32 << 10}, {100, 40, 64 << 10, 16 << 10},
		{128, 32, 64 << 10, 16 << 10}, {257, 16, 16 << 10, 8 << 10}, {19_000, 16, 8 << 10, 8 << 10},
	} {
		scratch := new(session.Scratch)
		scratch.SetBusy(c.busy)
		s := newSession(t, session.Env{Scratch: scratch})
		most, sum := 0, 0
		for _, n := range turns(t, s, strings.Repeat("NOOP\r\n", 1000))[1:] {
			most, sum = max(most, n), sum+n
		}
		if most != c.most || sum != 1000 {
			t.Errorf("among %d: %d replies, up to %d in one call, want 1000, and %d", c.busy, sum, most, c.most)
		}
		turns(t, s, "EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<a@x.test>\r\nDATA\r\n")
		read := s.WantRead()
		turns(t, s, strings.Repeat("\r\n", 100))
		if short := s.WantRead(); read != c.read || short != c.short {
			t.Errorf("among %d: the session wants to read %d octets of a body, of short lines %d; want %d and %d", c.busy, read, short, c.read, c.short)
		}
	}
}

// What a header makes the session do counts as work, whatever the header is made of.
func TestSwitchesThatMeanNothingAreWork(t *testing.T) {
	envelope := "MAIL FROM:<>\r\nRCPT TO:<a@x.test>\r\nDATA\r\n"
	for _, line := range []string{"X-Storm-Mode: nonsense\r\n", "X-Storm-Reply: 550 5.1.1 " + strings.Repeat("x", 900) + "\r\n", "x-storm-reply:\r\n"} {
		message := envelope + strings.Repeat(line, 60_000/len(line)) + "\r\n.\r\n"
		s := newSession(t, session.Env{})
		turns(t, s, "EHLO a\r\n")
		allocs := testing.AllocsPerRun(10, func() { turns(t, s, message) })
		if allocs > 1000 {
			t.Errorf("a message with thousands of %.30q allocates %.0f objects", line, allocs)
		}
	}
}

// The rows of a transaction's recipients are written in one go when it ends: there can't be a million of them.
func TestRowsOfATransactionAreBounded(t *testing.T) {
	const most = 1 << 16
	s := newSession(t, session.Env{Recorder: &verdicts{}}, "--max-recipients", "4000000")
	turns(t, s, "EHLO a\r\nMAIL FROM:<>\r\n")
	batch := strings.Repeat("RCPT TO:<a>\r\n", 256)
	for range most/256 + 1 {
		turns(t, s, batch)
	}
	if n := s.Recipients(); n != most {
		t.Errorf("%d recipients, want %d", n, most)
	}
}

// An envelope takes 64 MiB at the most, all that belongs to it counted, however short its addresses are.
func TestEnvelopeIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a million recipients")
	}
	const most = 64 << 20
	for _, address := range []string{"a", strings.Repeat("a", 1900) + "@x.test"} {
		s := newSession(t, session.Env{}, "--max-recipients", "4000000", "--reply", "data=354")
		turns(t, s, "EHLO a\r\nMAIL FROM:<>\r\n")
		line := "RCPT TO:<" + address + ">\r\n"
		batch := strings.Repeat(line, max(1, 4096/len(line)))
		accepted, refused := 0, false
		for !refused {
			before := s.Recipients()
			turns(t, s, batch)
			accepted = s.Recipients()
			refused = accepted == before
		}
		turns(t, s, "DATA\r\n") // lists them once more
		if held := s.Held(); held > most || held < most/2 {
			t.Errorf("%d recipients of %d octets hold %d octets, want at most %d, and no less than half of it", accepted, len(address), held, most)
		}
		t.Logf("%d recipients of %d octets", accepted, len(address))
	}
	if r, v := session.SizeOfRecipient, unsafe.Sizeof([]byte{}); r != 24 || v != 24 {
		t.Errorf("a recipient has %d octets and a view %d: see perRecipient", r, v)
	}
}

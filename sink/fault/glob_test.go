package fault

import (
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// TestLocalPartGlobs: which addresses a pattern is for, by the index and without it.
func TestLocalPartGlobs(t *testing.T) {
	for _, c := range []struct {
		pattern  string
		yes, not string // with blanks between
	}{
		{"bounce+*@", "bounce+@a.example bounce+x@a.example bounce+x=y@B.EXAMPLE bounce+x", "bounce@a.example Bounce+x@a.example xbounce+x@a.example"},
		{"bounce+*@*", "bounce+x@a.example bounce+x@[192.0.2.1] bounce+x@a.example.", "bounc+x@a.example"},
		{"bounce+*@Example.com", "bounce+x@example.COM bounce+@example.com. bounce+x+y@example.com", "bounce+x@a.example.com bounce+x bounce+x@example.co"},
		{"bounce+*@*.example.com", "bounce+x@a.example.com bounce+x@b.a.EXAMPLE.com", "bounce+x@example.com bounce+x@aexample.com bounce+x@.example.com"},
		{"*-request@*", "a-request@x.example -request@x.example", "request@x.example a-request-@x.example"},
		{"a*b*c@x.example", "abc@x.example aXbYc@x.example abbcc@x.example abcbc@x.example", "ab@x.example acb@x.example abcd@x.example"},
		{"*a*@x.example", "a@x.example xax@x.example", "b@x.example a@y.example"},
		{"**@x.example", "a@x.example", "a@y.example"},
		{"abuse@*", "abuse@x.example abuse@y.example abuse", "abuse+x@x.example Abuse@x.example"},
		{"lists?*@x.example", "lists?a@x.example", "listsaa@x.example"},
		{"grüße+*@x.example", "grüße+ö@x.example", "grüße@x.example"},
		{"\"a+*\"@x.example", "\"a+(b)\"@x.example a+b@x.example", "b+a@x.example"},
	} {
		p := mustPlan(t, PlanSpec{Rules: []RuleSpec{
			{Stage: smtp.StageRcpt, Match: Match{Recipients: []string{"exact@z.example", c.pattern}}},
			{Stage: smtp.StageMail, Match: Match{Senders: []string{c.pattern}}},
		}})
		ask := func(address string) (found, matches, sender bool) {
			o := golden(smtp.StageRcpt)
			o.Recipient, o.Sender = []byte(address), []byte(address)
			found, matches = p.View(time.Time{}, time.Time{}).Rule(o) != nil, p.Rules()[0].Matches(o)
			o.Stage, o.Recipient = smtp.StageMail, nil
			return found, matches, p.View(time.Time{}, time.Time{}).Rule(o) != nil
		}
		for _, address := range strings.Fields(c.yes) {
			if found, matches, sender := ask(address); !found || !matches || !sender {
				t.Errorf("%s is not for %s: found %v, matches %v, as a sender %v", c.pattern, address, found, matches, sender)
			}
		}
		for _, address := range strings.Fields(c.not) {
			if found, matches, sender := ask(address); found || matches || sender {
				t.Errorf("%s is for %q: found %v, matches %v, as a sender %v", c.pattern, address, found, matches, sender)
			}
		}
	}
	if null := golden(smtp.StageMail); true {
		null.Sender = nil
		p := mustPlan(t, PlanSpec{Rules: []RuleSpec{{Stage: smtp.StageMail, Match: Match{Senders: []string{"**@*", "**@"}}}}})
		if p.View(time.Time{}, time.Time{}).Rule(null) != nil || p.Rules()[0].Matches(null) {
			t.Error("a glob is for the null sender")
		}
	}
	for _, bad := range []string{"bounce+@", "*", "a*", "a b*@x.example", "a*@x y", "*@*", "a*@x*.example", "<a*>@x.example", "a*b"} {
		if _, err := NewPlan(PlanSpec{Rules: []RuleSpec{{Stage: smtp.StageRcpt, Match: Match{Recipients: []string{bad}}}}}); err == nil {
			t.Errorf("pattern %q is read, want an error", bad)
		}
	}
}

// TestGlobsKeepFileOrder: the first rule that matches decides, whatever its pattern is found by; and nobody allocates.
func TestGlobsKeepFileOrder(t *testing.T) {
	p := mustPlan(t, PlanSpec{Rules: []RuleSpec{
		{Name: "glob with a condition", Stage: smtp.StageRcpt, Match: Match{Recipients: []string{"b+*@"}, Attempts: Range{From: 2}}},
		{Name: "exact", Stage: smtp.StageRcpt, Match: Match{Recipients: []string{"b+1@x.example"}}},
		{Name: "glob", Stage: smtp.StageRcpt, Match: Match{Recipients: []string{"b+*@x.example", "b*@"}}},
		{Name: "domain", Stage: smtp.StageRcpt, Match: Match{Recipients: []string{"*@x.example"}}},
	}})
	for _, c := range []struct {
		address string
		attempt uint64
		want    string
	}{
		{"b+1@x.example", 1, "exact"}, {"b+1@x.example", 2, "glob with a condition"}, {"b+2@x.example", 1, "glob"}, {"b@x.example", 1, "glob"},
		{"a@x.example", 5, "domain"}, {"b@y.example", 1, "glob"},
	} {
		o := golden(smtp.StageRcpt)
		o.Recipient, o.RcptN = []byte(c.address), c.attempt
		v := p.View(time.Time{}, time.Time{})
		if r := v.Rule(o); r == nil || r.Name != c.want {
			t.Errorf("%s, attempt %d: %v decides, want %s", c.address, c.attempt, r, c.want)
		}
		if n := testing.AllocsPerRun(100, func() { v.Rule(o) }); n != 0 {
			t.Errorf("%s: %v allocations", c.address, n)
		}
	}
}

// fields are a message's header fields: their names.
type fields []string

func (f fields) Header(name string, from int) (value []byte, next int, ok bool) {
	for i := from; i < len(f); i++ {
		if strings.EqualFold(f[i], name) {
			return nil, i + 1, true
		}
	}
	return nil, 0, false
}

func TestConditions(t *testing.T) {
	at := func(clock string) func(*Occurrence) {
		return func(o *Occurrence) {
			var err error
			if o.Time, err = time.Parse("2006-01-02 15:04:05", clock); err != nil {
				t.Fatal(err)
			}
		}
	}
	times := func(texts ...string) (m Match) {
		for _, text := range texts {
			d, err := ParseDayTime(text)
			if err != nil {
				t.Fatal(err)
			}
			m.Times = append(m.Times, d)
		}
		return m
	}
	size := func(n int64) func(*Occurrence) { return func(o *Occurrence) { o.Size = n } }
	declared := func(n int64) func(*Occurrence) {
		return func(o *Occurrence) { o.Stage, o.Size = smtp.StageRcpt, n }
	}
	header := func(f ...string) func(*Occurrence) { return func(o *Occurrence) { o.Headers = fields(f) } }
	tls := func(v TLSVersion) func(*Occurrence) { return func(o *Occurrence) { o.TLS, o.TLSVersion = v != 0, v } }
	repeats := func(text string) Match {
		from, to, err := ParseRepeats(text)
		if err != nil {
			t.Fatal(err)
		}
		return Match{Repeats: []HeaderRepeats{{"Received", from, to}}}
	}
	office, night := times("08:00-18:00"), times("22:00-06:00")
	for _, c := range []struct {
		name   string
		match  Match
		change func(*Occurrence)
		want   bool
	}{
		{"in the window", office, at("2026-03-01 08:00:00"), true},
		{"before it", office, at("2026-03-01 07:59:59"), false},
		{"its last second", office, at("2026-03-01 17:59:59"), true},
		{"its end", office, at("2026-03-01 18:00:00"), false},
		{"over midnight, evening", night, at("2026-03-01 23:00:00"), true},
		{"over midnight, morning", night, at("2026-03-01 05:59:00"), true},
		{"over midnight, noon", night, at("2026-03-01 12:00:00"), false},
		{"until midnight", times("18:00-24:00"), at("2026-03-01 23:59:59"), true},
		{"from midnight", times("18:00-24:00"), at("2026-03-01 00:00:00"), false},
		{"another zone in winter", times("08:00-18:00 Europe/Berlin"), at("2026-01-15 07:00:00"), true},
		{"another zone in summer", times("08:00-18:00 Europe/Berlin"), at("2026-07-15 06:00:00"), true},
		{"too early there in winter", times("08:00-18:00 Europe/Berlin"), at("2026-01-15 06:00:00"), false},
		{"an hour that summer time skips", times("02:00-03:00 Europe/Berlin"), at("2026-03-29 01:30:00"), false},
		{"an hour that comes twice", times("02:00-03:00 Europe/Berlin"), at("2026-10-25 01:30:00"), true},
		{"half hours", times("12:00-13:00 Asia/Kolkata"), at("2026-01-15 06:30:00"), true},
		{"any of several windows", times("08:00-09:00", "10:00-11:00"), at("2026-03-01 10:30:00"), true},
		{"none of several windows", times("08:00-09:00", "10:00-11:00"), at("2026-03-01 09:30:00"), false},
		{"size", Match{Size: SizeRange{From: 100}}, size(100), true},
		{"too small", Match{Size: SizeRange{From: 100}}, size(99), false},
		{"too big", Match{Size: SizeRange{From: 1, To: 100}}, size(101), false},
		{"an empty body", Match{Size: SizeRange{To: 100}}, size(0), true},
		{"declared", Match{Size: SizeRange{From: 100}}, declared(100), true},
		{"not declared", Match{Size: SizeRange{To: 100}}, declared(0), false},
		{"TLS version", Match{TLSVersions: TLSVersions{TLS10, TLS11}}, tls(TLS11), true},
		{"higher TLS version", Match{TLSVersions: TLSVersions{TLS10, TLS11}}, tls(TLS12), false},
		{"no TLS", Match{TLSVersions: TLSVersions{TLS10, TLS13}}, tls(0), false},
		{"as often", repeats("2"), header("received", "subject", "RECEIVED"), true},
		{"more often", repeats("2"), header("received", "received", "received"), false},
		{"at least", repeats("2-"), header("received", "received", "received"), true},
		{"not often enough", repeats("2-"), header("received", "x-received"), false},
		{"within", repeats("0-1"), header("received"), true},
		{"absent", repeats("0"), header("subject"), true},
		{"not absent", repeats("0"), header("received"), false},
		{"no header known", repeats("0"), func(o *Occurrence) { o.Headers = nil }, false},
	} {
		p := mustPlan(t, PlanSpec{Rules: []RuleSpec{{Stage: smtp.StageMessage, Match: c.match}, {Stage: smtp.StageMessage}}})
		o := golden(smtp.StageMessage)
		c.change(o)
		r := p.Rules()[0]
		if got := r.Matches(o); got != c.want {
			t.Errorf("%s: matches: %v, want %v", c.name, got, c.want)
		}
		if n := testing.AllocsPerRun(50, func() { r.Matches(o) }); n != 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
		example := golden(smtp.StageMessage)
		if c.match.Example(example, nil); !r.Matches(example) {
			t.Errorf("%s: the example %+v is not matched", c.name, example)
		}
	}
}

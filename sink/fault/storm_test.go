package fault

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// phaseOf is a phase in which RCPT meets a code of its own.
func phaseOf(name string, duration time.Duration, code smtp.Code) PhaseSpec {
	return PhaseSpec{Name: name, Duration: duration, Rules: []RuleSpec{{Stage: smtp.StageRcpt, Outcomes: []OutcomeSpec{{Weight: 1, Code: code}}}}}
}

var stormStart = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

// TestPhases walks through a storm: one phase, a group that flaps, a phase that repeats, and the time before and after.
func TestPhases(t *testing.T) {
	p := mustPlan(t, PlanSpec{
		Rules: []RuleSpec{{Stage: smtp.StageRcpt, Match: Match{Senders: []string{"<>"}}}},
		Phases: []PhaseSpec{
			phaseOf("outage", time.Minute, 450),
			{Repeat: 2, Phases: []PhaseSpec{phaseOf("bad", 20*time.Second, 451), phaseOf("good", 10*time.Second, 250)}},
			{Name: "twice", Duration: time.Second, Repeat: 2},
		},
	})
	for _, c := range []struct {
		at     time.Duration
		phase  string
		code   smtp.Code // 0: no rule speaks
		change time.Duration
	}{
		{-time.Second, "", 0, 0},
		{0, "outage", 450, time.Minute},
		{time.Minute - 1, "outage", 450, time.Minute},
		{time.Minute, "bad", 451, 80 * time.Second},
		{85 * time.Second, "good", 250, 90 * time.Second},
		{90 * time.Second, "bad", 451, 110 * time.Second},
		{119 * time.Second, "good", 250, 120 * time.Second},
		{120 * time.Second, "twice", 0, 121 * time.Second},
		{121 * time.Second, "twice", 0, 122 * time.Second},
		{122 * time.Second, "", 0, -1},
		{time.Hour, "", 0, -1},
	} {
		now := stormStart.Add(c.at)
		v := p.View(now, stormStart)
		d := v.Decide(golden(smtp.StageRcpt))
		code := smtp.Code(0)
		if d.Chosen != nil {
			code = d.Chosen.Code
		}
		if v.PhaseName() != c.phase || code != c.code || d.Rule != nil && d.Rule.Phase != c.phase {
			t.Errorf("%v: phase %q decides %d by %+v, want %q, %d", c.at, v.PhaseName(), code, d.Rule, c.phase, c.code)
		}
		want := time.Time{}
		if c.change >= 0 {
			want = stormStart.Add(c.change)
		}
		if got := p.NextChange(now, stormStart); !got.Equal(want) {
			t.Errorf("%v: next change at %v, want %v", c.at, got, want)
		}
		exempt := golden(smtp.StageRcpt)
		exempt.Sender = nil
		if d := v.Decide(exempt); d.Rule != p.Rules()[0] {
			t.Errorf("%v: the null sender meets %+v, want the plan's own rule", c.at, d.Rule)
		}
		if v != p.View(now, stormStart) || v.Plan() != p {
			t.Errorf("%v: another view of the same time", c.at)
		}
	}
	if v := p.View(stormStart, time.Time{}); v.Phase() != nil {
		t.Errorf("before any connection the phase is %q, want none", v.PhaseName())
	}
	for i, r := range p.Rules() {
		if r.Index != i {
			t.Errorf("rule %q has index %d, want %d", r.Name, r.Index, i)
		}
	}
	names := []string{}
	for i, phase := range p.Phases() {
		if phase.Index != i {
			t.Errorf("phase %q has index %d, want %d", phase.Name, phase.Index, i)
		}
		names = append(names, fmt.Sprint(phase.Name, " ", phase.Times))
	}
	if got := strings.Join(names, ", "); got != "outage 1, bad 2, good 2, twice 2" || len(p.OwnRules()) != 1 {
		t.Errorf("phases are %s with %d rules of the plan's own", got, len(p.OwnRules()))
	}
}

func TestStormStart(t *testing.T) {
	loaded, first, at := stormStart, stormStart.Add(time.Minute), stormStart.Add(time.Hour)
	for _, c := range []struct {
		text string
		want time.Time
	}{{"first-connection", first}, {"clock", loaded}, {"2026-03-01T09:00:00Z", at}} {
		start, err := ParseStart(c.text)
		if err != nil || start.String() != c.text {
			t.Fatalf("start %q is read as %v, %v", c.text, start, err)
		}
		p := mustPlan(t, PlanSpec{Start: start, Phases: []PhaseSpec{{Name: "p", Duration: time.Second}}})
		if got := p.StormStart(loaded, first); !got.Equal(c.want) {
			t.Errorf("%s: starts at %v, want %v", c.text, got, c.want)
		}
		if got := p.StormStart(loaded, time.Time{}); got.IsZero() != (c.text == "first-connection") {
			t.Errorf("%s: without a connection it starts at %v", c.text, got)
		}
	}
	if got := mustPlan(t, PlanSpec{}).StormStart(loaded, first); !got.IsZero() {
		t.Errorf("a plan without phases starts at %v", got)
	}
	if _, err := ParseStart("soon"); err == nil {
		t.Error("start \"soon\" is read")
	}
}

// TestRamp: the share of occurrences that a phase's rules apply to follows the ramp, and an occurrence that the rules apply to at one
// share meets them at every greater one.
func TestRamp(t *testing.T) {
	bad := phaseOf("p", 100*time.Second, 450)
	bad.Ramp = &Ramp{From: 0.2, To: 0.8}
	p := mustPlan(t, PlanSpec{Phases: []PhaseSpec{bad}, Seed: 3})
	if !p.Needs().Recipients {
		t.Error("a ramp draws at rcpt, but needs no ordinals")
	}
	const n = 20_000
	met := make([]bool, n)
	for _, c := range []struct {
		at   time.Duration
		want float64
	}{{0, 0.2}, {50 * time.Second, 0.5}, {100*time.Second - 1, 0.8}} {
		v := p.View(stormStart.Add(c.at), stormStart)
		count := 0
		for i := range met {
			o := golden(smtp.StageRcpt)
			o.RcptN = uint64(i + 1)
			meets := v.Decide(o).Rule != nil
			if met[i] && !meets {
				t.Fatalf("%v: attempt %d meets the rule no more, though the share grew", c.at, i+1)
			}
			if met[i] = meets; meets {
				count++
			}
		}
		// Six standard deviations of a binomial count; the seed is fixed.
		if got := float64(count) / n; math.Abs(got-c.want) > 0.001+6*math.Sqrt(c.want*(1-c.want)/n) {
			t.Errorf("%v: the rule applies to %v of the attempts, want %v", c.at, got, c.want)
		}
	}
	full := phaseOf("p", time.Second, 450)
	full.Ramp = &Ramp{From: 1, To: 1}
	if d := mustPlan(t, PlanSpec{Phases: []PhaseSpec{full}}).View(stormStart, stormStart).Decide(golden(smtp.StageRcpt)); d.Rule == nil {
		t.Error("a ramp from 1 to 1 leaves an occurrence out")
	}
}

// TestPhaseLimitsAndListeners: a phase adds its limits to the plan's, and its listener faults replace the plan's one by one.
func TestPhaseLimitsAndListeners(t *testing.T) {
	phase := PhaseSpec{
		Name: "p", Duration: time.Second, Limits: []LimitSpec{{Name: "b", Kind: LimitRate, Rate: 1}},
		Listeners: []ListenerFaultSpec{{AllListeners, ListenerRefused}, {"mx2", ListenerNoBanner}},
	}
	p := mustPlan(t, PlanSpec{
		Limits:         []LimitSpec{{Name: "a", Kind: LimitRate, Rate: 1}},
		ListenerFaults: []ListenerFaultSpec{{"mx1", ListenerUp}, {"mx2", ListenerUnaccepted}},
		Phases:         []PhaseSpec{phase, {Name: "q", Duration: time.Second}},
	})
	for _, c := range []struct {
		start     time.Time
		limits    string
		listeners [3]ListenerFault
	}{
		{time.Time{}, "a", [3]ListenerFault{ListenerUp, ListenerUnaccepted, ListenerUp}},
		{stormStart, "a b", [3]ListenerFault{ListenerUp, ListenerNoBanner, ListenerRefused}},
		{stormStart.Add(-time.Second), "a", [3]ListenerFault{ListenerUp, ListenerUnaccepted, ListenerUp}},
	} {
		v := p.View(stormStart, c.start)
		var names []string
		for _, l := range v.Limits(smtp.StageRcpt) {
			names = append(names, l.Name)
		}
		got := [3]ListenerFault{v.ListenerFault("mx1"), v.ListenerFault("mx2"), v.ListenerFault("mx3")}
		if strings.Join(names, " ") != c.limits || got != c.listeners {
			t.Errorf("phase %q has the limits %v and listeners %v, want %s and %v", v.PhaseName(), names, got, c.limits, c.listeners)
		}
	}
	if l := p.AllLimits(); len(l) != 2 || l[1].Phase != "p" || l[1].Index != 1 || l[0].Phase != "" {
		t.Errorf("limits are %+v", l)
	}
}

func TestNilView(t *testing.T) {
	for name, v := range map[string]*View{"nil": nil, "of the zero plan": new(Plan).View(stormStart, stormStart)} {
		if d := v.Decide(golden(smtp.StageRcpt)); d != (Decision{}) || v.HasRules(smtp.StageRcpt) || v.Limits(smtp.StageRcpt) != nil ||
			v.Needs() != (Needs{}) || v.Phase() != nil || v.PhaseName() != "" || v.Plan() != nil || v.ListenerFault("x") != ListenerUp || v.FaultyListeners() != nil {
			t.Errorf("%s view decides %+v, or speaks", name, d)
		}
	}
}

func TestSpeaks(t *testing.T) {
	p := mustPlan(t, PlanSpec{Rules: []RuleSpec{{Stage: smtp.StageMail}}, Phases: []PhaseSpec{phaseOf("p", time.Second, 450)}})
	during, after := p.View(stormStart, stormStart), p.View(stormStart.Add(time.Hour), stormStart)
	if !during.HasRules(smtp.StageMail) || !during.HasRules(smtp.StageRcpt) || during.HasRules(smtp.StageData) || !after.HasRules(smtp.StageMail) || after.HasRules(smtp.StageRcpt) {
		t.Error("rules may speak at mail always, at rcpt in the phase, and nowhere else")
	}
}

func TestStormErrors(t *testing.T) {
	p := phaseOf("p", time.Second, 450)
	change := func(change func(s *PhaseSpec)) PlanSpec {
		s := p
		change(&s)
		return PlanSpec{Phases: []PhaseSpec{s}}
	}
	group := func(specs ...PhaseSpec) PlanSpec { return PlanSpec{Phases: []PhaseSpec{{Repeat: 2, Phases: specs}}} }
	for _, c := range []struct {
		spec PlanSpec
		want string
	}{
		{change(func(s *PhaseSpec) { s.Duration = 0 }), `phases[0] "p": duration: 0s is out of range (want above 0s, at most 720h0m0s)`},
		{change(func(s *PhaseSpec) { s.Duration = -1 }), `phases[0] "p": duration: -1ns`},
		{change(func(s *PhaseSpec) { s.Duration = 10000 * time.Hour }), `phases[0] "p": duration: 10000h0m0s`},
		{change(func(s *PhaseSpec) { s.Name = "" }), `phases[0]: name: missing`},
		{change(func(s *PhaseSpec) { s.Repeat = -1 }), `phases[0] "p": repeat: -1 is out of range (want 1 to 10000)`},
		{change(func(s *PhaseSpec) { s.Ramp = &Ramp{0, 1.5} }), `phases[0] "p": ramp: from 0 to 1.5 is out of range (want shares from 0 to 1)`},
		{change(func(s *PhaseSpec) { s.Ramp = &Ramp{math.NaN(), 1} }), `phases[0] "p": ramp: from NaN`},
		{change(func(s *PhaseSpec) { s.Ramp, s.Rules = &Ramp{0, 1}, nil }), `phases[0] "p": ramp: there are no rules`},
		{change(func(s *PhaseSpec) { s.Rules = []RuleSpec{{Stage: 99}} }), `phases[0].rules[0]: stage: unknown stage`},
		{change(func(s *PhaseSpec) { s.Limits = []LimitSpec{{Name: "l"}} }), `phases[0].limits[0] "l": rate: 0 per second`},
		{PlanSpec{Phases: []PhaseSpec{p, p}}, `phases[1] "p": name: name is taken by phases[0] (to come back to a phase, repeat a group)`},
		{group(), `phases[0]: name: missing`},
		{group(PhaseSpec{Name: "x"}), `phases[0].phases[0] "x": duration: 0s`},
		{PlanSpec{Phases: []PhaseSpec{{Phases: []PhaseSpec{}}}}, `phases[0]: phases: empty group`},
		{PlanSpec{Phases: []PhaseSpec{{Phases: []PhaseSpec{{Phases: []PhaseSpec{p}}}}}}, `phases[0].phases[0]: phases: a group within a group`},
		{PlanSpec{Phases: []PhaseSpec{{Name: "g", Phases: []PhaseSpec{p}}}}, `phases[0] "g": name: a group has no name`},
		{PlanSpec{Phases: []PhaseSpec{{Duration: 1, Phases: []PhaseSpec{p}}}}, `phases[0]: duration: a group has no duration`},
		{PlanSpec{Phases: []PhaseSpec{{Ramp: &Ramp{}, Phases: []PhaseSpec{p}}}}, `phases[0]: ramp: a group has no ramp`},
		{PlanSpec{Phases: []PhaseSpec{{Rules: p.Rules, Phases: []PhaseSpec{p}}}}, `phases[0]: a group has no rules`},
		{PlanSpec{Phases: []PhaseSpec{{Repeat: 10000, Phases: []PhaseSpec{p, phaseOf("q", 1, 450), phaseOf("r", 1, 450)}}}}, `phases[0]: repeat: more than 20000 phases`},
		{PlanSpec{Start: Start{Kind: StartClock}}, `start: there are no phases that it could start`},
		{PlanSpec{Rules: []RuleSpec{{Name: "a", Stage: smtp.StageMail}}, Phases: []PhaseSpec{{Name: "p", Duration: 1, Rules: []RuleSpec{{Name: "a", Stage: smtp.StageMail}}}}},
			`phases[0].rules[0] "a": name: name is taken by rule 1`},
	} {
		if _, err := NewPlan(c.spec); err == nil || !strings.HasPrefix(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: error is %v, want %s", c.spec, err, c.want)
		}
	}
}

func TestListenerErrors(t *testing.T) {
	a := Listener{Name: "a", Address: "127.0.0.1:2525"}
	at := func(match Match) []RuleSpec { return []RuleSpec{{Stage: smtp.StageConnect, Match: match}} }
	for _, c := range []struct {
		spec PlanSpec
		want string
	}{
		{PlanSpec{Listeners: []Listener{{Address: ":25"}}}, `listeners[0]: name: invalid listener name ""`},
		{PlanSpec{Listeners: []Listener{{Name: "*", Address: ":25"}}}, `listeners[0] "*": name: invalid listener name "*"`},
		{PlanSpec{Listeners: []Listener{{Name: "a", Address: "127.0.0.1"}}}, `listeners[0] "a": address: invalid address "127.0.0.1" (want host:port, [IPv6]:port or unix:/path)`},
		{PlanSpec{Listeners: []Listener{{Name: "a", Address: "::1:25"}}}, `listeners[0] "a": address: invalid address "::1:25"`},
		{PlanSpec{Listeners: []Listener{{Name: "a", Address: "[::1:25"}}}, `listeners[0] "a": address: invalid address`},
		{PlanSpec{Listeners: []Listener{{Name: "a", Address: "localhost:smtp"}}}, `listeners[0] "a": address: invalid port "smtp" (want 0 to 65535)`},
		{PlanSpec{Listeners: []Listener{{Name: "a", Address: "unix:"}}}, `listeners[0] "a": address: invalid address "unix:" (want unix:/path)`},
		{PlanSpec{Listeners: []Listener{a, a}}, `listeners[1] "a": name: name is taken by listener 1`},
		{PlanSpec{Listeners: []Listener{a, {Name: "b", Address: a.Address}}}, `listeners[1] "b": address: address is taken by listener "a"`},
		{PlanSpec{Listeners: []Listener{a}, Rules: at(Match{Listeners: []string{"a", "b"}})}, `rule 1: match.listener: undeclared listener "b" (declared: a)`},
		{PlanSpec{Listeners: []Listener{a}, Limits: []LimitSpec{{Name: "l", Rate: 1, Match: Match{Listeners: []string{"b"}}}}}, `limits[0] "l": match.listener: undeclared listener "b"`},
		{PlanSpec{Listeners: []Listener{a}, Limits: []LimitSpec{{Name: "l", Rate: 1, Except: []Match{{Listeners: []string{"b"}}}}}}, `limits[0] "l": except[0].listener: undeclared listener "b"`},
		{PlanSpec{Listeners: []Listener{a}, ListenerFaults: []ListenerFaultSpec{{"b", ListenerRefused}}}, `listener_faults: undeclared listener "b"`},
		{PlanSpec{ListenerFaults: []ListenerFaultSpec{{"", ListenerRefused}}}, `listener_faults: empty listener name`},
		{PlanSpec{ListenerFaults: []ListenerFaultSpec{{"b", 99}}}, `listener_faults: unknown listener fault`},
		{PlanSpec{ListenerFaults: []ListenerFaultSpec{{"b", 1}, {"b", 2}}}, `listener_faults: listener "b" has two faults`},
		{PlanSpec{Listeners: []Listener{a}, Phases: []PhaseSpec{{Name: "p", Duration: 1, Listeners: []ListenerFaultSpec{{"b", 1}}}}}, `phases[0] "p": listener_faults: undeclared listener "b"`},
		{PlanSpec{Listeners: []Listener{a}, Rules: []RuleSpec{{Stage: smtp.StageConnect, Outcomes: []OutcomeSpec{{Weight: 1, Faults: Faults{TLS: TLSStall}}}}}},
			`rule 1: outcomes[0].tls: no listener that the rule matches has implicit TLS`},
	} {
		if _, err := NewPlan(c.spec); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%+v: error is %v, want %s", c.spec, err, c.want)
		}
	}
	p := mustPlan(t, PlanSpec{
		Listeners: []Listener{a, {Name: "b", Address: "[::1]:0", ImplicitTLS: true}, {Name: "c", Address: "[::1]:0"}, {Name: "d", Address: "unix:/s", LMTP: true}, {Name: "e", Address: "mx.example:25"}},
		Rules:     []RuleSpec{{Stage: smtp.StageConnect, Match: Match{Listeners: []string{"a", "b"}}, Outcomes: []OutcomeSpec{{Weight: 1, Faults: Faults{TLS: TLSStall}}}}},
	})
	if len(p.Listeners()) != 5 {
		t.Errorf("listeners are %+v", p.Listeners())
	}
}

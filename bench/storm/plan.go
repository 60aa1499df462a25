package storm

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/input"
	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/scripts"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/plan"
)

// Storm is a plan with what goes with it beyond the sink.
type Storm struct {
	Number      string // S1; empty: none of the built-in ones
	Name        string
	Description string
	About       string // what it copies
	Look        string // what to look for
	Source      result.Plan

	spec   fault.PlanSpec
	beyond beyond
}

// beyond is what a storm needs beside its plan. It belongs to the built-in ones; a plan file has none of it.
type beyond struct {
	layout   layout
	lifetime time.Duration // of mail in the sender's queue; 0: the policy's
	patience time.Duration // of the sender with the final reply; 0: its own
	kill     bool          // the sender is killed while it delivers, and started again
	cut      time.Duration // how long after the storm's begin the sink is cut off; 0: never
	away     time.Duration // for so long
	affected []string      // domains that the storm is for; nil: all
	sources  []string      // addresses from which the sender sends; nil: whichever the kernel chooses
}

// layout is which listeners the sink has beside that for notifications, and where the sender's mail goes.
type layout uint8

const (
	oneHop     layout = iota // one next hop for all domains: "smtp"
	hopPerHost               // a next hop for each domain: "d0" to "d4"
	twoHops                  // two next hops for all domains: "mx1" and "mx2"
)

// beyondPlans says what built-in storms need beside their plans, by their names.
func beyondPlans() map[string]beyond {
	return map[string]beyond{
		"head-of-line":   {layout: hopPerHost, affected: []string{domainOf(0)}},
		"crash":          {kill: true},
		"expiry":         {lifetime: 20 * time.Second},
		"sink-killed":    {cut: 20 * time.Second, away: 5 * time.Second},
		"late-reply":     {patience: 5 * time.Second},
		"dead-mx":        {layout: twoHops},
		"some-addresses": {sources: []string{"127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.201"}}, // the plan throttles the second and the third
	}
}

// Load finds a storm by what the user calls it.
func Load(name string) (*Storm, error) {
	file, err := scripts.LoadStorm(name)
	if err != nil {
		return nil, &input.Error{Err: err}
	}
	s := &Storm{Name: file.Spec.Name, Description: file.Spec.Description, spec: file.Spec, Source: result.Plan{Name: file.Spec.Name, Text: string(file.Text), SHA256: file.SHA256}}
	if s.Name == "" {
		s.Name = name
	}
	s.About, s.Look = comment(file)
	for _, f := range scripts.Storms() {
		if _, plain, _ := strings.Cut(f.Name, "-"); string(f.Text()) == string(file.Text) {
			s.Number, s.beyond = scripts.StormNumber(f.Name), beyondPlans()[plain]
		}
	}
	if len(s.spec.Phases) == 0 {
		return nil, input.Errorf("storm %s: it has no phases, and so no end: name those of its storm", name)
	}
	return s, nil
}

// comment reads the comment that a plan begins with: what the storm copies, and behind "Look for:" what it shows.
func comment(file *plan.File) (about, look string) {
	var words []string
	for line := range strings.Lines(string(file.Text)) {
		text, ok := strings.CutPrefix(strings.TrimSpace(line), "#")
		if !ok {
			break
		}
		words = append(words, strings.TrimSpace(text))
	}
	about, look, _ = strings.Cut(strings.Join(words, " "), "Look for: ")
	return strings.TrimSpace(about), strings.TrimSpace(look)
}

// drawEnd returns by how much a storm lasts longer than its plan says: recovery lag depends on the phase of a sender's pauses in which the
// storm ends, and so the seed draws it over one maximal pause.
func drawEnd(seed uint64, longest time.Duration) time.Duration {
	return time.Duration(rand.New(rand.NewPCG(seed, 0x5706)).Int64N(int64(max(longest, 1)))).Truncate(time.Millisecond) // #nosec G404 -- reproducible on purpose
}

// at returns the plan of the storm that begins at a time, under a seed, and when it ends: longer by so much than its plan says.
func (s *Storm) at(begin time.Time, seed uint64, longer time.Duration) (p *fault.Plan, end time.Time, err error) {
	spec := s.spec
	spec.Seed, spec.Start = seed, fault.Start{Kind: fault.StartClock, At: begin}
	spec.Phases = flatten(spec.Phases)
	last := len(spec.Phases) - 1
	for i := range spec.Phases {
		if ph := &spec.Phases[i]; len(ph.Rules)+len(ph.Limits)+len(ph.Listeners) > 0 {
			last = i
		}
	}
	spec.Phases[last].Duration += longer
	end = begin
	for _, ph := range spec.Phases[:last+1] {
		end = end.Add(ph.Duration)
	}
	if p, err = fault.NewPlan(spec); err != nil {
		return nil, end, input.Errorf("storm %s: %w", s.Name, err)
	}
	return p, end, nil
}

// flatten writes repeated phases and groups out, so that one of them can be made longer. Names of phases and rules are unique within a plan:
// those that come again get a number.
func flatten(phases []fault.PhaseSpec) (out []fault.PhaseSpec) {
	times := map[string]int{}
	add := func(ph fault.PhaseSpec) {
		for range max(ph.Repeat, 1) {
			one := ph
			one.Repeat = 0
			if times[ph.Name]++; times[ph.Name] > 1 {
				n := times[ph.Name]
				one.Name = fmt.Sprintf("%s %d", ph.Name, n)
				one.Rules = append([]fault.RuleSpec(nil), ph.Rules...)
				for i := range one.Rules {
					if one.Rules[i].Name != "" {
						one.Rules[i].Name = fmt.Sprintf("%s %d", one.Rules[i].Name, n)
					}
				}
				one.Limits = append([]fault.LimitSpec(nil), ph.Limits...)
				for i := range one.Limits {
					one.Limits[i].Name = fmt.Sprintf("%s %d", one.Limits[i].Name, n)
				}
			}
			out = append(out, one)
		}
	}
	for _, ph := range phases {
		if ph.Phases == nil {
			add(ph)
			continue
		}
		for range max(ph.Repeat, 1) {
			for _, member := range ph.Phases {
				add(member)
			}
		}
	}
	return out
}

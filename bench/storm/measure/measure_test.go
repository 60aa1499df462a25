package measure

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

var zero = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC) // the storm begins

func at(seconds float64) time.Time {
	return zero.Add(time.Duration(seconds * float64(time.Second)))
}

func times(seconds ...float64) (out []time.Time) {
	for _, s := range seconds {
		out = append(out, at(s))
	}
	return out
}

// say prints values with blanks between them.
func say(values ...any) string { return strings.TrimSpace(fmt.Sprintln(values...)) }

// value prints what a pointer points to.
func value(v *float64) string {
	if v == nil {
		return "nil"
	}
	return fmt.Sprintf("%.4g", *v)
}

// byHand is a storm of 10 s, whose figures are worked out in the tests. a is delivered before it, b waits and is tried three times, c is
// refused for good, d is still open at the cutoff, e comes after the storm and overtakes b, f was never accepted.
func byHand() *Run {
	return &Run{
		Begin: at(-2), Storm: at(0), End: at(10), Cutoff: at(40),
		Units: []Unit{
			{Recipient: "a@x", Domain: "x", Intended: at(-2), Accepted: true, Attempts: times(-1.9), Deliveries: times(-1.8)},
			{Recipient: "b@x", Domain: "x", Intended: at(1), Accepted: true, Attempts: times(1, 6, 11, 21), Deliveries: times(21)},
			{Recipient: "c@y", Domain: "y", Intended: at(2), Accepted: true, Attempts: times(2), Failed: at(2)},
			{Recipient: "d@y", Domain: "y", Intended: at(3), Accepted: true, Attempts: times(3, 8)},
			{Recipient: "e@y", Domain: "y", Intended: at(12), Accepted: true, Attempts: times(12), Deliveries: times(12.5)},
			{Recipient: "f@y", Domain: "y", Intended: at(12)},
		},
		Connections: []Connection{
			{At: at(-1.9), End: at(-1), Attempts: 1, Delivered: 1, OctetsIn: 100},
			{At: at(1), End: at(4), Attempts: 3, OctetsIn: 300},
			{At: at(6), End: at(7), OctetsIn: 10},
			{At: at(12), End: at(22), Attempts: 2, Delivered: 2, OctetsIn: 500},
		},
		Samples: []Sample{
			{At: at(-3), Depth: 0, CPU: time.Second, Memory: 10}, {At: at(-2), Depth: 1, CPU: time.Second}, {At: at(0), Depth: 0, CPU: 2 * time.Second},
			{At: at(4), Depth: 3, CPU: time.Second / 2, Memory: 30, Processes: 4}, {At: at(12), Depth: 2, CPU: time.Second}, {At: at(17), Depth: 1, CPU: 2 * time.Second},
		},
		Policy:   &Policy{Gaps: []time.Duration{5 * time.Second, 5 * time.Second, 10 * time.Second, 20 * time.Second}, Late: time.Second, Later: time.Second},
		Affected: []string{"x"},
	}
}

func TestFigures(t *testing.T) {
	f := Of(byHand())
	for name, test := range map[string][2]string{
		"submitted, accepted":      {say(f.Submitted, f.Accepted), "6 5"},
		"depth: 1x2 + 3x8 + 2x5":   {fmt.Sprintf("%+v", *f.Depth), "{Peak:3 At:4 Area:36 Rate:0.25 Samples:6}"},
		"attempts":                 {fmt.Sprintf("%+v", f.Attempts), "{Messages:9 Connections:4 Barren:1 PerMessage:[{Attempts:0 Units:1} {Attempts:1 Units:3} {Attempts:2 Units:1} {Attempts:4 Units:1}]}"},
		"adherence":                {fmt.Sprintf("%+v", *f.Adherence), "{Gaps:4 Early:0 Late:0 WorstEarly:0 WorstLate:0}"},
		"waste":                    {say(f.Waste.Attempts, f.Waste.Connections, f.Waste.Octets, value(f.Waste.AttemptsPer), value(f.Waste.ConnectionsPer), value(f.Waste.OctetsPer)), "6 2 310 2 0.6667 103.3"},
		"recovery":                 {say(f.Recovery.Backlog, value(f.Recovery.First), value(f.Recovery.Lag), value(f.Recovery.To1), value(f.Recovery.To0)), "2 2.5 11 nil nil"},
		"fairness":                 {fmt.Sprintf("%+v", *f.Fairness), "{Pairs:1 Overtaken:1}"},
		"CPU over a restart":       {say(f.Resources.CPU, f.Resources.Memory, f.Resources.Processes, value(f.Resources.PerDelivered)), "4 30 4 1.333"},
		"connections of a sender":  {say(f.Concurrency.Before, f.Concurrency.Storm, f.Concurrency.After, f.Concurrency.Probes, value(f.Concurrency.Ramp)), "1 1 1 0.2 2"},
		"delays":                   {delaysText(f.Delay), "before 1/1/0/0 p50 0.2 p99 0.2 max 0.2; during 3/1/1/1 p50 nil p99 nil max 20; after 2/1/0/0 p50 0.5 p99 0.5 max 0.5; all 6/3/1/1 p50 20 p99 nil max 20; "},
		"collateral by domain":     {say(f.Domains[0].Domain, f.Domains[0].Affected, value(f.Domains[0].P50), f.Domains[1].Domain, f.Domains[1].Affected, value(f.Domains[1].Max)), "x true 0.2 y false 0.5"},
		"attempts in the storm":    {say(f.Herd["attempts"].Seconds, f.Herd["attempts"].Peak, value(f.Herd["attempts"].PeakToMean)), "22 1 2.75"},
		"connections in the storm": {say(f.Herd["connections"].Seconds, f.Herd["connections"].Peak, value(f.Herd["connections"].PeakToMean)), "22 1 7.333"},
	} {
		if test[0] != test[1] {
			t.Errorf("%s:\n got %s\nwant %s", name, test[0], test[1])
		}
	}
	gaps := ""
	for _, g := range f.Backoff {
		gaps += fmt.Sprintf("%d: %d units, %g s, ratio %s, policy %s; ", g.K, g.Units, g.Median, value(g.Ratio), value(g.Policy))
	}
	if want := "1: 2 units, 5 s, ratio nil, policy 5; 2: 1 units, 5 s, ratio 1, policy 5; 3: 1 units, 10 s, ratio 2, policy 10; "; gaps != want {
		t.Errorf("pauses:\n got %s\nwant %s", gaps, want)
	}
	open := ""
	for _, s := range f.Rates {
		if s.Open > 0 {
			open += fmt.Sprintf("%d:%d ", s.At, s.Open)
		}
	}
	if want := "1:1 2:1 3:1 6:1 12:1 13:1 14:1 15:1 16:1 17:1 18:1 19:1 20:1 21:1 "; open != want {
		t.Errorf("open connections: got %q, want %q", open, want)
	}
}

func delaysText(delays []Delay) (out string) {
	for _, d := range delays {
		out += fmt.Sprintf("%s %d/%d/%d/%d p50 %s p99 %s max %s; ", d.Injected, d.Units, d.Delivered, d.Failed, d.Censored, value(d.P50), value(d.P99), value(d.Max))
	}
	return out
}

// TestFailuresCompete: of 100 messages 30 bounce at once and 70 are delivered later. Delivery reaches 70%, and not 100% as Kaplan and Meier's
// estimator has it, for which a bounce is censored.
func TestFailuresCompete(t *testing.T) {
	r := &Run{Begin: at(0), Storm: at(0), End: at(10), Cutoff: at(100)}
	for n := range 100 {
		u := Unit{Intended: at(0), Accepted: true}
		if n < 30 {
			u.Failed = at(1)
		} else {
			u.Deliveries = times(2 + float64(n))
		}
		r.Units = append(r.Units, u)
	}
	c := incidence(r, r.Units)
	last := c.Points[len(c.Points)-1]
	if math.Abs(last.Delivered-0.7) > 1e-12 || math.Abs(last.Failed-0.3) > 1e-12 || c.reaches(0.71) != nil || *c.reaches(0.7) != 101 {
		t.Errorf("in the end %+v, want 70%% delivered and 30%% failed", last)
	}
}

// TestCensored: who left before is no evidence for what came later. Worked out by hand: 4 at risk, a delivery at 1 (1/4), one censored at 2, a
// failure at 3 (3/4 x 1/2), a delivery at 4 (3/8 x 1).
func TestCensored(t *testing.T) {
	r := &Run{Cutoff: at(100)}
	r.Units = []Unit{
		{Intended: at(0), Accepted: true, Deliveries: times(1)}, {Intended: at(98), Accepted: true}, {Intended: at(0), Accepted: true, Failed: at(3)},
		{Intended: at(0), Accepted: true, Deliveries: times(4, 9)}, {Intended: at(0)},
	}
	got := say(incidence(r, r.Units).Points)
	if want := "[{1 0.25 0} {3 0.25 0.375} {4 0.625 0.375}]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestAdherence: each MTA's own rule.
func TestAdherence(t *testing.T) {
	postfix := &Policy{ByAge: true, WholeSeconds: true, Gaps: []time.Duration{5 * time.Second, 5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second}, Early: time.Second, Late: time.Second, Later: time.Second}
	exim := &Policy{Gaps: []time.Duration{5 * time.Second, 10 * time.Second}, Early: time.Second, Late: time.Second, Later: time.Second, LateInterval: true, LastAnytime: true}
	for name, test := range map[string]struct {
		policy   *Policy
		attempts []float64
		failed   bool
		want     string // gaps, early, late
	}{
		// Deferred at 0.9, it is due at 0 + 5, and may be taken from 4 to 6.
		"a second early, as a scan looks ahead": {postfix, []float64{0.9, 4}, false, "1 0 0"},
		"more than that":                        {postfix, []float64{0.9, 3.9}, false, "1 1 0"},
		"late":                                  {postfix, []float64{0.9, 6.1}, false, "1 0 1"},
		// time(2) may still say 0 when it is 1.002.
		"a clock of ticks":             {postfix, []float64{1.002, 4.1}, false, "1 0 0"},
		"a tick later it is no excuse": {postfix, []float64{1.012, 4.1}, false, "1 1 0"},
		// At 10.2 it is 10 s old: the next one is due at 10 + 10.
		"as old as it is":                 {postfix, []float64{0.2, 5.2, 10.2, 20.4}, false, "3 0 0"},
		"never longer than the longest":   {postfix, []float64{0.2, 60.2, 100.5}, false, "2 0 1"},
		"the k-th pause":                  {exim, []float64{0, 5, 15}, false, "2 0 0"},
		"later ones late by an interval":  {exim, []float64{0, 5, 26}, false, "2 0 0"},
		"and no more":                     {exim, []float64{0, 5, 26.1}, false, "2 0 1"},
		"the last attempt comes any time": {exim, []float64{0, 5, 6}, true, "1 0 0"},
		"others don't":                    {exim, []float64{0, 5, 6}, false, "2 1 0"},
		"the last pause comes again":      {exim, []float64{0, 5, 15, 25, 35}, false, "4 0 0"},
		"no pause, nothing to be adhered": {exim, []float64{0}, false, "none"},
	} {
		t.Run(name, func(t *testing.T) {
			u := Unit{Intended: zero, Accepted: true, Attempts: times(test.attempts...)}
			if test.failed {
				u.Failed = at(100)
			}
			_, a := backoff(&Run{Units: []Unit{u}, Policy: test.policy})
			got := "none"
			if a != nil {
				got = say(a.Gaps, a.Early, a.Late)
			}
			if got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

// TestPausesBeginWithEnds: a pause runs from the end of an attempt, and a message's age from its arrival at the sender.
func TestPausesBeginWithEnds(t *testing.T) {
	policy := &Policy{ByAge: true, WholeSeconds: true, Gaps: []time.Duration{5 * time.Second, 40 * time.Second}, Early: time.Second, Late: time.Second, Later: time.Second}
	for name, test := range map[string]struct {
		arrived  time.Time
		ends     []time.Time
		attempts []float64
		want     Adherence
		pause    float64
	}{
		// Its final reply came too late: the sender gave up after 5 s, and waits for 5 s from then on.
		"a long attempt": {at(0), times(5.2), []float64{0.2, 10.4}, Adherence{Gaps: 1}, 5.2},
		// As if it had come when it was meant to it would be 12 s old, and not be due before 23.
		"it came late":      {at(3), times(12.5), []float64{12, 21}, Adherence{Gaps: 1}, 8.5},
		"nobody knows when": {time.Time{}, times(12.5), []float64{12, 21}, Adherence{Gaps: 1, Early: 1, WorstEarly: 2}, 8.5},
	} {
		t.Run(name, func(t *testing.T) {
			gaps, a := backoff(&Run{Policy: policy, Units: []Unit{{Intended: zero, Arrived: test.arrived, Attempts: times(test.attempts...), Ends: test.ends}}})
			if a == nil || *a != test.want || math.Abs(gaps[0].Median-test.pause) > 1e-6 {
				t.Errorf("got %+v and %+v, want %+v and a pause of %g s", a, gaps, test.want, test.pause)
			}
		})
	}
}

// TestPausesWithUnseenAttempts are none of the policy's: the sender was turned away in between.
func TestPausesWithUnseenAttempts(t *testing.T) {
	r := &Run{Policy: &Policy{Gaps: []time.Duration{5 * time.Second}}, Units: []Unit{{Intended: zero, Accepted: true, Attempts: times(0.2, 12, 17, 40), Unseen: times(5, 30)}}}
	gaps, a := backoff(r)
	if len(gaps) != 1 || gaps[0].K != 2 || gaps[0].Units != 1 || gaps[0].Ratio != nil || a == nil || *a != (Adherence{Gaps: 1}) {
		t.Errorf("%+v, adherence %+v; want the second pause alone, which was kept", gaps, a)
	}
}

// TestPausesOverARestart are none of the policy's.
func TestPausesOverARestart(t *testing.T) {
	r := &Run{Restarts: times(7), Policy: &Policy{Gaps: []time.Duration{5 * time.Second}}, Units: []Unit{{Intended: zero, Accepted: true, Attempts: times(0, 5, 8, 13)}}}
	if gaps, a := backoff(r); len(gaps) != 3 || a == nil || *a != (Adherence{Gaps: 2}) {
		t.Errorf("%d pauses, adherence %+v; want 3, of which 2 are judged, and kept", len(gaps), a)
	}
}

// TestNothing: what was not measured is absent.
func TestNothing(t *testing.T) {
	f := Of(&Run{Begin: at(0), Storm: at(0), End: at(1), Cutoff: at(2)})
	if f.Depth != nil || f.Adherence != nil || f.Waste.AttemptsPer != nil || f.Concurrency != nil || f.Fairness != nil || f.Resources != nil || len(f.Delay) != 0 || f.Recovery.Lag != nil || f.Herd != nil {
		t.Errorf("figures of nothing: %+v", f)
	}
}

// TestDrain: 1% of the backlog may be left, and the rate is that of the rest.
func TestDrain(t *testing.T) {
	r := &Run{Storm: at(0), End: at(10), Cutoff: at(1000)}
	for n := range 200 {
		r.Units = append(r.Units, Unit{Intended: at(1), Accepted: true, Attempts: times(2), Deliveries: times(10 + float64(n+1)/10)})
	}
	v := recovery(r)
	if got := say(v.Backlog, value(v.Lag), value(v.To1), value(v.To0), value(v.Rate)); got != "200 0.1 19.8 20 10" {
		t.Errorf("got %s, want 200 0.1 19.8 20 10", got)
	}
}

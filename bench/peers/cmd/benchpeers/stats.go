package main

import (
	"math"
	"slices"

	"golang.org/x/perf/benchmath"
)

// confidence of all intervals.
const confidence = 0.95

// estimate is a median and what is known of it.
type estimate struct {
	N      int     `json:"n"` // rounds
	Median float64 `json:"median"`
	// Lo and Hi bound the median with at least 95% confidence, by order statistics: no distribution is assumed. With fewer than
	// six rounds no such bounds exist: they are then the least and the greatest value, and Confident is false.
	Lo        float64 `json:"lo"`
	Hi        float64 `json:"hi"`
	Confident bool    `json:"confident"`
	Min       float64 `json:"min"`
	Max       float64 `json:"max"`
}

func estimateOf(values []float64) estimate {
	if len(values) == 0 {
		return estimate{}
	}
	s := benchmath.NewSample(slices.Clone(values), &benchmath.DefaultThresholds)
	sum := benchmath.AssumeNothing.Summary(s, confidence)
	e := estimate{N: len(values), Median: sum.Center, Lo: sum.Lo, Hi: sum.Hi, Confident: sum.Confidence >= confidence && !math.IsInf(sum.Lo, 0) && !math.IsInf(sum.Hi, 0),
		Min: slices.Min(values), Max: slices.Max(values)}
	if !e.Confident {
		e.Lo, e.Hi = e.Min, e.Max
	}
	return e
}

// ratio compares two servers round by round, so that what changed between rounds drops out; p is that of the Mann-Whitney test on
// the values themselves.
func (o *outcome) ratio(a, b string) (r estimate, p float64) {
	as, bs := o.values(a), o.values(b)
	var ratios, av, bv []float64
	for _, round := range o.rounds(a) {
		if y, ok := bs[round]; ok && y > 0 {
			ratios, av, bv = append(ratios, as[round]/y), append(av, as[round]), append(bv, y)
		}
	}
	if len(ratios) == 0 {
		return estimate{}, 1
	}
	c := benchmath.AssumeNothing.Compare(benchmath.NewSample(av, &benchmath.DefaultThresholds), benchmath.NewSample(bv, &benchmath.DefaultThresholds))
	return estimateOf(ratios), c.P
}

// mean of a field over a server's rounds.
func (o *outcome) mean(server string, field func(*sample) float64) float64 {
	sum, n := 0.0, 0
	for i := range o.Samples {
		if s := &o.Samples[i]; s.Server == server {
			sum += field(s)
			n++
		}
	}
	return sum / float64(max(n, 1))
}

// target is what the project has set itself.
type target struct {
	workload string
	a, b     string // b empty: a's value itself
	bound    float64
	most     bool // at most the bound, not at least
	stretch  float64
	idle     bool // of an idle machine: rounds in which the host took more than maxStolen don't count
}

// maxStolen is the share of the CPUs' time, in percent, that a hypervisor may give to others on a machine that counts as idle. A p99 tells
// of one reply in a hundred: once the host takes more than a hundredth of the time, it alone can make that reply late.
const maxStolen = 1

// stolenPercent is the name of that share in sample.More.
const stolenPercent = "stolen_percent"

// verdict of a target: whether the 95% interval lies on the right side of the bound, or only the median, or neither.
type verdict string

const (
	verdictMet     verdict = "met"
	verdictUnsure  verdict = "median met, interval not"
	verdictFew     verdict = "median met, too few rounds"
	verdictMissed  verdict = "missed"
	verdictUnknown verdict = "not measured"
)

func (t *target) judge(o *outcome) (estimate, verdict) {
	if o == nil {
		return estimate{}, verdictUnknown
	}
	var e estimate
	if t.b != "" {
		e, _ = o.ratio(t.a, t.b)
	} else {
		var values []float64
		for i := range o.Samples {
			if s := &o.Samples[i]; s.Server == t.a && (!t.idle || s.More[stolenPercent] <= maxStolen) {
				values = append(values, s.Value)
			}
		}
		e = estimateOf(values)
	}
	if e.N == 0 {
		return e, verdictUnknown
	}
	good := func(v float64) bool {
		if t.most {
			return v <= t.bound
		}
		return v >= t.bound
	}
	switch {
	case good(e.Median) && !e.Confident:
		return e, verdictFew
	case good(e.Lo) && good(e.Hi):
		return e, verdictMet
	case good(e.Median):
		return e, verdictUnsure
	}
	return e, verdictMissed
}

// targets of the project.
var targets = []target{
	{workload: "reused-1k", a: nameCanned, b: nameGnet, bound: 0.95},
	{workload: "reused-1k", a: nameSink, b: nameCanned, bound: 0.9},
	{workload: "reused-1k", a: nameSink, b: namePost, bound: 1.2, stretch: 1.5},
	{workload: "new-1k", a: nameSink, b: namePost, bound: 1.3, stretch: 1.5},
	{workload: "rcpt-50", a: nameSink, b: nameCanned, bound: 0.9},
	{workload: "rcpt-50", a: nameSink, b: namePost, bound: 1, stretch: 1.2},
	{workload: "big-256k", a: nameSink, b: namePost, bound: 7, stretch: 11},
	{workload: "starttls-full", a: nameSink, b: nameGoTLS, bound: 0.95},
	{workload: "starttls-resumed", a: nameSink, b: nameGoTLS, bound: 0.95},
	{workload: "idle", a: nameSink, bound: kib, most: true, stretch: kib / 2},
	{workload: "accept", a: nameSink, b: nameCanned, bound: 1.2, most: true},
	{workload: "lateness", a: nameSink, bound: 2, most: true},
	{workload: "lateness", a: nameSink, bound: 2, most: true, idle: true},
	{workload: "delay-allocations", a: nameProbe, bound: 0.01, most: true},
	{workload: "allocations", a: nameProbe, bound: 0.01, most: true},
}

// Package fit tests drawn outcomes against the weights that they were drawn by: Pearson's chi-square test with Holm's correction over
// all rules, and an exact interval for each share.
//
// It knows counts and probabilities only; where they come from is its callers' business: the sink checks itself (package sink), and run
// records are judged (bench/stat). Distributions and quantiles are gonum's. Left out: everything about times.
package fit

import (
	"cmp"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// MinExpected is the smallest expected count of a cell in the chi-square test; smaller ones are merged (Cochran's rule).
const MinExpected = 5

// Alpha is the level at which a fit is rejected, after Holm's correction over all rules.
const Alpha = 0.001

// Confidence is that of the bounds of shares.
const Confidence = 0.95

// Interval is a closed range; a side without a bound is infinite.
type Interval struct {
	Lo float64 `json:"lo"`
	Hi float64 `json:"hi"`
}

// Rule is what a rule has drawn, by distinct keys: the repeats of a sticky draw are not independent, and don't belong here.
type Rule struct {
	Name, Stage string
	Outcomes    []Outcome
}

// Outcome is one outcome of a rule.
type Outcome struct {
	Label       string // such as "450 4.2.0"
	Probability float64
	Drawn       uint64
}

// Result is the goodness of fit of one rule's draws against its weights.
type Result struct {
	Rule  string `json:"rule"`
	Stage string `json:"stage"`
	N     uint64 `json:"draws"`
	Cells []Cell `json:"outcomes"` // as the rule lists them, never merged

	// Tested is false when no test applies; Reason says why.
	Tested    bool    `json:"tested"`
	Reason    string  `json:"reason,omitempty"`
	ChiSquare float64 `json:"-"` // infinite where something was drawn that can't be
	DF        int     `json:"-"`
	P         float64 `json:"-"`
	AdjustedP float64 `json:"p,omitempty"` // Holm's, over the tested rules
	Merged    int     `json:"-"`           // cells that were merged into others for the test
	// Rejected says that such counts would be very unlikely under the weights: AdjustedP is below Alpha.
	Rejected bool `json:"rejected,omitempty"`
}

// Cell is one outcome of a rule.
type Cell struct {
	Label       string   `json:"outcome"`
	Probability float64  `json:"planned"`
	Planned     float64  `json:"-"` // Probability x N
	Injected    uint64   `json:"-"`
	Share       float64  `json:"drawn"`
	Bounds      Interval `json:"bounds"` // Clopper-Pearson, at Confidence, of the share
}

// Test tests every rule.
func Test(rules []Rule) []Result {
	var out []Result
	for i := range rules {
		out = append(out, test(&rules[i]))
	}
	var ps []float64
	for i := range out {
		if out[i].Tested {
			ps = append(ps, out[i].P)
		}
	}
	adjusted := Holm(ps)
	for i := range out {
		if out[i].Tested {
			out[i].AdjustedP, adjusted = adjusted[0], adjusted[1:]
			out[i].Rejected = out[i].AdjustedP < Alpha
		}
	}
	return out
}

func test(r *Rule) Result {
	f := Result{Rule: r.Name, Stage: r.Stage}
	for _, o := range r.Outcomes {
		f.N += o.Drawn
	}
	var drawn, planned []float64
	impossible := false
	for _, o := range r.Outcomes {
		c := Cell{Label: o.Label, Probability: o.Probability, Planned: o.Probability * float64(f.N), Injected: o.Drawn}
		if f.N > 0 {
			c.Share = float64(o.Drawn) / float64(f.N)
		}
		c.Bounds = ClopperPearson(o.Drawn, f.N, Confidence)
		f.Cells = append(f.Cells, c)
		if o.Probability == 0 {
			impossible = impossible || o.Drawn > 0
			continue
		}
		drawn = append(drawn, float64(o.Drawn))
		planned = append(planned, c.Planned)
	}
	switch {
	case impossible:
		f.Tested, f.ChiSquare, f.P = true, math.Inf(1), 0
		f.DF = len(planned) - 1
		return f
	case len(planned) < 2:
		f.Reason = "a single outcome: nothing is drawn"
		return f
	}
	drawn, planned, f.Merged = mergeCells(drawn, planned)
	if len(planned) < 2 {
		f.Reason = "too few occurrences: fewer than two cells expect 5 or more"
		return f
	}
	f.Tested = true
	f.DF = len(planned) - 1
	f.ChiSquare, f.P = ChiSquare(drawn, planned)
	return f
}

// ChiSquare is Pearson's test of observed against expected counts, which must have the same sum; degrees of freedom are the number of
// cells minus one.
func ChiSquare(observed, expected []float64) (chi2, p float64) {
	chi2 = stat.ChiSquare(observed, expected)
	return chi2, distuv.ChiSquared{K: float64(len(observed) - 1)}.Survival(chi2)
}

// mergeCells merges the cells with the smallest expectation until each expects at least MinExpected.
func mergeCells(observed, expected []float64) (o, e []float64, merged int) {
	type pair struct{ o, e float64 }
	cells := make([]pair, len(observed))
	for i := range cells {
		cells[i] = pair{observed[i], expected[i]}
	}
	slices.SortStableFunc(cells, func(a, b pair) int { return cmp.Compare(a.e, b.e) })
	for len(cells) > 1 && cells[0].e < MinExpected {
		cells[1].o += cells[0].o
		cells[1].e += cells[0].e
		cells = cells[1:]
		merged++
		slices.SortStableFunc(cells, func(a, b pair) int { return cmp.Compare(a.e, b.e) })
	}
	for _, c := range cells {
		o, e = append(o, c.o), append(e, c.e)
	}
	return o, e, merged
}

// Holm adjusts p-values for the number of tests (Holm 1979), in their order.
func Holm(ps []float64) []float64 {
	order := make([]int, len(ps))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(ps[a], ps[b]) })
	out := make([]float64, len(ps))
	highest := 0.0
	for rank, i := range order {
		highest = math.Max(highest, math.Min(1, ps[i]*float64(len(ps)-rank)))
		out[i] = highest
	}
	return out
}

// ClopperPearson returns the exact interval of a proportion of which k of n were seen (Clopper and Pearson 1934): its coverage is never
// less than the confidence. No trials give [0, 1].
func ClopperPearson(k, n uint64, confidence float64) Interval {
	iv := Interval{0, 1}
	tail := (1 - confidence) / 2
	x, m := float64(k), float64(n)
	if n > 0 && k > 0 {
		iv.Lo = distuv.Beta{Alpha: x, Beta: m - x + 1}.Quantile(tail)
	}
	if n > 0 && k < n {
		iv.Hi = distuv.Beta{Alpha: x + 1, Beta: m - x}.Quantile(1 - tail)
	}
	return iv
}

package stat

import (
	"cmp"
	"math"
	"slices"
	"strconv"

	"github.com/smtpstorm/xk6-smtp/bench/result"
	gstat "gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// MinExpected is the smallest expected count of a cell in the chi-square test;
// smaller ones are merged (Cochran's rule).
const MinExpected = 5

// Alpha is the level at which a fit is rejected, after Holm's correction over
// all rules of a run.
const Alpha = 0.001

// Fit is the goodness of fit of one rule's draws against its weights.
type Fit struct {
	Rule  string
	Stage string
	N     uint64
	Cells []FitCell // as the rule lists its outcomes, never merged

	// Tested is false when no test applies; Reason says why.
	Tested    bool
	Reason    string
	ChiSquare float64
	DF        int
	P         float64
	AdjustedP float64 // Holm's, over the tested rules of the run
	Merged    int     // cells that were merged into others for the test
}

// FitCell is one outcome of a rule.
type FitCell struct {
	Label       string // "450 4.2.0", or "no reply"
	Probability float64
	Planned     float64 // Probability x N
	Injected    uint64
	Share       float64
	Bounds      Interval // Clopper-Pearson, 95 %, of the share
}

// Rejected says that such counts would be very unlikely under the weights.
func (f *Fit) Rejected() bool { return f.Tested && f.AdjustedP < Alpha }

// Fits tests every rule of a sink against its weights. Refusals by limits and
// plain replies are no draws and stay out. A rule with repeated draw keys is
// not tested: a sticky draw's repeats are not independent.
func Fits(s *result.Sink) []Fit {
	var out []Fit
	for i := range s.Rules {
		out = append(out, fit(&s.Rules[i]))
	}
	var ps []float64
	for _, f := range out {
		if f.Tested {
			ps = append(ps, f.P)
		}
	}
	adjusted := Holm(ps)
	for i := range out {
		if out[i].Tested {
			out[i].AdjustedP, adjusted = adjusted[0], adjusted[1:]
		}
	}
	return out
}

func fit(r *result.RuleCount) Fit {
	f := Fit{Rule: r.Name, Stage: r.Stage}
	for _, o := range r.Outcomes {
		f.N += o.Injected
	}
	var injected, planned []float64
	impossible := false
	for _, o := range r.Outcomes {
		c := FitCell{Label: outcomeLabel(o), Probability: o.Probability, Planned: o.Probability * float64(f.N), Injected: o.Injected}
		if f.N > 0 {
			c.Share = float64(o.Injected) / float64(f.N)
		}
		c.Bounds = ClopperPearson(o.Injected, f.N, 0.95)
		f.Cells = append(f.Cells, c)
		if o.Probability == 0 {
			impossible = impossible || o.Injected > 0
			continue
		}
		injected = append(injected, float64(o.Injected))
		planned = append(planned, c.Planned)
	}
	if impossible {
		f.Tested, f.ChiSquare, f.P = true, math.Inf(1), 0
		f.DF = len(planned) - 1
		return f
	}
	if r.Keys() < r.Occurrences {
		f.Reason = strconv.FormatUint(r.Occurrences-r.Keys(), 10) + " draws repeat a key (sticky): not independent"
		return f
	}
	if len(planned) < 2 {
		f.Reason = "a single outcome: nothing is drawn"
		return f
	}
	injected, planned, f.Merged = mergeCells(injected, planned)
	if len(planned) < 2 {
		f.Reason = "too few occurrences: fewer than two cells expect 5 or more"
		return f
	}
	f.Tested = true
	f.DF = len(planned) - 1
	f.ChiSquare, f.P = ChiSquareTest(injected, planned)
	return f
}

func outcomeLabel(o result.OutcomeCount) string {
	switch {
	case o.Code == 0:
		return "no reply"
	case o.Enhanced == "":
		return strconv.Itoa(o.Code)
	}
	return strconv.Itoa(o.Code) + " " + o.Enhanced
}

// ChiSquareTest is Pearson's test of observed against expected counts, which
// must have the same sum; degrees of freedom are the number of cells minus one.
func ChiSquareTest(observed, expected []float64) (chi2, p float64) {
	chi2 = gstat.ChiSquare(observed, expected)
	return chi2, distuv.ChiSquared{K: float64(len(observed) - 1)}.Survival(chi2)
}

// mergeCells merges the cells with the smallest expectation until each expects
// at least MinExpected.
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

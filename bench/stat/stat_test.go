package stat

import (
	"fmt"
	"math"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/count"
	"github.com/smtpstorm/xk6-smtp/sink/fit"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s: got %v, want %v +- %v", what, got, want, tolerance)
	}
}

// Ranks of the median are those of the classical table (Conover, Practical
// Nonparametric Statistics; also R's and Minitab's sign intervals). Those of the
// 90th percentile follow from the tables of the binomial distribution B(100, 0.9):
// F(83) = 0.0206 and F(95) = 0.9763.
func TestOrderStatisticsPublished(t *testing.T) {
	for _, tt := range []struct {
		n    uint64
		q    float64
		l, u uint64
	}{
		{5, 0.5, 0, 6}, // 5 values can't enclose a median at 95 %
		{6, 0.5, 1, 6},
		{10, 0.5, 2, 9},
		{20, 0.5, 6, 15},
		{50, 0.5, 18, 33},
		{100, 0.5, 40, 61},
		{100, 0.9, 84, 96},
	} {
		if l, u := OrderStatistics(tt.n, tt.q, 0.95); l != tt.l || u != tt.u {
			t.Errorf("q=%v of n=%d: got ranks %d..%d, want %d..%d", tt.q, tt.n, l, u, tt.l, tt.u)
		}
	}
}

// The four proportions of Newcombe, Statistics in Medicine 17 (1998) 857-872, table I.
func TestProportionIntervalsPublished(t *testing.T) {
	for _, tt := range []struct {
		k, n               uint64
		cpLo, cpHi, lo, hi float64
	}{
		{81, 263, 0.2527, 0.3676, 0.2553, 0.3662},
		{15, 148, 0.0578, 0.1617, 0.0624, 0.1605},
		{0, 20, 0, 0.1684, 0, 0.1611},
		{1, 29, 0.0009, 0.1776, 0.0061, 0.1718},
	} {
		name := fmt.Sprintf("%d/%d", tt.k, tt.n)
		cp, w := fit.ClopperPearson(tt.k, tt.n, 0.95), Wilson(tt.k, tt.n, 0.95)
		near(t, name+" Clopper-Pearson low", cp.Lo, tt.cpLo, 5e-5)
		near(t, name+" Clopper-Pearson high", cp.Hi, tt.cpHi, 5e-5)
		near(t, name+" Wilson low", w.Lo, tt.lo, 5e-5)
		near(t, name+" Wilson high", w.Hi, tt.hi, 5e-5)
	}
	if got := fit.ClopperPearson(0, 0, 0.95); got != (Interval{Lo: 0, Hi: 1}) {
		t.Errorf("no trials: got %v, want [0 1]", got)
	}
	near(t, "20/20 low", fit.ClopperPearson(20, 20, 0.95).Lo, 1-0.1684, 5e-5)
}

// Newcombe, Statistics in Medicine 17 (1998) 873-890, table II, method 10.
func TestProportionDifferencePublished(t *testing.T) {
	for _, tt := range []struct {
		kb, nb, ka, na uint64
		lo, hi         float64
	}{
		{56, 70, 48, 80, 0.0524, 0.3339},
		{9, 10, 3, 10, 0.1705, 0.8090},
		{6, 7, 2, 7, 0.0582, 0.8062},
		{5, 56, 0, 29, -0.0381, 0.1926},
		{0, 10, 0, 20, -0.1611, 0.2775},
	} {
		_, iv := ProportionDifference(tt.ka, tt.na, tt.kb, tt.nb, 0.95)
		name := fmt.Sprintf("%d/%d - %d/%d", tt.kb, tt.nb, tt.ka, tt.na)
		near(t, name+" low", iv.Lo, tt.lo, 5e-5)
		near(t, name+" high", iv.Hi, tt.hi, 5e-5)
	}
}

func rule(occurrences uint64, probability []float64, injected ...uint64) count.Rule {
	r := count.Rule{Name: "refusals", Stage: smtp.StageRcpt, Occurrences: occurrences}
	for i, n := range injected {
		r.Outcomes = append(r.Outcomes, count.Outcome{Code: []smtp.Code{250, 450, 550, 451}[i], Probability: probability[i], Injected: n})
	}
	return r
}

func TestFits(t *testing.T) {
	// 1,000 draws by 200 keys: one that was drawn against the odds came back 501 times.
	sticky := rule(1000, []float64{0.9, 0.1}, 480, 520)
	sticky.DistinctKeys, sticky.Outcomes[0].Distinct, sticky.Outcomes[1].Distinct = 200, 180, 20
	for name, tt := range map[string]struct {
		rule             count.Rule
		tested, rejected bool
		df, merged       int
	}{
		"as planned":                       {rule(1000, []float64{0.9, 0.07, 0.03}, 903, 68, 29), true, false, 2, 0},
		"89/8/3 against 90/7/3 at 100,000": {rule(100000, []float64{0.9, 0.07, 0.03}, 89000, 8000, 3000), true, true, 2, 0},
		"small cells are merged":           {rule(1000, []float64{0.98, 0.016, 0.003, 0.001}, 981, 15, 3, 1), true, false, 1, 2},
		"too few occurrences":              {rule(10, []float64{0.9, 0.1}, 9, 1), false, false, 0, 1},
		"a single outcome":                 {rule(1000, []float64{1}, 1000), false, false, 0, 0},
		"sticky repeats don't count":       {sticky, true, false, 1, 0},
		"a code of weight 0 was drawn":     {rule(1000, []float64{1, 0}, 999, 1), true, true, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			f := (&count.Counts{Rules: []count.Rule{tt.rule}}).Fits()[0]
			if f.Tested != tt.tested || f.Rejected != tt.rejected || f.DF != tt.df || f.Merged != tt.merged {
				t.Errorf("got tested %v (%s) rejected %v df %d merged %d p %v, want %+v", f.Tested, f.Reason, f.Rejected, f.DF, f.Merged, f.P, tt)
			}
			if !f.Tested && f.Reason == "" {
				t.Error("no test and no reason")
			}
		})
	}
}

func TestMinSamples(t *testing.T) {
	for q, want := range map[float64]uint64{0.5: 20, 0.9: 100, 0.95: 200, 0.99: 1000, 0.999: 10000, 1: 1} {
		if got := MinSamples(q); got != want {
			t.Errorf("p%v needs %d samples, want %d", 100*q, got, want)
		}
	}
}

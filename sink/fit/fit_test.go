package fit

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

// A rule of 90/7/3 that drew 89/8/3 in a hundred thousand is rejected; one that drew what was planned is not.
func TestRejects(t *testing.T) {
	rule := func(name string, drawn ...uint64) Rule {
		r := Rule{Name: name, Stage: "rcpt"}
		for i, p := range []float64{0.90, 0.07, 0.03} {
			r.Outcomes = append(r.Outcomes, Outcome{Label: []string{"250", "450", "550"}[i], Probability: p, Drawn: drawn[i]})
		}
		return r
	}
	results := Test([]Rule{rule("off", 89_000, 8_000, 3_000), rule("on", 90_050, 6_980, 2_970), rule("idle", 0, 0, 0)})
	for i, want := range []struct{ tested, rejected bool }{{true, true}, {true, false}, {false, false}} {
		if r := results[i]; r.Tested != want.tested || r.Rejected != want.rejected {
			t.Errorf("rule %s: tested is %t and rejected %t (p %g), want %t and %t", r.Rule, r.Tested, r.Rejected, r.AdjustedP, want.tested, want.rejected)
		}
	}
	if c := results[0].Cells[1]; math.Abs(c.Planned-7_000) > 1e-6 || c.Share != 0.08 || c.Bounds.Lo > 0.08 || c.Bounds.Hi < 0.08 || c.Bounds.Lo < 0.078 || c.Bounds.Hi > 0.082 {
		t.Errorf("cell %+v, want 7,000 planned and tight bounds around 0.08", c)
	}
}

func TestNotTested(t *testing.T) {
	for name, test := range map[string]struct {
		rule Rule
		says string
	}{
		"single": {Rule{Outcomes: []Outcome{{Probability: 1, Drawn: 50}}}, "a single outcome"},
		"few":    {Rule{Outcomes: []Outcome{{Probability: 0.5, Drawn: 3}, {Probability: 0.5, Drawn: 1}}}, "too few"},
	} {
		if r := Test([]Rule{test.rule})[0]; r.Tested || r.Rejected || !strings.Contains(r.Reason, test.says) {
			t.Errorf("%s: tested is %t, because %q; want not, because %q", name, r.Tested, r.Reason, test.says)
		}
	}
}

// What has no weight can't be drawn.
func TestImpossibleOutcome(t *testing.T) {
	r := Test([]Rule{{Outcomes: []Outcome{{Probability: 1, Drawn: 1000}, {Probability: 0, Drawn: 1}}}})[0]
	if !r.Rejected || !math.IsInf(r.ChiSquare, 1) {
		t.Errorf("a draw of an outcome of weight 0: %+v, want it rejected", r)
	}
}

// The intervals of Clopper and Pearson's paper, in its example: 3 of 10 at 95 %.
func TestClopperPearson(t *testing.T) {
	got := ClopperPearson(3, 10, 0.95)
	if math.Abs(got.Lo-0.0667) > 1e-4 || math.Abs(got.Hi-0.6525) > 1e-4 {
		t.Errorf("3 of 10: %v, want [0.0667, 0.6525]", got)
	}
	if got := ClopperPearson(0, 0, 0.95); got != (Interval{0, 1}) {
		t.Errorf("0 of 0: %v, want [0, 1]", got)
	}
}

// Mendel's round and wrinkled peas (5,474 : 1,850 against 3:1) and his dihybrid
// cross (315 : 108 : 101 : 32 against 9:3:3:1), as in every textbook.
func TestChiSquarePublished(t *testing.T) {
	chi2, p := ChiSquare([]float64{5474, 1850}, []float64{5493, 1831})
	near(t, "3:1 statistic", chi2, 0.2629, 1e-4)
	near(t, "3:1 p", p, 0.6081, 1e-4)
	chi2, p = ChiSquare([]float64{315, 108, 101, 32}, []float64{312.75, 104.25, 104.25, 34.75})
	near(t, "9:3:3:1 statistic", chi2, 0.4700, 1e-4)
	near(t, "9:3:3:1 p", p, 0.9254, 1e-4)
}

// Holm's procedure on the p-values of Wright (Biometrics 48, 1992), as R's
// p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm") gives it.
func TestHolmPublished(t *testing.T) {
	got := Holm([]float64{0.01, 0.04, 0.03, 0.005})
	for i, want := range []float64{0.03, 0.06, 0.06, 0.02} {
		near(t, fmt.Sprint("adjusted p ", i), got[i], want, 1e-12)
	}
}

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if math.Abs(got-want) > tolerance {
		t.Errorf("%s: got %v, want %v +- %v", what, got, want, tolerance)
	}
}

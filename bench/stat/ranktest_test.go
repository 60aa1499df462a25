package stat

import (
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"
)

func rankTest(t testing.TB, paired bool, a, b []float64) *RankTest {
	t.Helper()
	test := MannWhitney
	if paired {
		test = SignedRank
	}
	out, err := test(a, b)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestRanksAsR compares p, shift, interval and attained level with wilcox.test of R (testdata/ranks.R).
func TestRanksAsR(t *testing.T) {
	for _, v := range vectors(t, "ranks") {
		test := rankTest(t, v.is("paired", "TRUE"), v.numbers("a"), v.numbers("b"))
		iv := test.Interval(v.number("alpha"))
		v.expect("p", test.P)
		v.expect("shift", test.Shift)
		v.expect("lo", iv.Lo)
		v.expect("hi", iv.Hi)
		if v.is("r", "unattained") { // R tells the level only then, and rounds its complement to two digits
			if iv.Attained || math.Abs(iv.Level-v.number("level")) > 0.005*(1-iv.Level)*10 {
				t.Errorf("%s: level %v, attained %v; R has %v and says that it isn't attained", v.name(), iv.Level, iv.Attained, v.number("level"))
			}
		} else if !iv.Attained && iv.Level > 1-v.number("alpha") { // R lets a level pass that errs up to half as often again, such as 5 pairs' .9375; we don't
			t.Errorf("%s: level %v isn't attained, R says it is", v.name(), iv.Level)
		}
	}
}

// TestTiesAsCoin compares p in both directions and the interval with R's package coin (testdata/ties.R).
func TestTiesAsCoin(t *testing.T) {
	compared := 0
	for _, v := range vectors(t, "ties") {
		test := rankTest(t, v.is("paired", "TRUE"), v.numbers("a"), v.numbers("b"))
		v.expect("less", test.null.lower[test.statistic])
		v.expect("greater", test.null.upper[test.statistic])
		if test.A == test.B { // else coin's two-sided p is another one: by distance from the middle
			v.expect("p", test.P)
		}
		iv := test.Interval(v.number("alpha"))
		if _, ok := test.null.critical(v.number("alpha")); !ok || math.IsNaN(v.number("lo")) {
			continue // no labelling of these ties is rejected: coin gives what is left of the range, or nothing
		}
		compared++
		v.expect("lo", iv.Lo)
		v.expect("hi", iv.Hi)
		v.expect("shift", test.Shift)
	}
	if compared < 14 {
		t.Errorf("only %d intervals could be compared", compared)
	}
}

// TestExactByEnumeration compares the distributions with all splits and all signs, listed one by one.
func TestExactByEnumeration(t *testing.T) {
	const seed = 12
	r := rand.New(rand.NewPCG(seed, 1))
	for range 200 {
		a, b := draws(r, 1+r.IntN(6), 1+r.IntN(4)), draws(r, 1+r.IntN(6), 1+r.IntN(4))
		all := slices.Concat(a, b)
		u := func(chosen uint) (u float64) { // of the chosen as B
			for i, x := range all {
				for j, y := range all {
					if chosen>>i&1 == 1 && chosen>>j&1 == 0 {
						u += over(x - y)
					}
				}
			}
			return u
		}
		at, least, most, n := u((1<<len(b)-1)<<len(a)), 0, 0, 0
		for chosen := range uint(1) << len(all) {
			if bits.OnesCount(chosen) == len(b) {
				n++
				least += count01(u(chosen) <= at)
				most += count01(u(chosen) >= at)
			}
		}
		near(t, fmt.Sprintf("p of %v and %v (seed %d)", a, b, seed), rankTest(t, false, a, b).P, min(1, 2*float64(min(least, most))/float64(n)), 1e-12)
	}
	for range 200 {
		n := 1 + r.IntN(8)
		a, b := draws(r, n, 4), draws(r, n, 4)
		at, least, most := 0.0, 0, 0
		for signs := range 1 << n {
			var w float64 // Walsh averages above 0
			for i := range n {
				for j := range i + 1 {
					flip := func(k int) float64 { return (b[k] - a[k]) * float64(1-2*(signs>>k&1)) }
					if b[i] == a[i] && b[j] == a[j] {
						w += 0.5
					} else {
						w += over(flip(i) + flip(j))
					}
				}
			}
			if signs == 0 {
				at = w
			}
			least += count01(w <= at)
			most += count01(w >= at)
		}
		near(t, fmt.Sprintf("p of the pairs %v and %v (seed %d)", a, b, seed), rankTest(t, true, a, b).P, min(1, 2*float64(min(least, most))/float64(int(1)<<n)), 1e-12)
	}
}

// TestDecisionsNeverContradict holds p, direction and interval to each other at many levels, with and without ties, zeros and
// values that occur on both sides.
func TestDecisionsNeverContradict(t *testing.T) {
	const seed = 13
	r := rand.New(rand.NewPCG(seed, 1))
	decided, open := 0, 0
	for range 20_000 {
		paired := r.IntN(2) == 0
		n, grid := 1+r.IntN(8), []int{2, 3, 5, 20, 1000}[r.IntN(5)]
		a, b := draws(r, n, grid), draws(r, n, grid)
		if !paired && r.IntN(2) == 0 {
			b = draws(r, 1+r.IntN(8), grid)
		}
		for i := range b {
			b[i] += float64(r.IntN(grid))
		}
		test := rankTest(t, paired, a, b)
		for _, alpha := range []float64{0.2, 0.1, 0.05, 0.025, 0.05 / 3, 0.0125, test.P} {
			if alpha > 0.2 { // no interval worth the name
				continue
			}
			iv, direction := test.Interval(alpha), test.Direction(alpha)
			outside := 0
			if iv.Attained && iv.Excludes(0) {
				outside = 1
				if iv.Hi < 0 || iv.Hi == 0 && test.Superiority < 0.5 {
					outside = -1
				}
			}
			if direction != outside || (direction != 0) != (test.P <= alpha) {
				t.Fatalf("%v and %v (paired %v, seed %d): direction %d at %v, p %v, interval %+v", a, b, paired, seed, direction, alpha, test.P, iv)
			}
			if iv.Lo > test.Shift || iv.Hi < test.Shift || iv.Attained && iv.Level < 1-alpha-1e-9 {
				t.Fatalf("%v and %v (paired %v, seed %d): shift %v, interval %+v at %v", a, b, paired, seed, test.Shift, iv, alpha)
			}
			if direction != 0 {
				decided++
			}
			if iv.OpenLo && iv.Lo == 0 || iv.OpenHi && iv.Hi == 0 {
				open++
			}
		}
	}
	if decided < 1000 || open < 10 {
		t.Errorf("%d decisions, %d of them with a bound of 0: too few to show anything", decided, open)
	}
}

func TestRankTestsWithNever(t *testing.T) {
	inf := math.Inf(1)
	test := rankTest(t, false, []float64{1, 2, 3, 4, 5}, []float64{6, 7, 8, inf, inf})
	near(t, "p", test.P, 2.0/252, 1e-12)
	if test.HasShift() || !math.IsNaN(test.Shift) || test.Direction(0.05) != 1 || test.Superiority != 1 {
		t.Errorf("infinite values: shift %v, direction %d, superiority %v", test.Shift, test.Direction(0.05), test.Superiority)
	}
	test = rankTest(t, true, []float64{1, 2, 3, 4, 5, inf, 1}, []float64{6, 7, 8, inf, inf, inf, 2})
	near(t, "paired p: six differences of one sign, one of 0", test.P, 2.0/64, 1e-12)
	for _, bad := range [][]float64{nil, {math.NaN()}, {math.Inf(-1)}, make([]float64, MaxRuns+1)} {
		for _, good := range []bool{true, false} {
			a, b := []float64{1}, bad
			if good {
				a, b = b, a
			}
			if _, err := MannWhitney(a, b); err == nil {
				t.Errorf("MannWhitney(%v, %v): no error", a, b)
			}
		}
	}
	if _, err := SignedRank([]float64{1}, []float64{1, 2}); err == nil {
		t.Error("SignedRank of sides of different sizes: no error")
	}
}

func TestLevelsThatCantBeHad(t *testing.T) {
	test := rankTest(t, false, []float64{1, 2, 3, 4}, []float64{11, 12, 13, 14})
	if iv := test.Interval(0.0125); iv.Attained || iv.Lo != 7 || iv.Hi != 13 || math.Abs(iv.Level-0.9714) > 5e-5 || test.Direction(0.0125) != 0 {
		t.Errorf("4 a side at 0.0125: %+v, direction %d", iv, test.Direction(0.0125))
	}
	if iv := test.Interval(0.05); !iv.Attained || math.Abs(iv.Level-0.9714) > 5e-5 || test.Direction(0.05) != 1 {
		t.Errorf("4 a side at 0.05: %+v, direction %d", iv, test.Direction(0.05))
	}
	same := rankTest(t, false, []float64{5, 5, 5, 5, 5, 5}, []float64{5, 5, 5, 5, 5, 5})
	if iv := same.Interval(0.05); same.P != 1 || !iv.Attained || iv.Lo != 0 || iv.Hi != 0 || !iv.Within(-1, 1) || same.Direction(0.05) != 0 {
		t.Errorf("all values equal: p %v, %+v", same.P, iv)
	}
}

// A margin that the interval touches isn't rejected: that is not equivalent. Seen in calibration, where up to 14 of 100 were taken for it.
func TestWithinExcludesTheMargins(t *testing.T) {
	for _, tt := range []struct {
		iv   ShiftInterval
		want bool
	}{
		{ShiftInterval{Lo: -0.9, Hi: 0.9, Attained: true}, true},
		{ShiftInterval{Lo: -1, Hi: 0.9, Attained: true}, false},
		{ShiftInterval{Lo: -0.9, Hi: 1, Attained: true}, false},
		{ShiftInterval{Lo: -1, OpenLo: true, Hi: 1, OpenHi: true, Attained: true}, true},
		{ShiftInterval{Lo: -0.9, Hi: 1.1, Attained: true}, false},
		{ShiftInterval{Lo: -0.9, Hi: 0.9}, false}, // too few values for the level
	} {
		if got := tt.iv.Within(-1, 1); got != tt.want {
			t.Errorf("%+v within -1 to 1: %v", tt.iv, got)
		}
	}
	test := rankTest(t, false, []float64{1, 1, 2, 2, 2}, []float64{2, 2, 3, 3, 3}) // all rounded: the shift is the margin
	if iv := test.Interval(0.10); iv.Within(-1, 1) {
		t.Errorf("a shift of 1 is within 1: %+v", iv)
	}
}

// draws returns n values of 0 to grid-1.
func draws(r *rand.Rand, n, grid int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = float64(r.IntN(grid))
	}
	return out
}

func over(d float64) float64 {
	switch {
	case d > 0:
		return 1
	case d == 0:
		return 0.5
	}
	return 0
}

func count01(b bool) int {
	if b {
		return 1
	}
	return 0
}

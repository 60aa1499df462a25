package main

import (
	"math/rand/v2"
	"testing"
)

// simulated is a series of an hour, a value a second: AR(1) around a line, as memory is around what a program needs.
func simulated(random *rand.Rand, perHour, correlation float64) (hours, values []float64) {
	last := 0.0
	for i := range 3600 {
		last = correlation*last + random.NormFloat64()
		hours = append(hours, float64(i)/3600)
		values = append(values, 100+perHour*float64(i)/3600+last)
	}
	return hours, values
}

// TestSlopeOf: the interval has the true slope about as often as it says, although neighbouring values are alike, and finds a leak.
func TestSlopeOf(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, correlation := range []float64{0, 0.9, 0.99} {
		const runs = 2000
		covered, called := 0, 0
		for range runs {
			s, err := slopeOf(simulated(random, 3, correlation))
			if err != nil {
				t.Fatal(err)
			}
			if s.Low <= 3 && 3 <= s.High {
				covered++
			}
			flat, err := slopeOf(simulated(random, 0, correlation))
			if err != nil {
				t.Fatal(err)
			}
			if flat.grows() {
				called++
			}
		}
		// 2.5% would be called growing of independent values; at 0.99, where a block is 1.5 times as long as values remember, some more.
		if share := float64(covered) / runs; share < 0.88 {
			t.Errorf("correlation %v: the interval has the slope in %.1f%% of runs, want 95%% or nearly so", correlation, 100*share)
		}
		if share := float64(called) / runs; share > 0.06 {
			t.Errorf("correlation %v: %.1f%% of flat series are said to grow", correlation, 100*share)
		}
	}
	s, err := slopeOf(simulated(random, 20, 0.9))
	if err != nil || !s.grows() || s.PerHour < 18 || s.PerHour > 22 || s.Mean < 105 || s.Mean > 115 {
		t.Errorf("a leak of 20 an hour: %+v, %v", s, err)
	}
	if _, err := slopeOf(make([]float64, 2*blocks-1), make([]float64, 2*blocks-1)); err == nil {
		t.Error("a slope of too few values")
	}
	constant, err := slopeOf(simulated(rand.New(zero{}), 0, 0))
	if err != nil || constant.PerHour != 0 || constant.grows() {
		t.Errorf("a constant: %+v, %v", constant, err)
	}
}

// zero is a source whose normal numbers are all alike.
type zero struct{}

func (zero) Uint64() uint64 { return 0 }

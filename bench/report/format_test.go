package report

import (
	"math"
	"testing"
)

func TestPoints(t *testing.T) {
	for share, want := range map[float64]string{0: "+0.00", math.Copysign(0, -1): "+0.00", -0.000049: "+0.00", -0.00005: "-0.01", 0.2: "+20.00", -1: "-100.00", 0.00125: "+0.13"} {
		if got := points(share); got != want {
			t.Errorf("%g: %s, want %s", share, got, want)
		}
	}
	if got := points(math.NaN()); got != "NaN" && got != "+NaN" {
		t.Errorf("no number: %s", got)
	}
}

package compare

import (
	"fmt"
	"math"
)

// Options of a comparison. The zero value has the defaults.
type Options struct {
	Alpha       float64 `json:"alpha"`        // of the primary family as a whole, and of each exploratory row; 0: 0.05
	Margin      float64 `json:"margin"`       // what ratio of latencies doesn't matter: 0.05 is 1/1.05 to 1.05; 0: 0.05
	MarginShare float64 `json:"margin_share"` // what difference of shares doesn't matter; 0: 0.01, a point
	Seed        uint64  `json:"seed"`         // of permutations and resampling
	// Criteria are what --fail-on says: they are the primary family then.
	Criteria []Criterion `json:"-"`
	// Saturated lets a winner be named although a generator or a sink was saturated.
	Saturated bool `json:"saturated,omitempty"`
	// Progress, if set, is called between steps with what comes next.
	Progress func(step string) `json:"-"`
}

func (o Options) withDefaults() Options {
	def := func(v *float64, d float64) {
		if *v == 0 {
			*v = d
		}
	}
	def(&o.Alpha, 0.05)
	def(&o.Margin, 0.05)
	def(&o.MarginShare, 0.01)
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	return o
}

func (o Options) check() error {
	for _, x := range []struct {
		name   string
		v, max float64
	}{{"alpha", o.Alpha, 0.5}, {"margin", o.Margin, 10}, {"margin of shares", o.MarginShare, 1}} {
		if math.IsNaN(x.v) || x.v <= 0 || x.v > x.max {
			return fmt.Errorf("%s %v: want more than 0, at most %v", x.name, x.v, x.max)
		}
	}
	return nil
}

package fault

import (
	"fmt"
	"math"
	"time"
)

// MaxDelay is the longest delay: three times the longest timeout that RFC 5321 section 4.5.3.2 asks of a client (10 minutes after
// the final dot). Fixed delays and bounds above it are refused; draws from distributions without an upper bound are capped.
const MaxDelay = 30 * time.Minute

// DelayKind is the shape of a Delay.
type DelayKind uint8

// The shapes.
const (
	DelayNone        DelayKind = iota // no delay
	DelayFixed                        // always the same
	DelayUniform                      // evenly between two bounds
	DelayNormal                       // normal, truncated (not clamped) at 0
	DelayLognormal                    // lognormal: most real service times
	DelayExponential                  // exponential
	DelayPercentiles                  // a table of measured percentiles, linear in between
	DelayDoubling                     // twice as much at each level of a standing
	DelayHalving                      // half as much
	DelayPerLevel                     // as much again
)

var delayNames = [...]string{"none", "fixed", "uniform", "normal", "lognormal", "exponential", "percentiles", "doubling", "halving", "per-level"}

// distributions are those of them that depend on no level.
var distributions = delayNames[:DelayDoubling]

// String returns the name of the shape as ParseDelay reads it.
func (k DelayKind) String() string { return nameOf(delayNames[:], int(k)) }

// Delay is a distribution of delays. The zero value is no delay. It is immutable and may be shared.
type Delay struct {
	Kind DelayKind
	// fixed: A; uniform: A to B; normal: mean A, standard deviation B; lognormal: median A; exponential: mean A; by level: A at level 1, and at most
	// B, or with DelayHalving at least
	A, B time.Duration
	// Sigma is the lognormal's standard deviation of the logarithm; 0.5 puts p99 at 3.2 times the median, 1 at 10 times.
	Sigma float64
	// Table has the percentiles in rising order; the first is 0, the last is 100.
	Table []Percentile
}

// Percentile is one row of a percentile table: Percent (0 to 100) of the delays are at most Value.
type Percentile struct {
	Percent float64
	Value   time.Duration
}

// IsZero reports whether there is no delay.
func (d *Delay) IsZero() bool { return d.Kind == DelayNone }

// random reports whether the delay needs a draw.
func (d *Delay) random() bool { return d.Kind > DelayFixed && !d.Grows() }

// Grows reports whether the delay depends on the level of a standing: only rules of a reaction's treatment have one to go by.
func (d *Delay) Grows() bool { return d.Kind >= DelayDoubling }

// growth returns how it depends on the level.
func (d *Delay) growth() Growth {
	return Growth{Kind: GrowthDoubling + GrowthKind(d.Kind-DelayDoubling), First: float64(d.A), Bound: float64(d.B)}
}

// AtLevel returns the delay at a level of a standing, from 1 on, of one that grows.
func (d *Delay) AtLevel(level int) time.Duration { return limit(d.growth().At(max(level, 1))) }

// Validate returns an error that names the culprit when a parameter is out of range: durations from 0 to MaxDelay, bounds in
// order, sigma above 0 and at most 5, percentile tables that start at 0, end at 100 and never fall.
func (d *Delay) Validate() error {
	for _, v := range [...]time.Duration{d.A, d.B} {
		if err := checkDelay(v); err != nil {
			return err
		}
	}
	switch d.Kind {
	case DelayNone, DelayFixed:
	case DelayUniform:
		if d.B < d.A {
			return fmt.Errorf("uniform delay from %v to %v is empty (want the lower bound first)", d.A, d.B)
		}
	case DelayNormal:
		if d.B == 0 {
			return fmt.Errorf("normal delay has a standard deviation of 0 (want more, or fixed(%v))", d.A)
		}
	case DelayLognormal:
		if d.A == 0 {
			return fmt.Errorf("lognormal delay has a median of 0 (want more)")
		}
		if !(d.Sigma > 0 && d.Sigma <= 5) {
			return fmt.Errorf("lognormal delay has a sigma of %v (want above 0, at most 5)", d.Sigma)
		}
	case DelayExponential:
		if d.A == 0 {
			return fmt.Errorf("exponential delay has a mean of 0 (want more)")
		}
	case DelayPercentiles:
		return d.validateTable()
	case DelayDoubling, DelayHalving, DelayPerLevel:
		if d.A == 0 {
			return fmt.Errorf("%v delay begins at 0 (want more at level 1)", d.Kind)
		}
		return d.growth().validate()
	default:
		return fmt.Errorf("unknown delay kind %d", d.Kind)
	}
	return nil
}

func (d *Delay) validateTable() error {
	n := len(d.Table)
	if n < 2 || d.Table[0].Percent != 0 || d.Table[n-1].Percent != 100 {
		return fmt.Errorf("percentile table has no row for 100, or none besides it (want for example percentiles(50=20ms,99=1s,100=2s))")
	}
	for i, row := range d.Table {
		if err := checkDelay(row.Value); err != nil {
			return err
		}
		if i > 0 && (!(row.Percent > d.Table[i-1].Percent) || row.Value < d.Table[i-1].Value) {
			return fmt.Errorf("percentile table falls or repeats at %s=%v (want rising percentiles and values)", formatFloat(row.Percent), row.Value)
		}
	}
	return nil
}

func checkDelay(v time.Duration) error {
	if v < 0 || v > MaxDelay {
		return fmt.Errorf("delay %v is out of range (want 0s to %v)", v, MaxDelay)
	}
	return nil
}

// At returns the delay that a draw falls on, 0 to MaxDelay: the distribution's quantile at Uniform(draw), and of one that grows what it is at
// level 1. It does not allocate.
func (d *Delay) At(draw uint64) time.Duration {
	switch d.Kind {
	case DelayNone:
		return 0
	case DelayFixed, DelayDoubling, DelayHalving, DelayPerLevel:
		return d.A
	}
	// The centre of the draw's interval: never 0 and never 1, where the quantiles of unbounded distributions are infinite.
	return d.Quantile(Uniform(draw) + 0x1p-54)
}

// Quantile returns the value that a share p (above 0, below 1) of the delays stay below, capped at MaxDelay.
func (d *Delay) Quantile(p float64) time.Duration {
	a := float64(d.A)
	switch d.Kind {
	case DelayFixed, DelayDoubling, DelayHalving, DelayPerLevel:
		return d.A
	case DelayUniform:
		return limit(a + p*float64(d.B-d.A))
	case DelayNormal:
		// Truncation at 0: only the part of the distribution above 0 is drawn from. Counted from the upper tail, where p keeps its
		// digits even if nearly all of the mass lies below 0.
		above := math.Erfc(-a/(float64(d.B)*math.Sqrt2)) / 2
		return limit(a + float64(d.B)*math.Sqrt2*math.Erfcinv(2*(1-p)*above))
	case DelayLognormal:
		return limit(a * math.Exp(d.Sigma*math.Sqrt2*math.Erfinv(2*p-1)))
	case DelayExponential:
		return limit(-a * math.Log1p(-p))
	case DelayPercentiles:
		return d.tableQuantile(100 * p)
	}
	return 0
}

func (d *Delay) tableQuantile(percent float64) time.Duration {
	low := d.Table[0]
	for _, high := range d.Table[1:] {
		if percent <= high.Percent {
			share := (percent - low.Percent) / (high.Percent - low.Percent)
			return limit(float64(low.Value) + share*float64(high.Value-low.Value))
		}
		low = high
	}
	return low.Value
}

// limit rounds nanoseconds to a duration within 0 to MaxDelay.
func limit(ns float64) time.Duration {
	switch {
	case ns >= float64(MaxDelay):
		return MaxDelay
	case ns > 0:
		return time.Duration(math.Round(ns))
	}
	return 0
}

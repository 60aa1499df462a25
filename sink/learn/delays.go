package learn

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
)

// Delays are percentiles of how long something took, in rising order. They are empty when there is nothing to tell.
type Delays []fault.Percentile

// fewDelays is how many measurements percentiles need.
const fewDelays = 20

// newDelays takes milliseconds, which it sorts.
func newDelays(ms []int32) Delays {
	if len(ms) < fewDelays {
		return nil
	}
	slices.Sort(ms)
	at := func(percent float64) time.Duration {
		i := min(int(percent/100*float64(len(ms))), len(ms)-1)
		return min(rounded(time.Duration(ms[i])*time.Millisecond), fault.MaxDelay)
	}
	percents := []float64{10, 50, 90, 100}
	if len(ms) >= 10*fewDelays {
		percents = []float64{10, 50, 90, 99, 100}
	}
	var d Delays
	for _, percent := range percents {
		d = append(d, fault.Percentile{Percent: percent, Value: at(percent)})
	}
	return d
}

// rounded keeps two digits: logs have hardly more.
func rounded(d time.Duration) time.Duration {
	unit := time.Millisecond
	for d >= 100*unit {
		unit *= 10
	}
	return d.Round(unit)
}

func (d Delays) at(percent float64) time.Duration {
	for _, p := range d {
		if p.Percent == percent {
			return p.Value
		}
	}
	return 0
}

// shortDelay is what is left out: every server takes as long.
const shortDelay = 10 * time.Millisecond

// String writes them as plans do; empty when they are too short to matter.
func (d Delays) String() string {
	if len(d) == 0 || d[len(d)-1].Value < shortDelay {
		return ""
	}
	var words []string
	for _, p := range d {
		words = append(words, fmt.Sprintf("%v=%v", p.Percent, p.Value))
	}
	return "percentiles(" + strings.Join(words, ",") + ")"
}

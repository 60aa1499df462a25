package fault

import (
	"math"
	"strings"
	"testing"
)

// FuzzScalars: what flags and plans write in one word or call is understood, and then written and understood the same, or one line says why not.
func FuzzScalars(f *testing.F) {
	for _, seed := range []string{"20ms", "uniform(5ms,50ms)", "normal(100ms,20ms)", "lognormal(200ms,0.5)", "exponential(1s)", "percentiles(0=1ms,50=20ms,99=1s,100=2s)", "uniform(", "1e309s", "percentiles(100=NaN)",
		"3", "1-3", "4-", "0-", "18446744073709551615", "20/s", "600/m", "inf/s", "40kbit/s", "33.6kbit/s", "4KiB/s", "1B/s", "450", "550/5.7.1", "550/none", "plain", "clock", "2026-03-01T08:00:00Z"} {
		f.Add(seed)
	}
	line := func(t *testing.T, err error) {
		if strings.ContainsAny(err.Error(), "\r\n") {
			t.Errorf("more than a line: %q", err)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		if d, err := ParseDelay(text); err != nil {
			line(t, err)
		} else if again, err := ParseDelay(d.String()); err != nil || again.String() != d.String() {
			t.Errorf("delay %q is written %q, and then %q, %v", text, d, again, err)
		}
		if r, err := ParseRange(text); err != nil {
			line(t, err)
		} else if again, err := ParseRange(r.String()); err != nil || again != r {
			t.Errorf("range %q is written %q, and then %v, %v", text, r, again, err)
		}
		if rate, err := ParseRate(text); err != nil {
			line(t, err)
		} else if !(rate > 0) || math.IsInf(rate, 0) {
			t.Errorf("rate %q is %v a second", text, rate)
		}
		if rate, err := ParseByteRate(text); err != nil {
			line(t, err)
		} else if again, err := ParseByteRate(rate.String()); err != nil || again != rate {
			t.Errorf("rate %q of octets is written %q, and then %v, %v", text, rate, again, err)
		}
		if o, err := ParseReply(text); err != nil {
			line(t, err)
		} else if o.Weight != 1 {
			t.Errorf("reply %q has the weight %v", text, o.Weight)
		}
		if _, err := ParseStart(text); err != nil {
			line(t, err)
		}
	})
}

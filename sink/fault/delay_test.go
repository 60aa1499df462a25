package fault

import (
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseDelay(t *testing.T) {
	for _, c := range []struct{ in, want string }{ // want: String, or the start of an error after "invalid delay ...: "
		{"20ms", "20ms"},
		{"fixed(20ms)", "20ms"},
		{" 1.5s ", "1.5s"},
		{"none", "none"},
		{"0s", "none"},
		{"uniform(5ms,50ms)", "uniform(5ms,50ms)"},
		{"uniform( 5ms , 50ms )", "uniform(5ms,50ms)"},
		{"normal(100ms,20ms)", "normal(100ms,20ms)"},
		{"lognormal(200ms,0.5)", "lognormal(200ms,0.5)"},
		{"exponential(100ms)", "exponential(100ms)"},
		{"percentiles(50=20ms,99.9=1s,100=2s)", "percentiles(0=0s,50=20ms,99.9=1s,100=2s)"},
		{"percentiles(0=1ms,100=2s)", "percentiles(0=1ms,100=2s)"},
		{"30m", "30m0s"},

		{"", `error no duration or distribution "" (valid: 20ms, fixed(20ms), uniform(`},
		{"soon", `error no duration or distribution "soon" (valid: 20ms`},
		{"20", `error no duration or distribution "20" (valid:`},
		{"gamma(1s)", `error unknown distribution "gamma" (valid: fixed uniform normal lognormal exponential percentiles)`},
		{"uniform(5ms,50ms", "error no closing parenthesis"},
		{"uniform(5ms)", "error 1 parameters (want 2)"},
		{"uniform(50ms,5ms)", "error uniform delay from 50ms to 5ms is empty"},
		{"-5ms", "error delay -5ms is out of range (want 0s to 30m0s)"},
		{"31m", "error delay 31m0s is out of range"},
		{"normal(1s,0s)", "error normal delay has a standard deviation of 0"},
		{"lognormal(1s,x)", `error invalid number "x"`},
		{"lognormal(1s,NaN)", "error lognormal delay has a sigma of NaN"},
		{"lognormal(1s,0)", "error lognormal delay has a sigma of 0"},
		{"exponential(0s)", "error exponential delay has a mean of 0"},
		{"percentiles(50=20ms)", "error percentile table has no row for 100"},
		{"percentiles(100)", `error no duration or distribution ""`},
		{"percentiles(101=1s)", `error invalid percentile "101=1s"`},
		{"percentiles(50=2s,100=1s)", "error percentile table falls or repeats at 100=1s"},
		{"percentiles(50=1s,50=1s,100=2s)", "error percentile table falls or repeats at 50=1s"},
	} {
		d, err := ParseDelay(c.in)
		got := d.String()
		if err != nil {
			_, reason, _ := strings.Cut(err.Error(), ": ")
			got = "error " + reason
			if !strings.HasPrefix(c.want, "error ") || !strings.HasPrefix(got, c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("delay %q: %v, want %s", c.in, err, c.want)
			}
			continue
		}
		if got != c.want {
			t.Errorf("delay %q is read as %s, want %s", c.in, got, c.want)
		}
		if again, err := ParseDelay(got); err != nil || again.String() != got {
			t.Errorf("delay %q doesn't survive its own String: %v, %v", got, again, err)
		}
	}
}

func TestQuantiles(t *testing.T) {
	for _, c := range []struct {
		delay string
		p     float64
		want  time.Duration
	}{
		{"20ms", 0.5, 20 * time.Millisecond},
		{"uniform(10ms,20ms)", 0.25, 12500 * time.Microsecond},
		{"normal(100ms,20ms)", 0.841344746, 120 * time.Millisecond},
		{"lognormal(200ms,0.5)", 0.5, 200 * time.Millisecond},
		{"lognormal(100ms,1)", 0.99, 1024047 * time.Microsecond},
		{"exponential(100ms)", 1 - 1/math.E, 100 * time.Millisecond},
		{"percentiles(50=20ms,100=40ms)", 0.75, 30 * time.Millisecond},
		{"percentiles(50=20ms,100=40ms)", 0.25, 10 * time.Millisecond},
	} {
		d, err := ParseDelay(c.delay)
		if err != nil {
			t.Fatal(err)
		}
		if got := d.Quantile(c.p); (got - c.want).Abs() > time.Microsecond {
			t.Errorf("%s: quantile %v is %v, want %v", c.delay, c.p, got, c.want)
		}
	}
}

// TestDelayIsBounded: whatever is drawn from whatever is valid lies within 0 and MaxDelay, and rises with the draw.
func TestDelayIsBounded(t *testing.T) {
	durations := rapid.Map(rapid.Int64Range(0, int64(MaxDelay)), func(n int64) time.Duration { return time.Duration(n) })
	rapid.Check(t, func(t *rapid.T) {
		d := Delay{
			Kind:  DelayKind(rapid.IntRange(0, int(DelayPercentiles)).Draw(t, "kind")),
			A:     durations.Draw(t, "a"),
			B:     durations.Draw(t, "b"),
			Sigma: rapid.Float64Range(0, 5).Draw(t, "sigma"),
			Table: []Percentile{{0, 0}, {50, durations.Draw(t, "median")}, {100, MaxDelay}},
		}
		if d.Validate() != nil {
			return
		}
		last := time.Duration(0)
		for _, draw := range []uint64{0, 1, 1 << 40, 1 << 63, math.MaxUint64 - 1, math.MaxUint64} {
			got := d.At(draw)
			if got < 0 || got > MaxDelay {
				t.Fatalf("%v: draw %#x gives %v, want 0 to %v", d, draw, got, MaxDelay)
			}
			if got < last {
				t.Fatalf("%v: draw %#x gives %v, less than the draw before it, %v", d, draw, got, last)
			}
			last = got
		}
	})
}

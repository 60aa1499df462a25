package report

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/compare"
	"github.com/smtpstorm/xk6-smtp/bench/stat"
	"github.com/smtpstorm/xk6-smtp/sink/text"
)

// count writes a whole number in groups of thousands.
func count(n uint64) string { return text.Count(n) }

// millis writes a time with three significant digits: 0.412, 4.12, 41.2, 412, 4,120.
func millis(v float64) string {
	sign := ""
	if v < 0 {
		sign, v = "-", -v
	}
	switch {
	case math.IsInf(v, 0):
		return sign + "∞"
	case v == 0:
		return "0"
	case v < 0.9995:
		return sign + strconv.FormatFloat(v, 'f', 3, 64)
	case v < 9.995:
		return sign + strconv.FormatFloat(v, 'f', 2, 64)
	case v < 99.95:
		return sign + strconv.FormatFloat(v, 'f', 1, 64)
	}
	return sign + text.Group(strconv.FormatFloat(v, 'f', 0, 64))
}

// signed is millis with a sign always.
func signed(v float64) string {
	if v >= 0 && millis(v) != "0" {
		return "+" + millis(v)
	}
	return millis(v)
}

// percentile writes a value, "> max" when dropped iterations hide it, and
// "-" without samples.
func percentile(p compare.Percentile, n uint64) string {
	switch {
	case n == 0:
		return "-"
	case p.Beyond:
		return "> max"
	}
	return millis(p.Value)
}

func interval(iv *stat.Interval, f func(float64) string) string {
	if iv == nil {
		return ""
	}
	return "[" + f(iv.Lo) + ", " + f(iv.Hi) + "]"
}

// change writes the difference relative to the first run: "+12.3%", and "~"
// where the within-run interval contains 0.
func change(d compare.Difference) string {
	if !d.Known || d.A.Value <= 0 {
		return ""
	}
	if d.Within != nil && d.Within.Lo <= 0 && d.Within.Hi >= 0 {
		return "~"
	}
	pct := 100 * d.Delta / d.A.Value
	if math.Abs(pct) >= 1000 {
		return "×" + factor(d.B.Value/d.A.Value)
	}
	return fmt.Sprintf("%+.1f%%", pct)
}

func pValue(p float64) string {
	if p < 0.001 {
		return fmt.Sprintf("%.1e", p)
	}
	return strconv.FormatFloat(p, 'f', 3, 64)
}

func share(v float64) string { return strconv.FormatFloat(100*v, 'f', 2, 64) + " %" }

// expected writes a planned count: a decimal only when it isn't whole.
func expected(v float64) string {
	if r := math.Round(v); math.Abs(v-r) < 0.05 {
		return text.Group(strconv.FormatFloat(r, 'f', 0, 64))
	}
	whole, frac := math.Modf(math.Round(v*10) / 10)
	return text.Group(strconv.FormatFloat(whole, 'f', 0, 64)) + strconv.FormatFloat(frac, 'f', 1, 64)[1:]
}

func bytesText(n int64) string {
	switch {
	case n <= 0:
		return ""
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d B", n)
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

// factor writes a ratio of more than ten with three significant digits, those beyond a thousand in full: 11.2, 461, 1,040.
func factor(v float64) string {
	if v < 1000 {
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
	unit := math.Pow(10, math.Floor(math.Log10(v))-2)
	return text.Group(strconv.FormatFloat(math.Round(v/unit)*unit, 'f', 0, 64))
}

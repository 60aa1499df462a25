package plot

import (
	"math"
	"slices"
	"strconv"

	gplot "gonum.org/v1/plot"
)

// nines maps a quantile to -log10(1-q): 0 for p0, 1 for p90, 2 for p99, 3 for
// p99.9. On it the tail gets as much room as the body: HdrHistogram's axis.
func nines(q float64) float64 { return -math.Log10(1 - q) }

// percentileTicks labels an axis of nines.
func percentileTicks(_, hi float64) []gplot.Tick {
	ticks := []gplot.Tick{{Value: 0, Label: "0"}, {Value: nines(0.5), Label: "50"}}
	label := "90"
	for n := 1; float64(n) <= hi+1e-9; n++ {
		ticks = append(ticks, gplot.Tick{Value: float64(n), Label: label})
		switch n {
		case 1:
			label = "99"
		case 2:
			label = "99.9"
		default:
			label += "9"
		}
	}
	return ticks
}

// logTicks labels 1, 2 and 5 of each decade, only the powers of ten when that
// would be more than ten labels.
func logTicks(lo, hi float64) []gplot.Tick {
	steps := []float64{1, 2, 5}
	if math.Log10(hi/lo) > 3.2 {
		steps = steps[:1]
	}
	var ticks []gplot.Tick
	for e := math.Floor(math.Log10(lo)); e <= math.Ceil(math.Log10(hi)); e++ {
		for _, s := range steps {
			v := s * math.Pow(10, e)
			if v >= lo*(1-1e-9) && v <= hi*(1+1e-9) {
				ticks = append(ticks, gplot.Tick{Value: v, Label: number(v)})
			}
		}
	}
	return ticks
}

// linearTicks labels about six round values.
func linearTicks(lo, hi float64) []gplot.Tick {
	step := math.Pow(10, math.Floor(math.Log10((hi-lo)/5)))
	for _, m := range []float64{1, 2, 5, 10} {
		if (hi-lo)/(step*m) <= 6 {
			step *= m
			break
		}
	}
	var ticks []gplot.Tick
	for i := int(math.Ceil(lo/step - 1e-9)); float64(i)*step <= hi+step*1e-9; i++ {
		v := float64(i) * step
		ticks = append(ticks, gplot.Tick{Value: v, Label: number(v)})
	}
	return ticks
}

// number writes a value with at most four significant digits below a
// thousand, and as a whole number in groups of thousands from there on.
func number(v float64) string {
	if math.Abs(v) >= 1000 {
		s := strconv.FormatFloat(math.Round(v), 'f', 0, 64)
		for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
			s = s[:i] + "," + s[i:]
		}
		return s
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

// logRange widens a positive range to the next 1, 2 or 5 on both sides.
func logRange(lo, hi float64) (float64, float64) {
	const slack = 1e-9 // powers of ten are not exact
	from := math.Pow(10, math.Floor(math.Log10(lo)))
	for _, m := range []float64{5, 2} {
		if from*m <= lo*(1+slack) {
			from *= m
			break
		}
	}
	decade := math.Pow(10, math.Floor(math.Log10(hi)))
	for _, m := range []float64{1, 2, 5, 10} {
		if decade*m >= hi*(1-slack) {
			return from, decade * m
		}
	}
	return from, decade * 10
}

func logAxis(a *gplot.Axis, lo, hi float64) {
	a.Min, a.Max = logRange(lo, hi)
	if a.Max <= a.Min {
		a.Max = a.Min * 10
	}
	a.Scale = gplot.LogScale{}
	a.Tick.Marker = gplot.TickerFunc(logTicks)
}

func linearAxis(a *gplot.Axis, hi float64) {
	a.Min, a.Max = 0, hi*1.05
	if hi <= 0 {
		a.Max = 1
	}
	a.Scale = gplot.LinearScale{}
	a.Tick.Marker = gplot.TickerFunc(linearTicks)
}

// Alike gives charts that stand side by side the same axes, so that equal heights mean equal values: the widest of them. Nil and
// empty charts are left as they are. The charts must be of one kind.
func Alike(charts ...*Chart) {
	charts = slices.DeleteFunc(slices.Clone(charts), func(c *Chart) bool { return c == nil || c.empty })
	if len(charts) < 2 {
		return
	}
	x, y := charts[0].plot.X, charts[0].plot.Y
	for _, c := range charts[1:] {
		x.Min, x.Max = min(x.Min, c.plot.X.Min), max(x.Max, c.plot.X.Max)
		y.Min, y.Max = min(y.Min, c.plot.Y.Min), max(y.Max, c.plot.Y.Max)
	}
	for _, c := range charts {
		c.plot.X.Min, c.plot.X.Max, c.plot.Y.Min, c.plot.Y.Max = x.Min, x.Max, y.Min, y.Max
	}
}

package plot

import (
	"math"

	"github.com/smtpstorm/xk6-smtp/bench/result"
	gplot "gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg/draw"
)

// Curve is one run's distribution of a latency.
type Curve struct {
	Name string
	Hist *result.Histogram
	// Seen is the share of all values that were measured, the rest being slower than those: it cuts the curve. 0 means 1.
	Seen float64
	// Style chooses colour and dash; runs keep theirs over all charts.
	Style int
}

// floorMillis stands for zero on a logarithmic axis of milliseconds.
const floorMillis = 0.001

// Percentiles draws latency over the percentile: x is spaced by 1/(1-p) so that
// the tail has room, y is logarithmic. The maximum of n values, whose place would be
// infinitely far right, stands at 1-1/(2n).
func Percentiles(name, title string, curves []Curve) *Chart {
	c := newChart(name, title, "percentile", "latency (ms)")
	c.addGrid()
	lo, hi, right := math.Inf(1), 0.0, 1.0
	for _, curve := range curves {
		pts := curvePoints(curve)
		if len(pts) == 0 {
			continue
		}
		for _, p := range pts {
			hi, right = math.Max(hi, p.Y), math.Max(right, p.X)
		}
		// The fastest hundredth would take half of the axis: let it leave below.
		lo = math.Min(lo, math.Max(curve.Hist.Quantile(0.01), floorMillis))
		c.addLine(curve.Name, pts, curve.Style)
	}
	if c.empty = hi == 0; c.empty {
		lo, hi = 1, 10
	}
	c.plot.X.Min, c.plot.X.Max = 0, right
	c.plot.X.Tick.Marker = gplot.TickerFunc(percentileTicks)
	logAxis(&c.plot.Y, lo, hi)
	return c
}

// curvePoints thins a curve to what the eye can tell apart: points closer than
// a three-hundredth of a nine and with the same latency are left out.
func curvePoints(curve Curve) plotter.XYs {
	n := float64(curve.Hist.Count())
	end := nines(1 - 0.5/math.Max(n, 1))
	if curve.Seen > 0 && curve.Seen < 1 {
		end = math.Min(end, nines(curve.Seen))
	}
	var pts plotter.XYs
	add := func(x, y float64) {
		pts = append(pts, plotter.XY{X: x, Y: math.Max(y, floorMillis)})
	}
	lastX, lastY := 0.0, 0.0
	for i, p := range curve.Hist.Curve() {
		if curve.Seen > 0 && curve.Seen < 1 {
			p.Quantile *= curve.Seen // of all, and not of those that were measured
		}
		if i == 0 {
			add(0, p.Millis)
			lastY = p.Millis
		}
		x := end
		if p.Quantile < 1 {
			x = nines(p.Quantile)
		}
		if x >= end {
			add(end, p.Millis)
			break
		}
		if x-lastX > 1.0/300 || p.Millis > 1.02*lastY {
			add(x, p.Millis)
			lastX, lastY = x, p.Millis
		}
	}
	return pts
}

// Line is one quantity over time.
type Line struct {
	Name    string
	Seconds []float64 // since the run began, ascending
	Values  []float64 // NaN interrupts the line
	Style   int
}

// OverTime draws lines over the seconds since each run began. A logarithmic
// axis suits latencies; zero or less can't be shown on it and interrupts a line.
// The spans are shaded behind the lines.
func OverTime(name, title, yLabel string, logarithmic bool, lines []Line, spans ...Span) *Chart {
	return Over("seconds since the run began", name, title, yLabel, logarithmic, lines, spans...)
}

// Over is OverTime for seconds, or whatever else Line.Seconds holds, of another beginning: xLabel says which.
func Over(xLabel, name, title, yLabel string, logarithmic bool, lines []Line, spans ...Span) *Chart {
	c := newChart(name, title, xLabel, yLabel)
	if len(spans) > 0 {
		c.plot.Add(&shades{spans: spans, label: text.Style{Color: ink, Font: sans(fontSize - 2), Handler: c.plot.TextHandler, YAlign: draw.YTop}})
	}
	c.addGrid()
	lo, hi, right := math.Inf(1), 0.0, 0.0
	for _, l := range lines {
		named := l.Name
		for _, part := range segments(l, logarithmic) {
			for _, p := range part {
				lo, hi, right = math.Min(lo, p.Y), math.Max(hi, p.Y), math.Max(right, p.X)
			}
			c.addLine(named, part, l.Style)
			named = ""
		}
	}
	c.empty = right == 0 && hi == 0
	linearAxis(&c.plot.X, right/1.05)
	if logarithmic && hi > 0 {
		logAxis(&c.plot.Y, lo, hi)
	} else {
		if len(spans) > 0 {
			hi *= 1.06 // room for their names above the lines
		}
		linearAxis(&c.plot.Y, hi)
	}
	return c
}

func segments(l Line, logarithmic bool) []plotter.XYs {
	var out []plotter.XYs
	var part plotter.XYs
	for i, v := range l.Values {
		if math.IsNaN(v) || logarithmic && v <= 0 {
			if len(part) > 0 {
				out, part = append(out, part), nil
			}
			continue
		}
		part = append(part, plotter.XY{X: l.Seconds[i], Y: v})
	}
	if len(part) > 0 {
		out = append(out, part)
	}
	return out
}

// addLine draws points; a name puts the line among the keys.
func (c *Chart) addLine(name string, pts plotter.XYs, style int) {
	line := &plotter.Line{XYs: pts, LineStyle: lineStyle(style)}
	c.plot.Add(line)
	if name != "" {
		c.keys = append(c.keys, key{name, line})
	}
}

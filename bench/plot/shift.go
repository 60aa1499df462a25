package plot

import (
	"math"

	gplot "gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Shift is one point of a shift function, in milliseconds.
type Shift struct{ Percentile, Value, Lo, Hi float64 }

// ShiftFunction draws B-A over the percentile, with a band and a line at 0.
func ShiftFunction(name, title string, points []Shift) *Chart {
	c := newChart(name, title, "percentile", "B-A (ms)")
	c.addGrid()
	c.empty = len(points) == 0
	lo, hi := 0.0, 0.0
	var line plotter.XYs
	for _, p := range points {
		lo, hi = math.Min(lo, p.Lo), math.Max(hi, p.Hi)
		line = append(line, plotter.XY{X: p.Percentile, Y: p.Value})
	}
	if lo == hi {
		lo, hi = -1, 1
	}
	room := (hi - lo) * 0.06
	c.plot.X.Min, c.plot.X.Max = 5, 95
	c.plot.Y.Min, c.plot.Y.Max = lo-room, hi+room
	c.plot.X.Tick.Marker = gplot.TickerFunc(linearTicks)
	c.plot.Y.Tick.Marker = gplot.TickerFunc(linearTicks)
	c.plot.Add(&bars{points})
	zero := &plotter.Line{XYs: plotter.XYs{{X: 5, Y: 0}, {X: 95, Y: 0}}, LineStyle: draw.LineStyle{Color: ink, Width: vg.Points(1)}}
	c.plot.Add(zero)
	if len(line) > 0 {
		c.addLine("shift, with its simultaneous band", line, 0)
	}
	return c
}

// bars draws the band as a bar at each point.
type bars struct{ points []Shift }

// Plot implements gonum's Plotter.
func (b *bars) Plot(c draw.Canvas, p *gplot.Plot) {
	x, y := p.Transforms(&c)
	style := draw.LineStyle{Color: palette(0), Width: vg.Points(1.2)}
	for _, s := range b.points {
		at, lo, hi := x(s.Percentile), y(s.Lo), y(s.Hi)
		c.StrokeLine2(style, at, lo, at, hi)
		for _, end := range []vg.Length{lo, hi} {
			c.StrokeLine2(style, at-3, end, at+3, end)
		}
	}
}

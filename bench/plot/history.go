package plot

import (
	"math"

	gplot "gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// History draws one value a run, in their order from 1, with a line at each change and at the level between changes.
// A change is the index of the first value after it; levels has one more than there are changes.
func History(name, title, yLabel string, values []float64, changes []int, levels []float64) *Chart {
	c := newChart(name, title, "run", yLabel)
	c.addGrid()
	c.empty = len(values) == 0
	hi := 0.0
	var points plotter.XYs
	for i, v := range values {
		hi = math.Max(hi, v)
		points = append(points, plotter.XY{X: float64(i + 1), Y: v})
	}
	linearAxis(&c.plot.X, float64(len(values)+1)/1.05)
	linearAxis(&c.plot.Y, hi)
	c.plot.X.Tick.Marker = gplot.TickerFunc(linearTicks)
	if c.empty {
		return c
	}
	c.addLine("value of a run", points, 0)
	from := 0
	for i, level := range levels {
		to := len(values)
		if i < len(changes) {
			to = changes[i]
			x := float64(to) + 0.5
			c.plot.Add(&plotter.Line{XYs: plotter.XYs{{X: x, Y: 0}, {X: x, Y: c.plot.Y.Max}}, LineStyle: draw.LineStyle{Color: palette(1), Width: vg.Points(1), Dashes: dashes(2)}})
		}
		c.plot.Add(&plotter.Line{XYs: plotter.XYs{{X: float64(from) + 0.5, Y: level}, {X: float64(to) + 0.5, Y: level}}, LineStyle: draw.LineStyle{Color: palette(1), Width: vg.Points(2)}})
		from = to
	}
	return c
}

package plot

import (
	"image/color"
	"math"

	gplot "gonum.org/v1/plot"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Cell is a part of a heat map: From and To are seconds, Lo and Hi milliseconds, Share of the fullest cell of its time, in (0, 1].
type Cell struct{ From, To, Lo, Hi, Share float64 }

// Heat draws how latencies are distributed over the seconds since the runs began: the darker, the more. The spans are shaded behind it.
func Heat(name, title string, cells []Cell, spans ...Span) *Chart {
	c := newChart(name, title, "seconds since the run began", "latency (ms)")
	if len(spans) > 0 {
		c.plot.Add(&shades{spans: spans, label: text.Style{Color: ink, Font: sans(fontSize - 2), Handler: c.plot.TextHandler, YAlign: draw.YTop}})
	}
	c.addGrid()
	lo, hi, right := math.Inf(1), 0.0, 0.0
	for _, x := range cells {
		lo, hi, right = math.Min(lo, x.Lo), math.Max(hi, x.Hi), math.Max(right, x.To)
	}
	if c.empty = len(cells) == 0; c.empty {
		lo, hi = 1, 10
	}
	linearAxis(&c.plot.X, right/1.05)
	logAxis(&c.plot.Y, math.Max(lo, floorMillis), hi)
	c.plot.Add(heat(cells))
	return c
}

// heat draws cells in one colour of more or less opacity.
type heat []Cell

// Plot implements gonum's Plotter.
func (h heat) Plot(c draw.Canvas, p *gplot.Plot) {
	x, y := p.Transforms(&c)
	blue := palette(0)
	for _, cell := range h {
		lo, hi := math.Max(cell.Lo, p.Y.Min), math.Min(cell.Hi, p.Y.Max)
		if lo >= hi {
			continue
		}
		// A square root, so that a few slow ones are seen beside many fast ones.
		alpha := 0.12 + 0.88*math.Sqrt(math.Min(cell.Share, 1))
		c.SetColor(color.NRGBA{blue.R, blue.G, blue.B, uint8(math.Round(255 * alpha))})
		c.Fill(vg.Rectangle{Min: vg.Point{X: x(cell.From), Y: y(lo)}, Max: vg.Point{X: x(cell.To), Y: y(hi)}}.Path())
	}
}

package plot

import (
	"image/color"
	"math"

	gplot "gonum.org/v1/plot"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// CodeBar is one reply code of a stage.
type CodeBar struct {
	Label    string // "450 4.2.0"
	Planned  float64
	Injected float64
	Observed float64
}

func (b CodeBar) counts() [3]float64 { return [...]float64{b.Planned, b.Injected, b.Observed} }

const (
	barHeight = vg.Length(8.5)
	barGap    = vg.Length(4)
	barsTop   = vg.Length(62) // keys, axis and its label
	// labelSlack keeps labels off the bars where a viewer's font is wider than
	// the one they were measured with.
	labelSlack = "     "
)

// Codes draws three bars for each code of one stage: what the plan's weights
// lead to expect, what the sink injected, what the client observed. Each bar
// carries its count, since rare codes make short bars. A count that is NaN was
// not taken and has no bar.
func Codes(name, title string, codes []CodeBar) *Chart {
	c := newChart(name, title, "replies", "")
	c.addGrid()
	group := 3*barHeight + barGap*2
	c.height = barsTop + group*vg.Length(max(len(codes), 1))
	names := [...]string{"planned", "injected", "observed"}
	hi := 0.0
	var counted [3]bool
	var ticks []gplot.Tick
	bars := &codeBars{codes: codes, label: text.Style{Color: ink, Font: sans(fontSize - 2), Handler: c.plot.TextHandler, YAlign: draw.YCenter}}
	for i, b := range codes {
		for j, v := range b.counts() {
			if !math.IsNaN(v) {
				hi, counted[j] = max(hi, v), true
			}
		}
		ticks = append(ticks, gplot.Tick{Value: float64(len(codes) - 1 - i), Label: b.Label + labelSlack})
	}
	c.plot.Add(bars)
	for i, n := range names {
		if counted[i] {
			c.keys = append(c.keys, key{n, swatch{barColour(i)}})
		}
	}
	c.empty = hi == 0
	linearAxis(&c.plot.X, hi*1.09) // room for the count behind the longest bar
	c.plot.Y.Min, c.plot.Y.Max = -0.5, max(float64(len(codes))-0.5, 0.5)
	c.plot.Y.Tick.Marker = gplot.ConstantTicks(ticks)
	c.plot.Y.Tick.Length = 0
	return c
}

func barColour(i int) color.RGBA { return palette([...]int{Planned, AtSink, AtClient}[i]) }

type codeBars struct {
	codes []CodeBar
	label text.Style
}

// Plot implements gonum's Plotter.
func (b *codeBars) Plot(c draw.Canvas, p *gplot.Plot) {
	x, y := p.Transforms(&c)
	for i, code := range b.codes {
		mid := y(float64(len(b.codes) - 1 - i))
		for j, v := range code.counts() {
			if math.IsNaN(v) {
				continue
			}
			top := mid + barHeight*(1.5-vg.Length(j))
			c.SetColor(barColour(j))
			r := vg.Rectangle{Min: vg.Point{X: x(0), Y: top - barHeight + 0.6}, Max: vg.Point{X: x(v), Y: top}}
			c.Fill(r.Path())
			c.FillText(b.label, vg.Point{X: x(v) + 3, Y: top - barHeight/2}, number(v))
		}
	}
}

type swatch struct{ colour color.Color }

// Thumbnail implements gonum's Thumbnailer.
func (s swatch) Thumbnail(c *draw.Canvas) {
	c.SetColor(s.colour)
	c.Fill(vg.Rectangle{Min: vg.Point{X: c.Min.X + 10, Y: c.Min.Y}, Max: c.Max}.Path())
}

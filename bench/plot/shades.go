package plot

import (
	"image/color"

	gplot "gonum.org/v1/plot"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Span is a time that has a name, such as a phase of a storm.
type Span struct {
	Name     string
	From, To float64 // seconds since the run began
}

// shades draw spans from the bottom to the top of a chart, each second one darker, with their names where there is room.
type shades struct {
	spans []Span
	label text.Style
}

// Plot implements gonum's Plotter.
func (s *shades) Plot(c draw.Canvas, p *gplot.Plot) {
	x, _ := p.Transforms(&c)
	for i, span := range s.spans {
		from, to := x(max(span.From, p.X.Min)), x(min(span.To, p.X.Max))
		if to <= from {
			continue
		}
		c.SetColor(color.NRGBA{0x80, 0x80, 0x80, uint8(0x18 + 0x18*(i%2))}) // #nosec G115 -- one of two
		c.Fill(vg.Rectangle{Min: vg.Point{X: from, Y: c.Min.Y}, Max: vg.Point{X: to, Y: c.Max.Y}}.Path())
		if s.label.Width(span.Name)+6 <= to-from {
			c.FillText(s.label, vg.Point{X: from + 3, Y: c.Max.Y - 2}, span.Name)
		}
	}
}

package plot

import (
	"bytes"
	"fmt"
	"image/color"
	"io"
	"strings"

	gplot "gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// ink and rule are the colours of text, axes and grid lines. They occur nowhere
// else, so that Inline can leave them to the page's style sheet.
var (
	ink  = color.RGBA{0x1b, 0x1b, 0x1f, 0xff}
	rule = color.RGBA{0xdc, 0xdc, 0xe2, 0xff}
)

// palette is Okabe and Ito's, without black and yellow, and with two more. A colour has one meaning in all charts: the first four are
// those of runs, the others of who counted.
func palette(i int) color.RGBA {
	colours := [...]color.RGBA{
		{0x00, 0x72, 0xb2, 0xff}, // blue
		{0xd5, 0x5e, 0x00, 0xff}, // vermilion
		{0x00, 0x9e, 0x73, 0xff}, // bluish green
		{0xcc, 0x79, 0xa7, 0xff}, // reddish purple
		{0xe6, 0x9f, 0x00, 0xff}, // orange
		{0x56, 0xb4, 0xe9, 0xff}, // sky blue
		{0x8a, 0x8f, 0x99, 0xff}, // grey
		{0xc2, 0x49, 0x7a, 0xff}, // rose
	}
	return colours[i%len(colours)]
}

func dashes(i int) []vg.Length {
	patterns := [...][]vg.Length{nil, {6, 3}, {2, 2}, {8, 2, 2, 2}}
	return patterns[i%len(patterns)]
}

func lineStyle(i int) draw.LineStyle {
	return draw.LineStyle{Color: palette(i), Width: vg.Points(1.6), Dashes: dashes(i)}
}

// Colour returns the i-th colour of all charts in CSS's notation, so that a
// page can name a run in the colour of its lines.
func Colour(i int) string {
	c := palette(i)
	return fmt.Sprintf("#%02x%02x%02x", c.R, c.G, c.B)
}

// Styles of what was counted, whatever the run.
const (
	AtSink    = 4 + iota // injected replies, attempts
	AtClient             // observed replies, what was sent
	Planned              // what the plan's weights lead to expect
	Delivered            // first acceptances
)

// Chart is one drawing.
type Chart struct {
	// Name is fit for a file name; Title for a heading.
	Name, Title   string
	plot          *gplot.Plot
	keys          []key
	width, height vg.Length
	empty         bool
}

// Empty says that there was nothing to draw.
func (c *Chart) Empty() bool { return c.empty }

type key struct {
	name  string
	thumb gplot.Thumbnailer
}

const (
	chartWidth  = vg.Length(460)
	chartHeight = vg.Length(270)
	keyStrip    = vg.Length(20)
	titleStrip  = vg.Length(22)
	fontSize    = vg.Length(9.5)
	bold        = 3 // WeightBold of golang.org/x/image/font
)

func newChart(name, title, x, y string) *Chart {
	p := gplot.New()
	p.BackgroundColor = nil
	for _, a := range []*gplot.Axis{&p.X, &p.Y} {
		a.LineStyle.Color, a.Tick.LineStyle.Color = ink, ink
		a.Label.TextStyle.Font, a.Tick.Label.Font = sans(fontSize), sans(fontSize-1)
		a.Label.TextStyle.Color, a.Tick.Label.Color = ink, ink
		a.Label.Padding = vg.Points(4)
		a.Tick.Length = vg.Points(4)
		a.Padding = 0
	}
	p.X.Label.Text, p.Y.Label.Text = x, y
	return &Chart{Name: name, Title: title, plot: p, width: chartWidth, height: chartHeight}
}

func sans(size vg.Length) font.Font {
	return font.Font{Typeface: "Liberation", Variant: "Sans", Size: size}
}

func (c *Chart) addGrid() {
	g := plotter.NewGrid()
	g.Vertical.Color, g.Horizontal.Color = rule, rule
	g.Vertical.Width, g.Horizontal.Width = vg.Points(0.5), vg.Points(0.5)
	c.plot.Add(g)
}

// draw puts the keys in a strip above the plot, where they hide no data.
func (c *Chart) draw(dst draw.Canvas) {
	dst = draw.Crop(dst, vg.Points(2), -vg.Points(10), vg.Points(2), -vg.Points(2))
	style := text.Style{Color: ink, Font: sans(fontSize), Handler: c.plot.TextHandler, YAlign: draw.YCenter}
	at := vg.Point{X: dst.Min.X + vg.Points(6), Y: dst.Max.Y - keyStrip/2}
	const thumb = vg.Length(24)
	for _, k := range c.keys {
		box := draw.Canvas{Canvas: dst.Canvas, Rectangle: vg.Rectangle{
			Min: vg.Point{X: at.X, Y: at.Y - 4}, Max: vg.Point{X: at.X + thumb, Y: at.Y + 4},
		}}
		k.thumb.Thumbnail(&box)
		dst.FillText(style, vg.Point{X: at.X + thumb + 5, Y: at.Y}, k.name)
		at.X += thumb + 5 + style.Width(k.name) + 16
	}
	c.plot.Draw(draw.Crop(dst, 0, 0, 0, -keyStrip))
}

// drawWithTitle draws a chart that stands alone, on a white ground.
func (c *Chart) drawWithTitle(dst draw.Canvas) {
	dst.SetColor(color.White)
	dst.Fill(dst.Rectangle.Path())
	style := text.Style{Color: ink, Font: sans(fontSize + 1.5), Handler: c.plot.TextHandler, YAlign: draw.YCenter}
	style.Font.Weight = bold
	dst.FillText(style, vg.Point{X: dst.Min.X + 8, Y: dst.Max.Y - titleStrip/2 - 2}, c.Title)
	c.draw(draw.Crop(dst, 0, 0, 0, -titleStrip))
}

// SVG writes the chart with its title on a white ground.
func (c *Chart) SVG(w io.Writer) error {
	svg := vgsvg.New(c.width, c.height+titleStrip)
	c.drawWithTitle(draw.New(svg))
	_, err := svg.WriteTo(w)
	return err
}

// PNG writes the chart with its title on a white ground at 192 dots per inch.
func (c *Chart) PNG(w io.Writer) error {
	img := vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(c.width, c.height+titleStrip), vgimg.UseDPI(192))}
	c.drawWithTitle(draw.New(img))
	_, err := img.WriteTo(w)
	return err
}

// Inline returns an <svg> element for a page: without title and ground, as wide as its
// container, with ink in the page's text colour, the grid in --grid and blue,
// which is dim on a dark page, in --blue.
func (c *Chart) Inline() (string, error) {
	svg := vgsvg.New(c.width, c.height)
	c.draw(draw.New(svg))
	var b bytes.Buffer
	if _, err := svg.WriteTo(&b); err != nil {
		return "", err
	}
	_, body, ok := strings.Cut(b.String(), "<g ")
	if !ok {
		return "", fmt.Errorf("chart %s: the SVG writer changed its output", c.Name)
	}
	body = strings.NewReplacer(hex(ink), "currentColor", hex(rule), "var(--grid)", hex(palette(0)), "var(--blue)").Replace(body)
	return fmt.Sprintf("<svg viewBox=\"0 0 %g %g\" xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" aria-label=\"%s\">\n<g %s",
		c.width.Points(), c.height.Points(), escape(c.Title), body), nil
}

func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&#34;").Replace(s)
}

func hex(c color.RGBA) string { return fmt.Sprintf("#%02X%02X%02X", c.R, c.G, c.B) }

package main

import (
	"fmt"
	"image/color"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Okabe and Ito's colours, which stay apart for colour-blind eyes.
var colours = []color.RGBA{{0, 114, 178, 255}, {213, 94, 0, 255}, {0, 158, 115, 255}, {204, 121, 167, 255}, {86, 180, 233, 255}, {230, 159, 0, 255}, {120, 120, 120, 255}}

// plots draws a chart per workload that compares servers: each round a point, the median a bar's end with its interval.
func (r *record) plots(dir string) error {
	for _, o := range r.Outcomes {
		if len(o.Samples) == 0 || len(o.Servers) < 2 {
			continue
		}
		if err := o.plot(filepath.Join(dir, o.Workload+".svg")); err != nil {
			return fmt.Errorf("plot of %s: %w", o.Workload, err)
		}
	}
	return r.plotRatios(filepath.Join(dir, "ratios.svg"))
}

// intervals are medians with their bounds, in plotter's terms.
type intervals struct {
	plotter.XYs
	plotter.XErrors
}

func (o *outcome) plot(path string) error {
	p := newPlot(o.Title)
	p.X.Label.Text = o.Unit + " (bar: median, with its interval; points: rounds)"
	p.Add(plotter.NewGrid())
	var names []string
	var points plotter.XYs
	for i := len(o.Servers) - 1; i >= 0; i-- {
		var values []float64
		y := float64(len(names))
		for _, v := range o.values(o.Servers[i]) {
			values = append(values, v)
			points = append(points, plotter.XY{X: v, Y: y})
		}
		if len(values) == 0 {
			continue
		}
		names = append(names, o.Servers[i])
		e := estimateOf(values)
		c := colours[max(slices.Index(rivals, o.Servers[i]), 0)%len(colours)]
		bar, err := plotter.NewLine(plotter.XYs{{X: 0, Y: y}, {X: e.Median, Y: y}})
		if err != nil {
			return err
		}
		bar.Width, bar.Color = vg.Points(14), c
		p.Add(bar)
		if err := addIntervals(p, intervals{plotter.XYs{{X: e.Median, Y: y}}, plotter.XErrors{{Low: e.Lo - e.Median, High: e.Hi - e.Median}}}, color.Black); err != nil {
			return err
		}
	}
	dots, err := plotter.NewScatter(points)
	if err != nil {
		return err
	}
	dots.Shape, dots.Radius, dots.Color = draw.CircleGlyph{}, vg.Points(1.5), color.Gray{80}
	p.Add(dots)
	p.NominalY(names...)
	p.X.Min, p.X.Max = 0, 1.05*greatest(points)
	p.Y.Min, p.Y.Max = -0.5, float64(len(names))-0.5
	return p.Save(20*vg.Centimeter, vg.Length(len(names)+2)*1.1*vg.Centimeter, path)
}

// newPlot returns a plot with room at its edges.
func newPlot(title string) *plot.Plot {
	p := plot.New()
	p.BackgroundColor = color.White
	p.Title.Text = title
	p.Title.TextStyle.Font.Size = vg.Points(12)
	p.Title.Padding = vg.Points(6)
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Label.TextStyle.Font.Size = vg.Points(10)
		axis.Padding = vg.Points(8)
	}
	return p
}

func greatest(points plotter.XYs) (x float64) {
	for _, p := range points {
		x = max(x, p.X)
	}
	return x
}

func addIntervals(p *plot.Plot, in intervals, c color.Color) error {
	bars, err := plotter.NewXErrorBars(in)
	if err != nil {
		return err
	}
	bars.Color, bars.Width = c, vg.Points(1.2)
	p.Add(bars)
	return nil
}

// plotRatios draws the targets that are ratios: measured, with interval, beside the bound.
func (r *record) plotRatios(path string) error {
	p := newPlot("Ratios measured in one run, with intervals; crosses are the targets")
	p.X.Label.Text = "times the other"
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.TickerFunc(ratioTicks)
	p.Add(plotter.NewGrid())
	var names []string
	var bounds plotter.XYs
	least, most := 0.5, 2.0
	for i := len(targets) - 1; i >= 0; i-- {
		t := &targets[i]
		e, v := t.judge(r.outcome(t.workload))
		if t.b == "" || v == verdictUnknown || e.Lo <= 0 {
			continue
		}
		y := float64(len(names))
		names = append(names, fmt.Sprintf("%s: %s / %s", t.workload, t.a, t.b))
		bounds = append(bounds, plotter.XY{X: t.bound, Y: y})
		least, most = min(least, e.Lo, t.bound), max(most, e.Hi, t.bound)
		c := colours[2]
		if v != verdictMet {
			c = colours[1]
		}
		if err := addIntervals(p, intervals{plotter.XYs{{X: e.Median, Y: y}}, plotter.XErrors{{Low: e.Lo - e.Median, High: e.Hi - e.Median}}}, c); err != nil {
			return err
		}
		median, err := plotter.NewScatter(plotter.XYs{{X: e.Median, Y: y}})
		if err != nil {
			return err
		}
		median.Shape, median.Radius, median.Color = draw.CircleGlyph{}, vg.Points(4), c
		p.Add(median)
	}
	if len(names) == 0 {
		return nil
	}
	marks, err := plotter.NewScatter(bounds)
	if err != nil {
		return err
	}
	marks.Shape, marks.Radius = draw.CrossGlyph{}, vg.Points(5)
	p.Add(marks)
	p.NominalY(names...)
	p.X.Min, p.X.Max = least*0.9, most*1.15
	p.Y.Min, p.Y.Max = -0.5, float64(len(names))-0.5
	return p.Save(20*vg.Centimeter, vg.Length(len(names)+3)*0.9*vg.Centimeter, path)
}

// ratioTicks labels a logarithmic axis of ratios at 1, 2, 5, 10 and so on.
func ratioTicks(lo, hi float64) (ticks []plot.Tick) {
	for decade := math.Pow(10, math.Floor(math.Log10(lo))); decade <= hi; decade *= 10 {
		for _, m := range []float64{1, 2, 5} {
			if v := m * decade; v >= lo && v <= hi {
				ticks = append(ticks, plot.Tick{Value: v, Label: fmt.Sprintf("%g", math.Round(v*1e6)/1e6)})
			}
		}
	}
	return ticks
}

// plotCurve draws one quantity over another; each round is a point, the line goes through the medians.
func (c *curve) plot(path string) error {
	p := newPlot(c.Title)
	p.X.Label.Text, p.Y.Label.Text = c.X, c.Y
	p.Add(plotter.NewGrid())
	var points, medians plotter.XYs
	most := 0.0
	for _, at := range c.Points {
		x := at.X
		if c.Logarithmic {
			x = max(x, c.floor()) // zero has no place on this axis
		}
		for _, v := range at.Values {
			points = append(points, plotter.XY{X: x, Y: v})
			most = max(most, v)
		}
		medians = append(medians, plotter.XY{X: x, Y: at.Estimate.Median})
	}
	if len(medians) == 0 {
		return nil
	}
	line, err := plotter.NewLine(medians)
	if err != nil {
		return err
	}
	line.Color, line.Width = colours[0], vg.Points(1.5)
	dots, err := plotter.NewScatter(points)
	if err != nil {
		return err
	}
	dots.Shape, dots.Radius, dots.Color = draw.CircleGlyph{}, vg.Points(2), colours[1]
	p.Add(line, dots)
	p.Y.Min, p.Y.Max = 0, most*1.1
	if c.Logarithmic {
		p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.TickerFunc(ratioTicks)
	}
	return p.Save(16*vg.Centimeter, 10*vg.Centimeter, path)
}

// floor is where zero stands on a logarithmic axis: a step below the least other value.
func (c *curve) floor() float64 {
	least := math.Inf(1)
	for _, at := range c.Points {
		if at.X > 0 {
			least = min(least, at.X)
		}
	}
	if math.IsInf(least, 1) {
		return 1
	}
	return least / 2
}

func fileName(s string) string { return strings.ReplaceAll(s, " ", "-") }

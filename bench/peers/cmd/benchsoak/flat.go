package main

import (
	"fmt"
	"math"
)

// blocks is how many parts of equal length a series is cut into before a line is laid through their means.
const blocks = 24

// slope is how fast a figure grew, with its 95% interval.
type slope struct {
	Mean        float64 `json:"mean"`
	PerHour     float64 `json:"per_hour"`
	Low         float64 `json:"low"` // of the interval, per hour
	High        float64 `json:"high"`
	Correlation float64 `json:"correlation"` // of what is left of neighbouring blocks
	Blocks      int     `json:"blocks"`
}

// slopeOf lays a line through a series by least squares, after its values have been averaged in blocks of equal length: values a second
// apart tell nearly the same, a garbage collection ago, so that they would make an interval that is far too narrow. Where what is left of
// neighbouring blocks still is alike (its correlation r is positive), n blocks tell as much as n (1-r)/(1+r) of independent ones, and the
// standard error is widened accordingly. The interval is Student's at n-2 degrees of freedom.
func slopeOf(hours, values []float64) (slope, error) {
	if len(values) < 2*blocks || len(hours) != len(values) {
		return slope{}, fmt.Errorf("%d values are too few for a slope (want %d)", len(values), 2*blocks)
	}
	x, y := blockMeans(hours), blockMeans(values)
	n := float64(blocks)
	mx, my := mean(x), mean(y)
	var sxx, sxy float64
	for i := range x {
		sxx += (x[i] - mx) * (x[i] - mx)
		sxy += (x[i] - mx) * (y[i] - my)
	}
	b := sxy / sxx
	var rss, lag float64
	var last float64
	for i := range x {
		left := y[i] - my - b*(x[i]-mx)
		rss += left * left
		if i > 0 {
			lag += left * last
		}
		last = left
	}
	r := 0.0
	if rss > 0 {
		r = lag / rss
	}
	widen := 1.0
	if r > 0 {
		widen = math.Sqrt((1 + r) / (1 - r))
	}
	half := student22 * widen * math.Sqrt(rss/(n-2)/sxx)
	return slope{Mean: my, PerHour: b, Low: b - half, High: b + half, Correlation: r, Blocks: blocks}, nil
}

// student22 is the 97.5% quantile of Student's distribution with blocks-2 degrees of freedom.
const student22 = 2.0739

// grows reports whether the figure is certain to have grown. One that has certainly shrunk is no leak.
func (s *slope) grows() bool { return s.Low > 0 }

func blockMeans(values []float64) []float64 {
	out := make([]float64, blocks)
	for i := range out {
		out[i] = mean(values[i*len(values)/blocks : (i+1)*len(values)/blocks])
	}
	return out
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

package report

import (
	"math"
	"slices"
	"strings"

	"github.com/smtpstorm/xk6-smtp/bench/compare"
	"github.com/smtpstorm/xk6-smtp/bench/plot"
	"github.com/smtpstorm/xk6-smtp/bench/result"
)

// ComparisonCharts returns every chart of a comparison that has something to show, with names fit for files.
func ComparisonCharts(c Comparison) []*plot.Chart {
	all := slices.Concat(comparedCurves(c), shiftCharts(c), comparedTimes(c))
	return slices.DeleteFunc(all, func(c *plot.Chart) bool { return c == nil || c.Empty() })
}

// comparedCurves draws the percentile curves of what both sides measured, the runs of a side merged.
func comparedCurves(c Comparison) []*plot.Chart {
	var keys []compare.Key
	for _, row := range c.Rows {
		if key := row.Measure.Key; key.Metric != "" && !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	var out []*plot.Chart
	for _, key := range keys {
		var curves []plot.Curve
		for i, s := range c.sides() {
			merged, unseen := &result.Histogram{}, uint64(0)
			for _, run := range s.All {
				merged.Merge(run.Histogram(key))
				unseen += run.Unseen(key)
			}
			if n := merged.Count(); n > 0 {
				curves = append(curves, plot.Curve{Name: s.Label, Hist: merged, Seen: float64(n) / float64(n+unseen), Style: i})
			}
		}
		if len(curves) > 0 {
			out = append(out, plot.Percentiles(chartName("curve", key), key.String(), curves))
		}
	}
	return out
}

func chartName(kind string, key compare.Key) string {
	name := kind + "-" + key.Metric
	if key.Outcome != compare.Any {
		name += "-" + strings.ReplaceAll(string(key.Outcome), " ", "-")
	}
	return name
}

func shiftCharts(c Comparison) []*plot.Chart {
	var out []*plot.Chart
	for _, f := range c.Shifts {
		var points []plot.Shift
		for _, d := range f.Deciles {
			points = append(points, plot.Shift{Percentile: 100 * d.Q, Value: d.Shift, Lo: d.Lo, Hi: d.Hi})
		}
		out = append(out, plot.ShiftFunction(chartName("shift", f.Key), f.Key.String(), points))
	}
	return out
}

// comparedTimes draws latency and outcomes over time, a side after the other, on the same axes.
func comparedTimes(c Comparison) []*plot.Chart {
	var out []*plot.Chart
	classes := mostFrequent(c.Errors)
	for _, draw := range []func(s *compare.SideInfo) *plot.Chart{heatOf, outcomesOf, func(s *compare.SideInfo) *plot.Chart { return codesOf(s, classes) }} {
		var sides []*plot.Chart
		for _, s := range c.sides() {
			sides = append(sides, draw(s))
		}
		plot.Alike(sides...)
		out = append(out, sides...)
	}
	return out
}

// mostSlots is into how many slots the time of a run is put at most.
const mostSlots = 60

// slots sums the windows of a side's runs up by the time since each began. Nil: there are none.
func slots(s *compare.SideInfo) (sums []compare.Slice, length float64) {
	end := 0.0
	for _, run := range s.All {
		for _, w := range run.Slices {
			end, length = max(end, w.Seconds+w.Length/2), max(length, w.Length)
		}
	}
	if length <= 0 {
		return nil, 0
	}
	length *= math.Ceil(end / length / mostSlots)
	sums = make([]compare.Slice, int(math.Ceil(end/length-1e-9)))
	for i := range sums {
		sums[i] = compare.Slice{Seconds: (float64(i) + 0.5) * length, Length: length, ByOutcome: map[compare.Outcome]uint64{}, Cells: map[int]uint64{}, Errors: map[compare.Class]float64{}}
	}
	for _, run := range s.All {
		for _, w := range run.Slices {
			sum := &sums[min(int(w.Seconds/length), len(sums)-1)]
			for o, n := range w.ByOutcome {
				sum.ByOutcome[o] += n
			}
			for k, n := range w.Cells {
				sum.Cells[k] += n
			}
			for class, n := range w.Errors {
				sum.Errors[class] += n
			}
			sum.Lost += w.Lost
		}
	}
	return sums, length
}

// heatOf draws how the accepted messages' durations are distributed over time.
func heatOf(s *compare.SideInfo) *plot.Chart {
	sums, length := slots(s)
	if sums == nil {
		return nil
	}
	var cells []plot.Cell
	for _, sum := range sums {
		most := uint64(0)
		for _, n := range sum.Cells {
			most = max(most, n)
		}
		for k, n := range sum.Cells {
			cells = append(cells, plot.Cell{From: sum.Seconds - length/2, To: sum.Seconds + length/2, Lo: compare.CellFloor(k), Hi: compare.CellFloor(k + 1), Share: float64(n) / float64(most)})
		}
	}
	slices.SortFunc(cells, func(a, b plot.Cell) int {
		switch {
		case a.From != b.From && a.From < b.From, a.From == b.From && a.Lo < b.Lo:
			return -1
		}
		return 1
	})
	return plot.Heat("heat-"+s.Name, "Durations of accepted messages over time: "+s.Label, cells, spansOf(s)...)
}

// outcomesOf draws the shares of the outcomes over time.
func outcomesOf(s *compare.SideInfo) *plot.Chart {
	sums, _ := slots(s)
	if sums == nil {
		return nil
	}
	lines := []plot.Line{{Name: "accepted", Style: 2}, {Name: "deferred", Style: 4}, {Name: "bounced", Style: 1}, {Name: "no reply", Style: 6}}
	for _, sum := range sums {
		counts := []uint64{sum.ByOutcome[compare.Accepted], sum.ByOutcome[compare.Deferred], sum.ByOutcome[compare.Bounced], sum.Lost}
		all := counts[0] + counts[1] + counts[2] + counts[3]
		if all == 0 {
			continue
		}
		for i, n := range counts {
			lines[i].Seconds, lines[i].Values = append(lines[i].Seconds, sum.Seconds), append(lines[i].Values, 100*float64(n)/float64(all))
		}
	}
	lines = slices.DeleteFunc(lines, func(l plot.Line) bool {
		return !slices.ContainsFunc(l.Values, func(v float64) bool { return v > 0 })
	})
	return plot.OverTime("outcomes-"+s.Name, "Outcomes over time: "+s.Label, "% of messages", false, lines, spansOf(s)...)
}

// mostLines is how many classes of errors a chart shows: those by which the sides differ most, which have the same line on both.
const mostLines = 4

func mostFrequent(e *compare.Errors) (out []compare.Class) {
	if e == nil {
		return nil
	}
	for _, class := range e.Classes[:min(len(e.Classes), mostLines)] {
		out = append(out, class.Class)
	}
	return out
}

// codesOf draws how often stages gave codes over time.
func codesOf(s *compare.SideInfo, classes []compare.Class) *plot.Chart {
	sums, _ := slots(s)
	if sums == nil || len(classes) == 0 {
		return nil
	}
	var lines []plot.Line
	for i, class := range classes {
		line := plot.Line{Name: class.String(), Style: i}
		any := false
		for _, sum := range sums {
			all := float64(sum.Lost)
			for _, messages := range sum.ByOutcome {
				all += float64(messages)
			}
			n := sum.Errors[class]
			any = any || n > 0
			if all > 0 {
				line.Seconds, line.Values = append(line.Seconds, sum.Seconds), append(line.Values, 100*n/all)
			}
		}
		if any {
			lines = append(lines, line)
		}
	}
	return plot.OverTime("codes-over-time-"+s.Name, "Codes over time: "+s.Label, "per 100 messages", false, lines, spansOf(s)...)
}

// spansOf are the phases of the side's storm, as its first run had them.
func spansOf(s *compare.SideInfo) []plot.Span {
	if s.First == nil || s.First.Begin.IsZero() {
		return nil
	}
	return spansFrom(s.First.Phases, s.First.Begin)
}

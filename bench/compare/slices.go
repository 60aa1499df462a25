package compare

import (
	"math"

	"github.com/smtpstorm/xk6-smtp/bench/result"
)

// Slice is what happened within a window of a run.
type Slice struct {
	Seconds   float64 // from the run's begin to the middle of the window
	Length    float64
	ByOutcome map[Outcome]uint64 // of messages
	Lost      uint64             // no reply: errors of the client
	Errors    map[Class]float64  // what else came than was wanted, and broken connections
	// Cells counts accepted messages by duration: cell k holds those from CellFloor(k) to CellFloor(k+1) ms.
	Cells map[int]uint64
}

// cellsPerDoubling is how fine Cells are: steps of 19%.
const cellsPerDoubling = 4

// CellFloor is the least duration of a cell, in ms.
func CellFloor(k int) float64 { return math.Exp2(float64(k) / cellsPerDoubling) }

func cellOf(ms float64) int {
	return int(math.Floor(math.Log2(max(ms, 1e-3)) * cellsPerDoubling))
}

// slicesOf sums up the windows of a record.
func slicesOf(r *result.Record) []Slice {
	if r.Client == nil || len(r.Client.Windows) == 0 {
		return nil
	}
	begin := r.Client.Windows[0].Start
	var out []Slice
	for _, w := range r.Client.Windows {
		s := Slice{Seconds: w.Start.Sub(begin).Seconds() + w.LengthSeconds/2, Length: w.LengthSeconds, ByOutcome: map[Outcome]uint64{}, Cells: map[int]uint64{}, Errors: map[Class]float64{}}
		for _, ws := range w.Series {
			series := &r.Client.Series[ws.Index]
			switch {
			case series.Metric == MetricDuration && ws.Histogram != nil:
				o := outcomeOf(series.Tags)
				s.ByOutcome[o] += ws.Histogram.Count()
				if o == Accepted {
					for b := range ws.Histogram.Buckets {
						s.Cells[cellOf(b.Millis)] += b.Count
					}
				}
			case series.Metric == MetricUnanswered && ws.Histogram != nil:
				s.Lost += ws.Histogram.Count()
			case series.Metric == result.MetricReplies || series.Metric == result.MetricErrors:
				if class, ok := classOf(series); ok && class.Code >= 400 && ws.Stats != nil {
					s.Errors[class] += ws.Stats.Sum
				}
			}
		}
		out = append(out, s)
	}
	return out
}

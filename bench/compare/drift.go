package compare

import (
	"math"
	"slices"

	"github.com/smtpstorm/xk6-smtp/bench/stat"
)

// leastForDrift is how many runs it takes to look for a drift at all.
const leastForDrift = 6

// drifts looks for a drift of the family's measures over the run order, the sides' difference taken out.
func (p pairing) drifts(family []Row) []Drift {
	if runs, _ := inOrder(p.a, p.b); len(runs) < leastForDrift {
		return nil
	}
	inOrder := func(s *Side, m Measure) []float64 {
		runs := slices.Clone(s.Runs)
		slices.SortStableFunc(runs, func(x, y *Run) int { return x.started.Compare(y.started) })
		var v []float64
		for _, r := range runs {
			v = append(v, r.Value(m).V)
		}
		return v
	}
	var out []Drift
	for _, row := range family {
		if row.Shift == nil {
			continue
		}
		groups := [][]float64{inOrder(p.a, row.Measure), inOrder(p.b, row.Measure)}
		if p.paired {
			means := make([]float64, len(p.a.Runs))
			for i := range means {
				means[i] = (p.a.Runs[i].Value(row.Measure).V + p.b.Runs[i].Value(row.Measure).V) / 2
			}
			groups = [][]float64{means}
		}
		if t, err := stat.Trend(groups...); err == nil && !math.IsNaN(t.P) {
			out = append(out, Drift{Name: row.Name, Tau: t.Tau, P: t.P})
		}
	}
	return out
}

package compare

import (
	"math"

	"github.com/smtpstorm/xk6-smtp/bench/stat"
)

// shifts are the shift functions of the accepted messages' phases that have enough values.
func (p pairing) shifts(o Options) []ShiftFunction {
	if len(p.a.Runs) < 2 || len(p.b.Runs) < 2 {
		return nil
	}
	var out []ShiftFunction
	for _, key := range sharedKeys(p.a, p.b) {
		if key.Outcome != Accepted && key.Outcome != Any {
			continue
		}
		if f, ok := p.shift(key, o); ok {
			out = append(out, f)
		}
	}
	return out
}

func (p pairing) shift(key Key, o Options) (ShiftFunction, bool) {
	out := ShiftFunction{Key: key, Level: 1 - o.Alpha}
	deciles := func(s *Side) ([][]float64, bool) {
		var rows [][]float64
		for _, r := range s.Runs {
			row := make([]float64, 9)
			for k := range row {
				v := r.withoutRoom(Measure{Key: key, Statistic: Statistic{Q: float64(k+1) / 10}})
				if !v.Usable() {
					return nil, false
				}
				row[k] = v.V
			}
			rows = append(rows, row)
		}
		return rows, true
	}
	a, okA := deciles(p.a)
	b, okB := deciles(p.b)
	if !okA || !okB {
		return out, false
	}
	f, err := stat.ShiftFunction(a, b, p.paired, o.Alpha, o.Seed)
	if err != nil {
		return out, false
	}
	out.Exact = f.Exact
	for k, row := range f.Rows {
		d := Decile{Q: float64(k+1) / 10, A: median(columnOf(a, k)), B: median(columnOf(b, k)), Shift: row.Shift, Lo: row.Interval.Lo, Hi: row.Interval.Hi, Differs: row.Direction != 0}
		if math.IsNaN(d.Shift) {
			return out, false
		}
		out.Deciles = append(out.Deciles, d)
	}
	return out, true
}

func columnOf(rows [][]float64, k int) []float64 {
	var out []float64
	for _, row := range rows {
		out = append(out, row[k])
	}
	return out
}

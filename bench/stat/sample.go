package stat

import "math"

// Cell is a value and how often it occurred.
type Cell struct {
	Value float64
	Count uint64
}

// Sample is a set of times: values in ascending order, each once, with their counts, and how many were waited for in vain (a message that was
// attempted and never accepted). These count as +Inf. The functions read it only.
type Sample struct {
	Cells []Cell
	Never uint64
}

// Count is the number of all values, those that never came included.
func (s Sample) Count() uint64 {
	n := s.Never
	for _, c := range s.Cells {
		n += c.Count
	}
	return n
}

// Quantile is the nearest-rank quantile, q within (0, 1]: the smallest value that at least a share q of all is at or below. +Inf
// says 'never'; an empty sample has NaN.
func (s Sample) Quantile(q float64) float64 {
	n := s.Count()
	if n == 0 {
		return math.NaN()
	}
	return s.atRank(nearestRank(n, q))
}

func (s Sample) atRank(rank uint64) float64 {
	var seen uint64
	for _, c := range s.Cells {
		if seen += c.Count; seen >= rank {
			return c.Value
		}
	}
	return math.Inf(1)
}

// nearestRank is the rank of the q-quantile of n values: ceil(q*n), where q*n is an integer but for its rounding that integer.
func nearestRank(n uint64, q float64) uint64 {
	return max(1, min(n, uint64(math.Ceil(q*float64(n)*(1-1e-12)))))
}

// merge adds up samples.
func merge(samples []Sample) Sample {
	var out Sample
	for _, s := range samples {
		out.Never += s.Never
		sum := make([]Cell, 0, len(out.Cells)+len(s.Cells))
		x, y := out.Cells, s.Cells
		for len(x) > 0 || len(y) > 0 {
			switch {
			case len(y) == 0 || len(x) > 0 && x[0].Value < y[0].Value:
				sum, x = append(sum, x[0]), x[1:]
			case len(x) == 0 || y[0].Value < x[0].Value:
				sum, y = append(sum, y[0]), y[1:]
			default:
				sum = append(sum, Cell{x[0].Value, x[0].Count + y[0].Count})
				x, y = x[1:], y[1:]
			}
		}
		out.Cells = sum
	}
	return out
}

// Later is P(a time of B is later than one of A) + P(equal)/2. Two that never came are equal. A half means that neither side is later;
// NaN that a side is empty.
func Later(a, b Sample) float64 {
	na, nb := float64(a.Count()), float64(b.Count())
	if na == 0 || nb == 0 {
		return math.NaN()
	}
	var later, before float64 // before: values of A below the one of B at hand
	x := a.Cells
	for _, c := range b.Cells {
		for len(x) > 0 && x[0].Value < c.Value {
			before += float64(x[0].Count)
			x = x[1:]
		}
		equal := 0.0
		if len(x) > 0 && x[0].Value == c.Value {
			equal = float64(x[0].Count)
		}
		later += float64(c.Count) * (before + equal/2)
	}
	later += float64(b.Never) * (na - float64(a.Never)/2)
	return later / na / nb
}

package fault

import (
	"fmt"
	"math"
)

// aliasTable draws an index with given weights in constant time (Walker's alias method, built by Vose's algorithm). One draw of
// 64 bits serves both choices: multiplied by n, its high word is the column and its low word the fraction within the column.
type aliasTable struct {
	threshold []uint64 // fraction of column i, in units of 2^-64, that belongs to i itself
	alias     []uint32 // whom the rest belongs to
}

// newAliasTable builds the table of weights that normalise accepted.
//
// #nosec G115 -- an index is that of an outcome of a rule, and a plan has at most plan.MaxSize octets
func newAliasTable(probabilities []float64) aliasTable {
	n := len(probabilities)
	t := aliasTable{threshold: make([]uint64, n), alias: make([]uint32, n)}
	scaled := make([]float64, n)
	var small, large []int
	for i, p := range probabilities {
		scaled[i] = p * float64(n)
		if scaled[i] < 1 {
			small = append(small, i)
		} else {
			large = append(large, i)
		}
	}
	for len(small) > 0 && len(large) > 0 {
		s, l := small[len(small)-1], large[len(large)-1]
		small, large = small[:len(small)-1], large[:len(large)-1]
		t.threshold[s], t.alias[s] = uint64(math.Ldexp(scaled[s], 64)), uint32(l)
		scaled[l] -= 1 - scaled[s]
		if scaled[l] < 1 {
			small = append(small, l)
		} else {
			large = append(large, l)
		}
	}
	for _, rest := range [][]int{small, large} { // full columns, but for rounding
		for _, i := range rest {
			t.threshold[i], t.alias[i] = math.MaxUint64, uint32(i)
		}
	}
	return t
}

// index returns the index that draw falls on. It does not allocate.
func (t *aliasTable) index(draw uint64) int {
	column, fraction := below(draw, uint64(len(t.threshold)))
	if fraction < t.threshold[column] {
		return int(column) // #nosec G115 -- below len(t.threshold)
	}
	return int(t.alias[column])
}

// normalise divides weights by their sum. It refuses weights that are negative or not finite, and a sum that is zero.
func normalise(weights []float64) ([]float64, error) {
	sum := 0.0
	for _, w := range weights {
		if err := checkWeight(w); err != nil {
			return nil, err
		}
		sum += w
	}
	switch {
	case len(weights) == 0:
		return nil, fmt.Errorf("no outcomes (want at least one)")
	case sum == 0:
		return nil, fmt.Errorf("the weights sum to 0 (want at least one above 0)")
	case math.IsInf(sum, 0):
		return nil, fmt.Errorf("the weights sum to infinity")
	}
	p := make([]float64, len(weights))
	for i, w := range weights {
		p[i] = w / sum
	}
	return p, nil
}

func checkWeight(w float64) error {
	if w < 0 || math.IsNaN(w) || math.IsInf(w, 0) {
		return fmt.Errorf("invalid weight %v (want a finite number of at least 0)", w)
	}
	return nil
}

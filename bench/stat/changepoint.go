package stat

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
)

// MaxHistory is the most values EDivisive takes: each permutation takes time with the square.
const MaxHistory = 2000

// ChangePoint is where a series of values began to be another.
type ChangePoint struct {
	Index int // of the first value after the change
	// P is that of the permutation test which let it pass.
	P float64
	// Statistic is the scaled energy distance between the values before it and those after.
	Statistic float64
}

// EDivisiveOptions says how change points are looked for. The zero value has defaults.
type EDivisiveOptions struct {
	MinSize      int     // the fewest values between changes, at least 2; 0 means 3
	Alpha        float64 // of each permutation test; 0 means 0.05
	Permutations int     // of each test; 0 means 199
	Seed         uint64  // of the permutations
}

// EDivisive finds the changes of distribution in a series, such as one figure over commits (Matteson and James, Journal of the
// American Statistical Association 109, 2014, with exponent 1). It splits the series where the energy distance between what lies before and
// what lies after is largest, then the parts, as long as a permutation test within the parts says that such a
// distance is no accident: p = (1+hits)/(1+permutations). The values must be finite, and independent but for the changes. The
// changes come back in the order of the series. It errs on values that aren't finite, too many of them, and options out of range.
func EDivisive(values []float64, o EDivisiveOptions) ([]ChangePoint, error) {
	if o.MinSize == 0 {
		o.MinSize = 3
	}
	if o.Alpha == 0 {
		o.Alpha = 0.05
	}
	if o.Permutations == 0 {
		o.Permutations = 199
	}
	switch {
	case o.MinSize < 2 || o.Permutations < 1 || !(o.Alpha > 0 && o.Alpha < 1):
		return nil, fmt.Errorf("change points with at least %d values each, %d permutations, at %v", o.MinSize, o.Permutations, o.Alpha)
	case len(values) > MaxHistory:
		return nil, fmt.Errorf("%d values: change points are found in at most %d", len(values), MaxHistory)
	case !allFinite(values):
		return nil, errors.New("a value is not finite")
	}
	r := rand.New(rand.NewPCG(o.Seed, uint64(len(values)))) // #nosec G404 -- permutations, which a seed has to repeat
	changes := []ChangePoint{}
	parts := []part{newPart(values, 0, o.MinSize)}
	for {
		best := -1
		for i, p := range parts {
			if p.split > 0 && (best < 0 || p.statistic > parts[best].statistic) {
				best = i
			}
		}
		if best < 0 {
			break
		}
		found := parts[best]
		hits := 0
		for range o.Permutations {
			most := 0.0
			for _, p := range parts {
				most = max(most, p.shuffled(r, o.MinSize))
			}
			if most >= found.statistic*(1-slack) {
				hits++
			}
		}
		p := tail(hits, o.Permutations, false)
		if !atMost(p, o.Alpha) {
			break
		}
		changes = append(changes, ChangePoint{Index: found.from + found.split, P: p, Statistic: found.statistic})
		parts = append(parts[:best], parts[best+1:]...)
		parts = append(parts, newPart(found.values[:found.split], found.from, o.MinSize), newPart(found.values[found.split:], found.from+found.split, o.MinSize))
	}
	slices.SortFunc(changes, func(a, b ChangePoint) int { return a.Index - b.Index })
	return changes, nil
}

// part is a piece of the series between changes that were found.
type part struct {
	values    []float64
	from      int
	split     int     // after how many values it is best split; 0 where it is too short
	statistic float64 // there
}

func newPart(values []float64, from, minSize int) part {
	p := part{values: values, from: from}
	p.split, p.statistic = bestSplit(values, minSize)
	return p
}

// shuffled is the best statistic of the part's values in a random order.
func (p part) shuffled(r *rand.Rand, minSize int) float64 {
	values := slices.Clone(p.values)
	r.Shuffle(len(values), func(i, j int) { values[i], values[j] = values[j], values[i] })
	_, statistic := bestSplit(values, minSize)
	return statistic
}

// bestSplit finds the first k values and the next m with the largest nm/(n+m) * energy distance: the change is after k. That the second set
// may end before the series does keeps a later change from hiding an earlier one. The split is 0 if none leaves minSize values to both sides.
func bestSplit(values []float64, minSize int) (split int, statistic float64) {
	n := len(values)
	if n < 2*minSize {
		return 0, 0
	}
	// before[j] is the sum of distances among the first j values; left[k] that between value j and the first k.
	before := make([]float64, n+1)
	toFirst := make([]float64, n+1) // between the first k values and those from k to the end at hand
	within := make([]float64, n+1)  // among the values from k to the end at hand
	for end := 1; end <= n; end++ {
		v := values[end-1]
		var sum float64 // of distances between v and the first k
		prefix := make([]float64, end)
		for k := range end {
			prefix[k] = sum
			sum += distanceOf(v, values[k])
		}
		before[end] = before[end-1] + sum
		for k := range end {
			toFirst[k] += prefix[k]
			within[k] += sum - prefix[k]
		}
		for k := minSize; k <= end-minSize; k++ {
			x, y := float64(k), float64(end-k)
			energy := 2*toFirst[k]/(x*y) - 2*before[k]/(x*(x-1)) - 2*within[k]/(y*(y-1))
			if q := x * y / (x + y) * energy; split == 0 || q > statistic {
				split, statistic = k, q
			}
		}
	}
	return split, statistic
}

func distanceOf(x, y float64) float64 { return max(x-y, y-x) }

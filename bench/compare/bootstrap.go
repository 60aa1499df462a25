package compare

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/bench/stat"
	gstat "gonum.org/v1/gonum/stat"
)

// resample draws as many blocks as there are, with replacement, reps times, and
// returns the quantiles qs of each draw: reps rows of len(qs) values.
func resample(blocks []*result.Histogram, qs []float64, reps int, seed uint64) [][]float64 {
	values, counts := tabulate(coarsen(blocks, maxBlocks))
	r := rand.New(rand.NewPCG(seed, uint64(len(counts)))) // #nosec G404 -- resampling, which a seed has to repeat
	weight := make([]float64, len(counts))
	sum := make([]float64, len(values))
	out := make([][]float64, reps)
	for rep := range out {
		clear(weight)
		for range weight {
			weight[r.IntN(len(weight))]++
		}
		clear(sum)
		var n float64
		for i, w := range weight {
			if w == 0 {
				continue
			}
			for _, c := range counts[i] {
				sum[c.at] += w * c.n
				n += w * c.n
			}
		}
		out[rep] = quantilesOf(values, sum, n, qs)
	}
	return out
}

// coarsen merges neighbours until there are at most limit blocks.
func coarsen(blocks []*result.Histogram, limit int) []*result.Histogram {
	per := (len(blocks) + limit - 1) / limit
	if per <= 1 {
		return blocks
	}
	var out []*result.Histogram
	for part := range slices.Chunk(blocks, per) {
		h := &result.Histogram{}
		for _, b := range part {
			h.Merge(b)
		}
		out = append(out, h)
	}
	return out
}

type cell struct {
	at int
	n  float64
}

// tabulate lists the distinct values of all blocks, ascending, and the counts
// of each block at the positions of these values.
func tabulate(blocks []*result.Histogram) (values []float64, counts [][]cell) {
	for _, b := range blocks {
		for v := range b.Buckets {
			values = append(values, v.Millis)
		}
	}
	slices.Sort(values)
	values = slices.Compact(values)
	counts = make([][]cell, len(blocks))
	for i, b := range blocks {
		for v := range b.Buckets {
			at, _ := slices.BinarySearch(values, v.Millis)
			counts[i] = append(counts[i], cell{at, float64(v.Count)})
		}
	}
	return values, counts
}

// quantilesOf returns nearest-rank quantiles of weighted ascending values.
func quantilesOf(values, weights []float64, n float64, qs []float64) []float64 {
	order := make([]int, len(qs))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		switch {
		case qs[a] < qs[b]:
			return -1
		case qs[a] > qs[b]:
			return 1
		}
		return 0
	})
	out := make([]float64, len(qs))
	seen, at := 0.0, -1
	for _, i := range order {
		rank := math.Max(1, math.Ceil(qs[i]*n*(1-1e-12)))
		for seen < rank && at+1 < len(values) {
			at++
			seen += weights[at]
		}
		out[i] = values[at]
	}
	return out
}

// spread is the central interval of draws: Efron's percentile interval.
func spread(draws []float64, confidence float64) stat.Interval {
	s := slices.Sorted(slices.Values(draws))
	tail := (1 - confidence) / 2
	return stat.Interval{
		Lo: gstat.Quantile(tail, gstat.Empirical, s, nil),
		Hi: gstat.Quantile(1-tail, gstat.Empirical, s, nil),
	}
}

func column(rows [][]float64, i int) []float64 {
	out := make([]float64, len(rows))
	for r := range rows {
		out[r] = rows[r][i]
	}
	return out
}

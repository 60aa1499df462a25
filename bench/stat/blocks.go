package stat

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat"
)

// Limits of the bootstrap over blocks of time, found by simulation (docs/statistics.md has the table).
const (
	correlationTimes = 5   // the length of a block
	minBlocks        = 20  // for quantiles up to the ninth decile
	minBlocksOfTail  = 120 // for those up to p99; beyond, no number of blocks was tried
	maxBlocks        = 240 // more only take longer
)

// Blocks is one run cut into blocks of time. Times of one moment resemble each other: what is resampled must be longer than that.
type Blocks struct {
	Windows int
	// Lag1 is the correlation of neighbouring windows: the larger of that of their medians and that of their ninth deciles.
	Lag1 float64
	// Effective is how many independent windows would say as much: Windows*(1-Lag1)/(1+Lag1), at most Windows.
	Effective float64
	// Length is how many windows one block has at least: five correlation times of -1/ln(Lag1) windows. A correlation that
	// independent windows would have by chance, up to 1.96/sqrt(Windows), makes blocks of one.
	Length int
	blocks []Sample
}

// CutBlocks cuts a run's windows, in order and each of the same length in time. Windows without values are left out.
func CutBlocks(windows []Sample) Blocks {
	windows = slices.DeleteFunc(slices.Clone(windows), func(w Sample) bool { return w.Count() == 0 })
	n := len(windows)
	b := Blocks{Windows: n, Lag1: max(lag1(windows, 0.5), lag1(windows, 0.9)), Effective: float64(n), Length: 1}
	if b.Lag1 > 0 {
		b.Effective *= (1 - b.Lag1) / (1 + b.Lag1)
	}
	if chance := 1.96 / math.Sqrt(float64(n)); b.Lag1 > chance {
		b.Length = int(math.Ceil(min(float64(n+1), correlationTimes*-1/math.Log(b.Lag1))))
	}
	b.blocks = cut(windows, b.Length)
	return b
}

// cut merges so many windows or more to a block.
func cut(windows []Sample, length int) (blocks []Sample) {
	n := len(windows)
	count := min(n/length, maxBlocks)
	for i := range count {
		blocks = append(blocks, merge(windows[i*n/count:(i+1)*n/count]))
	}
	return blocks
}

// lag1 is the correlation of each window's q-quantile with the next one's; 0 where they don't vary.
func lag1(windows []Sample, q float64) float64 {
	if len(windows) < 3 {
		return 0
	}
	values := make([]float64, len(windows))
	for i, w := range windows {
		values[i] = min(w.Quantile(q), math.MaxFloat32) // a window without an answer is very slow
	}
	mean := stat.Mean(values, nil)
	var next, all float64
	for i, v := range values {
		all += (v - mean) * (v - mean)
		if i > 0 {
			next += (v - mean) * (values[i-1] - mean)
		}
	}
	if all == 0 {
		return 0
	}
	return next / all
}

// Allows says whether there are enough blocks for an interval of the q-quantile, and if not, why.
func (b Blocks) Allows(q float64) error {
	need := minBlocks
	switch {
	case q > 0.99:
		return errors.New("no interval beyond p99 from one run")
	case q > 0.9:
		need = minBlocksOfTail
	}
	if len(b.blocks) < need {
		return fmt.Errorf("%d windows whose neighbours correlate by %.2f make %d independent blocks, p%g needs %d", b.Windows, b.Lag1, len(b.blocks), 100*q, need)
	}
	return nil
}

// Resample draws as many blocks as there are, with replacement (non-overlapping blocks, Carlstein 1986), and returns the nearest-rank quantiles qs of
// each draw: a row for each of so many resamples. The seed repeats it.
func (b Blocks) Resample(qs []float64, resamples int, seed uint64) [][]float64 {
	values, counts := tabulate(b.blocks)
	r := rand.New(rand.NewPCG(seed, uint64(len(counts)))) // #nosec G404 -- resampling, which a seed has to repeat
	times := make([]uint64, len(counts))
	sum := make([]uint64, len(values))
	order := make([]int, len(qs))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		if qs[i] < qs[j] {
			return -1
		}
		return 1
	})
	out := make([][]float64, resamples)
	for rep := range out {
		clear(times)
		for range times {
			times[r.IntN(len(times))]++
		}
		clear(sum)
		var n uint64
		for i, w := range times {
			if w == 0 {
				continue
			}
			for _, c := range counts[i] {
				sum[c.at] += w * c.n
				n += w * c.n
			}
		}
		out[rep] = make([]float64, len(qs))
		seen, at := uint64(0), -1
		for _, i := range order {
			for rank := nearestRank(n, qs[i]); seen < rank; {
				at++
				seen += sum[at]
			}
			out[rep][i] = values[max(at, 0)]
		}
	}
	return out
}

// CentralInterval is the interval between the outer alpha/2 of a bootstrap's draws: Efron's percentile interval.
func CentralInterval(draws []float64, alpha float64) Interval {
	s := slices.Sorted(slices.Values(draws))
	return Interval{Lo: stat.Quantile(alpha/2, stat.Empirical, s, nil), Hi: stat.Quantile(1-alpha/2, stat.Empirical, s, nil)}
}

type tally struct {
	at int
	n  uint64
}

// tabulate lists the distinct values of all blocks, ascending, and the counts of each block at the positions of these values. +Inf, what
// never came, is one of them.
func tabulate(blocks []Sample) (values []float64, counts [][]tally) {
	for _, b := range blocks {
		for _, c := range b.Cells {
			values = append(values, c.Value)
		}
	}
	values = append(values, math.Inf(1))
	slices.Sort(values)
	values = slices.Compact(values)
	counts = make([][]tally, len(blocks))
	for i, b := range blocks {
		for _, c := range b.Cells {
			at, _ := slices.BinarySearch(values, c.Value)
			counts[i] = append(counts[i], tally{at, c.Count})
		}
		if b.Never > 0 {
			counts[i] = append(counts[i], tally{len(values) - 1, b.Never})
		}
	}
	return values, counts
}

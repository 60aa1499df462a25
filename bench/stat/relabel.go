package stat

import (
	"math/rand/v2"

	"gonum.org/v1/gonum/stat/combin"
)

// Relabellings of whole runs are all tried up to this many: 10 runs a side have 184,756. Above, a sample of sampledRelabellings is.
const (
	maxRelabellings     = 200_000
	sampledRelabellings = 20_000
)

// relabel calls try with every way to label the runs of both sides, which are numbered a's first: inB[i] says that run i is labelled B.
// Paired runs i and a+i always have different labels. Where there are more than maxRelabellings, it draws some by the seed; exact
// is false then. The true labelling is among them all, and isn't added to a sample.
func relabel(a, b int, paired bool, seed uint64, try func(inB []bool)) (exact bool) {
	inB := make([]bool, a+b)
	r := rand.New(rand.NewPCG(seed, uint64(a)<<32|uint64(b))) // #nosec G404 G115 -- a sample of relabellings, which a seed has to repeat; numbers of runs
	if paired {
		flip := func(i int, flipped bool) { inB[i], inB[a+i] = flipped, !flipped }
		if a < 63 && 1<<a <= maxRelabellings {
			for signs := range 1 << a {
				for i := range a {
					flip(i, signs>>i&1 == 1)
				}
				try(inB)
			}
			return true
		}
		for range sampledRelabellings {
			for i := range a {
				flip(i, r.IntN(2) == 1)
			}
			try(inB)
		}
		return false
	}
	choose := func(chosen []int) {
		clear(inB)
		for _, i := range chosen {
			inB[i] = true
		}
		try(inB)
	}
	if 2/LeastP(a, b) <= maxRelabellings+0.5 {
		chosen := make([]int, b)
		for g := combin.NewCombinationGenerator(a+b, b); g.Next(); {
			choose(g.Combination(chosen))
		}
		return true
	}
	for range sampledRelabellings {
		choose(r.Perm(a + b)[:b])
	}
	return false
}

// tail is the p of a statistic of which hits of n relabellings reach what was observed. A sample counts the observed labelling as
// one of its own: so p is never 0, and the test's size is at most its level (Phipson and Smyth 2010).
func tail(hits, n int, exact bool) float64 {
	if exact {
		return float64(hits) / float64(n)
	}
	return float64(1+hits) / float64(1+n)
}

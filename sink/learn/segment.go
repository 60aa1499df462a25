package learn

import "math"

// table counts categories in several rows: the likelihood of one is that of its rows, each with shares of its own.
type table [][]int

// series is a row of bins that are either alike or not: times in their order, or ordinals of attempts.
type series struct {
	sums []table // sums[i] are the counts of all bins before the i-th
}

// newSeries makes one of the counts per bin.
func newSeries(bins []table) *series {
	before := make(table, len(bins[0]))
	for r := range before {
		before[r] = make([]int, len(bins[0][r]))
	}
	s := &series{sums: []table{before}}
	for _, bin := range bins {
		after := make(table, len(bin))
		for r, row := range bin {
			after[r] = make([]int, len(row))
			for c, n := range row {
				after[r][c] = before[r][c] + n
			}
		}
		s.sums = append(s.sums, after)
		before = after
	}
	return s
}

// fit returns how likely the counts of the bins from i up to j are if all these bins are alike, as a logarithm, and how many there are.
func (s *series) fit(i, j int) (likelihood float64, n int) {
	for r := range s.sums[i] {
		sum := 0
		for c := range s.sums[i][r] {
			k := s.sums[j][r][c] - s.sums[i][r][c]
			sum += k
			if k > 0 {
				likelihood += float64(k) * math.Log(float64(k))
			}
		}
		if sum > 0 {
			likelihood -= float64(sum) * math.Log(float64(sum))
		}
		n += sum
	}
	return likelihood, n
}

// cut is where a series changes: the first bin of what is different, and by how much likelier the counts are for it.
type cut struct {
	bin  int
	gain float64
}

// cuts finds where the series changes, by the partition with the best likelihood that pays for each of its parts (an optimal partition
// by the Bayesian information criterion, twice: the attempts of one message are not independent). No part has fewer than least counts.
func (s *series) cuts(least int) []cut {
	bins := len(s.sums) - 1
	_, total := s.fit(0, bins)
	if total < 2*least {
		return nil
	}
	penalty := float64(s.freedom()+1) * math.Log(float64(total))
	best, from := make([]float64, bins+1), make([]int, bins+1)
	for j := 1; j <= bins; j++ {
		best[j] = math.Inf(-1)
		for i := range j {
			if math.IsInf(best[i], -1) {
				continue
			}
			likelihood, n := s.fit(i, j)
			if n < least && !(i == 0 && j == bins) {
				continue
			}
			if value := best[i] + likelihood - penalty; value > best[j] {
				best[j], from[j] = value, i
			}
		}
	}
	if math.IsInf(best[bins], -1) {
		return nil
	}
	bounds := []int{bins}
	for j := bins; j > 0; j = from[j] {
		bounds = append(bounds, from[j])
	}
	var all []cut
	for k := len(bounds) - 2; k > 0; k-- {
		before, at, after := bounds[k+1], bounds[k], bounds[k-1]
		left, _ := s.fit(before, at)
		right, _ := s.fit(at, after)
		joined, _ := s.fit(before, after)
		all = append(all, cut{at, left + right - joined})
	}
	return all
}

// freedom counts the shares that a part has for itself.
func (s *series) freedom() int {
	n := 0
	last := s.sums[len(s.sums)-1]
	for r := range last {
		used := 0
		for _, k := range last[r] {
			if k > 0 {
				used++
			}
		}
		n += max(used-1, 0)
	}
	return n
}

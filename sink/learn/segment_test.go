package learn

import (
	"math/rand/v2"
	"testing"
)

// TestCuts: changes are found where they are, and none where there are none.
func TestCuts(t *testing.T) {
	const bins, each = 60, 100
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		make := func(share func(bin int) float64) []table {
			var all []table
			for bin := range bins {
				row := []int{0, 0, 0}
				for range each {
					switch u := random.Float64(); {
					case u < share(bin):
						row[1]++
					case u > 0.99:
						row[2]++
					default:
						row[0]++
					}
				}
				all = append(all, table{row})
			}
			return all
		}
		if cuts := newSeries(make(func(int) float64 { return 0.1 })).cuts(20); len(cuts) != 0 {
			t.Errorf("seed %d: nothing changes, and the cuts are %v", seed, cuts)
		}
		cuts := newSeries(make(func(bin int) float64 {
			if bin >= 20 && bin < 25 {
				return 0.9
			}
			if bin >= 40 {
				return 0.25
			}
			return 0.1
		})).cuts(20)
		if len(cuts) != 3 || cuts[0].bin != 20 || cuts[1].bin != 25 || cuts[2].bin < 38 || cuts[2].bin > 42 || cuts[0].gain < cuts[2].gain {
			t.Errorf("seed %d: the cuts are %v, want them at 20, 25 and 40", seed, cuts)
		}
	}
	if cuts := newSeries([]table{{{1, 0}}, {{0, 1}}}).cuts(20); cuts != nil {
		t.Errorf("two attempts have the cuts %v", cuts)
	}
}

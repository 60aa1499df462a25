package stat

import (
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
)

// decileRows draws the deciles of n runs, which have so much in common.
var decileRows = []struct {
	common string
	row    func(r *rand.Rand) []float64
}{
	{"nothing", func(r *rand.Rand) []float64 { return normals(r, 9, 0, 1) }},
	{"the values of a run (200)", func(r *rand.Rand) []float64 { return decilesOf(normals(r, 200, 0, 1)) }},
	{"those, and a level of the run", func(r *rand.Rand) []float64 { return decilesOf(normals(r, 200, 0.1*r.NormFloat64(), 1)) }},
	{"everything", func(r *rand.Rand) []float64 { return slices.Repeat(normals(r, 1, 0, 1), 9) }},
}

func decilesOf(v []float64) (out []float64) {
	slices.Sort(v)
	for k := 1; k <= 9; k++ {
		out = append(out, v[k*len(v)/10-1])
	}
	return out
}

// TestTheShiftFunctionsSizeDependsOnTheDeciles: of two equal sides, any decile is wrongly decided in at most 5 %, whatever the deciles have in common; how
// often it is depends on that, and docs/statistics.md has the figures (SMTPSTORM_CALIBRATE=10000 go test ./bench/stat -run ShiftFunctionsSize -v).
func TestTheShiftFunctionsSizeDependsOnTheDeciles(t *testing.T) {
	repetitions := 300
	if n, err := strconv.Atoi(os.Getenv("SMTPSTORM_CALIBRATE")); err == nil {
		repetitions = n
	}
	for _, n := range []int{5, 6} {
		for i, kind := range decileRows {
			r := rand.New(rand.NewPCG(calibrationSeed, uint64(10*n+i)))
			hits := 0
			for range repetitions {
				var a, b [][]float64
				for range n {
					a, b = append(a, kind.row(r)), append(b, kind.row(r))
				}
				f, err := ShiftFunction(a, b, false, 0.05, 1)
				if err != nil {
					t.Fatal(err)
				}
				any := slices.ContainsFunc(f.Rows, func(row DecileShift) bool { return row.Direction != 0 })
				if any != (f.P <= 0.05+1e-9) {
					t.Fatalf("p %v, and a decile decided: %v", f.P, any)
				}
				hits += count01(any)
			}
			size := float64(hits) / float64(repetitions)
			t.Logf("%d runs a side, deciles have %s in common: %.4f (seed %d, %d)", n, kind.common, size, calibrationSeed, 10*n+i)
			if bound := 0.05 + 3.12*math.Sqrt(0.05*0.95/float64(repetitions)); size > bound {
				t.Errorf("%d runs a side, %s: wrongly decided in %.4f, want at most %.4f", n, kind.common, size, bound)
			}
		}
	}
}

package stat

import (
	"math/rand/v2"
	"reflect"
	"testing"
)

// TestSplitAsR compares with the definition, summed up by R without shortcuts (testdata/edivisive.R).
func TestSplitAsR(t *testing.T) {
	for _, v := range vectors(t, "edivisive") {
		split, statistic := bestSplit(v.numbers("values"), int(v.number("minsize")))
		v.expect("split", float64(split))
		v.expect("statistic", statistic)
	}
}

func series(r *rand.Rand, levels ...float64) []float64 {
	var out []float64
	for _, level := range levels {
		for range 20 {
			out = append(out, level+r.NormFloat64())
		}
	}
	return out
}

func TestEDivisiveFindsChanges(t *testing.T) {
	const seed = 17
	r := rand.New(rand.NewPCG(seed, 1))
	values := series(r, 20, 26, 26, 21)
	got, err := EDivisive(values, EDivisiveOptions{Seed: 1})
	if err != nil || len(got) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	for i, want := range []int{20, 60} {
		if d := got[i].Index - want; d < -1 || d > 1 || got[i].P > 0.05 {
			t.Errorf("change %d (seed %d): %+v, want one near %d", i, seed, got[i], want)
		}
	}
	if again, _ := EDivisive(values, EDivisiveOptions{Seed: 1}); !reflect.DeepEqual(again, got) {
		t.Errorf("the same seed gives %+v, then %+v", got, again)
	}
	if got, err = EDivisive([]float64{5, 5, 5, 5, 5, 5, 5, 5}, EDivisiveOptions{}); err != nil || len(got) != 0 {
		t.Errorf("a constant series: %+v, %v", got, err)
	}
	if got, err = EDivisive([]float64{5}, EDivisiveOptions{}); err != nil || len(got) != 0 {
		t.Errorf("one value: %+v, %v", got, err)
	}
}

// In series without a change, one is found in at most 5 %: of 300 at most 26 (99.9 % of binomial draws).
func TestEDivisiveOfNoise(t *testing.T) {
	const seed, repetitions = 18, 300
	r := rand.New(rand.NewPCG(seed, 1))
	wrong := 0
	for i := range repetitions {
		got, err := EDivisive(series(r, 20), EDivisiveOptions{Seed: uint64(i), Permutations: 99})
		if err != nil {
			t.Fatal(err)
		}
		wrong += count01(len(got) > 0)
	}
	if wrong > 26 {
		t.Errorf("%d of %d series of noise have a change (seed %d)", wrong, repetitions, seed)
	}
}

package stat

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// calibrationSeed is that of the first experiment; each has the next one.
const calibrationSeed = 20261127

// experiment is one property of a method under conditions that are known because they are simulated.
type experiment struct {
	section, name string
	// seen is compared with want: "<=" with three standard errors above it, ">=" below, "=" four to both sides; "" only tells.
	relation string
	want     float64
	cost     int // repetitions are divided by it
	// trial says whether it happened, and whether this trial counts (a method may refuse).
	trial func(r *rand.Rand) (hit, counts bool)
}

// TestCalibration repeats every experiment 150 times; `make calibrate` 10,000 times (SMTPSTORM_CALIBRATE), with a table (SMTPSTORM_CALIBRATION_FILE).
func TestCalibration(t *testing.T) {
	repetitions := 150
	if s := os.Getenv("SMTPSTORM_CALIBRATE"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 100 {
			t.Fatalf("SMTPSTORM_CALIBRATE=%q: a number of repetitions from 100 on is wanted", s)
		}
		repetitions = n
	}
	all := experiments()
	for i, e := range all { // before anything is drawn
		t.Logf("seed %d: %s, %s", calibrationSeed+i, e.section, e.name)
	}
	rows := make([]string, len(all))
	limit := make(chan struct{}, runtime.GOMAXPROCS(0))
	var wait sync.WaitGroup
	for i, e := range all {
		wait.Go(func() {
			limit <- struct{}{}
			defer func() { <-limit }()
			rows[i] = e.run(t, max(50, repetitions/max(1, e.cost)), calibrationSeed+i)
		})
	}
	wait.Wait()
	if file := os.Getenv("SMTPSTORM_CALIBRATION_FILE"); file != "" {
		if err := os.WriteFile(file, []byte(layOut(all, rows)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func (e experiment) run(t *testing.T, repetitions, seed int) string {
	r := rand.New(rand.NewPCG(uint64(seed), 0))
	hits, n := 0, 0
	for range repetitions {
		if hit, counts := e.trial(r); counts {
			n++
			hits += count01(hit)
		}
	}
	if n == 0 {
		t.Errorf("%s, %s (seed %d): no trial counted", e.section, e.name, seed)
		return ""
	}
	seen := float64(hits) / float64(n)
	se := math.Sqrt(e.want * (1 - e.want) / float64(n))
	ok, want := true, ""
	switch e.relation {
	case "<=":
		ok, want = seen <= e.want+3.12*se+1e-12, fmt.Sprintf("at most %.4g", e.want)
	case ">=":
		ok, want = seen >= e.want-3.12*se-1e-12, fmt.Sprintf("at least %.4g", e.want)
	case "=":
		ok, want = math.Abs(seen-e.want) <= 4*se+5e-5, fmt.Sprintf("%.4g", e.want) // a want is given to four digits
	}
	if !ok {
		t.Errorf("%s, %s (seed %d): %d of %d = %.4f, want %s", e.section, e.name, seed, hits, n, seen, want)
	}
	return fmt.Sprintf("| %s | %d | %d | %.4f | %s | %d |\n", e.name, n, hits, seen, want, seed)
}

func layOut(all []experiment, rows []string) string {
	var b strings.Builder
	for i, e := range all {
		if i == 0 || all[i-1].section != e.section {
			fmt.Fprintf(&b, "\n## %s\n\n| experiment | trials | it happened | share | wanted | seed |\n|---|---|---|---|---|---|\n", e.section)
		}
		b.WriteString(rows[i])
	}
	return b.String()
}

func experiments() []experiment {
	var out []experiment
	out = append(out, familyExperiments()...)
	out = append(out, coverageExperiments()...)
	out = append(out, sizeExperiments()...)
	out = append(out, conditionExperiments()...)
	out = append(out, equivalenceExperiments()...)
	out = append(out, powerExperiments()...)
	out = append(out, withinRunExperiments()...)
	return append(out, otherExperiments()...)
}

// Values of runs.

func normals(r *rand.Rand, n int, mean, sd float64) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = mean + sd*r.NormFloat64()
	}
	return out
}

func cauchys(r *rand.Rand, n int, mean float64) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = mean + r.NormFloat64()/r.NormFloat64()
	}
	return out
}

// rounded gives ties: to steps of half a standard deviation.
func rounded(v []float64) []float64 {
	for i := range v {
		v[i] = math.Round(2*v[i]) / 2
	}
	return v
}

// shareOf is the share of n messages to each of which p happens.
func shareOf(r *rand.Rand, n int, p float64) float64 {
	k := 0
	for range n {
		k += count01(r.Float64() < p)
	}
	return float64(k) / float64(n)
}

func mustRank(paired bool, a, b []float64) *RankTest {
	test := MannWhitney
	if paired {
		test = SignedRank
	}
	out, err := test(a, b)
	if err != nil {
		panic(err)
	}
	return out
}

func kind(paired bool) string {
	if paired {
		return "blocks"
	}
	return "runs a side"
}

// familyExperiments: four figures of the same runs, two of which depend on each other, A against A.
func familyExperiments() (out []experiment) {
	figures := func(r *rand.Rand, n int) (columns [4][]float64) {
		for range n {
			load := r.NormFloat64()
			columns[0] = append(columns[0], math.Exp(3+0.05*load))
			columns[1] = append(columns[1], math.Exp(4+0.05*load+0.05*r.NormFloat64()))
			columns[2] = append(columns[2], shareOf(r, 200, 0.03))
			columns[3] = append(columns[3], shareOf(r, 200, 0.10))
		}
		return columns
	}
	for _, paired := range []bool{false, true} {
		for _, n := range []int{5, 6, 8, 10} {
			out = append(out, experiment{"Family-wise error: any of four figures decided, A against A, Holm at 5 %", fmt.Sprint(n, " ", kind(paired)), "<=", 0.05, 1, func(r *rand.Rand) (bool, bool) {
				a, b := figures(r, n), figures(r, n)
				ps := make([]float64, 4)
				for k := range ps {
					ps[k] = mustRank(paired, a[k], b[k]).P
				}
				for _, row := range Holm(ps, 0.05) {
					if row.Rejected {
						return true, true
					}
				}
				return false, true
			}})
		}
	}
	return out
}

func coverageExperiments() (out []experiment) {
	const shift = 0.7
	add := func(section, name, relation string, want float64, cost int, paired bool, draw func(r *rand.Rand) (a, b []float64)) {
		out = append(out, experiment{section, name, relation, want, cost, func(r *rand.Rand) (bool, bool) {
			a, b := draw(r)
			return !mustRank(paired, a, b).Interval(0.05).Excludes(shift), true
		}})
	}
	for i, n := range []int{5, 6, 8, 10} {
		want := []float64{0.9683, 0.9589, 0.9501, 0.9567}[i]
		add("Coverage of the shift's interval at 95 %: the attainable level", fmt.Sprint(n, " runs a side, normal"), "=", want, 1, false, func(r *rand.Rand) (a, b []float64) {
			return normals(r, n, 0, 1), normals(r, n, shift, 1)
		})
		add("Coverage of the shift's interval at 95 %: the attainable level", fmt.Sprint(n, " runs a side, Cauchy"), "=", want, 1, false, func(r *rand.Rand) (a, b []float64) {
			return cauchys(r, n, 0), cauchys(r, n, shift)
		})
	}
	for i, n := range []int{6, 7, 8, 10} {
		add("Coverage of the shift's interval at 95 %: the attainable level", fmt.Sprint(n, " blocks, normal"), "=", 1-[]float64{2. / 64, 6. / 128, 10. / 256, 50. / 1024}[i], 1, true, func(r *rand.Rand) (a, b []float64) {
			a = normals(r, n, 0, 3)
			for _, v := range a {
				b = append(b, v+shift+r.NormFloat64())
			}
			return a, b
		})
	}
	return out
}

func sizeExperiments() (out []experiment) {
	for i, n := range []int{6, 7, 8, 10} {
		out = append(out, experiment{"Size of tests at 5 %, A against A", fmt.Sprintf("signed-rank, %d blocks", n), "=", []float64{0.0312, 0.0469, 0.0391, 0.0488}[i], 1, func(r *rand.Rand) (bool, bool) {
			return mustRank(true, normals(r, n, 0, 1), normals(r, n, 0, 1)).Direction(0.05) != 0, true
		}})
	}
	for _, n := range []int{5, 6} {
		deciles := func(r *rand.Rand) (rows [][]float64) {
			for range n {
				level := 3 + 0.05*r.NormFloat64()
				var s Sample
				for _, v := range slices.Sorted(slices.Values(normals(r, 200, level, 0.5))) {
					s.Cells = append(s.Cells, Cell{math.Exp(v), 1})
				}
				var row []float64
				for k := range 9 {
					row = append(row, s.Quantile(float64(k+1)/10))
				}
				rows = append(rows, row)
			}
			return rows
		}
		out = append(out, experiment{"Size of tests at 5 %, A against A", fmt.Sprintf("shift function: any decile, %d runs a side", n), "<=", 0.05, 1, func(r *rand.Rand) (bool, bool) {
			test, err := ShiftFunction(deciles(r), deciles(r), false, 0.05, 1)
			if err != nil {
				panic(err)
			}
			for _, row := range test.Rows {
				if row.Direction != 0 {
					return true, true
				}
			}
			return false, true
		}})
	}
	for _, paired := range []bool{false, true} {
		n := 5
		if paired {
			n = 8
		}
		runs := func(r *rand.Rand) (rows [][]float64) {
			for range n {
				p := 0.05 * math.Exp(0.2*r.NormFloat64())
				x, y := shareOf(r, 200, p), shareOf(r, 200, 0.02)
				rows = append(rows, []float64{x, y, max(0, 1-x-y)})
			}
			return rows
		}
		out = append(out, experiment{"Size of tests at 5 %, A against A", fmt.Sprintf("shares of codes, %d %s", n, kind(paired)), "<=", 0.05, 1, func(r *rand.Rand) (bool, bool) {
			test, err := CompareShares(runs(r), runs(r), paired, 1)
			if err != nil {
				panic(err)
			}
			return test.P <= 0.05, true
		}})
	}
	for _, n := range []int{6, 10} {
		out = append(out, experiment{"Size of tests at 5 %, A against A", fmt.Sprintf("trend over two sides of %d runs", n), "<=", 0.05, 1, func(r *rand.Rand) (bool, bool) {
			test, err := Trend(normals(r, n, 0, 1), normals(r, n, 5, 1))
			if err != nil {
				panic(err)
			}
			return test.P <= 0.05, true
		}})
	}
	return out
}

// conditionExperiments: what is not as the textbook has it.
func conditionExperiments() (out []experiment) {
	add := func(name, relation string, want float64, trial func(r *rand.Rand) bool) {
		out = append(out, experiment{"Under ties, zero variance, heavy tails and drift", name, relation, want, 1, func(r *rand.Rand) (bool, bool) { return trial(r), true }})
	}
	for _, n := range []int{5, 8} {
		add(fmt.Sprintf("ties, A against A, %d runs a side: decided", n), "<=", 0.05, func(r *rand.Rand) bool {
			return mustRank(false, rounded(normals(r, n, 0, 1)), rounded(normals(r, n, 0, 1))).Direction(0.05) != 0
		})
		add(fmt.Sprintf("ties, a shift of one standard deviation, %d runs a side: covered at 95 %%", n), ">=", 0.95, func(r *rand.Rand) bool {
			return !mustRank(false, rounded(normals(r, n, 0, 1)), rounded(normals(r, n, 1, 1))).Interval(0.05).Excludes(1)
		})
	}
	add("ties and zeros, A against A, 8 blocks: decided", "<=", 0.05, func(r *rand.Rand) bool {
		return mustRank(true, rounded(normals(r, 8, 0, 1)), rounded(normals(r, 8, 0, 1))).Direction(0.05) != 0
	})
	add("zero variance, equal sides, 5 runs a side: decided", "<=", 0, func(r *rand.Rand) bool {
		v := float64(r.IntN(3))
		return mustRank(false, []float64{v, v, v, v, v}, []float64{v, v, v, v, v}).Direction(0.05) != 0
	})
	add("zero variance, equal sides, 5 runs a side: equivalent", ">=", 1, func(r *rand.Rand) bool {
		v := float64(r.IntN(3))
		return mustRank(false, []float64{v, v, v, v, v}, []float64{v, v, v, v, v}).Interval(0.10).Within(-0.01, 0.01)
	})
	add("Cauchy, A against A, 8 blocks: decided", "<=", 0.05, func(r *rand.Rand) bool {
		return mustRank(true, cauchys(r, 8, 0), cauchys(r, 8, 0)).Direction(0.05) != 0
	})
	for _, sd := range []float64{1, 2} {
		add(fmt.Sprintf("a drift of %g sd over 20 runs, first all of A, then of B: wrongly decided", sd), "", 0, func(r *rand.Rand) bool {
			a, b := drifting(r, 20, sd, false)
			return mustRank(false, a, b).Direction(0.05) != 0
		})
		add(fmt.Sprintf("a drift of %g sd over 10 blocks in random order: wrongly decided", sd), "<=", 0.05, func(r *rand.Rand) bool {
			a, b := drifting(r, 20, sd, true)
			return mustRank(true, a, b).Direction(0.05) != 0
		})
		add(fmt.Sprintf("a drift of %g sd over 20 runs, first all of A, then of B: the trend is found", sd), "", 0, func(r *rand.Rand) bool {
			a, b := drifting(r, 20, sd, false)
			test, err := Trend(a, b)
			return err == nil && test.P <= 0.05
		})
	}
	return out
}

// drifting are runs without a difference whose mean rises by sd over them all.
func drifting(r *rand.Rand, n int, sd float64, blocks bool) (a, b []float64) {
	for i := range n {
		v := sd*float64(i)/float64(n-1) + r.NormFloat64()
		switch {
		case !blocks && i < n/2, blocks && i%2 == 0:
			a = append(a, v)
		default:
			b = append(b, v)
		}
	}
	if blocks {
		for i := range a {
			if r.IntN(2) == 1 {
				a[i], b[i] = b[i], a[i]
			}
		}
	}
	return a, b
}

func equivalenceExperiments() (out []experiment) {
	for _, paired := range []bool{false, true} {
		for _, n := range []int{5, 8, 10} {
			for _, tied := range []bool{false, true} {
				name := fmt.Sprintf("a true shift of the margin, %d %s", n, kind(paired))
				if tied {
					name += ", ties"
				}
				out = append(out, experiment{"Equivalence claimed although the shift is as large as the margin, at 5 %", name, "<=", 0.05, 1, func(r *rand.Rand) (bool, bool) {
					a, b := normals(r, n, 0, 1), normals(r, n, 1.5, 1)
					if tied {
						a, b = rounded(a), rounded(b)
					}
					return mustRank(paired, a, b).Interval(0.10).Within(-1.5, 1.5), true
				}})
			}
		}
	}
	return out
}

func powerExperiments() (out []experiment) {
	for _, p := range []struct {
		sd             float64
		paired         bool
		runs, withHolm int
	}{{0.03, false, 4, 5}, {0.05, false, 7, 9}, {0.10, false, 20, 28}, {0.03, true, 6, 8}, {0.05, true, 7, 11}, {0.10, true, 21, 30}} {
		for i, n := range []int{p.runs, p.withHolm} {
			alpha := []float64{0.05, 0.0125}[i]
			out = append(out, experiment{"Power: p99 larger by 10 %", fmt.Sprintf("runs vary by %g %%: %d %s at %g", 100*p.sd, n, kind(p.paired), alpha), ">=", 0.80, 1 + n*n*n/1000, func(r *rand.Rand) (bool, bool) {
				return mustRank(p.paired, normals(r, n, 0, p.sd), normals(r, n, math.Log(1.1), p.sd)).Direction(alpha) > 0, true
			}})
		}
	}
	for i, n := range []int{5, 6} {
		alpha := []float64{0.05, 0.0125}[i]
		out = append(out, experiment{"Power: 7 % deferred instead of 5 %, 1,000 messages a run", fmt.Sprintf("%d runs a side at %g", n, alpha), ">=", 0.80, 4, func(r *rand.Rand) (bool, bool) {
			var a, b []float64
			for range n {
				a, b = append(a, shareOf(r, 1000, 0.05)), append(b, shareOf(r, 1000, 0.07))
			}
			return mustRank(false, a, b).Direction(alpha) > 0, true
		}})
	}
	for _, n := range []int{5, 10} {
		for _, paired := range []bool{false, true} {
			n := max(n, 5+count01(paired)) // fewer blocks can't be decided
			{
				shift := Detectable(n, n, paired, 0.05)
				out = append(out, experiment{"Power: the smallest shift that Detectable gives is found in 80 %", fmt.Sprintf("%d %s: %.2f sd", n, kind(paired), shift), "", 0, 1, func(r *rand.Rand) (bool, bool) {
					a, b := normals(r, n, 0, 1), normals(r, n, shift, 1)
					if paired {
						clear(a)
					}
					return mustRank(paired, a, b).Direction(0.05) > 0, true
				}})
			}
		}
	}
	return out
}

// withinRunExperiments: one run of windows that depend on each other by rho, lognormal.
func withinRunExperiments() (out []experiment) {
	normal := map[float64]float64{0.5: 0, 0.9: 1.281552, 0.99: 2.326348}
	covers := func(r *rand.Rand, b Blocks, q float64) bool {
		var draws []float64
		for _, row := range b.Resample([]float64{q}, 399, r.Uint64()) {
			draws = append(draws, row[0])
		}
		iv, truth := CentralInterval(draws, 0.05), math.Exp(3+0.3*normal[q])
		return iv.Lo <= truth && truth <= iv.Hi
	}
	for _, e := range []struct {
		rho    float64
		blocks int
		q      float64
	}{{0.9, 10, 0.5}, {0.9, 20, 0.5}, {0.9, 40, 0.5}, {0.9, 10, 0.9}, {0.9, 20, 0.9}, {0.9, 40, 0.9}, {0.9, 20, 0.99}, {0.9, 120, 0.99}, {0.5, 20, 0.5}, {0.5, 20, 0.9}, {0.5, 120, 0.99}} {
		length := int(math.Ceil(-correlationTimes / math.Log(e.rho)))
		relation := ">="
		if e.blocks == 10 || e.q == 0.99 && e.blocks < minBlocksOfTail {
			relation = "" // refused; the table says why
		}
		out = append(out, experiment{"Within one run: coverage of the block bootstrap at 95 %", fmt.Sprintf("p%g, %d blocks of %d windows, rho %g", 100*e.q, e.blocks, length, e.rho), relation, 0.85, 5, func(r *rand.Rand) (bool, bool) {
			return covers(r, Blocks{blocks: cut(autoregressive(r, e.blocks*length, e.rho), length)}, e.q), true
		}})
	}
	for _, e := range []struct {
		rho     float64
		windows int
		q       float64
	}{{0, 40, 0.5}, {0, 40, 0.9}, {0.2, 40, 0.5}, {0.2, 40, 0.9}, {0.9, 1500, 0.5}, {0.9, 1500, 0.9}, {0.5, 1200, 0.99}} {
		out = append(out, experiment{"Within one run: coverage at 95 % where CutBlocks allows an interval", fmt.Sprintf("p%g, %d windows, rho %g", 100*e.q, e.windows, e.rho), ">=", 0.85, 5, func(r *rand.Rand) (bool, bool) {
			b := CutBlocks(autoregressive(r, e.windows, e.rho))
			if b.Allows(e.q) != nil {
				return false, false
			}
			return covers(r, b, e.q), true
		}})
	}
	return out
}

func otherExperiments() (out []experiment) {
	out = append(out, experiment{"Storms and histories", "a change is found in 30 values of noise, at 5 %", "<=", 0.05, 5, func(r *rand.Rand) (bool, bool) {
		changes, err := EDivisive(normals(r, 30, 20, 1), EDivisiveOptions{Seed: r.Uint64(), Permutations: 99})
		if err != nil {
			panic(err)
		}
		return len(changes) > 0, true
	}})
	for _, n := range []int{50, 400} {
		out = append(out, experiment{"Storms and histories", fmt.Sprintf("cumulative incidence of one of two causes, %d messages, a third censored: covered at 95 %%", n), ">=", 0.93, 5, func(r *rand.Rand) (bool, bool) {
			var endings []Ending
			for range n {
				// Causes 1 and 2 at rates .6 and .4, censored at rate .5.
				at, censored := r.ExpFloat64(), r.ExpFloat64()/0.5
				e := Ending{Time: at, Cause: 1, Count: 1}
				if r.Float64() < 0.4 {
					e.Cause = 2
				}
				if censored < at {
					e.Time, e.Cause = censored, 0
				}
				endings = append(endings, e)
			}
			in, err := AalenJohansen(endings, 2)
			if err != nil {
				panic(err)
			}
			_, iv := in.At(1, 1, 0.95)
			truth := 0.6 * (1 - math.Exp(-1))
			return iv.Lo <= truth && truth <= iv.Hi, true
		}})
	}
	return out
}

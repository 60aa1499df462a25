package fault

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// alpha is the level of every statistical test here. Seeds are fixed: a test that passes once passes always.
const alpha = 0.001

// goodness returns the p-value of a chi-square test of counts against probabilities.
func goodness(counts []float64, probabilities []float64) float64 {
	n := 0.0
	for _, c := range counts {
		n += c
	}
	expected := make([]float64, len(counts))
	for i, p := range probabilities {
		expected[i] = p * n
	}
	return distuv.ChiSquared{K: float64(len(counts) - 1)}.Survival(stat.ChiSquare(counts, expected))
}

// independence returns the p-value of a chi-square test of independence of a table of pairs.
func independence(pairs [][]float64) float64 {
	rows, columns, n := make([]float64, len(pairs)), make([]float64, len(pairs[0])), 0.0
	for i := range pairs {
		for j, c := range pairs[i] {
			rows[i], columns[j], n = rows[i]+c, columns[j]+c, n+c
		}
	}
	var observed, expected []float64
	for i := range pairs {
		for j, c := range pairs[i] {
			observed, expected = append(observed, c), append(expected, rows[i]*columns[j]/n)
		}
	}
	return distuv.ChiSquared{K: float64((len(rows) - 1) * (len(columns) - 1))}.Survival(stat.ChiSquare(observed, expected))
}

// recipients gives outcomes of sequential recipients, u0@example.org and so on, at a stage under a plan with one rule.
type recipients struct {
	plan  *Plan
	o     Occurrence
	space []byte
}

func newRecipients(t testing.TB, seed uint64, s smtp.Stage, reply string) *recipients {
	t.Helper()
	p := mustCompile(t, Flags{Seed: seed, Replies: []string{s.String() + "=" + reply}})
	return &recipients{plan: p, o: Occurrence{Stage: s, Sender: []byte("sender@example.com"), RcptN: 1}}
}

func (r *recipients) outcome(i int, n uint64) int {
	r.space = fmt.Appendf(r.space[:0], "u%d@example.org", i)
	r.o.Recipient, r.o.RcptN = r.space, n
	return int(r.plan.Decide(&r.o).Outcome)
}

const configured = "250:90,450:7,550:3"

var configuredOdds = []float64{0.9, 0.07, 0.03}

// TestDrawsFitTheirWeights: over 200 seeds the p-values of goodness of fit are uniform, by a Kolmogorov-Smirnov test.
func TestDrawsFitTheirWeights(t *testing.T) {
	const seeds, draws = 200, 5000
	var ps []float64
	for seed := range uint64(seeds) {
		r := newRecipients(t, seed, smtp.StageRcpt, configured)
		counts := make([]float64, 3)
		for i := range draws {
			counts[r.outcome(i, 1)]++
		}
		ps = append(ps, goodness(counts, configuredOdds))
	}
	t.Logf("p-values of seeds 0 to %d: %.3f", seeds-1, ps)
	if d, critical := uniformDistance(ps), ksCritical(seeds); d > critical {
		t.Errorf("the p-values are not uniform: Kolmogorov-Smirnov distance %.4f, want at most %.4f", d, critical)
	}
	for i := range ps { // the test can fail: p-values pressed towards 0 are not uniform
		ps[i] *= 0.8
	}
	if d, critical := uniformDistance(ps), ksCritical(seeds); d <= critical {
		t.Errorf("p-values times 0.8 pass as uniform with distance %.4f, want more than %.4f", d, critical)
	}
}

// uniformDistance is the one-sample Kolmogorov-Smirnov distance of values from the uniform distribution on [0, 1].
func uniformDistance(values []float64) float64 {
	x := slices.Sorted(slices.Values(values))
	n, d := float64(len(x)), 0.0
	for i, v := range x {
		d = max(d, float64(i+1)/n-v, v-float64(i)/n)
	}
	return d
}

// ksCritical is the critical distance at alpha 0.001: 1.95 over Stephens' modified root of n (Stephens, JASA 69, 1974, table 1).
func ksCritical(n int) float64 {
	root := math.Sqrt(float64(n))
	return 1.95 / (root + 0.12 + 0.11/root)
}

// TestDrawsAreTellable: 89/8/3 is not mistaken for 90/7/3 at 100,000 draws, and 90/7/3 is.
func TestDrawsAreTellable(t *testing.T) {
	for _, c := range []struct {
		reply  string
		reject bool
	}{{"250:89,450:8,550:3", true}, {configured, false}} {
		r := newRecipients(t, 42, smtp.StageRcpt, c.reply)
		counts := make([]float64, 3)
		for i := range 100_000 {
			counts[r.outcome(i, 1)]++
		}
		if p := goodness(counts, configuredOdds); (p < alpha) != c.reject {
			t.Errorf("%s gave %v: p = %.3g against 90/7/3, want rejection: %v", c.reply, counts, p, c.reject)
		}
	}
}

// TestDrawsAreIndependent: of two draws that differ in one fact only, one says nothing about the other.
func TestDrawsAreIndependent(t *testing.T) {
	const draws = 50_000
	for seed := range uint64(5) {
		rcpt := newRecipients(t, seed, smtp.StageRcpt, configured)
		message := newRecipients(t, seed, smtp.StageMessage, configured)
		neighbour := newRecipients(t, seed+1, smtp.StageRcpt, configured)
		for _, c := range []struct {
			name string
			pair func(i int) (a, b int)
			same bool
		}{
			{"stages rcpt and message", func(i int) (a, b int) { return rcpt.outcome(i, 1), message.outcome(i, 1) }, false},
			{"attempts k and k+1", func(i int) (a, b int) { return rcpt.outcome(i/5, uint64(1+i%5)), rcpt.outcome(i/5, uint64(2+i%5)) }, false},
			{"neighbouring seeds", func(i int) (a, b int) { return rcpt.outcome(i, 1), neighbour.outcome(i, 1) }, false},
			{"sequential recipients", func(i int) (a, b int) { return rcpt.outcome(2*i, 1), rcpt.outcome(2*i+1, 1) }, false},
			{"control: the same draw", func(i int) (a, b int) { return rcpt.outcome(i, 1), rcpt.outcome(i, 1) }, true},
		} {
			pairs := [][]float64{make([]float64, 3), make([]float64, 3), make([]float64, 3)}
			for i := range draws {
				a, b := c.pair(i)
				pairs[a][b]++
			}
			if p := independence(pairs); (p < alpha) != c.same {
				t.Errorf("seed %d, %s: p = %.3g of %v, want dependence: %v", seed, c.name, p, pairs, c.same)
			}
		}
	}
}

// TestCodeAndDelayAreIndependent: the purposes draw apart; the same holds for the four quarters of the delay.
func TestCodeAndDelayAreIndependent(t *testing.T) {
	p := mustCompile(t, Flags{Seed: 3, Replies: []string{"rcpt=250:50,450:50"}, Delays: []string{"rcpt=uniform(0s,4s)"}})
	pairs := [][]float64{make([]float64, 4), make([]float64, 4)}
	o := Occurrence{Stage: smtp.StageRcpt, Sender: []byte("s@example.com"), RcptN: 1}
	for i := range 50_000 {
		o.Recipient = fmt.Appendf(nil, "u%d@example.org", i)
		d := p.Decide(&o)
		pairs[d.Outcome][min(3, int(d.Delay.Seconds()))]++
	}
	if got := independence(pairs); got < alpha {
		t.Errorf("p = %.3g of %v, want independence", got, pairs)
	}
}

// TestManyNoops: stages outside a transaction have an ordinal in their key, so that one connection meets the weights too.
func TestManyNoops(t *testing.T) {
	p := mustCompile(t, Flags{Seed: 5, Replies: []string{"noop=" + configured}})
	counts := make([]float64, 3)
	for i := range uint64(20_000) {
		counts[p.Decide(&Occurrence{Stage: smtp.StageNoop, ConnN: 1, Nth: i + 1}).Outcome]++
	}
	if got := goodness(counts, configuredOdds); got < alpha {
		t.Errorf("p = %.3g of %v against 90/7/3", got, counts)
	}
}

// TestDelaysFitTheirDistribution compares each kind's draws with the distribution that it names, by Kolmogorov-Smirnov.
func TestDelaysFitTheirDistribution(t *testing.T) {
	type cdf interface{ CDF(x float64) float64 }
	normal := distuv.Normal{Mu: 0.02, Sigma: 0.03}
	table := func(x float64) float64 { // seconds
		switch {
		case x < 0.02:
			return 0.5 * x / 0.02
		case x < 1:
			return 0.5 + 0.4*(x-0.02)/0.98
		}
		return 0.9 + 0.1*(x-1)
	}
	of := func(d cdf) func(float64) float64 { return d.CDF }
	for text, want := range map[string]func(float64) float64{
		"uniform(5ms,50ms)":                 of(distuv.Uniform{Min: 0.005, Max: 0.05}),
		"lognormal(200ms,0.5)":              of(distuv.LogNormal{Mu: math.Log(0.2), Sigma: 0.5}),
		"exponential(100ms)":                of(distuv.Exponential{Rate: 10}),
		"percentiles(50=20ms,90=1s,100=2s)": table,
		"normal(20ms,30ms)":                 func(x float64) float64 { return (normal.CDF(x) - normal.CDF(0)) / (1 - normal.CDF(0)) },
	} {
		d, err := ParseDelay(text)
		if err != nil {
			t.Fatal(err)
		}
		const n = 20_000
		var u []float64
		for i := range n {
			u = append(u, want(d.At(Draw(11, smtp.StageData, PurposeDelay, fmt.Append(nil, i))).Seconds()))
		}
		if got, critical := uniformDistance(u), ksCritical(n); got > critical {
			t.Errorf("%s: Kolmogorov-Smirnov distance %.4f, want at most %.4f", text, got, critical)
		}
	}
}

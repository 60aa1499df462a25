package learn

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/smtpstorm/xk6-smtp/sink/fit"
	"github.com/smtpstorm/xk6-smtp/sink/mtalog"
	"github.com/smtpstorm/xk6-smtp/sink/plan"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

var usual = Options{MinCount: 20, Destinations: 10, Phases: 24, Scale: 1}

// learned reads a log and returns the model and its plan, which must be one.
func learned(t testing.TB, log []byte, o Options) (*Model, string) {
	t.Helper()
	l := NewLog()
	if err := mtalog.Read("postfix", bytes.NewReader(log), "log", mtalog.Options{Until: worldStart.AddDate(0, 0, 2), Location: time.UTC}, func(e *mtalog.Event) error {
		l.Add(e)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	m, err := l.Model(o)
	if err != nil {
		t.Fatal(err)
	}
	text := m.Plan("a log of postfix")
	if _, err := plan.Parse("learned.yaml", []byte(text)); err != nil {
		t.Fatalf("%v, in\n%s", err, text)
	}
	return m, text
}

const known = `version: 1
seed: %d
rules:
  - stage: rcpt
    match: {recipient: "*@big.example", attempt: 1}
    outcomes:
      - {weight: 80}
      - {weight: 12, reply: {code: 451, enhanced: 4.7.1, text: Greylisted}, delay: 300ms}
      - {weight: 5, reply: {code: 550, enhanced: 5.1.1, text: [No such user, look again]}}
      - {weight: 3, close: rst}
  - stage: rcpt
    match: {recipient: "*@big.example"}
    outcomes: [{weight: 80}, {weight: 20, reply: {code: 450, enhanced: 4.2.1, text: Too many}}]
  - stage: message
    match: {recipient: "*@big.example"}
    delay: "lognormal(200ms,0.5)"
    outcomes: [{weight: 98}, {weight: 2, reply: {code: 554, enhanced: 5.7.1, text: Spam}}]
  - stage: rcpt
    match: {recipient: "*@full.example"}
    key: recipient
    outcomes: [{weight: 90}, {weight: 10, reply: {code: 452, enhanced: 4.2.2, text: Mailbox full}}]
`

// TestAKnownPlanIsLearned: of a log that was made by a plan, the shares are the plan's within the interval of their counts, over many seeds.
func TestAKnownPlanIsLearned(t *testing.T) {
	type share struct {
		domain string
		stage  smtp.Stage
		n      int // an attempt that the table is for
		code   smtp.Code
		want   float64
	}
	shares := []share{
		{"big.example", smtp.StageRcpt, 1, 451, 0.12}, {"big.example", smtp.StageRcpt, 1, 550, 0.05}, {"big.example", smtp.StageRcpt, 1, 0, 0.03},
		{"big.example", smtp.StageRcpt, 2, 450, 0.2}, {"big.example", smtp.StageMessage, 1, 554, 0.02}, {"full.example", smtp.StageRcpt, 1, 452, 0.1},
	}
	missed := map[share]int{}
	const seeds = 8
	for seed := range uint64(seeds) {
		w := newWorld(t, fmt.Sprintf(known, seed), seed, 4000, "big.example", "full.example")
		w.quiet = seed > 0
		var log bytes.Buffer
		if err := w.run(&log); err != nil {
			t.Fatal(err)
		}
		m, text := learned(t, log.Bytes(), usual)
		if len(m.Phases) > 0 {
			t.Errorf("seed %d: nothing changes, and the phases are %v", seed, m.Phases)
		}
		for _, s := range shares {
			k, n := count(m, s.domain, s.stage, s.n, s.code)
			if b := fit.ClopperPearson(k, n, 0.99); s.want < b.Lo || s.want > b.Hi {
				missed[s]++
				t.Logf("seed %d: %+v: %d of %d, %v", seed, s, k, n, b)
			}
		}
		for _, d := range m.Destinations {
			if sticky := d.Domain == "full.example"; d.Parts[0].Sticky != sticky {
				t.Errorf("seed %d: %s is sticky: %v", seed, d.Domain, !sticky)
			}
			if took := d.Parts[0].Took; d.Domain == "big.example" && (took.at(50) < 180*time.Millisecond || took.at(50) > 220*time.Millisecond) {
				t.Errorf("seed %d: the median is %v", seed, took.at(50))
			}
		}
		for _, want := range []string{`text: "Greylisted <{{recipient}}> try id ID"`, `text: ["No such user", "look again <{{recipient}}> try id ID"]`, "close: rst"} {
			if !strings.Contains(text, want) {
				t.Errorf("seed %d: no %s in\n%s", seed, want, text)
			}
		}
		leaks(t, text, w)
	}
	for s, n := range missed { // of 8 intervals with 99% three miss five times in a hundred thousand
		if n > 2 {
			t.Errorf("%+v: %d of %d intervals miss it", s, n, seeds)
		}
	}
}

// count returns how often a code was counted, and of how many, in the table for an attempt.
func count(m *Model, domain string, stage smtp.Stage, n int, code smtp.Code) (k, all uint64) {
	for _, d := range m.Destinations {
		for i := range d.Parts[0].Tables {
			t := &d.Parts[0].Tables[i]
			if d.Domain != domain || t.Stage != stage || n < t.First || t.Last > 0 && n > t.Last {
				continue
			}
			all += uint64(t.Passed)
			for c := range t.Cells {
				all += uint64(t.Cells[c].Count)
				if t.Cells[c].code == code {
					k += uint64(t.Cells[c].Count)
				}
			}
		}
	}
	return k, all
}

// leaks looks for what must never be in a plan: addresses, local parts, message ids.
func leaks(t *testing.T, text string, w *world) {
	t.Helper()
	for pair := range w.pairs {
		for _, secret := range []string{w.sender(pair), w.recipient(pair)} {
			local, _, _ := strings.Cut(secret, "@")
			if strings.Contains(text, secret) || strings.Contains(text, local) {
				t.Fatalf("the plan has %q:\n%s", local, text)
			}
		}
	}
	for _, secret := range []string{"@shop", "secret", "private", "unique", "mid1", "198.51"} {
		if strings.Contains(text, secret) {
			t.Errorf("the plan has %q:\n%s", secret, text)
		}
	}
}

// TestReplayHasTheLogsDistribution: what distinct (sender, recipient) pairs meet at their n-th attempt is alike in the log and when the learned
// plan is run, with other draws.
func TestReplayHasTheLogsDistribution(t *testing.T) {
	for _, test := range []struct{ name, text string }{{"steady", fmt.Sprintf(known, 3)}, {"with outages", stormy}} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, test.text, 5, 8000, "big.example", "full.example")
			w.quiet = true
			var log bytes.Buffer
			if err := w.run(&log); err != nil {
				t.Fatal(err)
			}
			_, text := learned(t, log.Bytes(), usual)
			again := newWorld(t, strings.Replace(text, "seed: 1", "seed: 99", 1), 6, 8000, "big.example", "full.example")
			if err := again.run(&bytes.Buffer{}); err != nil {
				t.Fatal(err)
			}
			var ps []float64
			var keys [][2]string
			for _, key := range slices.SortedFunc(maps.Keys(w.met), func(a, b [2]string) int { return strings.Compare(a[0]+a[1], b[0]+b[1]) }) {
				if p, tested := alike(w.met[key], again.met[key]); tested {
					ps, keys = append(ps, p), append(keys, key)
				}
			}
			if len(ps) < 4 {
				t.Errorf("only %v were compared", keys)
			}
			for i, p := range fit.Holm(ps) {
				if p < fit.Alpha {
					t.Errorf("%v: p = %v: the log has %v, the replay %v, by\n%s", keys[i], p, w.met[keys[i]], again.met[keys[i]], text)
				}
			}
		})
	}
}

const stormy = `version: 1
seed: 3
start: first-connection
rules:
  - {stage: rcpt, match: {recipient: "*@full.example", attempt: 1}, outcomes: [{weight: 7}, {weight: 3, reply: {code: 451, enhanced: 4.7.1, text: Greylisted}}]}
phases:
  - {name: quiet, duration: 3h, rules: [{stage: rcpt, match: {recipient: "*@big.example"}, outcomes: [{weight: 19}, {weight: 1, reply: 550/5.1.1}]}]}
  - {name: outage, duration: 40m, rules: [{stage: rcpt, match: {recipient: "*@big.example"}, reply: {code: 421, enhanced: 4.3.2, text: Closing}}]}
  - {name: busy, duration: 20h, rules: [{stage: rcpt, match: {recipient: "*@big.example"}, outcomes: [{weight: 8}, {weight: 1, reply: 550/5.1.1}, {weight: 1, reply: 451/4.3.2}]}]}
`

// TestOutagesBecomePhases: where they begin and end is found to a few minutes of twelve hours.
func TestOutagesBecomePhases(t *testing.T) {
	w := newWorld(t, stormy, 7, 8000, "big.example", "full.example")
	var log bytes.Buffer
	if err := w.run(&log); err != nil {
		t.Fatal(err)
	}
	m, text := learned(t, log.Bytes(), usual)
	if len(m.Phases) != 3 || len(m.Phases[1].Outage) != 1 || m.Phases[1].Outage[0] != "big.example" {
		t.Fatalf("the phases are %+v, in\n%s", m.Phases, text)
	}
	for i, want := range []time.Duration{0, 3 * time.Hour, 3*time.Hour + 40*time.Minute} {
		if off := m.Phases[i].From.Sub(worldStart.Add(want)); off.Abs() > 2*m.Step {
			t.Errorf("phase %d begins at %v, %v off", i+1, m.Phases[i].From, off)
		}
	}
	if !strings.Contains(text, `name: "outage of big.example"`) || !strings.Contains(text, `code: 421, enhanced: 4.3.2, text: "Closing <{{recipient}}> try id ID"`) {
		t.Errorf("the plan is\n%s", text)
	}
	o := usual
	o.Scale = 60
	if _, scaled := learned(t, log.Bytes(), o); !strings.Contains(scaled, "duration: 3m\n") {
		t.Errorf("60 times shorter it is\n%s", scaled)
	}
}

// alike is the chi-square test of homogeneity of two counts.
func alike(a, b map[string]int) (p float64, tested bool) {
	labels := map[string]bool{}
	na, nb := 0, 0
	for label, n := range a {
		labels[label] = true
		na += n
	}
	for label, n := range b {
		labels[label] = true
		nb += n
	}
	if na == 0 || nb == 0 {
		return 0, na+nb > 20
	}
	chi2, cells, restA, restB := 0.0, 0, 0, 0
	add := func(x, y int) {
		for _, c := range [...]struct{ got, all int }{{x, na}, {y, nb}} {
			expected := float64(x+y) * float64(c.all) / float64(na+nb)
			chi2 += (float64(c.got) - expected) * (float64(c.got) - expected) / expected
		}
		cells++
	}
	for label := range labels {
		if min(na, nb)*(a[label]+b[label]) < 5*(na+nb) {
			restA, restB = restA+a[label], restB+b[label]
			continue
		}
		add(a[label], b[label])
	}
	if restA+restB > 0 {
		add(restA, restB)
	}
	if cells < 2 {
		return 1, false
	}
	return distuv.ChiSquared{K: float64(cells - 1)}.Survival(chi2), true
}

// TestGolden is a plan to look at: what it says and how.
func TestGolden(t *testing.T) {
	w := newWorld(t, stormy, 7, 6000, "big.example", "full.example")
	var log bytes.Buffer
	if err := w.run(&log); err != nil {
		t.Fatal(err)
	}
	_, text := learned(t, log.Bytes(), usual)
	if os.Getenv("SHOW") != "" {
		fmt.Println(text)
	}
}

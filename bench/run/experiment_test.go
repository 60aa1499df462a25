package run

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

func TestTheOrderOfAnExperimentIsDrawnFromItsSeed(t *testing.T) {
	order := func(seed uint64, n int) (out string) {
		blocks := map[int][]trial{}
		for i, x := range trials("x", n, seed) {
			if x.design.Order != i+1 || x.design.Block != i/2+1 || x.design.Seed != seed || x.design.Experiment != "x" {
				t.Errorf("seed %d: run %d is %+v", seed, i, x.design)
			}
			blocks[x.design.Block] = append(blocks[x.design.Block], x)
			out += x.design.Side
		}
		seeds := map[uint64]bool{}
		for n, b := range blocks {
			if len(b) != 2 || b[0].design.Side == b[1].design.Side || b[0].seed != b[1].seed {
				t.Errorf("seed %d: block %d is %+v", seed, n, b)
			}
			seeds[b[0].seed] = true
		}
		if len(seeds) != n {
			t.Errorf("seed %d: %d seeds for %d blocks", seed, len(seeds), n)
		}
		return out
	}
	if a, b := order(1, 20), order(1, 20); a != b {
		t.Errorf("one seed, two orders: %s and %s", a, b)
	}
	first := map[byte]int{}
	for seed := range uint64(20) {
		o := order(seed, 20)
		for i := 0; i < len(o); i += 2 {
			first[o[i]]++
		}
	}
	// 400 fair coins: 150 to 250 is five standard deviations.
	if first['A'] < 150 || first['A'] > 250 {
		t.Errorf("A is first in %d of 400 blocks", first['A'])
	}
}

func TestAnExperimentRunsBothSidesInBlocks(t *testing.T) {
	o, console := options(t, "ok")
	o.Runs, o.MTA, o.Seed, o.SeedSet = 3, MTANone, 7, true
	o.Sides = &[2]Side{{Plan: "calm", Label: "before"}, {Plan: "tempfail-rcpt-30", Label: "after"}}
	outcome, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(outcome.Legs) != 6 {
		t.Fatalf("%d runs, want 6", len(outcome.Legs))
	}
	var order []string
	for _, x := range trials("", 3, 7) {
		order = append(order, fmt.Sprintf("%03d-%s", x.design.Block, x.design.Side))
	}
	var got []string
	seeds := map[int]uint64{}
	for _, leg := range outcome.Legs {
		got = append(got, leg.Name)
		r, err := result.Read(filepath.Join(o.Out, leg.Name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		d := r.Design
		if d == nil || d.Seed != 7 || r.Label != map[string]string{"A": "before", "B": "after"}[d.Side] || r.Provenance.Plan.Name != map[string]string{"A": "calm", "B": "mild"}[d.Side] {
			t.Errorf("%s: label %q, plan %q, design %+v", leg.Name, r.Label, r.Provenance.Plan.Name, d)
			continue
		}
		if have, ok := seeds[d.Block]; ok && have != r.Provenance.Seed {
			t.Errorf("block %d drew with the seeds %d and %d", d.Block, have, r.Provenance.Seed)
		}
		seeds[d.Block] = r.Provenance.Seed
	}
	if !slices.Equal(got, order) || len(seeds) != 3 || seeds[1] == seeds[2] {
		t.Errorf("runs %q, want %q; seeds %v", got, order, seeds)
	}
	for _, want := range []string{"design 3 blocks, both sides once in each", "share(failed)", "before: 3 runs, plan calm", "in the order ABBAAB (drawn from seed 7)"} {
		if !strings.Contains(flat(console.String()), want) {
			t.Errorf("the console lacks %q:\n%s", want, console)
		}
	}
	for _, name := range []string{"report.html", "comparison.json", "comparison.csv", "comparison.txt"} {
		if info, err := os.Stat(filepath.Join(o.Out, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if found, err := FindFiles(o.Out); err != nil || len(found.Legs) != 6 {
		t.Errorf("to be judged again: %+v, %v", found, err)
	}
}

// stopper closes a channel when it has seen two runs of the first block end.
type stopper struct {
	text strings.Builder
	stop chan struct{}
	once bool
}

func (s *stopper) Write(p []byte) (int, error) {
	s.text.Write(p)
	if n := strings.Count(s.text.String(), "\n001-"); n >= 2 && !s.once {
		s.once = true
		close(s.stop)
	}
	return len(p), nil
}

func TestCtrlCLeavesTheFinishedBlocks(t *testing.T) {
	o, _ := options(t, "ok")
	console := &stopper{stop: make(chan struct{})}
	o.Runs, o.MTA, o.Sides, o.Console, o.Stop = 5, MTANone, &[2]Side{{Plan: "calm"}, {Plan: "tempfail-rcpt-30"}}, console, console.stop
	outcome, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if !outcome.Interrupted || len(outcome.Legs) != 2 {
		t.Errorf("interrupted %v, %d runs, want 2 of the first block", outcome.Interrupted, len(outcome.Legs))
	}
	records, _ := filepath.Glob(filepath.Join(o.Out, "[0-9]*.json"))
	if len(records) != 2 || !strings.Contains(console.text.String(), "2 was not finished, and is left out") || !strings.Contains(flat(console.text.String()), "1 block, both sides once in each") {
		t.Errorf("records %q; console:\n%s", records, console.text.String())
	}
}

// A run that leaves no record costs its block and no other; what it had sent is judged, and the verdict tells of it.
func TestARunThatFailsCostsItsBlock(t *testing.T) {
	o, console := options(t, "no record of 002-B")
	o.Runs, o.MTA, o.Sides = 3, MTANone, &[2]Side{{Plan: "calm"}, {Plan: "tempfail-rcpt-30"}}
	outcome, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if outcome.Interrupted || len(outcome.Legs) != 4 || outcome.Exit != reconcile.ExitUndetermined {
		t.Errorf("interrupted %v, %d runs, exit status %d; want those of two blocks, and %d", outcome.Interrupted, len(outcome.Legs), outcome.Exit, reconcile.ExitUndetermined)
	}
	records, _ := filepath.Glob(filepath.Join(o.Out, "[0-9]*.json"))
	if len(records) != 4 {
		t.Errorf("records %q, want four", records)
	}
	for _, want := range []string{"run 002-B failed: ", "002-B.json is missing", "its block is left out", "2 blocks, both sides once in each"} {
		if !strings.Contains(flat(console.String()), want) {
			t.Errorf("the console lacks %q:\n%s", want, console)
		}
	}
	found, err := FindFiles(o.Out)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(found.Legs, func(l LegFiles) bool { return l.Name == "002-B" })
	if i < 0 || found.Legs[i].Record == nil || found.Legs[i].Record.Load.Stopped == "" {
		t.Errorf("the failed run is not recorded as failed: %+v", found.Legs)
	}
}

func TestExperimentsThatMakeNoSense(t *testing.T) {
	for want, change := range map[string]func(*Options){
		"needs a second side":                func(o *Options) { o.Runs = 2 },
		"goes with --runs N":                 func(o *Options) { o.Sides = &[2]Side{{}, {Plan: "calm"}} },
		"--runs 101: want 1 to 100 blocks":   func(o *Options) { o.Runs, o.Sides = 101, &[2]Side{{}, {Plan: "calm"}} },
		"the sides do not differ":            func(o *Options) { o.Runs, o.Sides = 2, &[2]Side{{Plan: "calm"}, {Plan: "calm"}} },
		"both need one (target or mta), or":  func(o *Options) { o.Runs, o.Sides = 2, &[2]Side{{}, {Target: "127.0.0.1:25"}} },
		`MTA "exchange" is unknown (valid: `: func(o *Options) { o.Runs, o.Sides = 2, &[2]Side{{MTA: "exchange"}, {MTA: "exchange", Plan: "calm"}} },
		"through the MTA at 127.0.0.1:25 and a private postfix": func(o *Options) {
			o.Runs, o.Sides = 2, &[2]Side{{Target: "127.0.0.1:25", MTA: MTAPostfix}, {Plan: "calm"}}
		},
		"no-such-plan":                     func(o *Options) { o.Runs, o.Sides = 2, &[2]Side{{}, {Plan: "no-such-plan"}} },
		"k6 binary /nowhere/k6":            func(o *Options) { o.Runs, o.Sides = 2, &[2]Side{{}, {K6: "/nowhere/k6"}} },
		"127.0.0.1:25 needs --sink-listen": func(o *Options) { o.Runs, o.Sides = 2, &[2]Side{{Target: "127.0.0.1:25"}, {Target: "127.0.0.1:26"}} },
	} {
		o, _ := options(t, "ok")
		o.MTA = MTANone
		change(&o)
		_, err := Run(t.Context(), o)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v, want %q in one line", err, want)
		}
		if _, err := os.Stat(o.Out); err == nil {
			t.Errorf("%s: something was written", want)
		}
	}
}

package run

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/result"
)

// began says when the runs of an experiment began: one that was taken over keeps its time.
func began(t *testing.T, dir string) map[string]time.Time {
	t.Helper()
	out := map[string]time.Time{}
	for _, x := range trials("", maxBlocks, 0) {
		if r, err := result.Read(filepath.Join(dir, x.name()+".json")); err == nil {
			out[x.name()] = r.Provenance.Started
			if r.Judgement == nil {
				t.Errorf("%s was not judged", x.name())
			}
			if _, err := os.Stat(filepath.Join(dir, x.name(), "sent.jsonl")); err != nil {
				t.Errorf("%s: its evidence: %v", x.name(), err)
			}
		}
	}
	return out
}

func TestAnExperimentGoesOnWhereItStopped(t *testing.T) {
	o, console := options(t, "ok")
	o.Runs, o.MTA, o.Seed, o.SeedSet = 2, MTANone, 7, true
	o.Sides = &[2]Side{{Plan: "calm"}, {Plan: "tempfail-rcpt-30"}}
	again := func(change func(o *Options)) (*Outcome, string) {
		t.Helper()
		sides := *o.Sides
		q := o
		q.Sides = &sides
		change(&q)
		console.Reset()
		outcome, err := Run(t.Context(), q)
		if err != nil {
			t.Fatalf("%v\n%s", err, console)
		}
		return outcome, console.String()
	}
	again(func(*Options) {})
	first := began(t, o.Out)

	// More blocks of the same experiment.
	outcome, said := again(func(o *Options) { o.Runs = 4 })
	second := began(t, o.Out)
	if len(first) != 4 || len(second) != 8 || len(outcome.Legs) != 8 || !strings.Contains(said, "resumed  2 blocks") {
		t.Fatalf("%d runs, then %d\n%s", len(first), len(second), said)
	}
	for name, at := range first {
		if !second[name].Equal(at) {
			t.Errorf("%s was run again", name)
		}
	}
	var ids = map[string]bool{}
	for i, leg := range outcome.Legs {
		want := trials(leg.Record.Design.Experiment, 4, 7)[i]
		if ids[leg.Record.Design.Experiment] = true; *leg.Record.Design != want.design || leg.Record.Provenance.Seed != want.seed {
			t.Errorf("%s: %+v, want %+v", leg.Name, *leg.Record.Design, want)
		}
	}
	if len(ids) != 1 {
		t.Errorf("the runs are of %d experiments", len(ids))
	}

	// One that was killed is kept beside the place of the results, without a run of its third block.
	kept := o.Out + "-0a1b2c3d"
	if err := os.Rename(o.Out, kept); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(kept, "003-B.json")); err != nil {
		t.Fatal(err)
	}
	outcome, said = again(func(o *Options) { o.Runs = 4 })
	third := began(t, o.Out)
	if len(third) != 8 || len(outcome.Legs) != 8 || !strings.Contains(said, "resumed  3 blocks") {
		t.Fatalf("%d runs\n%s", len(third), said)
	}
	for name, at := range second {
		if block := name[:3]; third[name].Equal(at) != (block != "003") {
			t.Errorf("%s: taken over: %v", name, third[name].Equal(at))
		}
	}

	// A complete one is run again, and so is one of which something was changed.
	if _, said = again(func(o *Options) { o.Runs = 4 }); strings.Contains(said, "resumed") {
		t.Errorf("a complete experiment was resumed:\n%s", said)
	}
	if err := os.RemoveAll(kept); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(o *Options){
		"seed": func(o *Options) { o.Seed = 8 }, "plan": func(o *Options) { o.Sides[1].Plan = "greylist" }, "messages": func(o *Options) { o.Messages = 30 },
	} {
		if _, said = again(func(o *Options) { o.Runs = 1 }); strings.Contains(said, "resumed") {
			t.Fatalf("one block is complete:\n%s", said)
		}
		if _, said = again(func(o *Options) { o.Runs = 2; change(o) }); strings.Contains(said, "resumed") {
			t.Errorf("another %s, and the old blocks were taken over:\n%s", name, said)
		}
	}
}

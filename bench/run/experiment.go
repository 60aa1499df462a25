package run

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/compare"
	"github.com/smtpstorm/xk6-smtp/bench/input"
	"github.com/smtpstorm/xk6-smtp/bench/k6"
	"github.com/smtpstorm/xk6-smtp/bench/mta"
	"github.com/smtpstorm/xk6-smtp/bench/report"
	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/sink/text"
)

// Side is in what a side of an experiment differs from the other options; empty fields are those of the options.
type Side struct {
	Label  string   `yaml:"label"`  // names it in tables; empty: the plan's name, or the target
	Plan   string   `yaml:"plan"`   // instead of Options.Plan and the flags
	Target string   `yaml:"target"` // instead of Options.Target
	MTA    string   `yaml:"mta"`    // a private one of each run: a name that bench/mta knows
	K6     string   `yaml:"k6"`     // instead of Options.K6
	Env    []string `yaml:"env"`    // beside Options.Env
}

// maxBlocks is the most blocks that an exact test takes.
const maxBlocks = 100

// validateExperiment checks Runs and Sides, which go together.
func (o *Options) validateExperiment() error {
	if o.Runs == 0 {
		if o.Sides != nil {
			return input.Errorf("a second side goes with --runs N, the number of blocks")
		}
		return nil
	}
	switch {
	case o.Runs < 1 || o.Runs > maxBlocks:
		return input.Errorf("--runs %d: want 1 to %d blocks", o.Runs, maxBlocks)
	case o.Sides == nil:
		return input.Errorf("--runs %d needs a second side: --against-plan, --against-target, --against-mta, --against-k6, or --sides FILE", o.Runs)
	case o.Dashboard:
		return input.Errorf("--runs and --dashboard exclude each other: the dashboard's work would be part of what is compared")
	}
	a, b := o.Sides[0], o.Sides[1]
	for _, s := range o.Sides {
		if q := o.of(s); q.Target != "" && q.throughPrivate() {
			return input.Errorf("a side goes through the MTA at %s and a private %s: want one of them", q.Target, q.MTA)
		}
	}
	if o.of(a).throughAny() != o.of(b).throughAny() {
		return input.Errorf("one side goes through an MTA and the other does not: both need one (target or mta), or none")
	}
	if a.Plan == b.Plan && a.Target == b.Target && a.MTA == b.MTA && a.K6 == b.K6 && slices.Equal(a.Env, b.Env) {
		return input.Errorf("the sides do not differ: in plan, target, mta, k6 or env, one at least must be another")
	}
	return nil
}

// of returns the options of a side.
func (o Options) of(s Side) Options {
	if s.Plan != "" {
		o.Plan = s.Plan
		o.Flags.Mode, o.Flags.At, o.Flags.Weights, o.Flags.Replies, o.Flags.Delays, o.Flags.RandomAccept = "", nil, nil, nil, nil, 0
	}
	o.Target, o.K6, o.MTA = cmp.Or(s.Target, o.Target), cmp.Or(s.K6, o.K6), cmp.Or(s.MTA, o.MTA)
	o.Env = append(slices.Clone(o.Env), s.Env...)
	return o
}

// throughPrivate reports whether a run goes through a private MTA of its own. In an experiment, auto is none.
func (o Options) throughPrivate() bool { return o.MTA != "" && o.MTA != MTANone && o.MTA != MTAAuto }

// throughAny reports whether an MTA stands between client and sink.
func (o Options) throughAny() bool { return o.Target != "" || o.throughPrivate() }

// side returns a runner for the runs of a side. It shares everything with the runner but the options and k6.
func (r *runner) side(s Side) (*runner, error) {
	q := *r
	q.o = r.o.of(s)
	var err error
	if q.k6, err = k6.Find(q.o.K6, q.o.Program); err != nil {
		return nil, err
	}
	return &q, q.o.validateTarget()
}

// prepareExperiment sees that both sides could run.
func (r *runner) prepareExperiment(ctx context.Context) error {
	for _, s := range r.o.Sides {
		q, err := r.side(s)
		if err != nil {
			return err
		}
		if err := k6.Check(ctx, q.k6); err != nil {
			return err
		}
		if _, err := q.o.storm(&r.bundle, q.stormPlan()); err != nil {
			return err
		}
		if q.o.throughPrivate() {
			if err := installed(q.o.MTA); err != nil {
				return err
			}
		}
	}
	return nil
}

// installed sees that a private MTA can be started.
func installed(name string) error {
	var names []string
	for _, c := range mta.Find() {
		switch {
		case c.Name != name:
			names = append(names, c.Name)
			continue
		case c.Path == "":
			return input.Errorf("MTA %s is not installed: %s", name, c.Fetch)
		case name == MTAPostfix && os.Geteuid() != 0:
			return input.Errorf("a private Postfix instance needs root: run as root, or choose another MTA")
		}
		return nil
	}
	return input.Errorf("MTA %q is unknown (valid: %s)", name, strings.Join(names, " "))
}

// stormPlan is the plan where the user names none.
func (r *runner) stormPlan() string {
	if r.o.throughAny() {
		return k6.MTAPlan
	}
	return k6.StormPlan
}

// trial is a run of an experiment that is planned.
type trial struct {
	design result.Design
	side   int
	seed   uint64 // of the block
}

func (t *trial) name() string { return fmt.Sprintf("%03d-%s", t.design.Block, t.design.Side) }

// trials draws the order of an experiment and a seed for each block.
func trials(experiment string, blocks int, seed uint64) []trial {
	r := rand.New(rand.NewPCG(seed, 0x626c6f636b73)) // #nosec G404 -- an order that the seed has to repeat
	var out []trial
	for block := 1; block <= blocks; block++ {
		first, drawn := r.IntN(2), r.Uint64()>>11 // as many bits as JSON readers keep
		for _, side := range []int{first, 1 - first} {
			out = append(out, trial{
				design: result.Design{Experiment: experiment, Seed: seed, Side: []string{result.SideA, result.SideB}[side], Block: block, Order: len(out) + 1},
				side:   side, seed: drawn,
			})
		}
	}
	return out
}

// experiment runs the blocks, each side once in each, never both at the same time, and compares them. A block of which a run was cut short or
// left no record is left out; the record of a run that failed stays beside its evidence.
func (r *runner) experiment(ctx context.Context) (*Outcome, error) {
	if err := r.bundle.Unpack(r.scratch.Path("scripts")); err != nil {
		return nil, fmt.Errorf("write the built-in scripts for k6: %w", err)
	}
	var l load
	direct := !r.o.of(r.o.Sides[0]).throughAny()
	if direct {
		l = r.o.directLoad(r.script())
	}
	whole, before, l, err := r.resume(l)
	if err != nil {
		return nil, err
	}
	if before == nil {
		whole.ID = time.Now().UTC().Format(time.RFC3339Nano)
		if direct && r.o.Script == "" {
			l.script = r.bundle.Path(k6.CalmScript) // for the probe
			if l, err = r.chooseLoad(ctx, l); err != nil {
				return nil, err
			}
		}
		whole.Messages, whole.Rate, whole.Probed, whole.Note = l.messages, l.rate, l.probed, l.note
	}
	if direct && r.o.Script == "" {
		l.script = r.bundle.Path(k6.StormScript)
	}
	if err := r.out.JSON(experimentFile, whole); err != nil {
		return nil, err
	}
	outcome := &Outcome{Dir: r.out.Final}
	plan := trials(whole.ID, r.o.Runs, r.o.Seed)
	r.progress.Say("blocks   %d, both sides once in each, order and seeds drawn from seed %d", r.o.Runs, r.o.Seed)
	for i := 0; i < len(plan) && !outcome.Interrupted; i += 2 {
		var block []*Leg
		taken := false
		for _, t := range plan[i : i+2] {
			if before != nil && before.done[t.name()] != nil {
				leg, err := r.take(before, t.name())
				if err != nil {
					return nil, err
				}
				outcome.Legs = append(outcome.Legs, leg)
				r.legs++
				taken = true
				continue
			}
			if outcome.Interrupted = stopped(r.o.Stop); outcome.Interrupted {
				break
			}
			leg, err := r.trial(ctx, t, l)
			if err != nil {
				return nil, err
			}
			if outcome.Interrupted = leg == nil || leg.Interrupted && stopped(r.o.Stop); outcome.Interrupted {
				break
			}
			r.legs++
			if leg.Record.Client == nil { // there is nothing to compare
				if err := leg.Record.Write(r.out.Path(filepath.Join(leg.Name, result.UnfinishedFile))); err != nil {
					return nil, err
				}
				r.progress.Say("run      %s failed: %s: its block is left out", leg.Name, leg.Record.Load.Stopped)
				outcome.Failed = append(outcome.Failed, leg)
				break
			}
			block = append(block, leg)
		}
		if outcome.Interrupted && len(block) < 2 {
			r.progress.Say("block    %d was not finished, and is left out", plan[i].design.Block)
			break
		}
		if len(block) < 2 || taken {
			continue
		}
		for _, leg := range block {
			if err := r.finished(leg); err != nil {
				return nil, err
			}
			outcome.Legs = append(outcome.Legs, leg)
		}
	}
	if len(outcome.Legs) == 0 && len(outcome.Failed) > 0 {
		first := outcome.Failed[0]
		return nil, fmt.Errorf("no block has two runs that can be compared: run %s: %s", first.Name, first.Record.Load.Stopped)
	}
	if len(outcome.Legs) == 0 {
		return nil, errors.New("interrupted before the first block had ended")
	}
	if err := r.reportExperiment(outcome); err != nil {
		return nil, fmt.Errorf("write the results: %w", err)
	}
	return outcome, nil
}

// trial makes one run.
func (r *runner) trial(ctx context.Context, t trial, l load) (*Leg, error) {
	side := r.o.Sides[t.side]
	q, err := r.side(side)
	if err != nil {
		return nil, err
	}
	q.o.Seed, q.o.SeedSet, q.o.Flags.Seed = t.seed, true, t.seed
	q.name = t.name()
	var leg *Leg
	switch {
	case q.o.Target != "":
		leg, err = q.target(ctx)
	case q.o.throughPrivate():
		leg, err = q.private(ctx, q.o.MTA)
	default:
		faults, ferr := q.o.storm(&r.bundle, q.stormPlan())
		if ferr != nil {
			return nil, ferr
		}
		label, _, _ := strings.Cut(faults.Source.Name, " --seed ") // of flags: the seed is the block's
		leg, err = q.direct(ctx, q.name, label, l, faults)
	}
	if err != nil || leg == nil {
		return nil, err
	}
	if side.Label != "" {
		leg.Record.Label = side.Label
	}
	leg.Record.Provenance.Seed = t.seed
	leg.Record.Design = &t.design
	return leg, nil
}

// reportExperiment compares the sides and judges all runs.
func (r *runner) reportExperiment(outcome *Outcome) error {
	r.progress.Update("comparing the sides")
	sides := [2]*compare.Side{{}, {}}
	var records []*result.Record
	for _, leg := range outcome.Legs {
		i := slices.Index([]string{result.SideA, result.SideB}, leg.Record.Design.Side)
		run, err := compare.Reduce(leg.Name+".json", leg.Record, 0, false)
		if err != nil {
			return err
		}
		sides[i].Runs = append(sides[i].Runs, run)
		records = append(records, leg.Record)
	}
	for _, leg := range outcome.Failed { // what they had sent is judged nevertheless
		records = append(records, leg.Record)
	}
	verdict := report.Judge(records, r.o.Judge).Verdict
	outcome.Exit = verdict.Exit
	var tables strings.Builder
	compared, err := compare.Compare(sides[0], sides[1], compare.Options{Seed: bootstrapSeed})
	var unlike *compare.InputError
	switch {
	case errors.As(err, &unlike):
		fmt.Fprintf(&tables, "%s", text.Labelled("compare", "the sides can't be compared: "+err.Error()))
	case err != nil:
		return err
	default:
		c := report.Comparison{Result: compared, Command: "smtpbench compare " + input.Shortest(r.out.Final)}
		if err := r.writeComparison(c, &tables); err != nil {
			return err
		}
	}
	if err := os.WriteFile(r.out.Path("comparison.txt"), []byte(tables.String()), 0o644); err != nil { // #nosec G306 -- results are for others to read
		return err
	}
	if err := r.out.Publish(); err != nil {
		return err
	}
	r.progress.Clear()
	fmt.Fprintf(r.o.Console, "\n%s\n%s", r.o.paint(tables.String()), r.o.paint(text.Labelled("judged", verdict.Sentence)))
	fmt.Fprintf(r.o.Console, "report   %s\nrecords  %s\n", input.Printable(input.Shortest(filepath.Join(r.out.Final, "report.html"))), input.Printable(input.Shortest(r.out.Final)+string(filepath.Separator)))
	return nil
}

func (r *runner) writeComparison(c report.Comparison, tables io.Writer) error {
	if err := report.ComparisonText(tables, c); err != nil {
		return err
	}
	for name, write := range map[string]func(io.Writer, report.Comparison) error{"report.html": report.ComparisonHTML, "comparison.json": report.ComparisonJSON, "comparison.csv": report.ComparisonCSV} {
		f, err := os.Create(r.out.Path(name))
		if err != nil {
			return err
		}
		if err := errors.Join(write(f, c), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

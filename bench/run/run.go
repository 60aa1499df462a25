package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/input"
	"github.com/smtpstorm/xk6-smtp/bench/k6"
	"github.com/smtpstorm/xk6-smtp/bench/mta"
	"github.com/smtpstorm/xk6-smtp/bench/outdir"
	"github.com/smtpstorm/xk6-smtp/bench/pipeline"
	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/bench/supervise"
	"github.com/smtpstorm/xk6-smtp/scripts"
	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/runfiles"
	"github.com/smtpstorm/xk6-smtp/sink/text"
)

// Outcome is what a run led to.
type Outcome struct {
	Legs        []*Leg
	Failed      []*Leg          // runs of an experiment that left no record of the client, so that their blocks are left out
	Dir         string          // of the results
	Exit        int             // the exit status of the verdict: 0 sound, 1 faults, 3 undetermined, 99 thresholds
	Capacity    *CapacityReport // of a search for it
	Interrupted bool            // it was ended early, which Exit tells, too; what was measured until then is in Legs
}

// errInterrupted says that a run was ended before there was anything to report.
var errInterrupted = errors.New("interrupted before the first leg had begun")

// runner is a run under way.
type runner struct {
	o        Options
	k6       string             // path of the binary
	bundled  string             // the user's script, if it is one of the bundle
	bundle   k6.Bundle          // scripts and plans
	scratch  *supervise.Scratch // directory of files that nobody keeps
	guard    *supervise.Guard   // of scratch directories
	out      *outdir.Dir
	progress *text.Progress
	board    *k6.Dashboard // nil unless the user wants it
	commit   string        // of the checkout, where there is one
	dirty    bool          // it has changes beside the commit
	name     string        // of the leg, where there are several through an MTA; empty: legMTA
	legs     int           // that have ended so far
}

// maxDefaultRate caps the rate that follows from the probe: at a thousand messages a second each leg takes some twenty seconds,
// and the delays of the shipped storm keep some thirty clients busy.
const maxDefaultRate = 1000

// Run does the main job, or what the options ask for instead, and writes its results to Options.Out. The error is an *input.Error
// when an option, a file or a program is at fault; nothing was written then. A run that fails its checks is no error: see
// Outcome.Exit.
func Run(ctx context.Context, o Options) (*Outcome, error) {
	o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	r := &runner{o: o, progress: text.NewProgress(o.Console, o.Terminal, o.Width)}
	legs, err := r.prepare()
	if err != nil {
		return nil, err
	}
	if err := k6.Check(ctx, r.k6); err != nil {
		return nil, err
	}
	switch {
	case o.Runs > 0:
		err = r.prepareExperiment(ctx)
	case o.Capacity != nil:
		err = r.prepareCapacity()
	}
	if err != nil {
		return nil, err
	}
	if o.Dashboard {
		if r.board, err = k6.StartDashboard(o.DashboardListen, &r.bundle); err != nil {
			return nil, err
		}
		defer r.board.Close()
	}
	r.commit, r.dirty = k6.Checkout(ctx, r.o.Program) // before there is anything new in it
	if r.out, err = outdir.New(o.Out); err != nil {
		return nil, err
	}
	if err := r.protect(); err != nil {
		return nil, errors.Join(err, r.out.Discard())
	}
	for _, dir := range r.out.Kept() {
		r.progress.Say(outdir.KeptLine, dir, dir)
	}
	defer r.unprotect()
	if r.board != nil {
		r.progress.Say("dashboard %s: each leg has its own, reload the page for the next one", r.board.URL)
	}
	work := func() (*Outcome, error) { return r.run(ctx, legs) }
	switch {
	case o.Runs > 0:
		work = func() (*Outcome, error) { return r.experiment(ctx) }
	case o.Capacity != nil:
		work = func() (*Outcome, error) { return r.capacity(ctx) }
	}
	outcome, err := work()
	r.progress.Clear()
	if err != nil {
		return nil, r.abandon(err)
	}
	return outcome, nil
}

// KeptError says why a run came to no result, and where the evidence of what it had sent until then is: smtpbench judge tells what became of it.
type KeptError struct {
	Dir string
	Err error
}

// Error has both.
func (e *KeptError) Error() string {
	return fmt.Sprintf("%v (what was sent and seen until then is kept: smtpbench judge %s)", e.Err, input.Printable(input.Shortest(e.Dir)))
}

// Unwrap returns the cause.
func (e *KeptError) Unwrap() error { return e.Err }

// abandon ends a run without results. If something was sent, its evidence stays, beside the place of the results; bad input leaves nothing.
func (r *runner) abandon(why error) error {
	var bad *input.Error
	if errors.As(why, &bad) || !r.sent() {
		return errors.Join(why, r.out.Discard())
	}
	r.unfinished(why)
	kept, err := r.out.Keep()
	if err != nil {
		return errors.Join(why, err)
	}
	return &KeptError{kept, why}
}

// claimPatterns match the claims of all legs.
func claimPatterns() []string {
	return []string{runfiles.ClaimsFile, filepath.Join("*", runfiles.ClaimsFile)}
}

// sent reports whether there are claims.
func (r *runner) sent() bool {
	for _, pattern := range claimPatterns() {
		claims, _ := filepath.Glob(r.out.Path(pattern)) // the pattern is a good one
		for _, path := range claims {
			if info, err := os.Stat(path); err == nil && info.Size() > 0 {
				return true
			}
		}
	}
	return false
}

// unfinished leaves a record of a leg that has none, so that who judges it knows that its load was not carried out.
func (r *runner) unfinished(why error) {
	for _, leg := range []string{legCalm, legStorm, legMTA} {
		path := r.out.Path(leg + ".json")
		_, begun := os.Stat(r.out.Path(filepath.Join(leg, runfiles.ClaimsFile)))
		only := leg == legMTA && r.onlyLeg()
		if _, err := os.Stat(path); err == nil && !(only && r.legs == 0) || begun != nil && !only {
			continue
		}
		if err := result.WriteUnfinished(path, leg, strings.ReplaceAll(why.Error(), "\n", "; ")); err != nil { // it may be what the run failed by; the evidence is more than this
			r.progress.Say("no record of leg %s: %v", leg, err)
		}
	}
}

// finished writes the record of a leg that has ended: should the program be killed in a later one, this one's is whole.
func (r *runner) finished(leg *Leg) error {
	if err := leg.Record.Write(r.out.Path(leg.Name + ".json")); err != nil {
		return err
	}
	if r.onlyLeg() {
		return nil
	}
	return os.Remove(r.out.Path(filepath.Join(leg.Name, result.UnfinishedFile)))
}

// drop removes what a leg has begun that tells nothing. A directory that is the run's goes with it.
func (r *runner) drop(e pipeline.Evidence) error {
	if e.Dir == r.out.Temp.Dir {
		return os.Remove(r.out.Path(legMTA + ".json"))
	}
	return os.RemoveAll(e.Dir)
}

// protect sees to it that the run leaves nothing but its results, however it ends. If it is killed, they are what was recorded until then.
func (r *runner) protect() (err error) {
	if r.guard, err = supervise.NewGuard(r.o.Watchdog, mta.ScratchPlaces(""), scratchPrefix, r.progress.Say); err != nil {
		return err
	}
	if r.scratch, err = r.guard.New("run", supervise.NewScratch); err == nil {
		err = errors.Join(r.out.KeepIf(claimPatterns()...), r.guard.Watch(r.out.Temp))
	}
	if err != nil {
		r.unprotect()
	}
	return err
}

// unprotect removes the scratch directory and ends the watchdog.
func (r *runner) unprotect() {
	if r.scratch != nil {
		r.guard.Dispose(r.scratch)
	}
	r.guard.Close()
}

// step runs one leg.
type step func(ctx context.Context) (*Leg, error)

// prepare finds and reads all that the run needs, and returns its legs.
func (r *runner) prepare() ([]step, error) {
	var err error
	if r.k6, err = k6.Find(r.o.K6, r.o.Program); err != nil {
		return nil, err
	}
	if r.bundle, err = k6.FindBundle(r.o.Scripts, r.o.Program); err != nil {
		return nil, err
	}
	if err := r.findScript(); err != nil {
		return nil, err
	}
	if r.o.Runs > 0 || r.o.Capacity != nil { // see prepareExperiment, prepareCapacity
		return nil, nil
	}
	if r.o.Target != "" {
		if _, err := r.o.storm(&r.bundle, k6.MTAPlan); err != nil {
			return nil, err
		}
		return []step{r.target}, nil
	}
	return r.prepareDirect()
}

// findScript replaces the name of the user's script by one of the bundle where that is meant, and sees that it can be read.
func (r *runner) findScript() error {
	if r.o.Script == "" {
		return nil
	}
	if file, ok := r.bundle.Find(r.o.Script, ".", ".js"); ok {
		r.bundled = file
		return nil
	}
	err := input.Readable(r.o.Script)
	if errors.Is(err, syscall.ENOENT) {
		return input.Errorf("script %s can't be read: %v%s", r.o.Script, err, scripts.Hint(r.o.Script, scripts.Scripts(), "script"))
	}
	if err != nil {
		return input.Errorf("script %s can't be read: %v", r.o.Script, err)
	}
	return nil
}

// script returns the path of the user's script; it is empty when there is none. The bundle must have been unpacked.
func (r *runner) script() string {
	if r.bundled != "" {
		return r.bundle.Path(r.bundled)
	}
	return r.o.Script
}

// prepareDirect returns the legs against the sink itself, and the one through Postfix.
func (r *runner) prepareDirect() ([]step, error) {
	storm, err := r.o.storm(&r.bundle, k6.StormPlan)
	if err != nil {
		return nil, err
	}
	var calmLoad, stormLoad load
	steps := []step{func(context.Context) (*Leg, error) { // by now the bundle is unpacked
		calmLoad = r.o.directLoad(r.script())
		stormLoad = calmLoad
		return nil, nil
	}}
	if r.o.Script == "" {
		if err := r.bundle.Check(k6.StormScript); err != nil {
			return nil, input.Errorf("script %s can't be read: %v", r.bundle.Path(k6.StormScript), err)
		}
		steps = append(steps, func(ctx context.Context) (*Leg, error) {
			calmLoad.script = r.bundle.Path(k6.CalmScript)
			chosen, err := r.chooseLoad(ctx, calmLoad)
			calmLoad, chosen.script = chosen, r.bundle.Path(k6.StormScript)
			stormLoad = chosen
			return nil, err
		})
	}
	steps = append(steps,
		func(ctx context.Context) (*Leg, error) {
			return r.direct(ctx, legCalm, "calm", calmLoad, pipeline.Calm())
		},
		func(ctx context.Context) (*Leg, error) {
			return r.direct(ctx, legStorm, storm.Source.Name, stormLoad, storm)
		})
	if r.o.Script != "" && r.o.MTA != MTAPostfix {
		return steps, nil
	}
	use, why, err := r.o.chooseMTA(mta.Find(), os.Geteuid() == 0)
	if err != nil {
		return nil, err
	}
	if why != "" {
		r.progress.Say("no leg through an MTA: %s", why)
	}
	if use {
		steps = append(steps, r.postfix)
	}
	return steps, nil
}

// chooseLoad completes the load of both legs. The arrival rate is what the user asked for, or at most half of what a probe measured;
// unless the user asked for a number of messages, there are no more than a leg of LegSeconds can send.
func (r *runner) chooseLoad(ctx context.Context, l load) (load, error) {
	if l.rate == 0 {
		r.progress.Update("probe    measuring the capacity of generator and sink")
		var err error
		if l.probed, err = r.probe(ctx, l.script); err != nil {
			return l, err
		}
		l.rate = min(halfOf(l.probed), maxDefaultRate)
	}
	asked := l.messages
	if r.o.anyMessages {
		l.messages = fitting(asked, l.rate)
	}
	if l.probed > 0 {
		r.progress.Say("probe    %.0f messages/s with %d clients in a closed loop; each leg offers %s messages, %.0f/s for %.0f s", l.probed, probeVUs,
			text.Count(l.messages), l.rate, l.duration().Seconds())
	}
	if l.messages < asked {
		l.note = fmt.Sprintf("%s messages instead of %s: more take longer than %d s at %.0f/s (--messages %d sends them all)", text.Count(l.messages), text.Count(asked), LegSeconds, l.rate, asked)
		r.progress.Say("fewer    %s", l.note)
	}
	return l, nil
}

// run takes the steps one by one, until one fails or the run is stopped, and reports.
func (r *runner) run(ctx context.Context, steps []step) (*Outcome, error) {
	if err := r.bundle.Unpack(r.scratch.Path("scripts")); err != nil {
		return nil, fmt.Errorf("write the built-in scripts for k6: %w", err)
	}
	outcome := &Outcome{Dir: r.out.Final}
	for i, step := range steps {
		leg, err := step(ctx)
		if err != nil {
			return nil, err
		}
		if leg != nil {
			outcome.Legs = append(outcome.Legs, leg)
			r.legs++
			if err := r.finished(leg); err != nil {
				return nil, err
			}
		}
		if stopped(r.o.Stop) {
			outcome.Interrupted = true
			if r.legs > 0 && (leg == nil || i+1 < len(steps)) {
				outcome.Legs[r.legs-1].cutShort()
			}
			break
		}
	}
	if len(outcome.Legs) == 0 {
		return nil, errInterrupted
	}
	if err := r.report(outcome); err != nil {
		return nil, fmt.Errorf("write the results: %w", err)
	}
	return outcome, nil
}

// cutShort notes in the last leg's record that others were to follow.
func (l *Leg) cutShort() {
	if load := &l.Record.Load; load.Stopped == "" {
		load.Stopped = "the run was interrupted before the next leg"
		l.Record.Warn("%s", load.Stopped)
	}
}

func stopped(stop <-chan struct{}) bool {
	select {
	case <-stop:
		return true
	default:
		return false
	}
}

// liveLine says how far a leg is: elapsed is since the first connection.
func liveLine(name string, l load, elapsed time.Duration, s *sink.Stats) string {
	planned := ""
	switch {
	case s.Connections == 0:
		return fmt.Sprintf("%-8s starting k6", name)
	case l.rate > 0 && l.messages > 0 && !l.own:
		// The last replies may come after the last message: that is no 6 of 5 s.
		planned = fmt.Sprintf(" of %.0f", l.duration().Seconds())
		elapsed = min(elapsed, l.duration())
	}
	a := s.Attempts
	return fmt.Sprintf("%-8s %3.0f%s s: %s accepted, %s deferred, %s bounced, %d %s", name, elapsed.Seconds(), planned,
		text.Count(a.Delivered), text.Count(a.Deferred), text.Count(a.Bounced), s.Open, text.Plural(s.Open, "connection"))
}

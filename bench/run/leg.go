package run

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/input"
	"github.com/smtpstorm/xk6-smtp/bench/k6"
	"github.com/smtpstorm/xk6-smtp/bench/pipeline"
	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/runfiles"
	"github.com/smtpstorm/xk6-smtp/sink/text"
)

// Leg is one run of k6 and what came of it.
type Leg struct {
	Name           string                 // of its files and in messages: calm, storm, mta
	Record         *result.Record         // what is written
	Reconciliation *result.Reconciliation // nil when an MTA stood between client and sink
	Interrupted    bool                   // it was ended early
	Wall           time.Duration          // of k6

}

// load is what a leg offers.
type load struct {
	script   string // path
	own      bool   // the user's own script, which may offer something else
	messages int
	vus      int
	rate     float64 // 0: the script's own
	probed   float64 // the capacity that a probe measured, 0 without one
	note     string  // what a reader should know about it
}

// duration is how long the messages take.
func (l load) duration() time.Duration { return lasting(float64(l.messages), l.rate) }

// shortfall holds the record of a bundled script to the load that it was to offer, and returns what is missing. Iterations beyond the
// number of messages sent nothing.
func (l load) shortfall(record *result.Record) string {
	load := &record.Load
	load.IterationsPlanned = uint64(l.messages) // #nosec G115 -- --messages is 1 or more
	load.IterationsComplete = min(load.IterationsComplete, load.IterationsPlanned)
	sent := uint64(record.Client.Sum("smtp_messages", nil))
	if sent >= uint64(l.messages) { // #nosec G115 -- --messages is 1 or more
		return ""
	}
	why := "since k6 could not start the rest in time (a lower --rate helps)"
	if load.IterationsDropped > 0 {
		why = "since too few clients were free (more --vus or a lower --rate help)"
	}
	return fmt.Sprintf("%s of %s messages were sent, %s", text.Count(sent), text.Count(l.messages), why)
}

// leastDuration is the shortest for which k6's arrival-rate executors offer anything.
const leastDuration = time.Second

// env tells a script what to do.
func (l load) env(host, port string, more []string) []string {
	env := []string{"SMTP_HOST=" + host, "SMTP_PORT=" + port}
	if l.vus > 0 {
		env = append(env, fmt.Sprintf("VUS=%d", l.vus))
	}
	if l.rate > 0 {
		env = append(env, fmt.Sprintf("RATE=%.0f", l.rate))
	}
	if l.messages > 0 {
		env = append(env, fmt.Sprintf("MESSAGES=%d", l.messages))
	}
	if l.rate > 0 && l.messages > 0 {
		env = append(env, "DURATION="+max(leastDuration, l.duration()).String())
	}
	return append(env, more...)
}

// job returns the k6 run of a leg.
func (r *runner) job(name string, l load, env []string) *k6.Job {
	limit := r.o.MaxTime
	if limit == 0 {
		limit = time.Hour
		if !l.own {
			limit = l.duration() + time.Minute
		}
	}
	return &k6.Job{
		Name: name, Script: l.script, Own: l.own, Env: env, Beyond: r.o.OwnTarget, Limit: limit, Tie: r.scratch.Environ(),
		Record: r.scratch.Path(name + ".json"),
		Stdout: r.out.Path("k6-" + name + "-summary.txt"),
		Stderr: r.out.Path("k6-" + name + ".log"),
	}
}

// drive runs k6 for a leg, with the dashboard beside it where the user wants one.
func (r *runner) drive(ctx context.Context, j *k6.Job, tick func()) (e k6.Exit, err error) {
	if j.Tuning, err = r.board.Begin(j.Record, r.out.Path("dashboard-"+j.Name+".html")); err != nil {
		return k6.Exit{}, err
	}
	defer r.board.Ended()
	e, err = j.Run(ctx, r.k6, r.o.Stop, func() {
		r.board.Look(time.Now())
		tick()
	})
	if err == nil && !e.Sent && r.legs == 0 { // there is nothing to keep
		err = j.Failure(e)
	}
	return e, err
}

// idle reports whether k6 was ended before it had begun: the leg tells nothing.
func idle(e k6.Exit, stats *sink.Stats) bool {
	return e.Interrupted && !e.Sent && stats.Connections == 0
}

// direct runs a leg whose client speaks to the sink itself.
func (r *runner) direct(ctx context.Context, name, label string, l load, f pipeline.Faults) (*Leg, error) {
	evidence, err := r.evidence(name)
	if err != nil {
		return nil, err
	}
	if err := evidence.NoQueue(); err != nil {
		return nil, err
	}
	sink, err := pipeline.StartSink(f, "127.0.0.1:0", evidence.Path(runfiles.LedgerFile), "")
	if err != nil {
		return nil, err
	}
	defer sink.Server.Close()
	host, port := sink.HostPort()
	var begun time.Time // of the first connection: before it, k6 compiles the script
	j := r.job(name, l, l.env(host, port, r.o.Env))
	j.Claims = evidence.Path(runfiles.ClaimsFile)
	e, err := r.drive(ctx, j, func() {
		stats := sink.Server.Stats()
		if begun.IsZero() && stats.Connections > 0 {
			begun = time.Now()
		}
		r.progress.Update("%s", liveLine(name, l, time.Since(begun), stats))
	})
	if err := errors.Join(err, evidence.Claimed()); err != nil {
		return nil, err
	}
	stats, process, err := sink.Stop()
	if err != nil {
		return nil, err
	}
	if idle(e, stats) {
		return nil, r.drop(evidence)
	}
	if err := r.out.JSON("sink-"+name+".json", stats); err != nil {
		return nil, err
	}
	leg, err := r.join(j, label, l, f, e, result.NewSink(stats, process))
	if err != nil {
		return nil, err
	}
	replies := ""
	if leg.Record.Client != nil {
		c := result.Reconcile(leg.Record.Client, leg.Record.Sink)
		leg.Reconciliation = &c
		replies = fmt.Sprintf(", %s replies injected, %s observed, %s in flight", text.Count(c.Injected), text.Count(c.Observed), text.Count(c.InFlight))
	}
	if err := evidence.Judge(leg.Record, r.o.Judge); err != nil {
		return nil, fmt.Errorf("leg %s: %w", name, err)
	}
	r.progress.Say("%-8s %s messages accepted in %.0f s%s", name, text.Count(stats.Messages), e.Wall.Seconds(), replies)
	return leg, nil
}

// join reads the record that k6 wrote and puts the sink's half beside it. If there is none, the sink's half is all that there is: the messages are
// judged nevertheless.
func (r *runner) join(j *k6.Job, label string, l load, f pipeline.Faults, e k6.Exit, counts *result.Sink) (*Leg, error) {
	half := result.New(label)
	half.Provenance.SinkMode = result.SinkEmbedded
	half.Provenance.Plan = f.Source
	half.Provenance.Versions = map[string]string{"go": runtime.Version()}
	if f.Plan != nil {
		half.Provenance.Seed = f.Plan.Seed()
	}
	half.Sink = counts
	record, lost := half, error(nil)
	if generator, err := j.ReadRecord(e); err != nil {
		lost = err
		half.Provenance.Started, half.Provenance.Ended = e.Started, e.Started.Add(e.Wall)
	} else {
		if generator.Client.Process == nil {
			generator.Client.Process = &result.Process{CPUSeconds: e.CPU.Seconds(), WallSeconds: e.Wall.Seconds()}
		}
		if own := generator.Sink; own != nil && counts.Connections == 0 {
			half.Sink, half.Provenance.SinkMode = own, generator.Provenance.SinkMode
			half.Provenance.Plan, half.Provenance.Seed = result.Plan{Name: "the script's own"}, 0
			half.Note("the script spoke to a sink of its own: this leg's plan had no effect")
		}
		generator.Label = label
		if record, err = result.Join(generator, half); err != nil {
			return nil, fmt.Errorf("leg %s: %w", j.Name, err)
		}
	}
	record.Load.ProbeRatePerSecond = l.probed
	if l.note != "" {
		record.Note("%s", l.note)
	}
	if !e.Interrupted && !e.Overran && e.Status >= 0 {
		record.Load.ExitStatus = &e.Status
	}
	if p := &record.Provenance; p.Commit == "" {
		p.Commit, p.Dirty = r.commit, r.dirty
	}
	if r.board != nil {
		record.Note("k6's web dashboard ran beside the leg: its work is part of k6's CPU time")
	}
	thrown, err := j.Thrown()
	if err != nil {
		return nil, fmt.Errorf("leg %s: %w", j.Name, err)
	}
	r.fellShort(record, l, e, thrown, lost)
	return &Leg{Name: j.Name, Record: record, Interrupted: e.Interrupted || e.Overran, Wall: e.Wall}, nil
}

// fellShort says in the record why not all of the load was carried out, if it was not: the first cause that is known.
func (r *runner) fellShort(record *result.Record, l load, e k6.Exit, thrown k6.Thrown, lost error) {
	load, after := &record.Load, fmt.Sprintf("after %.0f s", e.Wall.Seconds())
	load.Interrupted = load.Interrupted || e.Interrupted || e.Overran
	short := ""
	if !l.own && record.Client != nil {
		short = l.shortfall(record) // it mends figures, too
	}
	switch {
	case e.Broke != "":
		load.Stopped = e.Broke + " " + after
		record.Warn("%s %s; the end of its log: %s", e.Broke, after, e.Log)
	case e.Interrupted:
		load.Stopped = "interrupted " + after
		record.Warn("%s (k6's exit status %d)", load.Stopped, e.Status)
	case e.Overran:
		load.Stopped = fmt.Sprintf("ended %s, the most that a leg may take", after)
		record.Warn("%s (--max-time; k6's exit status %d)", load.Stopped, e.Status)
	case lost != nil:
		load.Stopped = lost.Error()
	case thrown.Errors > 0:
		load.Stopped = fmt.Sprintf("errors of the script ended %s, the first: %s", text.Counted(thrown.Errors, "iteration"), input.Printable(thrown.First))
		record.Warn("%s", load.Stopped)
	case thrown.Others > 0 && !e.Sent:
		load.Stopped = fmt.Sprintf("nothing was sent, and the script ended %s by throw or fail(), the first: %s", text.Counted(thrown.Others, "iteration"), input.Printable(thrown.First))
		record.Warn("%s", load.Stopped)
	case load.Stopped != "": // k6 says so
		record.Warn("%s", load.Stopped)
	case short != "":
		load.Stopped = short
		record.Warn("%s", short)
	case l.own && load.IterationsDropped > 0:
		load.Stopped = fmt.Sprintf("k6 dropped %s, since no client was free: more VUs or a lower rate help", text.Counted(load.IterationsDropped, "iteration"))
		record.Warn("%s", load.Stopped)
	}
	if thrown.Others > 0 && e.Sent {
		record.Warn("the script ended %s by throw or fail()", text.Counted(thrown.Others, "iteration"))
	}
	load.Stopped = result.CutUserInfo(load.Stopped)
	if lost != nil {
		record.Warn("no figures of the client: %v", lost)
	}
}

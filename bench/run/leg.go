package run

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/sink/bookfiles"
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

// settle holds the record of a bundled script to the load that it was to offer, and returns what is missing. Iterations beyond the
// number of messages sent nothing.
func (l load) settle(record *result.Record) string {
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
	short := fmt.Sprintf("%s of %s messages were sent, %s", count(sent), count(l.messages), why)
	record.Warn("%s", short)
	return short
}

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
		env = append(env, "DURATION="+l.duration().String())
	}
	return append(env, more...)
}

// job returns the k6 run of a leg.
func (r *runner) job(name string, l load, env []string) job {
	limit := r.o.MaxTime
	if limit == 0 {
		limit = time.Hour
		if !l.own {
			limit = l.duration() + time.Minute
		}
	}
	return job{
		name: name, script: l.script, own: l.own, env: env, limit: limit, tie: r.scratch.Environ(),
		record: r.scratch.Path(name + ".json"),
		stdout: r.out.path("k6-" + name + "-summary.txt"),
		stderr: r.out.path("k6-" + name + ".log"),
	}
}

// drive runs k6 for a leg, with the dashboard beside it where the user wants one.
func (r *runner) drive(ctx context.Context, j job, tick func()) (e exit, err error) {
	if j.tuning, err = r.board.begin(j.record, r.out.path("dashboard-"+j.name+".html")); err != nil {
		return exit{}, err
	}
	defer r.board.ended()
	return r.generate(ctx, j, func() {
		r.board.look(time.Now())
		tick()
	})
}

// generate runs k6, which connects to nothing beyond loopback unless the user has vouched.
func (r *runner) generate(ctx context.Context, j job, tick func()) (exit, error) {
	j.tuning = append(j.tuning, r.o.keepIn()...)
	e, err := runK6(ctx, r.k6, j, r.o.Stop, tick)
	if beyond := r.o.stayedIn(j); beyond != nil {
		return e, beyond
	}
	return e, err
}

// direct runs a leg whose client speaks to the sink itself.
func (r *runner) direct(ctx context.Context, name, label string, l load, w weather) (*Leg, error) {
	b, err := r.books(name)
	if err != nil {
		return nil, err
	}
	sink, err := startSink(w, "127.0.0.1:0", b.path(bookfiles.LedgerFile), "")
	if err != nil {
		return nil, err
	}
	defer sink.server.Close()
	host, port := sink.hostPort()
	var begun time.Time // of the first connection: before it, k6 compiles the script
	j := r.job(name, l, l.env(host, port, r.o.Env))
	j.claims = b.path(bookfiles.ClaimsFile)
	e, err := r.drive(ctx, j, func() {
		stats := sink.server.Stats()
		if begun.IsZero() && stats.Connections > 0 {
			begun = time.Now()
		}
		r.progress.update("%s", liveLine(name, l, time.Since(begun), stats))
	})
	if err := errors.Join(err, b.ended(), b.nobody()); err != nil {
		return nil, err
	}
	stats, process, err := sink.stop()
	if err != nil {
		return nil, err
	}
	if err := r.out.json("sink-"+name+".json", stats); err != nil {
		return nil, err
	}
	leg, err := r.join(name, label, l, w, e, result.NewSink(stats, process))
	if err != nil {
		return nil, err
	}
	c := result.Reconcile(leg.Record.Client, leg.Record.Sink)
	leg.Reconciliation = &c
	if err := r.judge(b, leg); err != nil {
		return nil, err
	}
	r.progress.say("%-8s %s messages accepted in %.0f s, %s replies injected, %s observed, %s in flight", name,
		count(stats.Messages), e.wall.Seconds(), count(c.Injected), count(c.Observed), count(c.InFlight))
	return leg, nil
}

// join reads the record that k6 wrote and puts the sink's half beside it.
func (r *runner) join(name, label string, l load, w weather, e exit, counts *result.Sink) (*Leg, error) {
	generator, err := generated(name, r.scratch.Path(name+".json"), e)
	if err != nil {
		return nil, err
	}
	generator.Label = label
	generator.Load.ProbeRatePerSecond = l.probed
	if l.note != "" {
		generator.Note("%s", l.note)
	}
	if !e.interrupted && !e.overran {
		generator.Load.ExitStatus = &e.status
	}
	if p := &generator.Provenance; p.Commit == "" {
		p.Commit, p.Dirty = r.commit, r.dirty
	}
	if generator.Client != nil && generator.Client.Process == nil {
		generator.Client.Process = &result.Process{CPUSeconds: e.cpu.Seconds(), WallSeconds: e.wall.Seconds()}
	}
	half := result.New(label)
	half.Provenance.SinkMode = result.SinkEmbedded
	half.Provenance.Plan = w.source
	half.Provenance.Versions = map[string]string{"go": runtime.Version()}
	if w.plan != nil {
		half.Provenance.Seed = w.plan.Seed()
	}
	half.Sink = counts
	if own := generator.Sink; own != nil && counts.Connections == 0 {
		half.Sink, half.Provenance.SinkMode = own, generator.Provenance.SinkMode
		half.Provenance.Plan, half.Provenance.Seed = result.Plan{Name: "the script's own"}, 0
		half.Note("the script spoke to a sink of its own: this leg's plan had no effect")
	}
	record, err := result.Join(generator, half)
	if err != nil {
		return nil, fmt.Errorf("leg %s: %w", name, err)
	}
	if r.board != nil {
		record.Note("k6's web dashboard ran beside the leg: its work is part of k6's CPU time")
	}
	leg := &Leg{Name: name, Record: record, Interrupted: e.interrupted, Wall: e.wall}
	switch {
	case e.interrupted || e.overran: // said below
	case !l.own:
		record.Load.Stopped = l.settle(record)
	case record.Load.IterationsDropped > 0:
		record.Load.Stopped = fmt.Sprintf("k6 dropped %s %s, since no client was free: more VUs or a lower rate help", count(record.Load.IterationsDropped), text.Plural(record.Load.IterationsDropped, "iteration"))
		record.Warn("%s", record.Load.Stopped)
	}
	record.Load.Interrupted = e.interrupted || e.overran
	switch {
	case e.broke != "":
		record.Load.Stopped = fmt.Sprintf("k6 ended with status %d after %.0f s", e.status, e.wall.Seconds())
		record.Warn("k6 ended with status %d after %.0f s; the end of its log: %s", e.status, e.wall.Seconds(), e.broke)
	case e.interrupted:
		record.Load.Stopped = fmt.Sprintf("interrupted after %.0f s", e.wall.Seconds())
		record.Warn("interrupted after %.0f s (k6's exit status %d)", e.wall.Seconds(), e.status)
	case e.overran:
		leg.Interrupted = true
		record.Load.Stopped = fmt.Sprintf("ended after %.0f s, the most that a leg may take", e.wall.Seconds())
		record.Warn("ended after %.0f s, the most that a leg may take (--max-time; k6's exit status %d)", e.wall.Seconds(), e.status)
	}
	return leg, nil
}

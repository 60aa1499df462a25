package run

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/k6"
	"github.com/smtpstorm/xk6-smtp/bench/mta"
	"github.com/smtpstorm/xk6-smtp/bench/pipeline"
	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
	"github.com/smtpstorm/xk6-smtp/sink/runfiles"
	"github.com/smtpstorm/xk6-smtp/sink/text"
)

// The load of a leg through an MTA: modest, so that the queue drains within seconds after it.
const (
	mtaMessages = 1500
	mtaVUs      = 100
	mtaRate     = 150
)

// An agent starts its processes one by one: the load begins at mtaStart messages per second and takes mtaRamp to rise to its rate. A
// load that would be over by then comes at its full rate.
const (
	mtaStart = 10
	mtaRamp  = 3 * time.Second
	mtaSlack = time.Second // more than elsewhere, since an agent's processes keep the machine from starting messages in time
)

// ramp returns how the messages of a load are spread over a rise and a steady part; the rise is 0 where there is none.
func (l load) ramp() (rise, steady time.Duration) {
	rising := mtaRamp.Seconds() * (mtaStart + l.rate) / 2
	if l.rate <= mtaStart || float64(l.messages) < 2*rising {
		return 0, l.duration() + mtaSlack
	}
	return mtaRamp, lasting(float64(l.messages)-rising, l.rate) + mtaSlack
}

// senderDomain is that of the senders of the bundled scripts.
const senderDomain = "src.bench.test"

// mtaRetries let a private Postfix drain a mild storm within seconds.
var mtaRetries = mta.Policy{MinimalBackoff: 3 * time.Second, MaximalBackoff: 4 * time.Second}

//go:embed mta.js
var mtaScript []byte

// scratchPrefix begins the names of all temporary directories of this program but that of the results.
const scratchPrefix = "smtpstorm-"

// postfix runs the leg through a private Postfix.
func (r *runner) postfix(ctx context.Context) (*Leg, error) { return r.private(ctx, MTAPostfix) }

// private runs a leg through a private MTA.
func (r *runner) private(ctx context.Context, name string) (*Leg, error) {
	p, err := r.newPassage(k6.MTAPlan, "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer p.sink.Server.Close()
	scratch, err := r.guard.New("mta", mta.NewScratch)
	if err != nil {
		return nil, err
	}
	defer r.guard.Dispose(scratch)
	host, port := p.sink.HostPort()
	r.progress.Update("mta      starting a private %s", name)
	starting, cancel := until(ctx, r.o.Stop)
	defer cancel()
	agent, err := mta.Start(starting, name, mta.Options{Dir: scratch.Path("mta"), Home: senderDomain, Relay: net.JoinHostPort(host, port), Policy: mtaRetries})
	if err != nil && stopped(r.o.Stop) {
		return nil, errors.Join(p.sink.Server.Close(), r.drop(p.evidence))
	}
	if err != nil {
		return nil, err
	}
	logName := "postfix-mail.log"
	if r.name != "" {
		logName = r.name + "-mail.log"
	}
	leg, err := r.through(ctx, p, pipeline.OfAgent(agent), agent.Version()+", "+p.faults.Source.Name)
	err = errors.Join(err, agent.Close(), copyFile(agent.LogPath(), r.out.Path(logName)))
	if err != nil || leg == nil {
		return nil, err
	}
	leg.Record.Note("retry policy: %v", agent.Policy())
	return leg, nil
}

// until returns a context that ends with stop, too.
func until(ctx context.Context, stop <-chan struct{}) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// target runs the leg through the user's own MTA.
func (r *runner) target(ctx context.Context) (*Leg, error) {
	p, err := r.newPassage(k6.MTAPlan, r.o.SinkListen)
	if err != nil {
		return nil, err
	}
	defer p.sink.Server.Close()
	var queue pipeline.ListQueue
	if r.o.QueueCommand != "" {
		queue = pipeline.QueueCommand(r.o.QueueCommand, r.scratch.Environ())
	}
	return r.through(ctx, p, pipeline.OfTarget(r.o.Target, queue, r.o.Judge.MinimalBackoff), "through "+r.o.Target)
}

// legName is the name of a leg through an MTA.
func (r *runner) legName() string { return cmp.Or(r.name, legMTA) }

// passage is the end of a leg through an MTA.
type passage struct {
	sink     *pipeline.Sink
	faults   pipeline.Faults
	evidence pipeline.Evidence
}

// newPassage starts the sink of a leg through an MTA.
func (r *runner) newPassage(plan, listen string) (p *passage, err error) {
	p = &passage{}
	if p.faults, err = r.o.storm(&r.bundle, plan); err != nil {
		return nil, err
	}
	if p.evidence, err = r.evidence(r.legName()); err != nil {
		return nil, err
	}
	p.sink, err = pipeline.StartSink(p.faults, listen, p.evidence.Path(runfiles.LedgerFile), p.evidence.Dir)
	return p, err
}

// through drives an MTA whose next hop is the sink, waits for it to drain, and judges what became of what it accepted.
func (r *runner) through(ctx context.Context, p *passage, line *pipeline.Pipeline, label string) (*Leg, error) {
	watcher := line.Watch(ctx, p.sink)
	defer watcher.Close()
	l := r.o.throughLoad(r.script())
	if l.script == "" {
		l.script = r.scratch.Path("mta.js")
		if err := os.WriteFile(l.script, mtaScript, 0o600); err != nil {
			return nil, err
		}
	}
	host, port, err := net.SplitHostPort(line.Addr)
	if err != nil {
		return nil, err
	}
	started, begun := time.Now(), time.Time{}
	rise, steady := l.ramp()
	more := []string{"RUN=" + strconv.FormatInt(started.UnixMilli(), 36), fmt.Sprintf("START=%d", mtaStart), "RAMP=" + rise.String(), "STEADY=" + steady.String()}
	j := r.job(r.legName(), l, l.env(host, port, append(more, r.o.Env...)))
	j.Claims = p.evidence.Path(runfiles.ClaimsFile)
	e, err := r.drive(ctx, j, func() {
		watcher.Look(time.Now())
		if delivered := watcher.Delivered(); begun.IsZero() && delivered == 0 && watcher.Queued() == "" {
			r.progress.Update("mta      starting k6")
			return
		}
		if begun.IsZero() {
			begun = time.Now()
		}
		r.progress.Update("mta      %3.0f s: %s delivered%s", time.Since(begun).Seconds(), text.Count(watcher.Delivered()), watcher.Queued())
	})
	if err != nil {
		return nil, err
	}
	if err := p.evidence.Claimed(); err != nil {
		return nil, err
	}
	if idle(e, p.sink.Server.Stats()) {
		return nil, errors.Join(p.sink.Server.Close(), r.drop(p.evidence))
	}
	watched, err := watcher.Drain(ctx, p.evidence, time.Duration(r.o.CutoffSeconds)*time.Second, r.o.Stop, func() {
		r.progress.Update("mta      draining: %s delivered%s", text.Count(watcher.Delivered()), watcher.Queued())
	})
	if err != nil {
		return nil, err
	}
	stats, process, err := p.sink.Stop()
	if err != nil {
		return nil, err
	}
	if err := r.out.JSON("sink-"+r.legName()+".json", stats); err != nil {
		return nil, err
	}
	leg, err := r.join(j, label, l, p.faults, e, result.NewSink(stats, process))
	if err != nil {
		return nil, err
	}
	if !l.own {
		leg.Record.Load.RatePerSecond, leg.Record.Load.DurationSeconds = l.rate, l.duration().Seconds()
	}
	if load := &leg.Record.Load; watcher.Cut() && load.Stopped == "" { // a copy of what has come may come yet
		load.Stopped, load.Interrupted, leg.Interrupted = fmt.Sprintf("the watch after it was interrupted after %.0f s", watched.Seconds()), true, true
		leg.Record.Warn("%s", load.Stopped)
	}
	leg.Record.Provenance.MTA = &line.About
	leg.Record.Delivery = &result.Delivery{CutoffSeconds: watched.Seconds(), Series: watcher.Series}
	if err := r.account(p, line, watcher, leg); err != nil {
		return nil, err
	}
	f := leg.Record.Judgement.Fates
	r.progress.Say("%-8s %s in %.0f s, %s delivered, %s duplicated, %s refused, %s queued, %s lost, %s undetermined after %.0f s more", r.legName(),
		text.Counted(leg.Record.Judgement.Units, "unit"), e.Wall.Seconds(), text.Count(f[reconcile.Delivered]+f[reconcile.Recovered]),
		text.Count(f[reconcile.Duplicated]), text.Count(f[reconcile.Refused]), text.Count(f[reconcile.Queued]), text.Count(f[reconcile.Lost]), text.Count(f[reconcile.Undetermined]), watched.Seconds())
	return leg, nil
}

// account judges the leg and says what limits its figures.
func (r *runner) account(p *passage, line *pipeline.Pipeline, watcher *pipeline.Watcher, leg *Leg) error {
	if err := watcher.Keep(p.evidence); err != nil {
		return err
	}
	if line.Log != nil {
		if err := p.evidence.KeepLog(line.Log); err != nil {
			return err
		}
	}
	record := leg.Record
	if err := p.evidence.Judge(record, r.o.Judge); err != nil {
		return fmt.Errorf("leg %s: %w", leg.Name, err)
	}
	if record.Load.Stopped == "" && record.Client != nil && record.Judgement.Fates[reconcile.Delivered]+record.Judgement.Fates[reconcile.Recovered] == 0 &&
		record.Client.Sum("smtp_recipients", result.Tags{"expected_response": "true"}) == 0 {
		record.Load.Stopped = fmt.Sprintf("the MTA accepted none of %s messages", text.Count(uint64(record.Client.Sum("smtp_recipients", nil))))
	}
	if failed, last := watcher.Failed(); failed > 0 {
		record.Warn("%d of the queue's listings failed: %v", failed, last)
	}
	record.Note("delivery latency runs from the moment the client began to send to the sink's reply after the final dot")
	if !watcher.Sees() {
		record.Note("the MTA's queue can't be seen from here: what did not arrive may be queued or lost (--queue-command shows it)")
	}
	return nil
}

// copyFile copies a small file.
func copyFile(from, to string) error {
	text, err := os.ReadFile(from) // #nosec G304 -- a file that this program or its MTA wrote
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o644) // #nosec G306 G703 -- into the results, for others to read; the names are constants
}

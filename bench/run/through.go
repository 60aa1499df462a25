package run

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/mta"
	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/sink"
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

// mtaRetries let a private Postfix drain a mild storm within seconds.
var mtaRetries = mta.Policy{
	QueueRunDelay: time.Second, MinimalBackoff: 3 * time.Second, MaximalBackoff: 4 * time.Second, TransportRetry: 2 * time.Second,
}

//go:embed mta.js
var mtaScript []byte

// agent is a mail transfer agent that this program started.
type agent interface {
	Addr() string
	Version() string
	Config() string
	LogPath() string
	QueueDepth() (mta.Depth, error)
	Stop() error
}

// watcher follows messages from generator to sink and samples how far they are.
type watcher struct {
	sink    *embedded
	tracker *tracker
	agent   agent // nil: its queue can't be seen
	series  []result.DeliverySample
	blind   error // why the queue could not be counted
}

// maxSamples bounds the series: some seven hours at four a second.
const maxSamples = 100_000

// look takes a sample.
func (w *watcher) look(now time.Time) result.DeliverySample {
	delivered, bounced := w.tracker.settled()
	s := result.DeliverySample{Time: now, Delivered: delivered}
	if w.agent != nil {
		depth, err := w.agent.QueueDepth()
		if err != nil {
			w.blind = err
		}
		if err == nil {
			queued := uint64(depth.Total()) // #nosec G115 -- a count of files
			s.Queued = &queued
		}
	}
	// Nobody counts acceptances while the generator runs: what the agent holds and what it got rid of were accepted.
	s.Accepted = delivered + bounced + s.Depth()
	if len(w.series) < maxSamples {
		w.series = append(w.series, s)
	}
	return s
}

// postfix runs the leg through a private Postfix.
func (r *runner) postfix(ctx context.Context) (*Leg, error) {
	weather, err := r.o.storm(&r.bundle, mtaPlan)
	if err != nil {
		return nil, err
	}
	tracker := newTracker()
	sink, err := startSink(weather.plan, "127.0.0.1:0", tracker)
	if err != nil {
		return nil, err
	}
	defer sink.server.Close()
	scratch, err := r.newScratch("postfix")
	if err != nil {
		return nil, err
	}
	defer r.dispose(scratch)
	host, port := sink.hostPort()
	r.progress.update("mta      starting a private Postfix")
	postfix, err := mta.StartPostfix(ctx, mta.Options{Dir: scratch.Dir, Relay: net.JoinHostPort(host, port), Policy: mtaRetries})
	if err != nil {
		return nil, err
	}
	w := &watcher{sink: sink, tracker: tracker, agent: postfix}
	l := r.o.throughLoad(r.script())
	leg, err := r.through(ctx, w, l, weather, postfix.Addr(), postfix.Version()+", "+weather.source.Name)
	err = errors.Join(err, postfix.Stop(), copyFile(postfix.LogPath(), r.out.path("postfix-mail.log")))
	if err != nil {
		return nil, err
	}
	leg.Record.Provenance.MTA = &result.MTA{Name: "Postfix", Version: strings.TrimPrefix(postfix.Version(), "Postfix "), Config: postfix.Config()}
	leg.Record.Note("retry policy: %v", mtaRetries)
	return leg, nil
}

// target runs the leg through the user's own MTA.
func (r *runner) target(ctx context.Context) (*Leg, error) {
	weather, err := r.o.storm(&r.bundle, mtaPlan)
	if err != nil {
		return nil, err
	}
	tracker := newTracker()
	sink, err := startSink(weather.plan, r.o.SinkListen, tracker)
	if err != nil {
		return nil, err
	}
	defer sink.server.Close()
	l := r.o.throughLoad(r.script())
	w := &watcher{sink: sink, tracker: tracker}
	leg, err := r.through(ctx, w, l, weather, r.o.Target, "through "+r.o.Target)
	if err != nil {
		return nil, err
	}
	leg.Record.Provenance.MTA = &result.MTA{Name: r.o.Target}
	return leg, nil
}

// through drives an MTA whose next hop is the sink, waits for it to drain, and accounts for what it accepted.
func (r *runner) through(ctx context.Context, w *watcher, l load, weather weather, target, label string) (*Leg, error) {
	const name = "mta"
	if l.script == "" {
		l.script = r.scratch.Path("mta.js")
		if err := os.WriteFile(l.script, mtaScript, 0o600); err != nil {
			return nil, err
		}
	}
	host, port, err := net.SplitHostPort(target)
	if err != nil {
		return nil, err
	}
	started, begun := time.Now(), time.Time{}
	rise, steady := l.ramp()
	more := []string{"RUN=" + strconv.FormatInt(started.UnixMilli(), 36), fmt.Sprintf("START=%d", mtaStart), "RAMP=" + rise.String(), "STEADY=" + steady.String()}
	env := l.env(host, port, append(more, r.o.Env...))
	e, err := r.drive(ctx, r.job(name, l, env), func() {
		s := w.look(time.Now())
		if begun.IsZero() && s.Delivered+s.Depth() == 0 {
			r.progress.update("mta      starting k6")
			return
		}
		if begun.IsZero() {
			begun = time.Now()
		}
		r.progress.update("mta      %3.0f s: %s delivered%s", time.Since(begun).Seconds(), count(s.Delivered), queued(s))
	})
	if err != nil {
		return nil, err
	}
	generator, err := generated(name, r.scratch.Path(name+".json"), e)
	if err != nil {
		return nil, err
	}
	sent := uint64(generator.Client.Sum("smtp_recipients", nil))
	accepted := uint64(generator.Client.Sum("smtp_recipients", result.Tags{"expected_response": "true"}))
	watched := r.drain(ctx, w, accepted)
	stats, process, err := w.sink.stop()
	if err != nil {
		return nil, err
	}
	if err := r.out.json("sink-"+name+".json", stats.Document()); err != nil {
		return nil, err
	}
	leg, err := r.join(name, label, l, weather, e, sinkRecord(stats, process))
	if err != nil {
		return nil, err
	}
	if !l.own {
		leg.Record.Load.RatePerSecond, leg.Record.Load.DurationSeconds = l.rate, l.duration().Seconds()
	}
	w.account(leg.Record, sent, accepted, watched)
	d := leg.Record.Delivery
	r.progress.say("%-8s %s messages accepted in %.0f s, %s delivered once, %s duplicated, %s bounced, %s open after %.0f s more", name,
		count(d.Accepted), e.wall.Seconds(), count(d.DeliveredOnce), count(d.Duplicated), count(d.Bounced), count(d.Undelivered), d.CutoffSeconds)
	return leg, nil
}

// drain watches until everything that was accepted has a final fate and the queue is seen to be empty, or else until the cutoff, and
// returns how long that took: where the queue is not seen, a duplicate may come after the last first delivery.
func (r *runner) drain(ctx context.Context, w *watcher, accepted uint64) time.Duration {
	began := time.Now()
	cutoff := time.NewTimer(time.Duration(r.o.CutoffSeconds) * time.Second)
	defer cutoff.Stop()
	ticker := time.NewTicker(250 * time.Millisecond)
	defer ticker.Stop()
	for {
		s := w.look(time.Now())
		r.progress.update("mta      draining: %s of %s delivered%s", count(s.Delivered), count(accepted), queued(s))
		if delivered, bounced := w.tracker.settled(); delivered+bounced >= accepted && s.Queued != nil && *s.Queued == 0 {
			return time.Since(began)
		}
		select {
		case <-ticker.C:
		case <-cutoff.C:
			return time.Since(began)
		case <-r.o.Stop:
			return time.Since(began)
		case <-ctx.Done():
			return time.Since(began)
		}
	}
}

// queued says how long the queue is, if that was seen.
func queued(s result.DeliverySample) string {
	if s.Queued == nil {
		return ""
	}
	return ", " + count(*s.Queued) + " queued"
}

// account puts what became of the messages into the record.
func (w *watcher) account(record *result.Record, sent, accepted uint64, watched time.Duration) {
	delivery, warnings := w.tracker.delivery(sent, accepted)
	delivery.CutoffSeconds = watched.Seconds()
	delivery.Series = w.series
	record.Delivery = delivery
	for _, warning := range warnings {
		record.Warn("%s", warning)
	}
	if w.blind != nil {
		record.Warn("the queue could not always be counted: %v", w.blind)
	}
	record.Note("delivery latency runs from the moment the script began to send to the sink's reply after the final dot, in steps of 1 ms")
	if w.agent == nil {
		record.Note("the MTA's queue can't be seen from here: \"queued\" is not known, and \"accepted\" over time counts only what reached the sink")
	}
}

// copyFile copies a small file.
func copyFile(from, to string) error {
	text, err := os.ReadFile(from) // #nosec G304 -- a file that this program or its MTA wrote
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o644) // #nosec G306 G703 -- into the results, for others to read; the names are constants
}

var _ sink.Observer = (*tracker)(nil)

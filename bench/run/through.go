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
	"github.com/smtpstorm/xk6-smtp/sink/bookfiles"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
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
var mtaRetries = mta.Policy{MinimalBackoff: 3 * time.Second, MaximalBackoff: 4 * time.Second}

//go:embed mta.js
var mtaScript []byte

// postfix runs the leg through a private Postfix.
func (r *runner) postfix(ctx context.Context) (*Leg, error) {
	p, err := r.newPassage(mtaPlan, "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer p.sink.server.Close()
	scratch, err := r.newScratch("mta", mta.NewScratch)
	if err != nil {
		return nil, err
	}
	defer r.dispose(scratch)
	host, port := p.sink.hostPort()
	r.progress.update("mta      starting a private Postfix")
	postfix, err := mta.Start(ctx, MTAPostfix, mta.Options{Dir: scratch.Path("mta"), Relay: net.JoinHostPort(host, port), Policy: mtaRetries})
	if err != nil {
		return nil, err
	}
	p.watcher = newWatcher(ctx, p.sink, postfix.Queue)
	p.watcher.depth, p.watcher.every = postfix.Depth, time.Second
	p.about = result.MTA{Name: "Postfix", Version: strings.TrimPrefix(postfix.Version(), "Postfix "), Config: postfix.Config()}
	// The judge may only blame the policy's breach, and not that the MTA counts in whole seconds.
	p.about.RetryAfterSeconds = (postfix.Policy().MinimalBackoff - postfix.Traits().RetryEarly).Seconds()
	p.log = postfix.Log
	leg, err := r.through(ctx, p, postfix.Addr(), postfix.Version()+", "+p.weather.source.Name)
	err = errors.Join(err, postfix.Close(), copyFile(postfix.LogPath(), r.out.path("postfix-mail.log")))
	if err != nil {
		return nil, err
	}
	leg.Record.Note("retry policy: %v", postfix.Policy())
	return leg, nil
}

// target runs the leg through the user's own MTA.
func (r *runner) target(ctx context.Context) (*Leg, error) {
	p, err := r.newPassage(mtaPlan, r.o.SinkListen)
	if err != nil {
		return nil, err
	}
	defer p.sink.server.Close()
	var queue listQueue
	if r.o.QueueCommand != "" {
		queue = queueCommand(r.o.QueueCommand, r.scratch.Environ())
	}
	p.watcher = newWatcher(ctx, p.sink, queue)
	p.about = result.MTA{Name: r.o.Target}
	return r.through(ctx, p, r.o.Target, "through "+r.o.Target)
}

// passage is a leg through an MTA.
type passage struct {
	sink    *embedded
	watcher *watcher
	weather weather
	books   books
	about   result.MTA
	log     func(f func(*reconcile.LogEvent) error) error // passes on what the MTA's log tells; nil: it can't be read
}

// newPassage starts the sink of a leg through an MTA.
func (r *runner) newPassage(plan, listen string) (p *passage, err error) {
	p = &passage{}
	if p.weather, err = r.o.storm(&r.bundle, plan); err != nil {
		return nil, err
	}
	if p.books, err = r.books(legMTA); err != nil {
		return nil, err
	}
	p.sink, err = startSink(p.weather, listen, p.books.path(bookfiles.LedgerFile), p.books.dir)
	return p, err
}

// through drives an MTA whose next hop is the sink, waits for it to drain, and judges what became of what it accepted.
func (r *runner) through(ctx context.Context, p *passage, target, label string) (*Leg, error) {
	defer p.watcher.close()
	l := r.o.throughLoad(r.script())
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
	j := r.job(legMTA, l, l.env(host, port, append(more, r.o.Env...)))
	j.claims = p.books.path(bookfiles.ClaimsFile)
	e, err := r.drive(ctx, j, func() {
		p.watcher.look(time.Now())
		if delivered := p.watcher.delivered(); begun.IsZero() && delivered == 0 && p.watcher.queued() == "" {
			r.progress.update("mta      starting k6")
			return
		}
		if begun.IsZero() {
			begun = time.Now()
		}
		r.progress.update("mta      %3.0f s: %s delivered%s", time.Since(begun).Seconds(), count(p.watcher.delivered()), p.watcher.queued())
	})
	if err != nil {
		return nil, err
	}
	if err := p.books.ended(); err != nil {
		return nil, err
	}
	watched, err := r.drain(ctx, p)
	if err != nil {
		return nil, err
	}
	stats, process, err := p.sink.stop()
	if err != nil {
		return nil, err
	}
	if err := r.out.json("sink-"+legMTA+".json", stats); err != nil {
		return nil, err
	}
	leg, err := r.join(legMTA, label, l, p.weather, e, result.NewSink(stats, process))
	if err != nil {
		return nil, err
	}
	if !l.own {
		leg.Record.Load.RatePerSecond, leg.Record.Load.DurationSeconds = l.rate, l.duration().Seconds()
	}
	leg.Record.Provenance.MTA = &p.about
	leg.Record.Delivery = &result.Delivery{CutoffSeconds: watched.Seconds(), Series: p.watcher.series}
	if err := r.account(p, leg); err != nil {
		return nil, err
	}
	f := leg.Record.Books.Fates
	r.progress.say("%-8s %s %s in %.0f s, %s delivered, %s duplicated, %s refused, %s queued, %s lost, %s undetermined after %.0f s more", legMTA,
		count(leg.Record.Books.Units), plural(int(leg.Record.Books.Units), "unit", "units"), e.wall.Seconds(), count(f[reconcile.Delivered]+f[reconcile.Recovered]), // #nosec G115 -- only whether it is 1
		count(f[reconcile.Duplicated]), count(f[reconcile.Refused]), count(f[reconcile.Queued]), count(f[reconcile.Lost]), count(f[reconcile.Undetermined]), watched.Seconds())
	return leg, nil
}

// account judges the leg and says what limits its figures.
func (r *runner) account(p *passage, leg *Leg) error {
	if err := p.watcher.keep(p.books); err != nil {
		return err
	}
	if p.log != nil {
		if err := p.books.keepLog(p.log); err != nil {
			return err
		}
	}
	record := leg.Record
	if err := r.judge(p.books, leg); err != nil {
		return err
	}
	accepted := record.Client.Sum("smtp_recipients", result.Tags{"expected_response": "true"})
	if sent := record.Client.Sum("smtp_recipients", nil); accepted == 0 && record.Load.Stopped == "" && record.Books.Fates[reconcile.Delivered]+record.Books.Fates[reconcile.Recovered] == 0 {
		record.Load.Stopped = fmt.Sprintf("the MTA accepted none of %s messages", count(uint64(sent)))
	}
	if l := p.watcher.list; l != nil && l.failed > 0 {
		record.Warn("%d of the queue's listings failed: %v", l.failed, l.blind)
	}
	record.Note("delivery latency runs from the moment the client began to send to the sink's reply after the final dot")
	if p.watcher.list == nil {
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

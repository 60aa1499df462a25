package storm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/mta"
	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/bench/storm/measure"
	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/ledger"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
	"github.com/smtpstorm/xk6-smtp/sink/runfiles"
)

// Names of files beside those of package runfiles.
const (
	unitsFile   = "units.jsonl"
	summaryFile = "summary.json"
	sinkFile    = "sink.json"
	mtaLogFile  = "mta.log"
)

// account ends agent and sink, keeps what they know, judges and measures.
func (c *cell) account(_ context.Context, stopped bool) (*Record, error) {
	c.progress.Update("%-8s judging", c.agent.Name())
	var events []reconcile.LogEvent
	var lines []byte
	logErr := c.agent.Log(func(e *reconcile.LogEvent) error {
		events = append(events, *e)
		lines = e.Append(lines)
		return nil
	})
	switch {
	case errors.Is(logErr, errNoLog):
		c.note("%v", logErr)
	case logErr != nil:
		c.warn("the MTA's log can't be read: %v", logErr)
	}
	err := errors.Join(c.agent.Close(), c.hop.stop(), c.watch.keep(c.path(runfiles.QueueFile)), c.disturbance.keepIncidents(c.path(runfiles.IncidentsFile)), c.keepLog())
	if err != nil {
		return nil, err
	}
	if logErr == nil {
		if err := os.WriteFile(c.path(runfiles.LogFile), lines, 0o644); err != nil { // #nosec G306 -- results are for others to read
			return nil, err
		}
	}
	r := c.record(stopped)
	units, err := c.judge(r)
	if err != nil {
		return nil, err
	}
	run, err := c.seen(r, units, events)
	if err != nil {
		return nil, err
	}
	r.Figures = measure.Of(run)
	r.Machine = c.busy(r)
	if logErr == nil {
		r.Log = checkLog(units, events, c.disturbance.killed)
	}
	c.remark(r)
	return r, c.write(r)
}

// keepLog copies the agent's own log.
func (c *cell) keepLog() error {
	l, ok := c.agent.(interface{ LogPath() string })
	if !ok {
		return nil
	}
	octets, err := os.ReadFile(l.LogPath())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.WriteFile(c.path(mtaLogFile), octets, 0o644) // #nosec G306 G703 -- results are for others to read; the directory is the user's choice
}

// record says what was done.
func (c *cell) record(stopped bool) *Record {
	r := &Record{Schema: Schema, Samples: c.watch.samples, Grouped: c.watch.whole, Bench: max(0, c.usage-c.watch.cpu).Seconds(), Sampler: c.watch.cpu.Seconds()}
	r.Provenance = result.Collect(os.DirFS("/"), c.started, c.o.CommandLine)
	r.Provenance.Ended, r.Provenance.Seed, r.Provenance.Plan, r.Provenance.SinkMode = time.Now(), c.o.Seed, c.storm.Source, result.SinkEmbedded
	r.Provenance.MTA = &result.MTA{Name: c.agent.Name(), Version: c.agent.Version(), Config: c.agent.Config()}
	s := c.storm
	r.Storm = About{Number: s.Number, Name: s.Name, Description: s.Description, Copies: s.About, Look: s.Look, Begin: c.begin, End: c.end, Cutoff: c.cutoff, Watched: c.watched, Drawn: c.longer.Seconds()}
	for _, i := range c.disturbance.incidents {
		r.Storm.Incidents = append(r.Storm.Incidents, IncidentAt{i.Time, i.What, i.Who})
	}
	policy := c.o.Policy
	if p, ok := c.agent.(interface{ Policy() mta.Policy }); ok {
		policy = p.Policy() // with its defaults
	}
	r.Policy = PolicyRead{Asked: policy.String(), Lifetime: policy.Lifetime.Seconds()}
	if c.schedule != nil {
		r.Policy.Says, r.Policy.ByAge = c.schedule.Text, c.schedule.ByAge
		for _, gap := range c.schedule.Gaps[:min(len(c.schedule.Gaps), 12)] {
			r.Policy.Gaps = append(r.Policy.Gaps, gap.String())
		}
		// The judge may only blame a breach of the policy, and not that the MTA counts in whole seconds.
		r.Provenance.MTA.RetryAfterSeconds = max(0, (c.schedule.Gaps[0] - c.schedule.Early - wholeSecond(c.schedule)).Seconds())
	} else {
		c.note("the retry policy can't be read back: %v", c.asked)
	}
	r.Load = Offered{Messages: c.o.Messages, Rate: c.o.Rate, Size: c.o.Size, Source: "go", Begin: c.started, Refused: c.source.refused.Load(), Late: time.Duration(c.source.late.Load()).Seconds()}
	if stopped {
		r.Incomplete = "ended early by the user"
	}
	return r
}

// judged is a unit as the judge sees it.
type judged struct {
	token, recipient string
	fate             reconcile.Fate
	attempts         []time.Time
	deliveries       []time.Time
	refusal          reconcile.Refusal
}

// judge gives each unit its fate.
func (c *cell) judge(r *Record) (units []judged, err error) {
	files, err := runfiles.Find(c.out.Temp.Dir)
	if err != nil {
		return nil, err
	}
	files.Each = func(u *reconcile.Unit) {
		one := judged{token: string(u.Token), recipient: string(u.Recipient), fate: u.Fate, refusal: u.FirstRefusal}
		one.attempts = append(one.attempts, u.Attempts...)
		for i := range u.Deliveries {
			one.deliveries = append(one.deliveries, u.Deliveries[i].Time)
		}
		units = append(units, one)
	}
	o := c.o.Judge
	o.Stopped = r.Incomplete
	switch {
	case c.schedule != nil && c.schedule.LastAnytime && c.storm.beyond.lifetime > 0:
		c.note("whether it retried too soon isn't judged: the MTA tries what has become too old at once, for the last time")
	case o.MinimalBackoff == 0:
		o.MinimalBackoff = time.Duration(r.Provenance.MTA.RetryAfterSeconds * float64(time.Second))
	}
	out, err := os.Create(c.path(unitsFile))
	if err != nil {
		return nil, err
	}
	r.Judgement, err = files.Judge(out, o)
	return units, errors.Join(err, out.Close())
}

// seen makes what is measured of what was judged and of the ledger.
func (c *cell) seen(r *Record, units []judged, events []reconcile.LogEvent) (*measure.Run, error) {
	arrivals, untouched := arrivals(events), failuresOf(events)
	run := &measure.Run{Begin: c.started, Storm: c.begin, End: c.end, Cutoff: c.watched, Samples: c.watch.samples, Affected: c.storm.beyond.affected}
	if s := c.schedule; s != nil {
		run.Policy = &measure.Policy{Gaps: s.Gaps, ByAge: s.ByAge, WholeSeconds: s.WholeSeconds, Early: s.Early, Late: s.Late, Later: s.Later, LateInterval: s.LateInterval, LastAnytime: s.LastAnytime}
	}
	for _, i := range c.disturbance.incidents {
		if i.Who == "mta" {
			run.Restarts = append(run.Restarts, i.Time)
		}
	}
	claims := map[string]reconcile.Claim{}
	text, err := os.ReadFile(c.path(runfiles.ClaimsFile))
	if err != nil {
		return nil, err
	}
	if _, err := reconcile.ReadClaims(bytes.NewReader(text), runfiles.ClaimsFile, func(claim *reconcile.Claim) error {
		claims[claim.Token] = *claim
		return nil
	}); err != nil {
		return nil, err
	}
	failures, err := c.failures(r)
	if err != nil {
		return nil, err
	}
	for i := range units {
		u := &units[i]
		claim := claims[u.token]
		_, domain, _ := strings.Cut(u.recipient, "@")
		one := measure.Unit{Recipient: u.recipient, Domain: domain, Intended: claim.Intended, Accepted: claim.Ack == reconcile.AckYes, Attempts: u.attempts, Deliveries: u.deliveries}
		one.Arrived = arrived(&claim, arrivals[claim.Sender])
		one.Failed = failures[u.recipient]
		if one.Failed.IsZero() && u.fate == reconcile.Refused {
			one.Failed = u.refusal.Time
		}
		run.Units = append(run.Units, one)
	}
	in, err := os.Open(c.path(runfiles.LedgerFile))
	if err != nil {
		return nil, err
	}
	defer in.Close()
	ended, strays := newEnded(c.storm.beyond.patience), 0
	_, err = ledger.Each(ledger.Input{Name: runfiles.LedgerFile, R: in}, func(row *event.Row) error {
		ended.add(row)
		switch row.Kind {
		case event.KindAttempt:
			if a := &row.Attempt; c.strays(a.Listener, string(a.Sender), string(a.Recipient)) {
				strays++
			}
		case event.KindPhase:
			r.Storm.Phases = append(r.Storm.Phases, result.PhaseBegin{Time: row.Phase.Time, Phase: row.Phase.Phase})
		case event.KindConnection:
			if k := &row.Connection; k.Listener != dsnListener {
				run.Connections = append(run.Connections, measure.Connection{At: k.Time, End: k.End, Attempts: max(k.Attempts, k.Messages), Delivered: k.Delivered, OctetsIn: k.OctetsIn})
			}
		}
		return nil
	})
	if strays > 0 {
		r.Findings = append(r.Findings, fmt.Sprintf("%d attempts came to the next hop of other mail: the storm has met them, or missed them, by mistake", strays))
	}
	for i := range run.Units {
		u := &run.Units[i]
		for _, at := range u.Attempts {
			u.Ends = append(u.Ends, ended.of(u.Recipient, claims[units[i].token].Sender, at))
		}
		u.Unseen = unseen(u, untouched[strings.ToLower(u.Recipient)])
	}
	return run, err
}

// strays reports whether an attempt came by a listener that isn't its recipient's next hop. Notifications may come anywhere.
func (c *cell) strays(listener, sender, recipient string) bool {
	if !c.traits.Routes || sender == "" {
		return false
	}
	if c.storm.beyond.layout == hopPerHost {
		return !strings.HasSuffix(strings.ToLower(recipient), "@"+listener+"."+recipientDomain)
	}
	return listener == dsnListener
}

// failures reads when senders were notified of failures, by the recipient.
func (c *cell) failures(r *Record) (map[string]time.Time, error) {
	out := map[string]time.Time{}
	text, err := os.ReadFile(c.path(runfiles.DSNFile))
	if errors.Is(err, os.ErrNotExist) {
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	err = reconcile.ReadNotifications(bytes.NewReader(text), runfiles.DSNFile, func(n *reconcile.Notification) error {
		if n.Action != "failed" {
			return nil
		}
		r.Notifications++
		for _, name := range []string{n.Recipient, n.Original} {
			if name = strings.ToLower(name); name != "" && out[name].IsZero() {
				out[name] = n.Time
			}
		}
		return nil
	})
	return out, err
}

// busy says what else ran.
func (c *cell) busy(r *Record) *Machine {
	span := r.Storm.Watched.Sub(r.Load.Begin).Seconds()
	if c.machine <= 0 || span <= 0 {
		return nil
	}
	own := r.Bench + r.Sampler
	if r.Figures.Resources != nil {
		own += r.Figures.Resources.CPU
	}
	return &Machine{LoadBegin: c.load, LoadEnd: loadAverage(), Others: max(0, c.machine.Seconds()-own) / span}
}

// quarter is the share of the MTA's CPU that sink and source may use together.
const quarter = 0.25

// hundredth is the share of a core that looking at the queue may use.
const hundredth = 0.01

// remark says what limits the figures.
func (c *cell) remark(r *Record) {
	if r.Load.Refused > 0 {
		c.warn("%d of %d messages were not accepted by the MTA", r.Load.Refused, r.Load.Messages)
	}
	if r.Figures.Attempts.Messages+r.Figures.Attempts.Connections == 0 && r.Figures.Accepted > 0 {
		c.warn("the MTA accepted %d messages and tried to deliver none of them", r.Figures.Accepted)
	}
	if span := r.Storm.Watched.Sub(r.Load.Begin).Seconds(); r.Sampler > hundredth*span {
		c.warn("looking at the queue used %.2f s of CPU, more than 1%% of a core", r.Sampler)
	}
	if c.watch.failed > 0 {
		c.warn("the queue could not be seen %d times: %v", c.watch.failed, c.watch.blind)
	}
	if c.storm.beyond.kill && !c.disturbance.killed {
		c.warn("%v", errNotDisturbed)
	}
	if res := r.Figures.Resources; res != nil {
		if !c.watch.whole {
			c.note("CPU and memory of the MTA are by its tree of processes: a lower bound, since those whose parents ended first are missing")
		}
		if r.Bench > quarter*res.CPU {
			c.warn("sink and source used %.2f s of CPU, more than a quarter of the MTA's %.2f s", r.Bench, res.CPU)
		}
	}
	if l := r.Log; l != nil && l.Units > 0 {
		r.Findings = append(r.Findings, fmt.Sprintf("the attempts of %d units differ between the ledger and the MTA's log, such as %s", l.Units, l.Different[0]))
	}
	if r.Load.Late > 1 {
		c.warn("a submission began %.1f s late: delays run from the instant that was meant, and have it in them", r.Load.Late)
	}
	r.Notes, r.Warnings = append(r.Notes, c.notes...), append(r.Warnings, c.warnings...)
}

// wholeSecond is by how much an MTA that takes times down to whole seconds may be early by that alone.
func wholeSecond(s *mta.Schedule) time.Duration {
	if s.WholeSeconds {
		return time.Second
	}
	return 0
}

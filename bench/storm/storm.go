package storm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/input"
	"github.com/smtpstorm/xk6-smtp/bench/mta"
	"github.com/smtpstorm/xk6-smtp/bench/outdir"
	"github.com/smtpstorm/xk6-smtp/bench/pipeline"
	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/bench/supervise"
	"github.com/smtpstorm/xk6-smtp/sink/runfiles"
	"github.com/smtpstorm/xk6-smtp/sink/text"
)

// cell is one MTA under one storm.
type cell struct {
	o        Options
	storm    *Storm
	longer   time.Duration // than the plan says
	out      *outdir.Dir
	hop      *nextHop
	agent    Agent
	traits   mta.Traits
	schedule *mta.Schedule // nil: the agent can't say
	asked    error         // why not
	source   *source
	watch    watch
	progress *text.Progress

	started            time.Time // of the first submission
	begin, end, cutoff time.Time // of the storm, and of watching
	watched            time.Time // when watching ended
	disturbance        disturbance
	usage              time.Duration // CPU of this process: sink and source
	machine            time.Duration // CPU of all processes
	load               float64       // average at the begin
	notes, warnings    []string
}

// maxDrain is how long beyond one maximal pause a sender may take for all that it retries then.
const maxDrain = 15 * time.Second

// Run puts an MTA through a storm and writes the results to Options.Out. The error is an *input.Error when an option or a file is at fault;
// nothing was written then. What was judged is in the record, faults too.
func Run(ctx context.Context, o Options) (r *Record, err error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	c := &cell{o: o, progress: text.NewProgress(o.Console, o.Terminal, o.Width)}
	if c.storm, err = Load(o.Storm); err != nil {
		return nil, err
	}
	if o.beyond != nil {
		c.storm.beyond = *o.beyond
	}
	if c.storm.beyond.lifetime > 0 {
		c.o.Policy.Lifetime = c.storm.beyond.lifetime
	}
	if err := c.fit(); err != nil {
		return nil, err
	}
	if _, _, err = c.storm.at(time.Now(), o.Seed, 0); err != nil {
		return nil, err
	}
	if c.out, err = outdir.New(o.Out); err != nil {
		return nil, err
	}
	guard, err := supervise.NewGuard(o.Watchdog, mta.ScratchPlaces(""), scratchPrefix, c.progress.Say)
	if err != nil {
		return nil, errors.Join(err, c.out.Discard())
	}
	defer guard.Close()
	for _, dir := range c.out.Kept() {
		c.progress.Say(outdir.KeptLine, dir, dir)
	}
	if err := errors.Join(c.out.KeepIf(runfiles.ClaimsFile), guard.Watch(c.out.Temp)); err != nil {
		return nil, errors.Join(err, c.out.Discard())
	}
	r, err = c.run(ctx, guard)
	c.progress.Clear()
	if err != nil {
		return nil, errors.Join(err, c.out.Discard())
	}
	return r, c.out.Publish()
}

// scratchPrefix begins the names of all temporary directories of this program but that of the results.
const scratchPrefix = "smtpstorm-"

func (c *cell) path(name string) string { return c.out.Path(name) }

// run does it all in order: agent, sink, load, watch, judge.
func (c *cell) run(ctx context.Context, guard *supervise.Guard) (r *Record, err error) {
	layout := c.storm.beyond.layout
	if o := c.o.Outside; o != nil {
		c.hop = at(o.Listen)
	} else if c.hop, err = reserve(layout); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.hop.stop(), c.hop.release()) }()
	scratch, err := guard.New("storm", mta.NewScratch)
	if err != nil {
		return nil, err
	}
	defer guard.Dispose(scratch)
	if err := c.adopt(); err != nil {
		return nil, err
	}
	settings := mta.Options{Dir: scratch.Path("mta"), Home: returnDomain, Sources: c.storm.beyond.sources, Policy: c.o.Policy, Extra: c.o.Extra, FinalTimeout: c.storm.beyond.patience}
	if c.traits.Routes {
		c.hop.route(layout, &settings)
	} else if settings.Relay = c.hop.addresses[mainListener]; !c.traits.Silent {
		c.note("notifications take the same way as other mail, and meet the storm before MAIL")
	}
	prepare := c.o.Prepare
	switch {
	case c.o.Outside != nil:
		prepare = func(context.Context, mta.Options) (Agent, error) {
			return newOutside(*c.o.Outside, scratch.Environ()), nil
		}
	case prepare == nil:
		prepare = c.prepare
	}
	c.progress.Update("%-8s starting", c.o.MTA)
	if c.agent, err = prepare(ctx, settings); err != nil {
		return nil, err
	}
	c.watch.agent = c.agent
	defer func() { err = errors.Join(err, c.agent.Close()) }()
	if schedule, err := c.agent.Schedule(ctx); err != nil {
		c.asked = err
	} else {
		c.schedule = &schedule
	}
	longest := max(c.o.Policy.MaximalBackoff, c.o.Policy.MinimalBackoff)
	if c.o.Config != "" && c.schedule != nil {
		longest = c.schedule.Gaps[len(c.schedule.Gaps)-1]
		c.o.Policy.MaximalBackoff = longest
	}
	c.longer = drawEnd(c.o.Seed, longest)
	if err := c.agent.Start(ctx); err != nil {
		return nil, err
	}
	stopped := false
	if err := c.endure(ctx); errors.Is(err, errStopped) {
		stopped = true
	} else if err != nil {
		return nil, err
	}
	c.watched = time.Now()
	if err := os.Remove(c.path(result.UnfinishedFile)); err != nil {
		return nil, err
	}
	return c.account(ctx, stopped)
}

// fixedCutoff is how long an MTA is watched whose first pause is 400 s.
const fixedCutoff = 7 * time.Minute

// fit looks what of the storm the MTA can be put through.
func (c *cell) fit() error {
	b := &c.storm.beyond
	if o := c.o.Outside; o != nil {
		if err := o.check(); err != nil {
			return err
		}
		if b.layout != oneHop || b.sources != nil || b.patience > 0 || b.lifetime > 0 || b.kill {
			return input.Errorf("storm %s is not applicable to an MTA that runs already: it wants one that this program sets up", c.storm.Name)
		}
		return nil
	}
	if c.o.Prepare != nil {
		c.traits = mta.Traits{Routes: true, FinalTimeout: true}
		return nil
	}
	if candidate, err := mta.Lookup(c.o.MTA); err == nil {
		c.traits = candidate.Traits
	}
	switch {
	case c.traits == mta.Traits{}: // mta.New says it
	case b.layout != oneHop && !c.traits.Routes:
		return input.Errorf("storm %s is not applicable: %s can't be given next hops for single domains", c.storm.Name, c.o.MTA)
	case b.sources != nil && !c.traits.Sources:
		return input.Errorf("storm %s is not applicable: %s can't be told to send from several addresses", c.storm.Name, c.o.MTA)
	case b.patience > 0 && !c.traits.FinalTimeout:
		return input.Errorf("storm %s is not applicable: %s can't be told how long to wait for the final reply", c.storm.Name, c.o.MTA)
	case b.lifetime > 0 && c.traits.FixedLifetime > 0:
		return input.Errorf("storm %s is not applicable: %s can't be told when to give up, and does so after %.0f hours", c.storm.Name, c.o.MTA, c.traits.FixedLifetime.Hours())
	}
	if c.traits.FixedSchedule {
		c.o.Policy.MinimalBackoff, c.o.Policy.MaximalBackoff, c.o.Policy.ByAge = 0, 0, false
		c.note("its retry schedule can't be changed: it runs as shipped")
		if c.o.Cutoff == 0 {
			c.o.Cutoff = fixedCutoff
		}
	}
	return nil
}

// adopt takes the engineer's own configuration, and says what of it is left aside.
func (c *cell) adopt() error {
	if c.o.Config == "" {
		return nil
	}
	own, err := os.ReadFile(c.o.Config)
	if err != nil {
		return input.Errorf("--config %s: %v", c.o.Config, input.Reason(err))
	}
	extra, aside, err := mta.Adopt(c.o.MTA, string(own))
	if err != nil {
		return input.Errorf("--config %s: %v", c.o.Config, err)
	}
	c.o.Extra += extra
	for _, line := range aside {
		c.progress.Say("%-8s left aside of %s: %s", "config", c.o.Config, line)
		c.note("left aside of %s: %s", c.o.Config, line)
	}
	return nil
}

// prepare makes a private instance.
func (c *cell) prepare(ctx context.Context, o mta.Options) (Agent, error) {
	a, err := mta.New(c.o.MTA, o)
	if err != nil {
		return nil, &input.Error{Err: err}
	}
	if err := a.Prepare(ctx); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

// lead is how long before the first submission the sink listens.
const lead = 500 * time.Millisecond

// endure starts the sink, submits the messages, and watches until the storm is over for the sender.
func (c *cell) endure(ctx context.Context) error {
	now := time.Now()
	c.started = now.Add(lead)
	_, length, err := c.storm.at(now, c.o.Seed, c.longer)
	if err != nil {
		return err
	}
	due, begin := timetable(c.o.Messages, c.o.Rate, length.Sub(now))
	c.begin = c.started.Add(begin)
	plan, end, err := c.storm.at(c.begin, c.o.Seed, c.longer)
	if err != nil {
		return err
	}
	c.end = end
	cutoff := c.o.Cutoff
	if cutoff == 0 {
		cutoff = c.o.Policy.MaximalBackoff + maxDrain
	}
	c.cutoff = c.end.Add(cutoff)
	if last := c.started.Add(due[len(due)-1]); last.After(c.end) {
		c.cutoff = last.Add(cutoff)
	}
	c.usage, c.machine, c.load = pipeline.ProcessCPU(), machineCPU(), loadAverage()
	if err := c.hop.start(plan, c.storm.Source.SHA256, c.path(runfiles.LedgerFile), c.out.Temp.Dir); err != nil {
		return err
	}
	claims, err := os.OpenFile(c.path(runfiles.ClaimsFile), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) // #nosec G302 G304 -- results are for others to read
	if err != nil {
		return err
	}
	if err := result.WriteUnfinished(c.path(result.UnfinishedFile), c.storm.Name, result.Killed); err != nil {
		return err
	}
	c.source = &source{address: c.agent.Addr(), run: runID(c.o.Seed), size: c.o.Size, claims: &claimsFile{file: claims}}
	if c.traits.Silent {
		c.source.notify = "NEVER"
		c.note("it notifies nobody: that mail failed is in its log alone")
	}
	c.progress.Say("%-8s %s; storm %s: %s", c.agent.Name(), c.agent.Version(), c.storm.Name, c.storm.Description)
	c.progress.Say("%-8s %s messages at %v a second; the storm begins after %.1f s, lasts %.1f s (%.1f s of it drawn by seed %d), and is watched for at most %.0f s after",
		"", text.Count(c.o.Messages), c.o.Rate, begin.Seconds(), c.end.Sub(c.begin).Seconds(), c.longer.Seconds(), c.o.Seed, c.cutoff.Sub(c.end).Seconds())
	loading, cancel := context.WithCancel(ctx)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		c.source.send(loading, c.started, due)
	}()
	err = c.follow(ctx, sent)
	cancel()
	<-sent
	c.usage, c.machine = pipeline.ProcessCPU()-c.usage, machineCPU()-c.machine
	return errors.Join(err, c.source.claims.close())
}

// runID is in every token. It comes of the seed, so that the same seed gives all MTAs the same senders and recipients, and so the same draws.
func runID(seed uint64) string { return fmt.Sprintf("b%d", seed) }

func (c *cell) warn(format string, args ...any) {
	c.warnings = append(c.warnings, fmt.Sprintf(format, args...))
}

func (c *cell) note(format string, args ...any) {
	c.notes = append(c.notes, fmt.Sprintf(format, args...))
}

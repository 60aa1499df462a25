package storm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/mta"
	"github.com/smtpstorm/xk6-smtp/bench/supervise"
	"github.com/smtpstorm/xk6-smtp/sink/bookfiles"
	"github.com/smtpstorm/xk6-smtp/sink/text"
)

// cell is one MTA under one storm.
type cell struct {
	o        Options
	storm    *Storm
	longer   time.Duration // than the plan says
	dir      *supervise.Scratch
	hop      *nextHop
	agent    Agent
	schedule *mta.Schedule // nil: the agent can't say
	asked    error         // why not
	source   *source
	watch    watch
	progress progress

	started            time.Time // of the first submission
	begin, end, cutoff time.Time // of the storm, and of watching
	watched            time.Time // when watching ended
	disturbance        disturbance
	usage              time.Duration // CPU of this process: sink and source
	notes, warnings    []string
}

// maxDrain is how long beyond one maximal pause a sender may take for all that it retries then.
const maxDrain = 15 * time.Second

// Run puts an MTA through a storm and writes the results to Options.Out. The error is an *InputError when an option or a file is at fault;
// nothing was written then. What was judged is in the record, faults too.
func Run(ctx context.Context, o Options) (r *Record, err error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	c := &cell{o: o, progress: progress{w: o.Console, terminal: o.Terminal, width: o.Width, last: time.Now()}}
	if c.storm, err = Load(o.Storm); err != nil {
		return nil, err
	}
	if why := c.storm.beyond.never; why != "" {
		return nil, inputErrorf("storm %s is not applicable: %s", c.storm.Name, why)
	}
	if c.storm.beyond.lifetime > 0 {
		c.o.Policy.Lifetime = c.storm.beyond.lifetime
	}
	c.longer = drawEnd(o.Seed, max(o.Policy.MaximalBackoff, o.Policy.MinimalBackoff))
	if _, _, err = c.storm.at(time.Now(), o.Seed, c.longer); err != nil {
		return nil, err
	}
	guard, err := newGuard(&c.progress, o.Watchdog)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, guard.close()) }()
	final, err := vacant(o.Out)
	if err != nil {
		return nil, err
	}
	if c.dir, err = guard.results(final); err != nil {
		return nil, err
	}
	defer func() {
		c.progress.clear()
		if err != nil { // nothing was published
			err = errors.Join(err, c.dir.Remove())
		}
	}()
	if r, err = c.run(ctx, guard); err != nil {
		return nil, err
	}
	return r, publish(c.dir, final)
}

func (c *cell) path(name string) string { return c.dir.Path(name) }

// run does it all in order: agent, sink, load, watch, judge.
func (c *cell) run(ctx context.Context, guard *guard) (r *Record, err error) {
	layout := c.storm.beyond.layout
	if c.hop, err = reserve(layout); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.hop.stop(), c.hop.release()) }()
	scratch, err := guard.scratch("storm")
	if err != nil {
		return nil, err
	}
	settings := mta.Options{Dir: scratch.Path("mta"), Policy: c.o.Policy, Extra: c.o.Extra, FinalTimeout: c.storm.beyond.patience}
	c.hop.route(layout, &settings)
	prepare := c.o.Prepare
	if prepare == nil {
		prepare = c.prepare
	}
	c.progress.update(fmt.Sprintf("%-8s starting", c.o.MTA))
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
	if err := c.agent.Start(ctx); err != nil {
		return nil, err
	}
	stopped := false
	if err := c.weather(ctx); errors.Is(err, errStopped) {
		stopped = true
	} else if err != nil {
		return nil, err
	}
	c.watched = time.Now()
	return c.account(ctx, stopped)
}

// prepare makes a private instance.
func (c *cell) prepare(ctx context.Context, o mta.Options) (Agent, error) {
	a, err := mta.New(c.o.MTA, o)
	if err != nil {
		return nil, &InputError{err}
	}
	if err := a.Prepare(ctx); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

// lead is how long before the first submission the sink listens.
const lead = 500 * time.Millisecond

// weather starts the sink, submits the messages, and watches until the storm is over for the sender.
func (c *cell) weather(ctx context.Context) error {
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
	c.usage = processCPU()
	if err := c.hop.start(plan, c.storm.Source.SHA256, c.path(bookfiles.LedgerFile), c.dir.Dir); err != nil {
		return err
	}
	claims, err := os.OpenFile(c.path(bookfiles.ClaimsFile), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) // #nosec G302 G304 -- results are for others to read
	if err != nil {
		return err
	}
	c.source = &source{address: c.agent.Addr(), run: strconv.FormatInt(now.UnixMilli(), 36), size: c.o.Size, claims: &claimsFile{file: claims}}
	c.progress.say("%-8s %s; storm %s: %s", c.agent.Name(), c.agent.Version(), c.storm.Name, c.storm.Description)
	c.progress.say("%-8s %s messages at %v a second; the storm begins after %.1f s, lasts %.1f s (%.1f s of it drawn by seed %d), and is watched for at most %.0f s after",
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
	c.usage = processCPU() - c.usage
	return errors.Join(err, c.source.claims.close())
}

// vacant returns the absolute path of a directory that is new or empty.
func vacant(out string) (string, error) {
	final, err := filepath.Abs(out)
	if err != nil {
		return "", &InputError{err}
	}
	entries, err := os.ReadDir(final)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return "", inputErrorf("--out %s: %v", out, reason(err))
	case len(entries) > 0 && supervise.Alive(final):
		return "", inputErrorf("--out %s: %v", out, &supervise.BusyError{Dir: final})
	case len(entries) > 0:
		return "", inputErrorf("--out %s: it holds something, such as %q: name a new or empty directory", out, entries[0].Name())
	}
	if err := os.MkdirAll(filepath.Dir(final), 0o755); err != nil { // #nosec G301 -- results are for others to read
		return "", inputErrorf("--out %s: %v", out, reason(err))
	}
	return final, nil
}

// publish puts the results in their place.
func publish(dir *supervise.Scratch, final string) error {
	if err := os.Remove(final); err != nil && !errors.Is(err, fs.ErrNotExist) { // an empty directory
		return fmt.Errorf("the results are in %s: %w", dir.Dir, err)
	}
	if err := os.Rename(dir.Dir, final); err != nil {
		return fmt.Errorf("the results are in %s: %w", dir.Dir, err)
	}
	return dir.Release(final)
}

// reason is an error of the file system without the path, which the message has.
func reason(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

func (c *cell) warn(format string, args ...any) {
	c.warnings = append(c.warnings, fmt.Sprintf(format, args...))
}

func (c *cell) note(format string, args ...any) {
	c.notes = append(c.notes, fmt.Sprintf(format, args...))
}

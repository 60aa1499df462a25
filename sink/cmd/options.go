package cmd

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/smtpstorm/xk6-smtp/scripts"
	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/plan"
	"github.com/smtpstorm/xk6-smtp/sink/session"
)

// options is the command line of the server.
type options struct {
	stdout, stderr io.Writer

	listen         []string
	listenGiven    bool
	argument       bool            // listen came as arguments, without the flag
	inherited      []sink.Listener // that whoever started this process has opened
	keeping        keeping
	security       security
	controls       controls
	durable        bool // --durability was given
	timeoutGiven   bool // --ledger-timeout was given
	intervalGiven  bool // --stats-interval was given
	maxHold        time.Duration
	noTriggers     bool
	flags          fault.Flags
	seedGiven      bool
	oddsGiven      bool
	plan           string
	driver         string
	loops          int
	hostname       string
	maxSize        string
	maxRecipients  int
	bounds         bounds
	stateMemory    string
	standingMemory string
	bareLF         string
	idleTimeout    time.Duration
	drainTimeout   time.Duration
	json, quiet    bool
	interval       time.Duration
}

func (o *options) addFlags(f *pflag.FlagSet) {
	f.SortFlags = false
	f.StringArrayVarP(&o.listen, "listen", "l", []string{"127.0.0.1:2525"}, "where to listen: `[name=]host:port`, or [name=]unix:/path; repeatable; a plan's listeners are added, and those of the same name moved")
	f.StringVar(&o.flags.Mode, "mode", "", "what to say, a `mode`: accept, bounce, offline, unavailable or random; see smtpsink catalogue")
	f.StringArrayVar(&o.flags.At, "at", nil, "`stage` at which the mode speaks; repeatable (default message)")
	f.StringArrayVar(&o.flags.Weights, "weight", nil, "weight of one of the mode's codes, as `code:weight`, such as 450:9; repeatable (default 1 each)")
	f.Float64Var(&o.flags.RandomAccept, "random-accept", 0, "odds to accept in mode random, between 0 and 1 (default 0.5)")
	f.StringArrayVar(&o.flags.Replies, "reply", nil, "what to say at a stage, as `stage=code:weight,...`, such as rcpt=250:90,450:7,550/5.1.1:3; repeatable")
	f.StringArrayVar(&o.flags.Delays, "delay", nil, "how late to say it, as `stage=delay`, such as data=50ms or 'data=uniform(5ms,50ms)'; repeatable")
	f.Uint64Var(&o.flags.Seed, "seed", 0, "seed of all draws, a whole `number` from 0; it replaces the plan's (default: the plan's, or 0)")
	f.StringVar(&o.plan, "plan", "", "plan `file` (YAML), or the name of a built-in one (see smtpsink plans), instead of --mode, --reply and --delay; SIGHUP reads it again")
	f.StringVar(&o.driver, "driver", "auto", "what carries connections, as `auto|epoll|net`: epoll is for Linux")
	f.IntVar(&o.loops, "loops", 1, "number of event loops; 0 means one per CPU")
	f.StringVar(&o.hostname, "hostname", "", "`name` in the greeting (default localhost)")
	f.StringVar(&o.maxSize, "max-size", "50MiB", "largest message, as SIZE announces it: a `size` in octets, KiB, MiB or GiB, or none")
	f.IntVar(&o.maxRecipients, "max-recipients", session.DefaultMaxRecipients, "most recipients per transaction; its envelope takes --max-envelope at most whatever this says")
	o.bounds.addFlags(f)
	f.StringVar(&o.stateMemory, "state-memory", defaultStateMemory, "memory of attempt counters, token buckets and greylists together, a `size` in octets, KiB, MiB or GiB: 8192 of them per MiB; beyond it the oldest are forgotten, and the self-check says so")
	f.StringVar(&o.standingMemory, "standing-memory", defaultStandingMemory, "memory of what a plan's reactions know of clients, senders and so on, a `size` in octets, KiB, MiB or GiB; beyond it the oldest are forgotten, those with a standing in force last, and the self-check says so")
	f.StringVar(&o.bareLF, "bare-lf", "reject", "a CR or LF that stands alone in a body: `reject|accept`")
	f.DurationVar(&o.idleTimeout, "idle-timeout", session.DefaultIdleTimeout, "how long a client may be silent")
	f.DurationVar(&o.maxHold, "max-hold", session.DefaultMaxHold, "how long a fault may hold a connection, such as by silence")
	f.BoolVar(&o.noTriggers, "no-triggers", false, "ignore addresses and headers that ask for replies, such as 550-5.1.1+x@example.org and X-Storm-Reply")
	o.security.addFlags(f)
	o.keeping.addFlags(f)
	o.controls.addFlags(f)
	f.DurationVar(&o.drainTimeout, "drain-timeout", 30*time.Second, "how long transactions in flight may take to end after SIGTERM or SIGINT")
	f.BoolVar(&o.json, "json", false, "print the final counters as JSON")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "print errors only (and what --json asks for)")
	f.DurationVar(&o.interval, "stats-interval", time.Second, "how often the progress line on a terminal is renewed; 0 means no such line")
}

// config turns the command line into a server's configuration. Every error is bad input and names the flag.
func (o *options) config() (sink.Config, error) {
	cfg := sink.Config{
		Loops: o.loops, Hostname: o.hostname, MaxRecipients: o.maxRecipients, IdleTimeout: o.idleTimeout, MaxHold: o.maxHold, NoTriggers: o.noTriggers,
	}
	var err error
	if cfg.Plan, cfg.PlanHash, cfg.PlanText, err = o.compilePlan(); err != nil {
		return cfg, err
	}
	if err := o.inherit(); err != nil {
		return cfg, err
	}
	cfg.Listeners = slices.Clone(o.inherited)
	if o.listenGiven || len(sink.ListenersOf(cfg.Plan)) == 0 {
		for _, text := range o.listen {
			l, err := sink.ParseListener(text)
			if err != nil {
				return cfg, fmt.Errorf("--listen: %w", err)
			}
			cfg.Listeners = append(cfg.Listeners, l)
		}
	}
	if cfg.Driver, err = sink.ParseDriver(o.driver); err != nil {
		return cfg, fmt.Errorf("--driver: %w", err)
	}
	if cfg.BareLF, err = session.ParseBareLF(o.bareLF); err != nil {
		return cfg, fmt.Errorf("--bare-lf: %w", err)
	}
	if cfg.MaxSize, err = parseSize(o.maxSize); err != nil {
		return cfg, fmt.Errorf("--max-size: %w", err)
	}
	if err := o.bounds.configure(&cfg); err != nil {
		return cfg, err
	}
	if cfg.StateMemory, err = parseSize(o.stateMemory); err == nil && cfg.StateMemory < minStateMemory {
		err = fmt.Errorf("%q is too little (want 1MiB or more)", o.stateMemory)
	}
	if err != nil {
		return cfg, fmt.Errorf("--state-memory: %w", err)
	}
	if cfg.StandingMemory, err = parseSize(o.standingMemory); err == nil && cfg.StandingMemory < minStateMemory {
		err = fmt.Errorf("%q is too little (want 1MiB or more)", o.standingMemory)
	}
	if err != nil {
		return cfg, fmt.Errorf("--standing-memory: %w", err)
	}
	if err := checkHostname(o.hostname); err != nil {
		return cfg, fmt.Errorf("--hostname: %w", err)
	}
	if cfg.Loops == 0 {
		cfg.Loops = runtime.GOMAXPROCS(0)
	}
	switch {
	case o.loops < 0:
		return cfg, fmt.Errorf("--loops: invalid number %d (want 0 or more)", o.loops)
	case o.maxRecipients < 1:
		return cfg, fmt.Errorf("--max-recipients: invalid number %d (want 1 or more)", o.maxRecipients)
	case o.idleTimeout <= 0:
		return cfg, fmt.Errorf("--idle-timeout: invalid duration %v (want more than 0)", o.idleTimeout)
	case o.maxHold <= 0:
		return cfg, fmt.Errorf("--max-hold: invalid duration %v (want more than 0)", o.maxHold)
	case o.drainTimeout < 0:
		return cfg, fmt.Errorf("--drain-timeout: invalid duration %v (want 0 or more)", o.drainTimeout)
	case o.intervalGiven && o.quiet:
		return cfg, fmt.Errorf("--stats-interval: not together with --quiet, which prints no progress line")
	case o.interval < 0:
		return cfg, fmt.Errorf("--stats-interval: invalid duration %v (want 0 or more)", o.interval)
	}
	if err := o.keeping.configure(&cfg, o.durable, o.timeoutGiven, o.complain); err != nil {
		return cfg, err
	}
	if err := o.controls.configure(&cfg); err != nil {
		return cfg, err
	}
	return cfg, o.security.configure(&cfg)
}

// compilePlan returns nil when nothing is to be injected. The hash is that of the plan's file; the text is that file, or what it would be
// in its canonical form where flags have said something else.
func (o *options) compilePlan() (p *fault.Plan, hash string, text []byte, err error) {
	spec, hash, text, err := o.planSpec()
	if err != nil || len(spec.Rules) == 0 && o.plan == "" {
		return nil, "", nil, err
	}
	if text == nil {
		text = plan.Encode(spec)
	}
	p, err = fault.NewPlan(spec)
	return p, hash, text, err
}

func (o *options) planSpec() (spec fault.PlanSpec, hash string, text []byte, err error) {
	f := &o.flags
	if o.oddsGiven {
		if f.Mode != fault.ModeRandom.String() {
			return spec, "", nil, fmt.Errorf("--random-accept: it goes with --mode %v only", fault.ModeRandom)
		}
		if !(f.RandomAccept > 0 && f.RandomAccept < 1) {
			return spec, "", nil, fmt.Errorf("--random-accept: invalid odds %v (want more than 0 and less than 1)", f.RandomAccept)
		}
	}
	if o.plan == "" {
		spec, err = fault.CompileFlags(*f)
		return spec, "", nil, err
	}
	for _, other := range []struct {
		flag  string
		given bool
	}{
		{"--mode", f.Mode != ""}, {"--at", len(f.At) > 0}, {"--weight", len(f.Weights) > 0},
		{"--reply", len(f.Replies) > 0}, {"--delay", len(f.Delays) > 0},
	} {
		if other.given {
			return spec, "", nil, fmt.Errorf("%s: not together with --plan, which says what is injected", other.flag)
		}
	}
	file, err := scripts.LoadPlan(o.plan)
	if err != nil {
		return spec, "", nil, fmt.Errorf("--plan: %w", err)
	}
	if o.seedGiven && f.Seed != file.Spec.Seed {
		file.Spec.Seed = f.Seed
		return file.Spec, file.SHA256, nil, nil
	}
	return file.Spec, file.SHA256, file.Text, nil
}

// The memory that --state-memory names: by default, which is sink.DefaultStateMemory, and the least, in octets.
const (
	defaultStateMemory = "256MiB"
	minStateMemory     = 1 << 20

	defaultStandingMemory = "128MiB" // sink.DefaultStandingMemory
)

// parseSize parses a number of octets; -1 stands for none.
func parseSize(text string) (int64, error) {
	if text == "none" {
		return -1, nil
	}
	n, err := plan.ParseOctets(text)
	if err != nil || n < 1 || n > 1<<50 {
		return 0, fmt.Errorf("invalid size %q (want octets such as 1000000, or 64KiB, 50MiB, 1GiB, or none)", text)
	}
	return n, nil
}

// checkHostname refuses what would break the greeting; it is no check of a domain name, since a fault sink may want a wrong one.
func checkHostname(name string) error {
	if len(name) > 255 || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return fmt.Errorf("invalid name %q (want at most 255 octets without blanks and control characters)", name)
	}
	return nil
}

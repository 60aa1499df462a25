package run

import (
	"cmp"
	"errors"
	"io"
	"math"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/input"
	"github.com/smtpstorm/xk6-smtp/bench/k6"
	"github.com/smtpstorm/xk6-smtp/bench/mta"
	"github.com/smtpstorm/xk6-smtp/bench/pipeline"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

// Bounds of the options, and the figures that the main job promises.
const (
	DefaultVUs      = 500    // clients at the same time in each leg of the main job: so many that slow replies leave one free
	DefaultMessages = 20_000 // messages in each leg of the main job, or as many as fit into LegSeconds if they are fewer
	LegSeconds      = 25     // at most for each leg of the main job, so that it stays under two minutes on a slow or busy machine, too
	maxVUs          = 10_000
	maxRate         = 1_000_000.0
	maxMessages     = 100_000_000
)

// The values of Options.MTA.
const (
	MTAAuto    = "auto"    // Postfix, when it is installed and the process is root
	MTAPostfix = "postfix" // Postfix, or an error
	MTANone    = "none"
)

// Options say what to run. The zero value, with Console set, is the main job with its defaults.
type Options struct {
	K6      string   // path of the k6 binary with the smtp extension; empty: beside this program, in bin or on the PATH
	Scripts string   // directory of calm.js, bounce-storm.js and plans/; empty: that of the project's checkout, or what is built in
	Script  string   // the user's own script, or the name of a bundled one; empty: calm and bounce-storm
	Env     []string // NAME=VALUE for the script's __ENV
	Out     string   // directory of the results; replaced as a whole at the end

	// The load of each leg. To a script of the user's they go as MESSAGES, VUS and RATE (with DURATION, if both are given).
	Messages int           // messages a leg; 0: 20,000, or what 25 s allow (1,500 in a leg through an MTA)
	VUs      int           // clients at the same time; 0: 500 (100 in a leg through an MTA)
	Rate     float64       // messages per second, a whole number; 0: half of the capacity that a probe measures (150 in a leg through an MTA)
	MaxTime  time.Duration // bound on each leg; 0: an hour for the user's own script, planned time plus a minute for bundled ones

	Plan    string      // plan of the legs but calm: a file, or the name of a bundled one; empty: the flags, or else bounce-storm (tempfail-rcpt-30 through an MTA)
	Flags   fault.Flags // command-line flags that make up the storm leg's plan
	Seed    uint64      // replaces the plan's seed when SeedSet
	SeedSet bool

	MTA           string // MTAAuto (also ""), MTAPostfix or MTANone
	Target        string // host:port of the user's own MTA; the run is then a single leg through it
	SinkListen    string // with Target: host:port at which the sink listens, the MTA's next hop
	OwnTarget     bool   // the user vouches that what lies beyond loopback, a Target or what a script connects to, is theirs to load
	QueueCommand  string // with Target: what a shell is to run that lists the MTA's queue; empty: it can't be seen
	CutoffSeconds int    // with an MTA: how long after the last message delivery is watched; 0: 60

	// Runs, if not 0, makes an experiment of so many blocks: both Sides once in each, in an order drawn from Seed, and with a seed for each block. The results
	// are then a record of each run, and the comparison.
	Runs  int
	Sides *[2]Side

	// Capacity, if not nil, makes the run a search for the highest rate at which the quality of service holds, with the built-in script workload. Script,
	// Messages and Rate don't go with it.
	Capacity *Capacity

	// Judge says what fails; the zero value: all faults, units that are undetermined, and the script's thresholds. Its MinimalBackoff is the
	// policy of a Target; that of a private MTA is read from it.
	Judge reconcile.Options

	Dashboard       bool   // k6's web dashboard runs beside each leg, and leaves a page behind
	DashboardListen string // host:port at which it is served; empty: k6.DefaultDashboard. It goes with Dashboard

	// Watchdog is the command of a process that does nothing but supervise.Watch(os.Stdin): it clears away should this program be killed.
	// Empty: nobody does, until the next run.
	Watchdog []string

	Program     string    // path of this program, to find k6 and scripts beside it
	CommandLine []string  // for the provenance
	Console     io.Writer // progress and tables
	Terminal    bool      // Console is a terminal: progress overwrites its line
	Width       int       // of the terminal in columns; 0: 80

	// Stop, when closed, ends the run early: what was measured so far is written, marked as interrupted. Cancelling the context
	// of Run ends it at once.
	Stop <-chan struct{}

	anyMessages bool // Messages is the default, and may be fewer
	given       load // messages, vus and rate as the user gave them, 0 where not
}

func (o *Options) withDefaults() {
	set := func(v *int, n int) {
		if *v == 0 {
			*v = n
		}
	}
	if o.Capacity != nil {
		o.Capacity.withDefaults(o)
	}
	o.given = load{messages: o.Messages, vus: o.VUs, rate: o.Rate}
	o.anyMessages = o.Messages == 0 && o.Target == ""
	if o.Target == "" {
		set(&o.Messages, DefaultMessages)
		set(&o.VUs, DefaultVUs)
	} else {
		set(&o.Messages, mtaMessages)
		set(&o.VUs, mtaVUs)
		if o.Rate == 0 {
			o.Rate = mtaRate
		}
	}
	set(&o.CutoffSeconds, 60)
	set(&o.Width, 80)
	if o.MTA == "" {
		o.MTA = MTAAuto
	}
	if o.Out == "" {
		o.Out = "results/latest"
	}
	if o.Dashboard && o.DashboardListen == "" {
		o.DashboardListen = k6.DefaultDashboard
	}
}

// validate checks everything that can be checked without starting or writing anything.
func (o *Options) validate() error {
	switch {
	case o.Messages < 1 || o.Messages > maxMessages:
		return input.Errorf("--messages %d: want 1 to %d", o.Messages, maxMessages)
	case o.VUs < 1 || o.VUs > maxVUs:
		return input.Errorf("--vus %d: want 1 to %d", o.VUs, maxVUs)
	case o.Rate < 0 || math.IsNaN(o.Rate) || o.Rate > maxRate:
		return input.Errorf("--rate %v: want messages per second, more than 0 and at most %.0f", o.Rate, maxRate)
	case o.Rate != math.Trunc(o.Rate):
		return input.Errorf("--rate %v: want a whole number of messages per second", o.Rate)
	case o.MaxTime < 0:
		return input.Errorf("--max-time %v: want a positive duration such as 10m", o.MaxTime)
	case o.CutoffSeconds < 1 || o.CutoffSeconds > 3600:
		return input.Errorf("--cutoff %d: want 1 to 3600 seconds", o.CutoffSeconds)
	case o.DashboardListen != "" && !o.Dashboard:
		return input.Errorf("--dashboard-listen %s goes with --dashboard", o.DashboardListen)
	case o.Plan != "" && o.hasPlanFlags():
		return input.Errorf("--plan and --mode, --at, --weight, --reply or --delay exclude each other: a plan file says it all")
	}
	if o.Runs == 0 && !slices.Contains([]string{MTAAuto, MTAPostfix, MTANone}, o.MTA) { // of an experiment, see installed
		return input.Errorf("--mta %q: unknown mail transfer agent (valid: auto postfix none)", o.MTA)
	}
	for _, e := range o.Env {
		if name, _, ok := strings.Cut(e, "="); !ok || name == "" {
			return input.Errorf("--env %q: want NAME=VALUE", e)
		}
	}
	if err := o.validateCapacity(); err != nil {
		return err
	}
	if err := o.validateExperiment(); err != nil || o.Runs > 0 {
		return err // of an experiment, each side's target is looked at
	}
	return o.validateTarget()
}

// throughLoad is the load of a leg through an MTA.
func (o *Options) throughLoad(script string) load {
	l := load{script: script, own: script != "", messages: mtaMessages, vus: mtaVUs, rate: mtaRate}
	l.messages, l.vus, l.rate = cmp.Or(o.given.messages, l.messages), cmp.Or(o.given.vus, l.vus), cmp.Or(o.given.rate, l.rate)
	return l
}

// directLoad is the load of a leg that speaks to the sink itself: a script of the user's is told what the user gave, and has its own defaults.
func (o *Options) directLoad(script string) load {
	if o.Script == "" {
		return load{script: script, messages: o.Messages, vus: o.VUs, rate: o.Rate}
	}
	l := o.given
	l.script, l.own = script, true
	return l
}

func (o *Options) hasPlanFlags() bool {
	f := &o.Flags
	return f.Mode != "" || len(f.At)+len(f.Weights)+len(f.Replies)+len(f.Delays) > 0 || f.RandomAccept != 0
}

func (o *Options) validateTarget() error {
	if err := o.checkHost(); err != nil {
		return err
	}
	if o.Target == "" {
		if o.Judge.MinimalBackoff != 0 {
			return input.Errorf("--minimal-backoff goes with --target HOST:PORT, the MTA whose policy it is: that of a private one is known")
		}
		if o.QueueCommand != "" {
			return input.Errorf("--queue-command goes with --target HOST:PORT, the MTA whose queue it lists")
		}
		if o.SinkListen != "" {
			return input.Errorf("--sink-listen %s goes with --target HOST:PORT, the MTA whose next hop is the sink", o.SinkListen)
		}
		if o.OwnTarget && o.Script == "" && !o.givesHost() {
			return input.Errorf("--i-own-this-target goes with --target HOST:PORT, or a script that connects elsewhere than to the sink")
		}
		return nil
	}
	if o.SinkListen == "" {
		return input.Errorf("--target %s needs --sink-listen ADDR:PORT, the next hop to which that MTA relays", o.Target)
	}
	if err := input.HostPort("--sink-listen", o.SinkListen); err != nil {
		return err
	}
	if err := input.HostPort("--target", o.Target); err != nil {
		return err
	}
	if sameAddress(o.Target, o.SinkListen) {
		return input.Errorf("--target %s is the sink at --sink-listen %s: it would be judged as if it were the MTA", o.Target, o.SinkListen)
	}
	if o.MTA == MTAPostfix {
		return input.Errorf("--mta postfix and --target exclude each other: the target is the MTA")
	}
	if host, _, _ := net.SplitHostPort(o.Target); !input.IsLoopback(host) && !o.OwnTarget {
		return input.Errorf("--target %s is not a loopback address: %s", o.Target, k6.Unvouched)
	}
	return nil
}

// sameAddress reports whether a listener at listen would answer a client that connects to target.
func sameAddress(target, listen string) bool {
	host, port, _ := net.SplitHostPort(target)
	at, atPort, _ := net.SplitHostPort(listen)
	if port != atPort || port == "0" {
		return false
	}
	to, ip := net.ParseIP(host), net.ParseIP(at)
	switch {
	case strings.EqualFold(host, at), to != nil && to.Equal(ip):
		return true
	case ip != nil && ip.IsUnspecified(), strings.EqualFold(at, "localhost"):
		return input.IsLoopback(host)
	}
	return strings.EqualFold(host, "localhost") && ip != nil && ip.IsLoopback()
}

// chooseMTA returns whether a Postfix leg runs, and if not, why.
func (o *Options) chooseMTA(found []mta.Candidate, root bool) (use bool, why string, err error) {
	i := slices.IndexFunc(found, func(c mta.Candidate) bool { return c.Name == MTAPostfix })
	if i < 0 {
		return false, "", errors.New("postfix is not among the known mail transfer agents")
	}
	postfix := found[i]
	switch {
	case o.MTA == MTANone:
		return false, "", nil
	case postfix.Path == "" && o.MTA == MTAPostfix:
		return false, "", input.Errorf("--mta postfix: it is not installed: %s", postfix.Fetch)
	case postfix.Path == "":
		return false, "Postfix is not installed; to add a leg through it: " + postfix.Fetch, nil
	case !root && o.MTA == MTAPostfix:
		return false, "", input.Errorf("--mta postfix: a private Postfix instance needs root: run as root, or use --mta none")
	case !root:
		return false, "a private Postfix instance needs root", nil
	}
	return true, "", nil
}

// storm returns the faults that the options name: a plan, flags, or otherwise that plan of the bundle.
func (o *Options) storm(b *k6.Bundle, otherwise string) (pipeline.Faults, error) {
	if o.hasPlanFlags() {
		return pipeline.FromFlags(o.Flags, o.seed)
	}
	if o.Plan == "" {
		return pipeline.FromFile(b.Plan, otherwise, o.seed)
	}
	return pipeline.FromFile(b.PlanFile, o.Plan, o.seed)
}

// seed replaces a plan's seed if the user gave one.
func (o *Options) seed(spec *fault.PlanSpec) {
	if o.SeedSet {
		spec.Seed = o.Seed
	}
}

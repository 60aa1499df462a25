package mta

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

// ErrMissing is wrapped by New when the MTA isn't installed; the message has the command that gets it.
var ErrMissing = errors.New("not installed")

// ErrFixedSchedule is wrapped by New when a Policy asks for pauses of an MTA whose schedule can't be changed.
var ErrFixedSchedule = errors.New("has a retry schedule that can't be changed")

// ErrUnaskable is wrapped by Schedule of an MTA that has no way to say its retry policy.
var ErrUnaskable = errors.New("can't be asked for its retry policy")

// ErrNeedsRoot is wrapped by New when this user can't run the MTA.
var ErrNeedsRoot = errors.New("needs root")

// Agent is one private instance of a mail transfer agent. Its methods may be called concurrently, except that Prepare, Start, Stop,
// Kill, Restart and Close wait for one another.
type Agent interface {
	// Prepare lays out configuration and an empty queue in the directory of the options, which it creates if needed.
	Prepare(ctx context.Context) error
	// Start runs the agent on what lies in its directory, and returns when it greets on Addr, or with an error and nothing left
	// running. Cancelling ctx afterwards doesn't stop it.
	Start(ctx context.Context) error
	// Stop ends the agent in good order, and by force what doesn't end within 15 s. Queue and logs stay. It returns when no process
	// is left; it does nothing to an agent that doesn't run.
	Stop() error
	// Kill ends all processes at once, as a crash does (kill -9). Queue and logs stay.
	Kill() error
	// Restart is Stop and Start.
	Restart(ctx context.Context) error
	// Close stops the agent and gives its port up. It can't be started again.
	Close() error

	// Addr is the host:port to which mail is submitted, the same from New to Close.
	Addr() string
	// Name is that of the registry, such as "postfix".
	Name() string
	// Version is product and version, such as "Postfix 3.7.11". It is known from Prepare on.
	Version() string
	// Config is the text of all configuration files, for the provenance of a result. Names stand in it for what differs between
	// instances: $DIR for the directory, $LISTEN, $NEXT_HOP and $HOP_N_OF_DOMAIN for the ports, $SMTPSTORM_MTAS for the directory of
	// fetched MTAs. It is known from Prepare on.
	Config() string

	// Queue passes on what the queue holds: an entry for each message and recipient that is not delivered. A message that moves
	// meanwhile may be passed on twice, or not at all.
	Queue(ctx context.Context, f func(*reconcile.QueueEntry) error) error
	// Flush has it try everything in its queue now, however long ago the attempt before was. The error wraps errors.ErrUnsupported where
	// an adapter can't.
	Flush(ctx context.Context) error
	// Depth is the number of messages in the queue. It is cheap enough to be asked several times a second. MTAs that split a
	// message by recipients count the parts.
	Depth() (int, error)
	// Schedule is the retry policy as the agent itself reads it.
	Schedule(ctx context.Context) (Schedule, error)
	// Log passes on what the agent's log says so far, as events, the oldest first.
	Log(f func(*reconcile.LogEvent) error) error
	// LogPath is the file of that log.
	LogPath() string

	// Policy is the retry policy that is in force.
	Policy() Policy
	// Traits are properties that don't depend on the configuration.
	Traits() Traits
	// Usage is what the processes use. It is known on Linux only, and, unless it is Whole, zero when nothing runs.
	Usage() Usage
}

// Traits say in what an MTA differs from others for whoever looks on from outside.
type Traits struct {
	// DSN: it offers the DSN extension (RFC 3461), and passes ENVID and ORCPT on to the next hop.
	DSN bool
	// EnvelopeID: its notifications have the ENVID as Original-Envelope-Id (RFC 3464 section 2.2.1).
	EnvelopeID bool
	// RemoteStatus: its notifications have the enhanced status code of the next hop's refusal as Status (RFC 3464 section 2.3.4);
	// else it is one of the MTA's own.
	RemoteStatus bool
	// Silent: it notifies nobody of failures; its log alone tells of them.
	Silent bool
	// Routes: it can send the mail of single domains to next hops of their own (Options.Routes).
	Routes bool
	// Sources: it can be told to send from several addresses, a new one for each attempt (Options.Sources).
	Sources bool
	// FinalTimeout: it can be told how long to wait for the final reply (Options.FinalTimeout).
	FinalTimeout bool
	// RetryEarly is by how much an attempt may come before the policy's time, as the MTA rounds.
	RetryEarly time.Duration
	// RefusedAgain: it may try once more what was refused. The queue run has then locked the notification's file before the
	// process that has just made it, which gives up ("cannot create queue file: Resource temporarily unavailable").
	RefusedAgain bool
	// FixedSchedule: its retry schedule can't be changed; a Policy says when it gives up, and no more. Pauses are between ShortestBackoff
	// and LongestBackoff, or, when that is 0, the n-th attempt comes ShortestBackoff times the square of n after the arrival.
	FixedSchedule  bool
	LongestBackoff time.Duration
	// FixedLifetime is how long it keeps trying; 0: as long as a Policy says.
	FixedLifetime time.Duration
	// Unstructured: its notifications are in words only, none of those that RFC 3464 asks for.
	Unstructured bool
	// ShortestBackoff is the shortest pause between two attempts that it can be told to make.
	ShortestBackoff time.Duration
}

// Schedule is when an agent tries a message again, as it says itself.
type Schedule struct {
	// Gaps are the pauses between attempts while each is deferred, the first ones; the last of them comes again and again.
	Gaps []time.Duration
	// ByAge: a pause is as long as the message is old, within Gaps[0] and the last of Gaps; else the k-th pause is Gaps[k].
	ByAge bool
	// WholeSeconds: times are taken down to whole seconds before they are reckoned with.
	WholeSeconds bool
	// Text is what the agent said, as it said it.
	Text string
	// Early and Late are by how much an attempt may come before and after the pause is over; Later is Late for all but the first.
	Early, Late, Later time.Duration
	// LateInterval: a pause but the first may be late by one more of itself, besides.
	LateInterval bool
	// LastAnytime: the attempt after which the agent gives up comes as soon as the message is too old, whatever the pause.
	LastAnytime bool
}

// Usage is what the processes of an agent use.
type Usage struct {
	CPU    time.Duration // of those that run, and of those of their children that have ended; a process whose parent ended first may be missing
	Memory int64         // resident octets; what processes share counts once for each
	// Whole: a control group has counted. CPU is then that of all processes since the first start, and Memory the most that they
	// had together so far, what is shared counted once.
	Whole     bool
	Processes int // 0 with Whole: nobody has counted them
}

// Policy is a retry policy: the pause after the first failure is MinimalBackoff, later ones grow to about twice the one before, up to
// MaximalBackoff. Zero values mean the default in each field's comment.
type Policy struct {
	MinimalBackoff time.Duration // shortest pause between two attempts; 3 s, or the MTA's ShortestBackoff if that is longer
	MaximalBackoff time.Duration // longest; 8 times the shortest
	Lifetime       time.Duration // when a message that can't be delivered is returned; 10 min
	Concurrency    int           // parallel deliveries to the next hop; 20
	// ByAge has the first pause come twice, since a pause is as long as the message is old: 5, 5, 10, 20, 40 s. Postfix always does so.
	ByAge bool
}

// String returns the policy in words, for reports.
func (p Policy) String() string {
	return fmt.Sprintf("retries after %v to %v, gives up after %v, %d parallel deliveries", p.MinimalBackoff, p.MaximalBackoff, p.Lifetime, p.Concurrency)
}

// complete fills in the defaults for an MTA and checks the policy. MTAs count in whole seconds.
func (p Policy) complete(traits Traits) (Policy, error) {
	shortest := traits.ShortestBackoff
	if traits.FixedSchedule && (p.MinimalBackoff != 0 || p.MaximalBackoff != 0) {
		return p, ErrFixedSchedule
	}
	if p.MinimalBackoff == 0 {
		p.MinimalBackoff = max(3*time.Second, shortest)
	}
	if p.MaximalBackoff == 0 && traits.FixedSchedule {
		p.MaximalBackoff = shortest
	} else if p.MaximalBackoff == 0 {
		p.MaximalBackoff = 8 * p.MinimalBackoff
	}
	if p.Lifetime == 0 {
		p.Lifetime = 10 * time.Minute
	}
	if traits.FixedLifetime > 0 {
		p.Lifetime = traits.FixedLifetime
	}
	if traits.LongestBackoff > 0 {
		p.MaximalBackoff = traits.LongestBackoff
	} else if traits.FixedSchedule { // the longest pause within the lifetime
		for n := time.Duration(1); n*n*shortest <= p.Lifetime; n++ {
			p.MaximalBackoff = (2*n - 1) * shortest
		}
	}
	if p.Concurrency == 0 {
		p.Concurrency = 20
	}
	for _, f := range []struct {
		name         string
		value, least time.Duration
	}{{"minimal backoff", p.MinimalBackoff, shortest}, {"maximal backoff", p.MaximalBackoff, p.MinimalBackoff}, {"lifetime", p.Lifetime, time.Second}} {
		if f.value < f.least || f.value%time.Second != 0 {
			return p, fmt.Errorf("%s %v is not a whole number of seconds of at least %v", f.name, f.value, f.least)
		}
	}
	if p.Concurrency < 1 {
		return p, fmt.Errorf("concurrency %d is not positive", p.Concurrency)
	}
	return p, nil
}

// gaps returns the pauses between the attempts of a message that is deferred each time, until its lifetime is over.
func (p Policy) gaps() []time.Duration {
	var gaps []time.Duration
	gap, age := p.MinimalBackoff, time.Duration(0)
	if p.ByAge {
		gaps, age = append(gaps, gap), gap
	}
	for ; age < p.Lifetime && len(gaps) < maxGaps; gap = min(2*gap, p.MaximalBackoff) {
		gaps = append(gaps, gap)
		age += gap
	}
	return gaps
}

// maxGaps bounds a list of pauses.
const maxGaps = 100_000

// Options say how to make an instance.
type Options struct {
	Dir    string // a private directory, best one of NewScratch; everything that the instance writes stays below it
	Listen string // loopback host:port to listen on; empty: a free port of 127.0.0.1
	Relay  string // loopback host:port of the next hop for every message that Routes has none for
	// Routes are the next hops of some recipient domains, each as loopback host:port, in the order in which they are tried where an MTA
	// keeps one.
	Routes []Route
	// Sources are loopback addresses of IPv4 from which it sends, each attempt from one by chance; empty: from the one that the kernel chooses.
	Sources []string
	// Home is the domain of senders, for an agent that takes mail of its own domains only; empty: it doesn't matter.
	Home string
	// FinalTimeout is how long the agent waits for the reply to the final dot; 0: as long as it does by itself. Whole seconds.
	FinalTimeout time.Duration
	Policy       Policy // retry policy
	Extra        string // more lines for the main configuration file, which win over this package's own where the MTA takes the last; empty: none
}

// Route says where mail to a domain goes.
type Route struct {
	Domain string
	Hops   []string
}

// maxDir bounds the length of an instance's directory: MTAs have sockets in it, whose whole path must fit into 107 octets (unix(7)).
const maxDir = 75

// check returns the options with an absolute directory.
func (o Options) check() (Options, error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil || o.Dir == "" {
		return o, fmt.Errorf("directory %q can't be used", o.Dir)
	}
	switch {
	case strings.ContainsAny(dir, " \t$#\n:\"'\\"):
		return o, fmt.Errorf("directory %q can't stand in configuration files: it holds a blank, or one of $ # : \" ' \\", dir)
	case len(dir) > maxDir:
		return o, fmt.Errorf("directory %q is longer than %d octets, too long for the sockets in it", dir, maxDir)
	}
	o.Dir = dir
	if o.Listen != "" {
		if err := loopback("listening address", o.Listen); err != nil {
			return o, err
		}
	}
	for _, r := range o.Routes {
		if r.Domain == "" || strings.ContainsAny(r.Domain, " \t\n:,'{}*") || len(r.Hops) == 0 {
			return o, fmt.Errorf("route %q: want a domain and at least one next hop", r.Domain)
		}
		for _, hop := range r.Hops {
			if err := loopback("next hop of "+r.Domain, hop); err != nil {
				return o, err
			}
		}
	}
	for _, source := range o.Sources {
		if ip := net.ParseIP(source); ip.To4() == nil || !ip.IsLoopback() {
			return o, fmt.Errorf("source address %q is not a loopback address of IPv4 such as 127.0.0.2", source)
		}
	}
	if o.FinalTimeout < 0 || o.FinalTimeout%time.Second != 0 {
		return o, fmt.Errorf("the wait %v for the final reply is not a whole number of seconds", o.FinalTimeout)
	}
	return o, loopback("next hop", o.Relay)
}

// loopback insists on a host:port of the loopback network: an instance under load must never be reachable, or reach out, beyond its
// machine.
func loopback(what, address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%s %q is not host:port", what, address)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("%s %q is not a loopback address such as 127.0.0.1:2525", what, address)
	}
	return nil
}

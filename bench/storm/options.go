package storm

import (
	"context"
	"io"
	"math"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/input"
	"github.com/smtpstorm/xk6-smtp/bench/mta"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

// Agent is the MTA that is put through a storm. Every mta.Agent is one.
type Agent interface {
	Start(ctx context.Context) error
	Kill() error
	Close() error

	Addr() string
	Name() string
	Version() string
	Config() string

	Queue(ctx context.Context, f func(*reconcile.QueueEntry) error) error
	Depth() (int, error)
	Log(f func(*reconcile.LogEvent) error) error
	Schedule(ctx context.Context) (mta.Schedule, error)
	Usage() mta.Usage
}

// Options say what to do. Zero values mean the default in each field's comment.
type Options struct {
	MTA      string        // name of the registry of bench/mta
	Storm    string        // a built-in storm, or a plan file
	Messages int           // 200
	Rate     float64       // messages per second; 50
	Cutoff   time.Duration // how long it watches after the storm's end; one maximal backoff and 15 s
	Seed     uint64        // of all draws, of the storm's end among them
	Out      string        // directory of the results, which must be new or empty
	Policy   mta.Policy    // 5, 5, 10, 20, 40 s
	Extra    string        // more lines for the main configuration file
	Config   string        // the engineer's own main configuration file, in the place of the policy; empty: none
	Outside  *Outside      // an MTA that runs already, in the place of a private instance; nil: none
	Size     int           // octets of a message; 2048

	// Start makes the agent ready to be started; nil: one of bench/mta by its name.
	Prepare func(ctx context.Context, o mta.Options) (Agent, error)

	beyond *beyond // in tests: what goes with the plan; nil: what belongs to a storm of its name

	Console     io.Writer
	Terminal    bool
	Width       int      // of the terminal
	Watchdog    []string // the command of a watchdog, see supervise.StartWatchdog; nil: none
	CommandLine []string
	Stop        <-chan struct{} // closed: end early, and report what was measured
	Program     string          // this program's path, by whose place a checkout is found
	Judge       reconcile.Options
}

// Bounds of what can be asked for.
const (
	maxMessages = 1_000_000
	maxSize     = 10 << 20
	minSize     = 512
)

// complete fills in the defaults and checks what was given.
func (o *Options) complete() error {
	if o.Messages == 0 {
		o.Messages = 200
	}
	if o.Rate == 0 {
		o.Rate = 50
	}
	if o.Size == 0 {
		o.Size = 2048
	}
	if o.Policy.MinimalBackoff == 0 && o.Policy.MaximalBackoff == 0 {
		o.Policy.MinimalBackoff, o.Policy.MaximalBackoff, o.Policy.ByAge = 5*time.Second, 40*time.Second, true
	}
	if o.Console == nil {
		o.Console = io.Discard
	}
	switch {
	case o.Messages < 1 || o.Messages > maxMessages:
		return input.Errorf("--messages %d: want 1 to %d", o.Messages, maxMessages)
	case !(o.Rate > 0) || o.Rate > 10_000 || math.IsInf(o.Rate, 0):
		return input.Errorf("--rate %v: want messages per second, above 0 and at most 10000", o.Rate)
	case o.Cutoff < 0 || o.Cutoff > 24*time.Hour:
		return input.Errorf("--cutoff %v: want a duration up to 24h", o.Cutoff)
	case o.Size < minSize || o.Size > maxSize:
		return input.Errorf("--size %d: want %d to %d octets", o.Size, minSize, maxSize)
	case o.Outside != nil && (o.MTA != "" || o.Config != ""):
		return input.Errorf("--mta-address goes without --mta and --config: that MTA runs already, as it is")
	case o.Out == "":
		return input.Errorf("--out is missing: want a directory for the results")
	}
	return nil
}

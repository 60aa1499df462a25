package cmd

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/pflag"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/control"
	"github.com/smtpstorm/xk6-smtp/sink/plan"
)

// bound is a flag that bounds what a peer can cost.
type bound struct {
	flag, meaning string
	octets        bool // a size, and else a number
	allowed       sink.Range
	into          *int

	flags  *pflag.FlagSet // that have it
	text   string         // of a size, as it was given
	number int
}

func (b *bound) shown(n int) string {
	if b.octets {
		return plan.OctetsText(int64(n))
	}
	return strconv.Itoa(n)
}

func (b *bound) addFlag(f *pflag.FlagSet) {
	b.flags = f
	if b.octets {
		f.StringVar(&b.text, b.flag, plan.OctetsText(int64(b.allowed.Preset)), b.meaning)
		return
	}
	f.IntVar(&b.number, b.flag, b.allowed.Preset, b.meaning)
}

// read puts what was given where it belongs. The error names the flag.
func (b *bound) read() error {
	if !b.given() {
		return nil
	}
	what, text, n, err := "number", strconv.Itoa(b.number), int64(b.number), error(nil)
	if b.octets {
		what, text = "size", b.text
		n, err = parseSize(b.text)
	}
	if err != nil || n < int64(b.allowed.Least) || n > int64(b.allowed.Most) {
		return fmt.Errorf("--%s: invalid %s %q (want %s to %s)", b.flag, what, text, b.shown(b.allowed.Least), b.shown(b.allowed.Most))
	}
	*b.into = int(n)
	return nil
}

func (b *bound) given() bool { return b.flags.Changed(b.flag) }

// bounds are the flags of what SMTP clients can cost, beside --max-size and --max-recipients.
type bounds struct {
	values       sink.Bounds
	all          []bound
	maxDiscard   string
	writeTimeout time.Duration
}

func (b *bounds) addFlags(f *pflag.FlagSet) {
	v := &b.values
	b.all = []bound{
		{flag: "max-connections", meaning: "most connections at the same time, a `number`; further ones wait in the kernel's queue, as with smtp-sink -m (default: as many as there are descriptors)",
			allowed: sink.ConnectionsRange, into: &v.Connections},
		{flag: "max-line", octets: true, allowed: sink.LineRange, into: &v.Line,
			meaning: "longest command line, a `size` in octets; MAIL and RCPT may have 2,048 at least, and AUTH 12,288"},
		{flag: "max-header", octets: true, allowed: sink.HeaderRange, into: &v.Header,
			meaning: "how much of a message's header rules, triggers and the ledger look at, a `size` in octets, KiB or MiB; the fields behind are as if absent"},
		{flag: "max-envelope", octets: true, allowed: sink.EnvelopeRange, into: &v.Envelope,
			meaning: "memory of one transaction's envelope, a `size` in octets, KiB, MiB or GiB; beyond it RCPT is answered 452"},
		{flag: "max-domains", allowed: sink.DomainsRange, into: &v.Domains,
			meaning: "how many recipient domains each loop counts apart, a `number`; those beyond are counted together"},
	}
	for i := range b.all {
		b.all[i].addFlag(f)
	}
	f.StringVar(&b.maxDiscard, "max-discard", "64MiB", "largest BDAT chunk that is refused and still read and thrown away, a `size` in octets, KiB, MiB or GiB; the connection of a larger one is closed")
	f.DurationVar(&b.writeTimeout, "write-timeout", sink.DefaultWriteTimeout, "how long a client may take none of the output that is due to it before its connection is given up")
}

func (b *bounds) configure(cfg *sink.Config) (err error) {
	for i := range b.all {
		if err := b.all[i].read(); err != nil {
			return err
		}
	}
	if cfg.MaxDiscard, err = parseSize(b.maxDiscard); err == nil && cfg.MaxDiscard < 0 {
		err = errors.New("none is no size here: a chunk may have 2^63 octets")
	}
	if err != nil {
		return fmt.Errorf("--max-discard: %w", err)
	}
	if b.writeTimeout <= 0 {
		return fmt.Errorf("--write-timeout: invalid duration %v (want more than 0)", b.writeTimeout)
	}
	cfg.Bounds, cfg.WriteTimeout = b.values, b.writeTimeout
	return nil
}

// controlBounds are the flags of what clients of the control API can cost.
type controlBounds struct {
	values control.Bounds
	events int // octets
	all    []bound
}

func (b *controlBounds) addFlags(f *pflag.FlagSet) {
	v := &b.values
	b.all = []bound{
		{flag: "control-connections", allowed: sink.Range{Least: 1, Preset: control.DefaultConnections, Most: 1 << 16}, into: &v.Connections,
			meaning: "most connections of clients at the same time to each address of the control API and of monitoring, a `number`; one that waits makes room for a new one"},
		{flag: "control-streams", allowed: sink.Range{Least: 1, Preset: control.DefaultStreams, Most: 1 << 16}, into: &v.Streams,
			meaning: "most streams of events at the same time, a `number`; an open page has one"},
		{flag: "control-body", octets: true, allowed: sink.Range{Least: 1 << 10, Preset: control.DefaultBody, Most: 8 << 20}, into: &v.Body,
			meaning: "largest body of a request, such as a plan, a `size` in octets, KiB or MiB"},
		{flag: "control-claims", octets: true, allowed: sink.Range{Least: 1 << 10, Preset: control.DefaultClaims, Most: 1 << 30}, into: &v.Claims,
			meaning: "most claims that are judged at once, a `size` in octets, KiB, MiB or GiB"},
		{flag: "control-events", octets: true, allowed: sink.Range{Least: 64 << 10, Preset: sink.DefaultTail, Most: 1 << 30}, into: &b.events,
			meaning: "memory of the last events, which streams go on from and messages are listed of, a `size` in octets, KiB, MiB or GiB"},
		{flag: "control-backlog", octets: true, allowed: sink.Range{Least: 4 << 10, Preset: control.DefaultBacklog, Most: 1 << 30}, into: &v.Backlog,
			meaning: "most events that may wait for a stream's client, a `size` in octets, KiB, MiB or GiB; then it is cut off"},
	}
	for i := range b.all {
		b.all[i].addFlag(f)
	}
}

// read reads the flags. The error names the one that is wrong.
func (b *controlBounds) read() error {
	for i := range b.all {
		if err := b.all[i].read(); err != nil {
			return err
		}
	}
	return nil
}

// idle returns a flag that was given although nothing is there to bound, or "". Monitoring has connections alone.
func (b *controlBounds) idle(monitored bool) string {
	for i := range b.all {
		if v := &b.all[i]; v.given() && !(monitored && v.into == &b.values.Connections) {
			return "--" + v.flag
		}
	}
	return ""
}

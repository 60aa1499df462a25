package sink

import (
	"fmt"

	"github.com/smtpstorm/xk6-smtp/sink/metrics"
	"github.com/smtpstorm/xk6-smtp/sink/session"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Bounds are those bounds of what clients can cost that few have to change. docs/bounds.md lists all that there are. 0 means the default of
// each.
type Bounds struct {
	Connections int // at the same time, over all listeners: those beyond wait in the kernel's queue until one has ended. 0: as many as come
	Line        int // octets of a command line, see session.Config.MaxLine
	Header      int // octets of a message's header that rules, triggers and rows know, see session.Config.MaxHeader
	Envelope    int // octets of memory for the envelope of a transaction, see session.Config.MaxEnvelope
	Domains     int // recipient domains that each loop counts apart; those beyond are counted together
}

// Range is what a bound may be.
type Range struct{ Least, Preset, Most int }

// Check refuses what is out of the range; 0 stands for the default.
func (r Range) Check(v int) error {
	if v != 0 && (v < r.Least || v > r.Most) {
		return fmt.Errorf("%d is out of range (want %d to %d)", v, r.Least, r.Most)
	}
	return nil
}

// What bounds may be. A preset of 0 connections is no bound.
var (
	ConnectionsRange = Range{1, 0, 1 << 24}
	LineRange        = Range{smtp.MaxCommandLine, smtp.MaxCommandLine, smtp.MaxAuthLine}
	HeaderRange      = Range{1 << 10, session.DefaultMaxHeader, 16 << 20}
	EnvelopeRange    = Range{64 << 10, session.DefaultMaxEnvelope, 1 << 30}
	DomainsRange     = Range{1, metrics.DefaultDomains, 1 << 20}
)

func (b *Bounds) validate() error {
	for _, bound := range []struct {
		name  string
		value int
		r     Range
	}{
		{"connections", b.Connections, ConnectionsRange}, {"octets of a line", b.Line, LineRange}, {"octets of a header", b.Header, HeaderRange},
		{"octets of an envelope", b.Envelope, EnvelopeRange}, {"domains", b.Domains, DomainsRange},
	} {
		if err := bound.r.Check(bound.value); err != nil {
			return fmt.Errorf("invalid bound of %s: %w", bound.name, err)
		}
	}
	return nil
}

package sink

import (
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/dsn"
	"github.com/smtpstorm/xk6-smtp/sink/ledger"
	"github.com/smtpstorm/xk6-smtp/sink/metrics"
	"github.com/smtpstorm/xk6-smtp/sink/state"
)

// Stats is what a server did since its start. Taken while connections are open, its figures may be apart by the events that are
// under way; after Shutdown or Close they are exact.
type Stats struct {
	Plan    string    `json:"plan,omitempty"`        // the name of the plan in force
	Hash    string    `json:"plan_sha256,omitempty"` // of its file's text, where it came from one
	Seed    uint64    `json:"seed"`                  // its seed; 0 without a plan
	Driver  string    `json:"driver"`                // "epoll" or "net"
	Loops   int       `json:"loops"`
	Started time.Time `json:"started,omitzero"`
	Seconds float64   `json:"seconds"` // since Started, until now or the end

	metrics.Snapshot

	Connections    uint64              `json:"connections"` // accepted
	Open           int64               `json:"open"`        // connections now
	BytesIn        uint64              `json:"bytes_in"`
	BytesOut       uint64              `json:"bytes_out"`
	Counters       state.Stats         `json:"attempt_counters,omitzero"`
	Limits         state.LimitStats    `json:"limit_counters,omitzero"`
	StateCapacity  uint64              `json:"state_capacity,omitempty"`  // how many counters, buckets and greylisted triples there is room for
	Phase          string              `json:"phase,omitempty"`           // of the storm, now
	ReopenFailures uint64              `json:"reopen_failures,omitempty"` // times a listener could not be opened again after a fault
	Ledger         *ledger.WriterStats `json:"ledger,omitempty"`
	DSN            *dsn.Stats          `json:"dsn,omitempty"` // notifications that were captured
	// ListenOverflows counts connections that met a full accept queue since the start, on the whole system: Linux only, and 0 once a
	// listener was unaccepted, which fills its queue on purpose.
	ListenOverflows uint64         `json:"listen_overflows,omitempty"`
	SelfCheck       *SelfCheck     `json:"self_check,omitempty"` // set by who wants it: see Check
	Net             DriverCounters `json:"net"`

	Windows []metrics.Window `json:"windows,omitempty"` // the time series in ascending order
}

// DriverCounters is what the driver did. All count from the start, but for Open and Pending.
type DriverCounters struct {
	Accepted uint64 `json:"accepted"`         // connections
	Open     int64  `json:"open"`             // connections now
	Closed   uint64 `json:"closed"`           // connections
	Failed   uint64 `json:"failed,omitempty"` // of Closed: ended by an error, such as a reset

	BytesIn  uint64 `json:"bytes_in"`
	BytesOut uint64 `json:"bytes_out"`
	Reads    uint64 `json:"reads"`           // system calls that read
	Writes   uint64 `json:"writes"`          // system calls that wrote
	Waits    uint64 `json:"waits,omitempty"` // system calls that waited for events; epoll only

	AcceptPauses uint64 `json:"accept_pauses,omitempty"` // times accepting stopped for want of descriptors (EMFILE) or memory
	AcceptErrors uint64 `json:"accept_errors,omitempty"` // other failures of accept
	HighWater    uint64 `json:"high_water,omitempty"`    // times a client that does not read made its input wait; epoll only
	Pending      int64  `json:"pending,omitempty"`       // octets of output that wait for clients now; epoll only

	LagP99Micros uint64 `json:"lag_p99_us,omitempty"` // how long a loop was busy between two waits; epoll only
	LagMaxMicros uint64 `json:"lag_max_us,omitempty"`
}

// Stats returns the figures. It stops nobody for longer than it takes to copy a loop's counters.
func (s *Server) Stats() *Stats {
	s.mu.Lock()
	d, series, start, end, account, notes, overflowed := s.driver, s.series, s.start, s.end, s.ledger, s.dsn, s.overflowed
	s.mu.Unlock()
	out := &Stats{
		Driver: s.kind.String(), Loops: s.cfg.Loops, Counters: s.attempts.Stats(), Limits: s.limits.Stats(), StateCapacity: s.store.Capacity(), Started: start,
		Phase: s.Phase(), ReopenFailures: s.reopenFailures.Load(),
	}
	if force := s.force.Load(); force.plan != nil {
		out.Plan, out.Hash, out.Seed = force.plan.Name(), force.hash, force.plan.Seed()
	}
	if account != nil {
		kept := account.writer.Stats()
		out.Ledger = &kept
	}
	if notes != nil {
		kept := notes.dir.Stats()
		out.DSN = &kept
	}
	if now, ok := listenOverflows(); ok && d != nil && !s.overfilled.Load() {
		out.ListenOverflows = now - min(overflowed, now)
	}
	if d != nil {
		if end.IsZero() {
			end = s.now()
		}
		out.Seconds = end.Sub(start).Seconds()
		out.Net = d.counters()
		out.Connections, out.Open = out.Net.Accepted, out.Net.Open
		out.BytesIn, out.BytesOut = out.Net.BytesIn, out.Net.BytesOut
		out.Windows = series.Windows(end, s.totals(out.Net))
	}
	out.Snapshot = *s.metrics.Snapshot()
	return out
}

// CountsSchema and CountsVersion name the format of Counts. Fields may be added within a version; a change of meaning is a new one.
const (
	CountsSchema  = "smtpstorm/sink-counts"
	CountsVersion = 1
)

// Counts is Stats as a document of its own: what smtpsink --json prints.
type Counts struct {
	Schema  string `json:"schema"`
	Version int    `json:"version"`
	*Stats
}

// Document returns the figures with their schema and version.
func (s *Stats) Document() Counts { return Counts{CountsSchema, CountsVersion, s} }

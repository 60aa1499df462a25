package control

import (
	"math"
	"net/http"
	"slices"
	"sync"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/control/api"
	"github.com/smtpstorm/xk6-smtp/sink/count"
)

// The answers of GET /v1/stats that are kept, for the difference of later ones: so many, and fewer when together they take more than
// keptOctets. Clients and plans make up kinds of replies and domains, so that one may take megabytes; leastKept are kept whatever they take.
const (
	keptReads  = 64
	leastKept  = 4
	keptOctets = 16 << 20
)

// statsRead keeps what was read last.
type statsRead struct {
	mu     sync.Mutex
	kept   []statsAt // the oldest first
	octets int       // that they take, about
}

type statsAt struct {
	seq    uint64
	rows   sink.TailCounts
	counts *count.Counts // since the sink's start, whatever the epoch
	octets int           // that it takes, about
}

// keep keeps what was read; of two of one sequence number, the later.
func (k *statsRead) keep(at statsAt) {
	k.mu.Lock()
	defer k.mu.Unlock()
	at.octets = octetsOf(at.counts)
	k.octets += at.octets
	if i := slices.IndexFunc(k.kept, func(old statsAt) bool { return old.seq == at.seq }); i >= 0 {
		k.octets -= k.kept[i].octets
		k.kept[i] = at
	} else {
		k.kept = append(k.kept, at)
	}
	gone := 0
	for len(k.kept)-gone > keptReads || k.octets > keptOctets && len(k.kept)-gone > leastKept {
		k.octets -= k.kept[gone].octets
		gone++
	}
	k.kept = slices.Delete(k.kept, 0, gone)
}

// octetsOf is how much memory counts take without their windows, about: what grows with what clients and plans make up. Most of the text of
// names is shared.
func octetsOf(c *count.Counts) int {
	const rest, reply, destination, rule, outcome = 4096, 200, 100, 200, 80
	n := rest + len(c.Replies)*reply + len(c.Destinations)*destination + len(c.Rules)*rule
	for i := range c.Rules {
		n += len(c.Rules[i].Outcomes) * outcome
	}
	return n
}

func (k *statsRead) at(seq uint64) (statsAt, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, kept := range k.kept {
		if kept.seq == seq {
			return kept, true
		}
	}
	return statsAt{}, false
}

func (s *Server) getStats(w http.ResponseWriter, r *http.Request) error {
	if err := query(r, "since", "windows"); err != nil {
		return err
	}
	windows := r.URL.Query().Get("windows")
	if windows != "" && windows != "true" && windows != "false" {
		return badQuery("windows: invalid value %.64q (valid: true false)", windows)
	}
	var before statsAt
	since, err := number(r, "since", 0, math.MaxUint64)
	if err != nil {
		return err
	}
	differs := r.URL.Query().Has("since")
	if differs {
		var ok bool
		if before, ok = s.at(since); !ok {
			return problem(api.EventsGone, "nobody has read the stats of sequence number %d, or too long ago: the last %d are kept, of large ones fewer", since, keptReads)
		}
	}
	rows := s.cfg.Tail.Counts() // before the counters, which are never behind it then
	snap := s.cfg.Sink.Snapshot()
	at := s.cfg.Sink.Storm()
	total, counts := *snap.Total, snap.Since
	total.Windows = nil
	s.keep(statsAt{seq: rows.Seq, rows: rows, counts: &total})
	out := api.Stats{
		Instance: snap.Run, Seq: rows.Seq, Since: before.seq, Time: snap.Time.UTC(), Epoch: snap.Epoch, Generation: snap.Generation, Storm: stormOf(&at, false),
	}
	if differs {
		counts = snap.Total.Minus(before.counts)
	}
	shown := *counts
	if windows != "true" {
		shown.Windows = nil
	}
	out.Counts = &shown
	out.Rows = api.Rows{
		Connections: rows.Connections - before.rows.Connections, Transactions: rows.Transactions - before.rows.Transactions,
		Messages: rows.Messages - before.rows.Messages, Attempts: rows.Attempts - before.rows.Attempts, Deliveries: rows.Deliveries - before.rows.Deliveries,
	}
	write(w, http.StatusOK, api.TypeJSON, out)
	return nil
}

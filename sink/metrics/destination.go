package metrics

import (
	"cmp"
	"slices"
	"sync"

	"github.com/smtpstorm/xk6-smtp/sink/count"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// DefaultDomains is how many recipient domains a shard tells apart when nobody says; the attempts of further ones are counted under count.Other, so that
// a client which makes domains up costs no memory.
const DefaultDomains = 2000

type destination struct{ listener, domain string }

// destinations counts attempts per destination. The lock is a shard's own, and so nobody waits for it but a snapshot.
type destinations struct {
	most   int // domains that are told apart
	mu     sync.Mutex
	counts map[destination]*destinationCounts
	last   *destinationCounts // clients tend to stay with a destination
	folded uint64             // attempts that were counted by count.Other
}

type destinationCounts struct {
	destination
	ends [numEnds]uint64
}

// count allocates only when a destination is met for the first time.
func (d *destinations) count(listener string, domain []byte, end End) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if last := d.last; last != nil && last.domain == string(domain) && last.listener == listener {
		last.ends[end]++
		return
	}
	d.find(listener, domain).ends[end]++
}

// maxDomain is how long a domain may be (RFC 5321 section 4.5.3.1.2): a longer one is cut.
const maxDomain = 255

func (d *destinations) find(listener string, domain []byte) *destinationCounts {
	var buffer [maxDomain]byte
	form := smtp.AppendDomain(buffer[:0], domain[:min(len(domain), maxDomain)])
	form = form[:min(len(form), maxDomain)]
	counts := d.last
	if counts == nil || counts.domain != string(form) || counts.listener != listener {
		if counts = d.counts[destination{listener, string(form)}]; counts == nil {
			if len(d.counts) >= d.most {
				d.folded++
				return d.add(destination{listener, count.Other})
			}
			counts = d.add(destination{listener, string(form)})
		}
		d.last = counts
	}
	return counts
}

func (d *destinations) add(key destination) *destinationCounts {
	if d.counts == nil {
		d.counts = make(map[destination]*destinationCounts)
	}
	counts := d.counts[key]
	if counts == nil {
		counts = &destinationCounts{destination: key}
		d.counts[key] = counts
	}
	return counts
}

// destinations merges the shards, ordered by listener and domain.
func (m *Set) destinations() (out []count.Destination, folded uint64) {
	sum := map[destination]*[numEnds]uint64{}
	for _, s := range m.shards {
		s.destinations.mu.Lock()
		for key, counts := range s.destinations.counts {
			if sum[key] == nil {
				sum[key] = new([numEnds]uint64)
			}
			for end, n := range counts.ends {
				sum[key][end] += n
			}
		}
		folded += s.destinations.folded
		s.destinations.mu.Unlock()
	}
	out = make([]count.Destination, 0, len(sum))
	for key, counts := range sum {
		out = append(out, count.Destination{Listener: key.listener, Domain: key.domain, Attempts: attemptCounts(counts)})
	}
	slices.SortFunc(out, func(a, b count.Destination) int {
		return cmp.Or(cmp.Compare(a.Listener, b.Listener), cmp.Compare(a.Domain, b.Domain))
	})
	return out, folded
}

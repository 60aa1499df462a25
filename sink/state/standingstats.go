package state

import "github.com/smtpstorm/xk6-smtp/sink/count"

// Stats returns what the reactions of the plan in force have led to, in file order. It stops nobody for long: the figures may be apart by
// the calls that are under way.
func (s *Standings) Stats() []count.Reaction {
	in := s.layout.Load()
	var all []count.Reaction
	for _, r := range in.plan.Reactions() {
		all = append(all, count.Reaction{Name: r.Name, Key: r.Of.String()})
	}
	for _, t := range in.tables {
		for i := range t.shards {
			shard := &t.shards[i]
			shard.mu.Lock()
			for column, r := range t.reactions {
				c, out := &shard.counts[column], &all[r.Index]
				out.Begun += c.begun
				out.Keys += c.keys
				out.Highest = max(out.Highest, c.highest)
				out.Returns += c.returns
				out.Returned += c.returned
				out.Evictions += c.evictions
			}
			shard.mu.Unlock()
		}
	}
	return all
}

// Keys returns how many keys are known now, of all kinds.
func (s *Standings) Keys() (n uint64) {
	for _, t := range s.layout.Load().tables {
		for i := range t.shards {
			shard := &t.shards[i]
			shard.mu.Lock()
			n += uint64(shard.live) // #nosec G115 -- not negative
			shard.mu.Unlock()
		}
	}
	return n
}

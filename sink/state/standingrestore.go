package state

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
)

// ReactionIDs returns the reactions of a plan as event.Start.Reactions has them.
func ReactionIDs(p *fault.Plan) string {
	var ids []string
	for _, r := range p.Reactions() {
		ids = append(ids, reactionID(r.ID()))
	}
	return strings.Join(ids, " ")
}

func reactionID(id uint64) string { return fmt.Sprintf("%016x", id) }

// Restoring makes standings of the rows of a ledger. It is not safe for concurrent use, and nobody else may use the standings meanwhile.
type Restoring struct {
	standings *Standings
	now       int64
	columns   map[uint64]restoredColumn // by fault.Reaction.ID
	others    map[uint64]*otherReaction // that the plan in force does not have, by the same
}

type restoredColumn struct {
	t      *standingTable
	column uint8
}

// otherReaction is what is known of a reaction that the plan in force does not have.
type otherReaction struct {
	name  string
	until int64 // when the last of its standings ends
}

// Restore begins to restore standings of the plan in force: those that have not ended by now.
func (s *Standings) Restore(now time.Time) *Restoring {
	r := &Restoring{standings: s, now: now.UnixNano(), columns: map[uint64]restoredColumn{}, others: map[uint64]*otherReaction{}}
	for _, t := range s.layout.Load().tables {
		for column, reaction := range t.reactions {
			r.columns[reaction.ID()] = restoredColumn{t, uint8(column)} // #nosec G115 -- at most fault.MaxReactions
		}
	}
	return r
}

// Stand implements ledger.Standings. Rows of one standing may come in another order than that in which it changed. Connections are over: their
// standings are, too.
func (r *Restoring) Stand(row *event.Standing) {
	x := standing{changed: row.Time.UnixNano(), level: uint8(row.To), until: forever} // #nosec G115 -- at most fault.MaxLevel
	if !row.Until.IsZero() {
		x.until = row.Until.UnixNano()
	}
	c, known := r.columns[row.Reaction]
	switch {
	case !known:
		if x.at(r.now) > 0 {
			r.other(row.Reaction, row.React).stands(x.until)
		}
	case !c.t.passing:
		c.t.restore(c.column, fingerprintFrom(row.Fingerprint), row.Key, x, r.now)
	}
}

func (r *Restoring) other(id uint64, name string) *otherReaction {
	o := r.others[id]
	if o == nil {
		o = &otherReaction{name: name}
		r.others[id] = o
	}
	return o
}

func (o *otherReaction) stands(until int64) { o.until = max(o.until, until) }

// restore puts a standing where it was, unless what is there is newer.
func (t *standingTable) restore(column uint8, key fingerprint, name string, x standing, now int64) {
	s := t.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	slot := s.find(key)
	if slot < 0 {
		if x.level > 0 && x.at(now) == 0 { // nobody has to know that it was there
			return
		}
		slot = s.insert(t, key, now)
	}
	s.use(slot)
	at := s.standing(t, slot, column)
	if x.changed <= at.changed && at.changed-x.changed <= clockSlack {
		return
	}
	if s.slots[slot].value.name == "" {
		s.rename(t, slot, name)
	}
	*at = x
	s.sort(t, slot, now)
	s.fit(t, slot, now)
}

// Held reports whether the standing of an occurrence held at a time, as far as it is restored.
func (r *Restoring) Held(at time.Time, reaction *fault.Reaction, o *fault.Occurrence) bool {
	c, known := r.columns[reaction.ID()]
	if !known || !reaction.KnowsKey(o) || reaction.Exempts(o) {
		return false
	}
	var space [keySpace]byte
	key := fingerprintOf(c.t.of.AppendKey(space[:0], o), nil)
	s := c.t.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	slot := s.find(key)
	if slot < 0 {
		return false
	}
	x := s.standing(c.t, slot, c.column)
	return x.at(at.UnixNano()) > 0 && (x.level > 1 || x.changed <= at.UnixNano())
}

// Keep implements ledger.Standings.
func (r *Restoring) Keep(reactions string) {
	for id := range r.others {
		if !strings.Contains(reactions, reactionID(id)) {
			delete(r.others, id)
		}
	}
	for id, c := range r.columns {
		if !strings.Contains(reactions, reactionID(id)) {
			c.t.forget(c.column)
		}
	}
}

// forget ends all standings of a column, and what was counted towards them.
func (t *standingTable) forget(column uint8) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		for slot := range s.slots {
			*s.standing(t, int32(slot), column) = standing{} // #nosec G115 -- at most standingTable.most
		}
		s.mu.Unlock()
	}
}

// Clear forgets what was restored so far.
func (r *Restoring) Clear() {
	r.standings.Clear()
	clear(r.others)
}

// Restored is what came of it.
type Restored struct {
	Standings uint64   // that go on
	Dropped   []string // reactions that the plan in force does not have, or not with the same text: their standings are over. In order
}

// End ends it.
func (r *Restoring) End() (out Restored) {
	for _, t := range r.standings.layout.Load().tables {
		out.Standings += t.restored(r.now)
	}
	for _, o := range r.others {
		if o.until > r.now {
			out.Dropped = append(out.Dropped, o.name)
		}
	}
	slices.Sort(out.Dropped)
	out.Dropped = slices.Compact(out.Dropped)
	return out
}

// restored forgets the keys without a standing in force, and counts those that are.
func (t *standingTable) restored(now int64) (n uint64) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		for j := range s.slots {
			slot := int32(j) // #nosec G115 -- at most standingTable.most
			if s.slots[slot].value.order == orderFree {
				continue
			}
			held := false
			for column := range t.reactions {
				x := s.standing(t, slot, uint8(column)) // #nosec G115 -- a column
				level := x.at(now)
				if level == 0 {
					*x = standing{}
					continue
				}
				held, x.begun = true, true
				n++
				c := &s.counts[column]
				c.begun++
				c.keys++
				c.highest = max(c.highest, uint64(level)) // #nosec G115 -- not negative
			}
			if !held {
				s.remove(t, slot)
			}
		}
		s.mu.Unlock()
	}
	return n
}

// octets returns the fingerprint as rows have it.
func (f fingerprint) octets() (b [16]byte) {
	binary.BigEndian.PutUint64(b[:8], f.hi)
	binary.BigEndian.PutUint64(b[8:], f.lo)
	return b
}

func fingerprintFrom(b [16]byte) fingerprint {
	return fingerprint{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

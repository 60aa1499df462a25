package state

import (
	"math/bits"
	"sync/atomic"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
)

// Standings keeps the standings that the reactions of a plan lead to, of the plan in force and of the one before it, whose transactions may
// be under way. All methods are safe for concurrent use; none keeps a slice that it was given, and none allocates, but for the name of a key
// when its first standing begins, once the memory has grown to its load.
//
// The keys of each kind (of the reactions that are of the same) have an equal part of the memory. When that is full, the keys go that were not
// used for the longest time: first those that have no standing in force. Their counts begin anew when they come back.
type Standings struct {
	memory int64
	layout atomic.Pointer[layout]
}

// DefaultStandingMemory is the memory of Standings when none is given, in octets: room for 400,000 clients with five reactions.
const DefaultStandingMemory = 128 << 20

// layout is where the standings of a plan lie.
type layout struct {
	plan   *fault.Plan
	tables []*standingTable // by fault.KeyGroup.Index
}

// NewStandings returns no standings yet, in so many octets of memory at most; 0 means DefaultStandingMemory.
func NewStandings(memory int64) *Standings {
	if memory <= 0 {
		memory = DefaultStandingMemory
	}
	s := &Standings{memory: memory}
	s.layout.Store(&layout{})
	return s
}

// Use puts the reactions of a plan into force, and returns the names of those that go on with the standings they had: their text is the
// same. Transactions that are under way under another plan neither have standings from then on nor lead to any. Calls must not overlap.
func (s *Standings) Use(now time.Time, p *fault.Plan) (kept []string) {
	before := s.layout.Load()
	if before.plan == p {
		return nil
	}
	groups := p.KeyGroups()
	next := &layout{plan: p}
	for _, g := range groups {
		t := newStandingTable(g, s.memory/int64(len(groups)))
		for _, old := range before.tables {
			if old.of == t.of {
				kept = append(kept, t.take(old, now.UnixNano())...)
			}
		}
		next.tables = append(next.tables, t)
	}
	s.layout.Store(next)
	return kept
}

// Kept returns what Use would return.
func (s *Standings) Kept(p *fault.Plan) (kept []string) {
	for _, r := range p.Reactions() {
		for _, t := range s.layout.Load().tables {
			if t.of == r.Of && t.column(r) >= 0 {
				kept = append(kept, r.Name)
			}
		}
	}
	return kept
}

// Clear forgets all standings, and what was counted towards them.
func (s *Standings) Clear() {
	for _, t := range s.layout.Load().tables {
		t.clear()
	}
}

// Look puts the levels of the standings that matter at an occurrence into levels, which is zero before. Where a reaction begins at first
// sight, it begins now; what has begun is appended to dst.
func (s *Standings) Look(now time.Time, p *fault.Plan, x *fault.StageReactions, o *fault.Occurrence, levels *fault.Levels, dst []Change) []Change {
	in := s.layout.Load()
	if in.plan != p {
		return dst
	}
	for _, g := range x.Groups {
		if g.Reactions[0].KnowsKey(o) {
			dst = in.tables[g.Index].look(now.UnixNano(), x.Asked, o, levels, dst)
		}
	}
	return dst
}

// Count counts an occurrence for reactions, and appends the standings whose level has changed by that to dst.
func (s *Standings) Count(now time.Time, p *fault.Plan, o *fault.Occurrence, c fault.Counts, dst []Change) []Change {
	in := s.layout.Load()
	if in.plan != p {
		return dst
	}
	any := c.Any()
	for _, t := range in.tables {
		if t.mask&any != 0 {
			dst = t.count(now.UnixNano(), o, c, dst)
		}
	}
	return dst
}

// End forgets what is known of a connection alone, which has ended.
func (s *Standings) End(connection uint64) {
	for _, t := range s.layout.Load().tables {
		if t.of == fault.ScopeConnection {
			t.end(&fault.Occurrence{Connection: connection})
		}
	}
}

func (t *standingTable) end(o *fault.Occurrence) {
	var space [8]byte
	key := fingerprintOf(t.of.AppendKey(space[:0], o), nil)
	s := t.shard(key)
	s.mu.Lock()
	if i := s.find(key); i >= 0 {
		s.remove(t, i)
	}
	s.mu.Unlock()
}

// look is Look for the keys of one kind.
func (t *standingTable) look(now int64, asked uint64, o *fault.Occurrence, levels *fault.Levels, dst []Change) []Change {
	var space [keySpace]byte
	whose := t.of.AppendKey(space[:0], o)
	key := fingerprintOf(whose, nil)
	s := t.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.find(key)
	if i < 0 {
		if t.firstSight&asked == 0 {
			return dst
		}
		i = s.insert(t, key, now)
	}
	s.use(i)
	for left := t.mask & asked; left != 0; left &= left - 1 {
		index := bits.TrailingZeros64(left)
		column := t.columns[index]
		r, x := t.reactions[column], s.standing(t, i, column)
		if r.Exempts(o) {
			continue
		}
		x.settle(now)
		level := x.at(now)
		if level == 0 && r.FirstSight {
			dst = append(dst, s.beginNow(t, i, column, now, o))
			level = 1
		} else if level > 0 {
			s.cameBack(column, x)
		}
		levels[index] = uint8(level) // #nosec G115 -- at most fault.MaxLevel
	}
	return dst
}

// beginNow begins a standing at first sight.
func (s *standingShard) beginNow(t *standingTable, slot int32, column uint8, now int64, o *fault.Occurrence) Change {
	r, x := t.reactions[column], s.standing(t, slot, column)
	x.rise(r, 0, now)
	s.began(t, slot, column, now, o)
	return s.change(t, slot, column, 0, now, event.StandingFirstSight)
}

// change tells of the standing of a column that has changed.
func (s *standingShard) change(t *standingTable, slot int32, column uint8, from int, now int64, reason string) Change {
	x := s.standing(t, slot, column)
	c := Change{
		Reaction: t.reactions[column], Key: s.slots[slot].value.name, Fingerprint: s.slots[slot].key.octets(),
		Time: time.Unix(0, x.changed), From: from, Level: x.at(now), Reason: reason,
	}
	if c.Level > 0 {
		c.Until = untilTime(x.until)
	}
	return c
}

// count is Count for the keys of one kind.
func (t *standingTable) count(now int64, o *fault.Occurrence, c fault.Counts, dst []Change) []Change {
	var space [keySpace]byte
	key := fingerprintOf(t.of.AppendKey(space[:0], o), nil)
	s := t.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.find(key)
	if i < 0 {
		if c.When&t.mask == 0 && c.Any()&t.firstSight == 0 {
			return dst
		}
		i = s.insert(t, key, now)
	}
	s.use(i)
	for left := t.mask & c.Any(); left != 0; left &= left - 1 {
		index := bits.TrailingZeros64(left)
		bit := uint64(1) << index
		column := t.columns[index]
		r, x := t.reactions[column], s.standing(t, i, column)
		x.settle(now)
		before := x.at(now)
		if before == 0 && r.FirstSight { // no stage before has asked
			dst = append(dst, s.beginNow(t, i, column, now, o))
			before = 1
		}
		was := *x
		reason := x.see(r, c.When&bit != 0, c.Worse&bit != 0, c.Back&bit != 0, now)
		if reason == "" {
			continue
		}
		if before == 0 {
			s.began(t, i, column, now, o)
		}
		level := x.at(now)
		s.counts[column].highest = max(s.counts[column].highest, uint64(level)) // #nosec G115 -- not negative
		s.sort(t, i, now)
		if !x.prolonged(&was) {
			dst = append(dst, s.change(t, i, column, before, now, reason))
		}
	}
	return dst
}

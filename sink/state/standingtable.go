package state

import (
	"slices"
	"sync"
	"time"
	"unsafe"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
)

// keySpace is room for the longest keys: two addresses, their domains and a HELO argument.
const keySpace = 800

// What a key takes beside its standings: its slot, and its share of the index.
const slotOctets = int64(unsafe.Sizeof(node[standingKey]{})) + 2*4

// leastStandings is how many slots a shard has room for before there is another: arrays come in whole pages, which small ones waste.
const leastStandings = 1 << 14

// usualName is the room that is reckoned for the name of a key. Where names are longer there is room for fewer.
const usualName = 16

// StandingOctets returns how much memory a key takes that so many reactions count for, in octets, with a name of usual length.
func StandingOctets(reactions int) int64 {
	return slotOctets + usualName + int64(reactions)*int64(unsafe.Sizeof(standing{}))
}

// standingTable has the standings of one kind of key: a slot for each key, with a column for each reaction.
type standingTable struct {
	of         fault.Scope
	reactions  []*fault.Reaction         // by column
	columns    [fault.MaxReactions]uint8 // by fault.Reaction.Index
	mask       uint64                    // of the reactions, by fault.Reaction.Index
	firstSight uint64                    // of those that begin at first sight
	most       int64                     // slots of each shard
	passing    bool                      // keys are gone with their connections: none is worth more than others
	used       uint64                    // how many shards there are
	shards     [shardCount]standingShard
}

// standingShard is one lock's part of a table. Slots lie in two orders of last use: those that have a standing in force, and the others,
// and in a list of free ones.
type standingShard struct {
	mu     sync.Mutex
	index  []int32 // of slots + 1, by fingerprint: open addressing; 0: none
	slots  nodes[standingKey]
	states []standing
	order  [2]order // orderIdle, orderHeld: a slot that is used is marked only, and moves when it would be forgotten, since those beside it are rarely in the processor's cache
	free   int32    // the first free slot; -1: none
	live   int64    // slots that are in use
	text   int64    // octets of names
	sweep  int64    // not before this is it worth looking for standings that have ended
	counts []standingCounts
	_      [16]byte
}

const (
	orderIdle = iota
	orderHeld
	orderFree
)

// standingKey is what is kept of a key beside its standings.
type standingKey struct {
	name  string // once it has had a standing
	order uint8  // in which its slot lies; newer is the next free one of a free slot
	used  bool   // since it became the newest of its order
}

// standingCounts is what a shard has counted of a reaction since the start.
type standingCounts struct{ begun, keys, highest, returns, returned, evictions uint64 }

func newStandingTable(g *fault.KeyGroup, memory int64) *standingTable {
	t := &standingTable{of: g.Of, reactions: g.Reactions, mask: g.Mask, passing: g.Of.Has(fault.ScopeConnection)}
	for column, r := range g.Reactions {
		t.columns[r.Index] = uint8(column) // #nosec G115 -- at most fault.MaxReactions
		if r.FirstSight {
			t.firstSight |= 1 << r.Index
		}
	}
	slots := max(memory/StandingOctets(len(g.Reactions)), shardCount)
	t.used = uint64(min(max(1, slots/leastStandings), shardCount)) // #nosec G115 -- 1 to shardCount
	t.most = max(1, slots/int64(t.used))                           // #nosec G115 -- as in the line before
	for i := range t.shards {
		t.shards[i].reset(len(t.reactions))
	}
	return t
}

func (s *standingShard) reset(reactions int) {
	s.index, s.slots, s.states = nil, nil, nil
	s.order[orderIdle], s.order[orderHeld] = emptyOrder(), emptyOrder()
	s.free, s.live, s.text, s.sweep = -1, 0, 0, 0
	if s.counts == nil {
		s.counts = make([]standingCounts, reactions)
	}
}

func (t *standingTable) clear() {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		s.reset(len(t.reactions))
		s.mu.Unlock()
	}
}

func (t *standingTable) shard(key fingerprint) *standingShard { return &t.shards[key.hi%t.used] }

// column returns the column of a reaction of the same text; -1 when there is none.
func (t *standingTable) column(r *fault.Reaction) int {
	return slices.IndexFunc(t.reactions, func(own *fault.Reaction) bool { return own.ID() == r.ID() })
}

// take copies what another table has of the reactions that both have, and returns their names. The table is nobody else's yet.
func (t *standingTable) take(old *standingTable, now int64) (kept []string) {
	from := make([]int, len(t.reactions))
	for column, r := range t.reactions {
		if from[column] = old.column(r); from[column] >= 0 {
			kept = append(kept, r.Name)
		}
	}
	if kept == nil {
		return nil
	}
	for i := range old.shards {
		source := &old.shards[i]
		source.mu.Lock()
		for _, o := range [...]int{orderIdle, orderHeld} {
			for at := source.order[o].oldest; at >= 0; at = source.slots[at].newer {
				key := source.slots[at].key
				s := t.shard(key)
				slot := s.insert(t, key, now)
				s.rename(t, slot, source.slots[at].value.name)
				for column, c := range from {
					if c >= 0 {
						*s.standing(t, slot, uint8(column)) = *source.standing(old, at, uint8(c)) // #nosec G115 -- a column is below 64
					}
				}
				s.move(slot, o)
			}
		}
		for column, c := range from {
			if c >= 0 {
				t.shards[0].counts[column].add(&source.counts[c])
			}
		}
		source.mu.Unlock()
	}
	return kept
}

func (c *standingCounts) add(o *standingCounts) {
	c.begun += o.begun
	c.keys += o.keys
	c.highest = max(c.highest, o.highest)
	c.returns += o.returns
	c.returned += o.returned
	c.evictions += o.evictions
}

// standing returns the standing of a slot for the reaction of a column.
func (s *standingShard) standing(t *standingTable, slot int32, column uint8) *standing {
	return &s.states[int(slot)*len(t.reactions)+int(column)]
}

func (s *standingShard) standingsOf(t *standingTable, slot int32) []standing {
	n := len(t.reactions)
	return s.states[int(slot)*n : (int(slot)+1)*n]
}

// began notes that the standing of a column has begun for the slot's key.
func (s *standingShard) began(t *standingTable, slot int32, column uint8, now int64, o *fault.Occurrence) {
	x, c := s.standing(t, slot, column), &s.counts[column]
	if c.begun++; !x.begun {
		x.begun = true
		c.keys++
	}
	x.came = false
	c.highest = max(c.highest, 1)
	if s.slots[slot].value.name == "" {
		s.rename(t, slot, t.of.KeyText(o))
	}
	s.sort(t, slot, now)
	s.fit(t, slot, now)
}

// cameBack notes that the key of a standing was met while that held.
func (s *standingShard) cameBack(column uint8, x *standing) {
	c := &s.counts[column]
	if c.returns++; !x.came {
		x.came = true
		c.returned++
	}
}

// rename gives the slot's key a name, and takes account of its octets.
func (s *standingShard) rename(t *standingTable, slot int32, name string) {
	const granule = 16
	s.text += int64((len(name)+granule-1)/granule*granule) - int64((len(s.slots[slot].value.name)+granule-1)/granule*granule)
	s.slots[slot].value.name = name
}

// sort puts a slot among those that have a standing in force, or among the others.
func (s *standingShard) sort(t *standingTable, slot int32, now int64) {
	held := orderIdle
	for _, x := range s.standingsOf(t, slot) {
		if x.at(now) > 0 && !t.passing {
			held = orderHeld
		}
	}
	s.move(slot, held)
}

// insert makes a slot for a key that has none.
func (s *standingShard) insert(t *standingTable, key fingerprint, now int64) int32 {
	var slot int32
	if s.free < 0 && int64(len(s.slots)) >= t.most {
		s.evict(t, -1, now)
	}
	if slot = s.free; slot >= 0 {
		s.free = s.slots[slot].newer
	} else {
		slot = int32(len(s.slots)) // #nosec G115 -- at most standingTable.most
		s.grow(t)
	}
	s.live++
	s.slots[slot].key = key
	clear(s.standingsOf(t, slot))
	s.enter(slot)
	s.slots[slot].value.order = orderFree
	s.move(slot, orderIdle)
	return slot
}

// grow makes room for one more slot: by half as many as there are at a time, but never for more than the most.
func (s *standingShard) grow(t *standingTable) {
	n := len(s.slots)
	if n == cap(s.slots) {
		room := min(max(8, n+n/2), int(t.most))
		s.slots = append(make(nodes[standingKey], 0, room), s.slots...)
		s.states = append(make([]standing, 0, room*len(t.reactions)), s.states...)
		s.index = make([]int32, room*2)
		for i := range s.slots {
			if s.slots[i].value.order != orderFree {
				s.enter(int32(i)) // #nosec G115 -- at most standingTable.most
			}
		}
	}
	s.slots = append(s.slots, node[standingKey]{value: standingKey{order: orderFree}})
	s.states = s.states[:len(s.states)+len(t.reactions)]
}

// fit forgets keys until there is room for their names, but not this one.
func (s *standingShard) fit(t *standingTable, but int32, now int64) {
	for s.live > 1 && s.text > t.most*usualName {
		s.evict(t, but, now)
	}
}

// evict forgets the key that was not used for the longest time, but not this one: one without a standing in force if there is any.
func (s *standingShard) evict(t *standingTable, but int32, now int64) {
	if s.order[orderIdle].oldest < 0 && now >= s.sweep {
		s.release(t, now)
	}
	victim := int32(-1)
	for _, o := range [...]int{orderIdle, orderHeld} {
		if victim = s.oldest(o, but); victim >= 0 {
			break
		}
	}
	for column := range t.reactions {
		if x := s.standing(t, victim, uint8(column)); *x != (standing{}) { // #nosec G115 -- a column
			s.counts[column].evictions++
		}
	}
	s.remove(t, victim)
}

// remove forgets the key of a slot.
func (s *standingShard) remove(t *standingTable, slot int32) {
	s.leave(slot)
	s.rename(t, slot, "")
	s.move(slot, orderFree)
	s.slots[slot].newer, s.free = s.free, slot
	s.live--
}

// release puts the slots whose standings have ended among the others. It is done once a second at most: it looks at all.
func (s *standingShard) release(t *standingTable, now int64) {
	s.sweep = now + int64(time.Second)
	for slot := s.order[orderHeld].oldest; slot >= 0; {
		next := s.slots[slot].newer
		s.sort(t, slot, now)
		slot = next
	}
}

// use notes that a slot was used.
func (s *standingShard) use(slot int32) { s.slots[slot].value.used = true }

// oldest returns the slot of an order that was not used for the longest time, but not this one; -1 when there is none.
func (s *standingShard) oldest(o int, but int32) int32 {
	slot := s.order[o].oldest
	for range 2 * s.live { // twice around: after the first none is marked
		if slot < 0 || slot != but && !s.slots[slot].value.used {
			break
		}
		s.slots[slot].value.used = false
		if s.order[o].newest == slot { // it is alone
			if slot == but {
				return -1
			}
			break
		}
		s.slots.unlink(&s.order[o], slot)
		s.slots.link(&s.order[o], slot)
		slot = s.order[o].oldest
	}
	return slot
}

// move puts a slot into an order, as its newest, unless it is in it.
func (s *standingShard) move(slot int32, to int) {
	if from := int(s.slots[slot].value.order); from == to {
		return
	} else if from != orderFree {
		s.slots.unlink(&s.order[from], slot)
	}
	if s.slots[slot].value.order = uint8(to); to != orderFree { // #nosec G115 -- one of three
		s.slots.link(&s.order[to], slot)
	}
}

// home is where in the index the search for a key begins.
func (s *standingShard) home(key fingerprint) int { return int(key.lo % uint64(len(s.index))) } // #nosec G115 -- below its length

// find returns the slot of a key; -1 when it has none.
func (s *standingShard) find(key fingerprint) int32 {
	if len(s.index) == 0 {
		return -1
	}
	for at := s.home(key); ; {
		slot := s.index[at] - 1
		if slot < 0 || s.slots[slot].key == key {
			return slot
		}
		if at++; at == len(s.index) {
			at = 0
		}
	}
}

// enter puts a slot into the index, which has room.
func (s *standingShard) enter(slot int32) {
	at := s.home(s.slots[slot].key)
	for s.index[at] != 0 {
		if at++; at == len(s.index) {
			at = 0
		}
	}
	s.index[at] = slot + 1
}

// leave takes a slot out of the index, and moves up what lies behind it.
func (s *standingShard) leave(slot int32) {
	n := len(s.index)
	at := s.home(s.slots[slot].key)
	for s.index[at] != slot+1 {
		at = (at + 1) % n
	}
	for next := (at + 1) % n; s.index[next] != 0; next = (next + 1) % n {
		home := s.home(s.slots[s.index[next]-1].key)
		if (next-home+n)%n >= (next-at+n)%n { // it may lie where the gap is
			s.index[at] = s.index[next]
			at = next
		}
	}
	s.index[at] = 0
}

package reconcile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
)

// errTooMuch says that the inputs are larger than the compact forms can name.
var errTooMuch = errors.New("more than 4 GiB of text or 2,147,483,647 claims: judge the runs apart")

// pages is an array that grows without copying what it holds, but for the first page: a small judge is small.
type pages[T any] struct {
	pages [][]T
	n     int
}

const pageSize = 1 << 14

// add appends a value and returns its index.
func (p *pages[T]) add(v T) int32 {
	if p.n%pageSize == 0 {
		size := pageSize
		if p.n == 0 {
			size = 4
		}
		p.pages = append(p.pages, make([]T, 0, size))
	}
	last := &p.pages[p.n/pageSize]
	*last = append(*last, v)
	p.n++
	return int32(p.n - 1) // #nosec G115 -- claims are bounded, see Judge.Claim
}

// at returns the place of a value, which is good until the next add.
func (p *pages[T]) at(i int32) *T { return &p.pages[i/pageSize][i%pageSize] }

// texts keeps texts in large pieces. A text is named by its position.
type texts struct {
	chunks [][]byte
}

const chunkBits = 20

// add keeps a text of at most maxID octets, or a little more, and returns its name. ok is false when there is no room for a name.
func (t *texts) add(text []byte) (name uint32, ok bool) {
	need := len(text) + binary.MaxVarintLen16 + 1
	n := len(t.chunks)
	if n == 0 || len(t.chunks[n-1])+need > 1<<chunkBits {
		if n == math.MaxUint32>>chunkBits {
			return 0, false
		}
		size := 1 << chunkBits
		if n == 0 {
			size = 256
		}
		t.chunks = append(t.chunks, make([]byte, 0, size))
		n++
	}
	c := &t.chunks[n-1]
	name = uint32((n-1)<<chunkBits | len(*c)) // #nosec G115 -- bounded above
	*c = binary.AppendUvarint(*c, uint64(len(text)))
	*c = append(*c, text...)
	return name, true
}

// get returns the text of that name, which must not be changed.
func (t *texts) get(name uint32) []byte {
	c := t.chunks[name>>chunkBits][name&(1<<chunkBits-1):]
	n, size := binary.Uvarint(c)
	return c[size : size+int(n)] // #nosec G115 -- as added
}

func (t *texts) is(name uint32, text []byte) bool { return bytes.Equal(t.get(name), text) }

// index is a hash table from 64-bit hashes to values. Hashes may collide: who looks verifies each entry.
type index struct {
	slots   []slot
	entries pages[entry]
}

// slot names an entry. With a piece of its hash beside it hardly ever another entry is looked at.
type slot struct {
	tag   uint32
	entry int32 // + 1; 0: empty
}

func tag(hash uint64) uint32 { return uint32(hash >> 32) } // #nosec G115 -- the high half

type entry struct {
	hash  uint64
	text  uint32 // where the caller keeps what it verifies
	value int32
}

// find returns the entry of that hash for which same is true, nil when there is none.
func (x *index) find(hash uint64, same func(*entry) bool) *entry {
	if len(x.slots) == 0 {
		return nil
	}
	mask := uint64(len(x.slots) - 1) // #nosec G115 -- a length, at least 1: grow came first
	for i := hash & mask; ; i = (i + 1) & mask {
		s := x.slots[i]
		if s.entry == 0 {
			return nil
		}
		if s.tag != tag(hash) {
			continue
		}
		if e := x.entries.at(s.entry - 1); e.hash == hash && same(e) {
			return e
		}
	}
}

func (x *index) add(e entry) {
	if 4*(x.entries.n+1) > 3*len(x.slots) {
		x.grow()
	}
	x.place(e.hash, x.entries.add(e))
}

func (x *index) place(hash uint64, i int32) {
	mask := uint64(len(x.slots) - 1) // #nosec G115 -- a length, at least 1
	at := hash & mask
	for x.slots[at].entry != 0 {
		at = (at + 1) & mask
	}
	x.slots[at] = slot{tag(hash), i + 1}
}

func (x *index) grow() {
	x.slots = make([]slot, max(16, 2*len(x.slots)))
	for i := range int32(x.entries.n) { // #nosec G115 -- bounded as values are
		x.place(x.entries.at(i).hash, i)
	}
}

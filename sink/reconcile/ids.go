package reconcile

import "github.com/cespare/xxhash/v2"

// several marks an identity that claims of more than one message share: by itself it names nobody.
const several = -2

// ids finds messages by one of their identities. An identity that several messages share names one only together with a recipient
// that no two of them have (docs/reconciliation.md, Identity).
type ids struct {
	index index
	pairs index // (identity, recipient) -> unit, or ^unit when several units have both
}

func (x *ids) find(t *texts, id []byte) *entry {
	return x.index.find(xxhash.Sum64(id), func(e *entry) bool { return t.is(e.text, id) })
}

// message returns the message of the identity, none, or several.
func (x *ids) message(t *texts, id []byte) int32 {
	if e := x.find(t, id); e != nil {
		return e.value
	}
	return none
}

// claim says that the message has the identity, which is kept under name, and that u is a unit of it, if it is not none.
func (x *ids) claim(j *Judge, name uint32, id []byte, m, u int32) {
	e := x.find(&j.texts, id)
	if e == nil {
		x.index.add(entry{hash: xxhash.Sum64(id), text: name, value: m})
		return
	}
	if e.value == m {
		return
	}
	if e.value >= 0 { // the second message: from now on pairs tell
		for first := j.messages.at(e.value).first; first >= 0; first = j.units.at(first).next {
			x.pair(j, e.text, id, first)
		}
		e.value = several
	}
	if u >= 0 {
		x.pair(j, e.text, id, u)
	}
}

func (x *ids) pair(j *Judge, name uint32, id []byte, u int32) {
	rcpt := j.texts.get(j.units.at(u).recipient)
	hash := pairHash(id, rcpt)
	e := x.findPair(j, hash, id, rcpt)
	switch {
	case e == nil:
		x.pairs.add(entry{hash: hash, text: name, value: u})
	case e.value >= 0 && e.value != u:
		e.value = ^e.value
	}
}

func (x *ids) findPair(j *Judge, hash uint64, id, rcpt []byte) *entry {
	return x.pairs.find(hash, func(e *entry) bool {
		u := e.value
		if u < 0 {
			u = ^u
		}
		return j.texts.is(e.text, id) && j.texts.is(j.units.at(u).recipient, rcpt)
	})
}

// unit returns the only unit that has the shared identity and the recipient, none, or several.
func (x *ids) unit(j *Judge, id, rcpt []byte) int32 {
	switch e := x.findPair(j, pairHash(id, rcpt), id, rcpt); {
	case e == nil:
		return none
	case e.value < 0:
		return several
	default:
		return e.value
	}
}

func pairHash(id, rcpt []byte) uint64 { return mix(xxhash.Sum64(id)*31 ^ xxhash.Sum64(rcpt)) }

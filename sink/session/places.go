package session

import (
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	shared "github.com/smtpstorm/xk6-smtp/sink/state"
)

// places are those that a transaction has taken of limits of concurrency at mail and rcpt, and for how many of its commands: two recipients
// of a domain take one.
type places map[shared.Place]int

// maxPooledPlaces is with how many a transaction may go back to the pool.
const maxPooledPlaces = 64

// enter takes a place for a command, and reports whether there was one.
func (tx *transaction) enter(limits Limits, l *fault.Limit, p shared.Place) bool {
	if tx.places[p] == 0 && !limits.Enter(l, p) {
		return false
	}
	if tx.places == nil {
		tx.places = places{}
	}
	tx.places[p]++
	return true
}

// leave takes back what enter took for a command.
func (tx *transaction) leave(limits Limits, p shared.Place) {
	switch tx.places[p] {
	case 0:
	case 1:
		limits.Release(p)
		delete(tx.places, p)
	default:
		tx.places[p]--
	}
}

// leaveAll takes back all of them.
func (tx *transaction) leaveAll(limits Limits) {
	for p := range tx.places {
		limits.Release(p)
	}
	if len(tx.places) > maxPooledPlaces {
		tx.places = nil
	}
	clear(tx.places)
}

package xk6smtp

import (
	"slices"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// maxEarlyOfPair bounds how many attempts without a header are kept for one sender and recipient: the latest ones.
const maxEarlyOfPair = 1000

// envelopePair is a sender and a recipient.
type envelopePair struct{ from, to string }

// transactionID names a transaction of a sink: the connection, and the n-th MAIL on it.
type transactionID struct{ conn, message uint64 }

// earlyAttempt is an attempt that ended before the message's header came.
type earlyAttempt struct {
	pair        envelopePair
	transaction transactionID
	token       string // ENVID or sender, under which it was noted
	code        smtp.Code
	time, end   time.Time
	gone        bool // claimed or forgotten
}

// earlyAttempts keeps them until a message claims them, at most limit.
type earlyAttempts struct {
	limit         int
	byPair        map[envelopePair][]*earlyAttempt
	byTransaction map[transactionID][]*earlyAttempt
	order         []*earlyAttempt // a ring once it is full
	oldest        int
}

func newEarlyAttempts(limit int) *earlyAttempts {
	return &earlyAttempts{
		limit: limit, byPair: make(map[envelopePair][]*earlyAttempt), byTransaction: make(map[transactionID][]*earlyAttempt),
	}
}

func (e *earlyAttempts) add(a *earlyAttempt) {
	if len(e.order) < e.limit {
		e.order = append(e.order, a)
	} else {
		e.forget(e.order[e.oldest])
		e.order[e.oldest] = a
		e.oldest = (e.oldest + 1) % e.limit
	}
	if list := e.byPair[a.pair]; len(list) >= maxEarlyOfPair {
		e.forget(list[0])
	}
	e.byPair[a.pair] = append(e.byPair[a.pair], a)
	e.byTransaction[a.transaction] = append(e.byTransaction[a.transaction], a)
}

// of returns what is kept of a sender and a recipient; it is valid until the next call.
func (e *earlyAttempts) of(pair envelopePair) []*earlyAttempt { return e.byPair[pair] }

// take removes and returns the attempts of a transaction, and those of a sender and a recipient.
func (e *earlyAttempts) take(pair envelopePair, transaction transactionID) []*earlyAttempt {
	taken := slices.Concat(e.byTransaction[transaction], e.byPair[pair])
	kept := taken[:0]
	for _, a := range taken {
		if !a.gone { // an attempt may be among both
			e.forget(a)
			kept = append(kept, a)
		}
	}
	return kept
}

func (e *earlyAttempts) forget(a *earlyAttempt) {
	if a.gone {
		return
	}
	a.gone = true
	e.byPair[a.pair] = without(e.byPair[a.pair], a)
	if len(e.byPair[a.pair]) == 0 {
		delete(e.byPair, a.pair)
	}
	e.byTransaction[a.transaction] = without(e.byTransaction[a.transaction], a)
	if len(e.byTransaction[a.transaction]) == 0 {
		delete(e.byTransaction, a.transaction)
	}
}

func without(list []*earlyAttempt, a *earlyAttempt) []*earlyAttempt {
	if i := slices.Index(list, a); i >= 0 {
		return slices.Delete(list, i, i+1)
	}
	return list
}

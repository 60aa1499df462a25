package ledger

import (
	"fmt"
)

// Class is what became of a message for one recipient. Each (token, recipient) that a sender claims is in exactly one.
type Class uint8

// The classes.
const (
	// ClassAcceptedOnce: delivered once.
	ClassAcceptedOnce Class = iota
	// ClassDuplicatedAmbiguous: delivered more than once, and before each further delivery the sender could not know of the one before:
	// its reply was not sent, was made unreadable or negative, or went down with the sink.
	ClassDuplicatedAmbiguous
	// ClassDuplicatedUnexplained: delivered again although the sender had been told of a delivery.
	ClassDuplicatedUnexplained
	// ClassBounced: never delivered, and the sender was told a permanent failure by the sink.
	ClassBounced
	// ClassOpen: never delivered, and the sender's queue still holds it.
	ClassOpen
	// ClassExpired: never delivered, and the sender gave it up by itself: a notification of failure without a permanent reply of the sink.
	ClassExpired
	// ClassLost: never delivered, never refused for good, never notified, and not in the sender's queue; or the sink said 2xx and threw the
	// message away on purpose.
	ClassLost
	// ClassOpenOrLost is ClassOpen or ClassLost when no queue listing is there to tell.
	ClassOpenOrLost

	numClasses = int(ClassOpenOrLost) + 1
)

var classNames = [numClasses]string{
	"accepted-once", "duplicated-ambiguous", "duplicated-unexplained", "bounced", "open", "expired", "lost", "open-or-lost",
}

// String returns the class's name.
func (c Class) String() string {
	if int(c) < numClasses {
		return classNames[c]
	}
	return fmt.Sprintf("class(%d)", uint8(c))
}

// MarshalText implements encoding.TextMarshaler with the class's name.
func (c Class) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// evidence is what is known of one (token, recipient).
type evidence struct {
	attempts   uint32
	deliveries uint32
	known      uint32 // deliveries that the sender was told of
	knownEnd   int64  // the earliest end of these
	lastEnd    int64  // the latest end of a delivery
	notified   uint32 // notifications of failure
	flags      evidenceFlags
}

type evidenceFlags uint8

const (
	refused   evidenceFlags = 1 << iota // the sender was told a permanent failure
	discarded                           // the sender was told 2xx after the body, and the sink threw the message away
	queued                              // the sender's queue holds it
	status5                             // a notification gave a permanent status other than expiry
)

func (e *evidence) has(f evidenceFlags) bool { return e.flags&f != 0 }

// deliver notes a delivery.
func (e *evidence) deliver(end int64, known bool) {
	if e.deliveries == 0 || end > e.lastEnd {
		e.lastEnd = end
	}
	e.deliveries++
	if !known {
		return
	}
	if e.known == 0 || end < e.knownEnd {
		e.knownEnd = end
	}
	e.known++
}

// class puts the evidence into its class. What is certain goes before what is said: a delivery, a notification of failure, the queue,
// a permanent reply.
func (e *evidence) class(queueKnown bool) Class {
	switch {
	case e.deliveries == 1:
		return ClassAcceptedOnce
	case e.deliveries > 1 && (e.known > 1 || (e.known == 1 && e.knownEnd < e.lastEnd)):
		return ClassDuplicatedUnexplained
	case e.deliveries > 1:
		return ClassDuplicatedAmbiguous
	case e.notified > 0 && e.has(refused):
		return ClassBounced
	case e.notified > 0:
		return ClassExpired
	case e.has(queued):
		return ClassOpen
	case e.has(refused):
		return ClassBounced
	case e.has(discarded), queueKnown:
		return ClassLost
	}
	return ClassOpenOrLost
}

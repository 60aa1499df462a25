package reconcile

import "fmt"

// Fate is what became of a unit: exactly one of these, the first that fits (docs/reconciliation.md, Fates).
type Fate uint8

// The fates, in the order in which they are tried.
const (
	Duplicated          Fate = iota // a delivery is unexcused: another had been told before it began
	DuplicatedAmbiguous             // more than once, and the sender could not know of the delivery before
	DeliveredAltered                // once, but the body is another's or changed
	Recovered                       // never acknowledged, yet delivered
	Delivered                       // once, intact
	DroppedByPlan                   // the sink said 2xx and threw it away because the plan says so
	Misdelivered                    // not to its recipient, but to another
	Refused                         // not delivered; a 5xx was told
	Expired                         // not delivered; the sender gave up by itself and said so
	Queued                          // not delivered; in the sender's queue at the end, or its notification is
	NeverAccepted                   // not acknowledged and not delivered: nobody's debt
	Lost                            // acknowledged, none of these, and nowhere else
	Undetermined                    // acknowledged, and not enough is known

	// NumFates is how many fates there are.
	NumFates = int(Undetermined) + 1
)

var fateNames = [NumFates]string{
	"duplicated", "duplicated-ambiguous", "delivered-altered", "recovered", "delivered", "dropped-by-plan", "misdelivered", "refused", "expired",
	"queued", "never-accepted", "lost", "undetermined",
}

// String returns the fate as files write it.
func (f Fate) String() string {
	if int(f) < NumFates {
		return fateNames[f]
	}
	return fmt.Sprintf("fate(%d)", uint8(f))
}

// MarshalText implements encoding.TextMarshaler.
func (f Fate) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// evidence is all that a unit's fate depends on.
type evidence struct {
	yes, unknown int  // claims
	copies       int  // deliveries to one and the same recipient, with those that the plan threw away after a 2xx
	delivered    int  // deliveries
	dropped      bool // the plan threw one away
	unexcused    bool
	altered      bool
	misdelivered bool
	refused      bool // a 5xx was told
	unsure       bool // a 5xx may have been told
	expired      bool
	queued       bool
	unclear      bool // a notification in the queue may be this unit's
	absent       bool // complete views of ledger, queue and notifications know nothing of it
}

// fate applies the rules in order. As many deliveries are due as claims were acknowledged; claims without a reply may or may not have
// led to one each.
func (e *evidence) fate() Fate {
	due := max(1, e.yes)
	most := max(1, e.yes+e.unknown)
	switch {
	case e.copies > most && e.unexcused:
		return Duplicated
	case e.copies > most:
		return DuplicatedAmbiguous
	case e.delivered >= due && e.altered:
		return DeliveredAltered
	case e.delivered >= due && e.yes == 0:
		return Recovered
	case e.delivered >= due:
		return Delivered
	case e.dropped && e.copies >= due:
		return DroppedByPlan
	case e.misdelivered:
		return Misdelivered
	case e.refused:
		return Refused
	case e.expired:
		return Expired
	case e.queued:
		return Queued
	case e.yes == 0:
		return NeverAccepted
	case e.unsure, e.unclear, !e.absent:
		return Undetermined
	}
	return Lost
}

package ledger

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/smtpstorm/xk6-smtp/sink/event"
)

// maxCulprits bounds how many culprits of each kind a reconciliation lists.
const maxCulprits = 20

// The kinds of culprits beside the classes.
const (
	CulpritForeign       = "foreign"
	CulpritContradiction = "contradiction"
	CulpritUnnotified    = "bounced-without-notification"
	CulpritGivenUp       = "expired-with-permanent-status"
)

// Culprit is one (token, recipient) that deserves a look.
type Culprit struct {
	Kind       string `json:"kind"` // a class, or one of the Culprit constants
	Token      string `json:"token"`
	Recipient  string `json:"recipient"`
	Attempts   uint32 `json:"attempts,omitempty"`
	Deliveries uint32 `json:"deliveries,omitempty"`
	Note       string `json:"note,omitempty"`
}

// Counted is a number of units per class.
type Counted struct {
	AcceptedOnce          uint64 `json:"accepted_once"`
	DuplicatedAmbiguous   uint64 `json:"duplicated_ambiguous"`
	DuplicatedUnexplained uint64 `json:"duplicated_unexplained"`
	Bounced               uint64 `json:"bounced"`
	Open                  uint64 `json:"open"`
	Expired               uint64 `json:"expired"`
	Lost                  uint64 `json:"lost"`
	OpenOrLost            uint64 `json:"open_or_lost"`
}

// Of returns the place of a class's number.
func (c *Counted) Of(class Class) *uint64 {
	return [numClasses]*uint64{
		&c.AcceptedOnce, &c.DuplicatedAmbiguous, &c.DuplicatedUnexplained, &c.Bounced, &c.Open, &c.Expired, &c.Lost, &c.OpenOrLost,
	}[class]
}

// Sum returns the number of units in all classes.
func (c *Counted) Sum() uint64 {
	var sum uint64
	for class := range numClasses {
		sum += *c.Of(Class(class))
	}
	return sum
}

// Traffic counts attempts and how many of them were delivered.
type Traffic struct {
	Attempts  uint64 `json:"attempts"`
	Delivered uint64 `json:"delivered"`
}

// ForeignTraffic is traffic that nobody claimed.
type ForeignTraffic struct {
	Units uint64 `json:"units"` // distinct (token, recipient)
	Traffic
}

// QueueCounts is about the queue's listing.
type QueueCounts struct {
	Listed    uint64 `json:"listed"`
	Unmatched uint64 `json:"unmatched"` // lines that name no claim
	Delivered uint64 `json:"delivered"` // units that were delivered and are queued nevertheless
}

// NotificationCounts is about the notifications.
type NotificationCounts struct {
	Failed    uint64 `json:"failed"`    // notifications of failure
	Other     uint64 `json:"other"`     // of other actions
	Unmatched uint64 `json:"unmatched"` // of failure, that name no claim
	Repeated  uint64 `json:"repeated"`  // of failure, beyond the first of their unit
	Delivered uint64 `json:"delivered"` // units that were delivered and notified as failed nevertheless
	Missing   uint64 `json:"missing"`   // bounced units without a notification
	// GivenUp counts expired units whose notification gave a permanent status other than X.4.7 though the sink never said so: either the
	// MTA reports expiry that way (Exim: 5.0.0), or these are false bounces.
	GivenUp uint64 `json:"given_up"`
}

// Reconciliation is what became of all that a sender claims.
type Reconciliation struct {
	Messages uint64  `json:"messages"` // distinct tokens claimed
	Sent     uint64  `json:"sent"`     // (token, recipient) pairs claimed: the sum of the classes
	Classes  Counted `json:"classes"`

	LostDiscarded uint64 `json:"lost_discarded"` // of the lost: the sink said 2xx and threw the message away on purpose

	Runs           uint64         `json:"runs"`           // of the sink
	Attempts       uint64         `json:"attempts"`       // rows of kind attempt
	Deliveries     uint64         `json:"deliveries"`     // of claimed units
	Foreign        ForeignTraffic `json:"foreign"`        // seen at the sink and never claimed
	Returned       Traffic        `json:"returned"`       // from the null sender to a claimed sender: notifications on their way home
	Unattributed   uint64         `json:"unattributed"`   // without a sender, not delivered: RCPT outside any transaction
	Contradictions uint64         `json:"contradictions"` // attempts whose message says another identity than their envelope

	QueueKnown         bool               `json:"queue_known"`
	Queue              QueueCounts        `json:"queue"`
	NotificationsKnown bool               `json:"notifications_known"`
	Notifications      NotificationCounts `json:"notifications"`

	// What makes the ledger itself doubtful.
	MissingRows uint64 `json:"missing_rows"` // that gap rows stand for
	LossyRuns   uint64 `json:"lossy_runs"`   // runs with durability none
	TornOctets  int64  `json:"torn_octets"`  // of a torn last row

	Culprits []Culprit `json:"culprits,omitempty"` // the first few of each kind
	listed   map[string]int
}

// ErrImbalance says that the classes don't add up to what was sent: a mistake of this package.
var ErrImbalance = errors.New("the classes do not add up to what was sent")

// Clean reports whether nothing is lost and no duplicate is without explanation.
func (r *Reconciliation) Clean() bool {
	return r.Classes.Lost == 0 && r.Classes.DuplicatedUnexplained == 0
}

// balance checks conservation: what was sent is in exactly one class.
func (r *Reconciliation) balance() error {
	if sum := r.Classes.Sum(); sum != r.Sent {
		return fmt.Errorf("%w: %d sent, %d in classes", ErrImbalance, r.Sent, sum)
	}
	return nil
}

// culprit lists a culprit, unless there are enough of its kind.
func (r *Reconciliation) culprit(kind, token, recipient, note string) *Culprit {
	if r.listed == nil {
		r.listed = make(map[string]int)
	}
	if r.listed[kind] == maxCulprits {
		return nil
	}
	r.listed[kind]++
	r.Culprits = append(r.Culprits, Culprit{Kind: kind, Token: token, Recipient: recipient, Note: note})
	return &r.Culprits[len(r.Culprits)-1]
}

// Result settles what is open and returns the classes. The reconciler must not be used after it. The error is ErrImbalance.
func (r *Reconciler) Result() (*Reconciliation, error) {
	r.cutOpen()
	out := &r.result
	out.Foreign.Units = uint64(len(r.foreign))
	out.QueueKnown, out.NotificationsKnown = r.queueKnown, r.dsnKnown
	for i := range r.units {
		u := &r.units[i]
		m := &r.messages[u.message]
		if m.refused {
			u.flags |= refused
		}
		class := u.class(r.queueKnown)
		*out.Classes.Of(class)++
		r.account(u, m, class)
	}
	slices.SortStableFunc(out.Culprits, func(a, b Culprit) int { return rankCulprit(a.Kind) - rankCulprit(b.Kind) })
	return out, out.balance()
}

// account counts what goes with a unit's class, and lists it when it deserves a look.
func (r *Reconciler) account(u *unit, m *message, class Class) {
	out := &r.result
	n := &out.Notifications
	list := func(kind, note string) {
		if c := out.culprit(kind, m.Token, u.recipient, note); c != nil {
			c.Attempts, c.Deliveries = u.attempts, u.deliveries
		}
	}
	if u.notified > 1 {
		n.Repeated += uint64(u.notified - 1)
	}
	if u.deliveries > 0 {
		if u.notified > 0 {
			n.Delivered++
		}
		if u.has(queued) {
			out.Queue.Delivered++
		}
	}
	switch class {
	case ClassDuplicatedUnexplained, ClassDuplicatedAmbiguous:
		list(class.String(), "")
	case ClassLost:
		note := "never seen"
		switch {
		case u.has(discarded):
			out.LostDiscarded++
			note = "the sink said 2xx and threw it away on purpose"
		case u.attempts > 0:
			note = "deferred"
		}
		list(class.String(), note)
	case ClassBounced:
		if r.dsnKnown && u.notified == 0 {
			n.Missing++
			list(CulpritUnnotified, "")
		}
	case ClassExpired:
		if u.has(status5) {
			n.GivenUp++
			list(CulpritGivenUp, "")
		}
	}
}

var culpritOrder = []string{
	ClassLost.String(), ClassDuplicatedUnexplained.String(), ClassDuplicatedAmbiguous.String(), CulpritContradiction, CulpritUnnotified, CulpritGivenUp, CulpritForeign,
}

func rankCulprit(kind string) int { return slices.Index(culpritOrder, kind) }

// Input is a file to read, and what errors call it.
type Input struct {
	Name string
	R    io.Reader // nil: there is none
}

// Inputs are the files that Reconcile compares. Queue and Notifications may be absent.
type Inputs struct {
	Ledger, Sent, Queue, Notifications Input
}

// Reconcile reads all inputs and returns the classes. An *InputError names file, line and key of what is wrong in them.
func Reconcile(in Inputs) (*Reconciliation, error) {
	r := NewReconciler()
	if err := ReadSent(in.Sent.R, in.Sent.Name, r.Claim); err != nil {
		return nil, err
	}
	torn, _, err := eachRow(in.Ledger, r.Row)
	if err != nil {
		return nil, err
	}
	r.result.TornOctets = torn
	if in.Queue.R != nil {
		r.KnowQueue()
		if err := ReadQueue(in.Queue.R, in.Queue.Name, r.Queue); err != nil {
			return nil, err
		}
	}
	if in.Notifications.R != nil {
		r.KnowNotifications()
		if err := ReadNotifications(in.Notifications.R, in.Notifications.Name, r.Notify); err != nil {
			return nil, err
		}
	}
	return r.Result()
}

// eachRow passes all rows on and returns the length of a torn last one.
func eachRow(in Input, f func(*event.Row)) (torn int64, amended uint64, err error) {
	reader := NewReader(in.R, in.Name)
	finals := finalRows{emit: func(row *event.Row) error { f(row); return nil }}
	var row event.Row
	for {
		err := reader.Read(&row)
		if errors.Is(err, io.EOF) {
			return reader.Torn(), finals.amended, finals.end()
		}
		if err == nil {
			err = finals.take(&row)
		}
		if err != nil {
			return 0, 0, err
		}
	}
}

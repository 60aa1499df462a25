package ledger

import (
	"fmt"
	"math"
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Reconciler puts each (token, recipient) that a sender claims into its class. Call Claim for all claims first, then Row for the rows
// of the ledger in order, then Queue and Notify if these are known, then Result. Memory grows with the claims, with what the sink saw
// beyond them, and with the connections open at a time; the ledger is not kept.
type Reconciler struct {
	units    []unit
	messages []message
	byID     map[idRecipient]int32 // -> unit, or several
	byToken  map[string]int32      // token or sender -> message, or several
	byRcpt   map[string]int32      // -> unit, or several; made when a notification names nothing else
	open     map[uint64]*delivery
	foreign  map[idRecipient]struct{}
	key      keyBuffer

	queueKnown, dsnKnown bool
	result               Reconciliation
}

// several marks an index entry that no longer names one unit or message.
const several = -1

// unit is a claimed (token, recipient).
type unit struct {
	message   int32
	recipient string
	evidence
}

type message struct {
	IDs
	refused bool // its MAIL was refused for good
}

type idRecipient struct{ id, recipient string }

// delivery holds the deliveries of the last message of an open connection: until the client goes on, or the connection ends in an
// orderly way, nobody knows whether the reply reached it.
type delivery struct {
	message uint64
	end     int64
	units   []deliveredUnit
}

type deliveredUnit struct {
	unit  int32
	end   int64
	known bool
}

// NewReconciler returns an empty reconciler.
func NewReconciler() *Reconciler {
	return &Reconciler{
		byID:    make(map[idRecipient]int32),
		byToken: make(map[string]int32),
		open:    make(map[uint64]*delivery),
		foreign: make(map[idRecipient]struct{}),
	}
}

// Claim takes a claim. A (token, recipient) that was claimed before is an error: the two could not be told apart.
func (r *Reconciler) Claim(s *Sent) error {
	if len(r.units) >= math.MaxInt32 {
		return fmt.Errorf("more than %d claims: reconcile the runs apart", math.MaxInt32)
	}
	ids := IDs{Token: normalID(s.Token), Sender: normalID(s.Sender), StormID: normalID(s.StormID), MessageID: normalID(s.MessageID)}
	if ids.Sender == "" {
		ids.Sender = ids.Token
	}
	recipient := normalID(s.Recipient)
	if i, ok := r.byID[idRecipient{ids.Token, recipient}]; ok && i >= 0 && r.messages[r.units[i].message].Token == ids.Token {
		return &keyError{"recipient", fmt.Errorf("token %q to recipient %q is claimed twice", s.Token, s.Recipient)}
	}
	m, err := r.claimMessage(ids)
	if err != nil {
		return err
	}
	i := int32(len(r.units)) // #nosec G115 -- checked above
	r.units = append(r.units, unit{message: m, recipient: recipient})
	r.byID[idRecipient{ids.Token, recipient}] = i // a token goes before whatever else has its text
	for _, id := range []string{ids.Sender, ids.StormID, ids.MessageID} {
		if id == "" || id == ids.Token {
			continue
		}
		key := idRecipient{id, recipient}
		have, ok := r.byID[key]
		switch {
		case !ok:
			r.byID[key] = i
		case have >= 0 && have != i && r.messages[r.units[have].message].Token != id:
			r.byID[key] = several
		}
	}
	r.result.Sent++
	return nil
}

// claimMessage returns the message of the token. What one claim says of it must not contradict another.
func (r *Reconciler) claimMessage(ids IDs) (int32, error) {
	if m, ok := r.byToken[ids.Token]; ok && m >= 0 && r.messages[m].Token == ids.Token {
		have := &r.messages[m].IDs
		for _, f := range []struct {
			key        string
			have, want *string
		}{{"sender", &have.Sender, &ids.Sender}, {"storm_id", &have.StormID, &ids.StormID}, {"message_id", &have.MessageID, &ids.MessageID}} {
			if *f.have == "" {
				*f.have = *f.want
			}
			if *f.want != "" && *f.have != *f.want {
				return 0, &keyError{f.key, fmt.Errorf("is %q, but %q in an earlier claim of token %q", *f.want, *f.have, ids.Token)}
			}
		}
		return m, nil
	}
	m := int32(len(r.messages)) // #nosec G115 -- no more than units, see Claim
	r.messages = append(r.messages, message{IDs: ids})
	r.byToken[ids.Token] = m
	if ids.Sender != ids.Token {
		if have, ok := r.byToken[ids.Sender]; !ok {
			r.byToken[ids.Sender] = m
		} else if have >= 0 && r.messages[have].Token != ids.Sender {
			r.byToken[ids.Sender] = several
		}
	}
	r.result.Messages++
	return m, nil
}

// Row takes the next row of the ledger, of those that count: an attempt that was amended counts as it was amended.
func (r *Reconciler) Row(row *event.Row) {
	switch row.Kind {
	case event.KindStart: // the run before is over: what was open in it died with the sink
		r.result.Runs++
		if row.Start.Durability == event.None {
			r.result.LossyRuns++
		}
		r.cutOpen()
	case event.KindConnection:
		r.settle(row.Connection.Conn)
	case event.KindTransaction:
		r.transaction(&row.Transaction)
	case event.KindAttempt:
		r.attempt(&row.Attempt)
	case event.KindGap:
		r.result.MissingRows += row.Gap.Rows
	}
}

func (r *Reconciler) transaction(t *event.Transaction) {
	if d := r.open[t.Conn]; d != nil && (t.Message == 0 || d.message != t.Message) {
		r.settle(t.Conn)
	}
	if t.Ending != event.EndReply || !t.ReplySent || !t.Code.Permanent() {
		return
	}
	for _, id := range [2][]byte{t.Token, t.Sender} {
		if m, ok := r.byToken[string(r.key.id(id))]; ok && m >= 0 {
			r.messages[m].refused = true
			return
		}
	}
}

func (r *Reconciler) attempt(a *event.Attempt) {
	r.result.Attempts++
	if d := r.open[a.Conn]; d != nil && (d.message != a.Message || (a.Message == 0 && d.end != a.End.UnixNano())) {
		r.settle(a.Conn)
	}
	i := r.find(a)
	if i < 0 {
		r.unclaimed(a)
		return
	}
	u := &r.units[i]
	u.attempts++
	switch {
	case a.Delivered:
		r.deliver(i, a)
	case a.Told() && a.Code.Permanent():
		u.flags |= refused
	case a.Told() && a.Code.Class() == 2 && a.Stage == smtp.StageMessage:
		u.flags |= discarded
	}
}

// deliver keeps a delivery until it is known whether its reply can have arrived.
func (r *Reconciler) deliver(i int32, a *event.Attempt) {
	r.result.Deliveries++
	d := r.open[a.Conn]
	if d == nil {
		d = &delivery{message: a.Message}
		r.open[a.Conn] = d
	}
	d.end = a.End.UnixNano()
	d.units = append(d.units, deliveredUnit{i, d.end, a.Known()})
}

// settle takes the deliveries of the connection's last message as what their rows say: the client went on.
func (r *Reconciler) settle(conn uint64) {
	d := r.open[conn]
	if d == nil {
		return
	}
	for _, p := range d.units {
		r.units[p.unit].deliver(p.end, p.known)
	}
	delete(r.open, conn)
}

// cutOpen takes the deliveries whose connection has no end for ones that the client may not know of.
func (r *Reconciler) cutOpen() {
	for conn, d := range r.open {
		for _, p := range d.units {
			r.units[p.unit].deliver(p.end, false)
		}
		delete(r.open, conn)
	}
}

// find returns the unit of an attempt, -1 when nobody claimed it, and checks what the message says against the envelope.
func (r *Reconciler) find(a *event.Attempt) int32 {
	recipient := r.key.recipient(a.Recipient)
	found := int32(-1)
	for _, id := range [2][]byte{a.Token, a.Sender} {
		if i := r.lookup(id, recipient); i >= 0 {
			found = i
			break
		}
	}
	for n, id := range [2][]byte{a.StormID, a.MessageID} {
		if len(id) == 0 {
			continue
		}
		i := r.lookup(id, recipient)
		if found < 0 {
			found = i
			continue
		}
		m := &r.messages[r.units[found].message]
		claimed := m.StormID
		if n == 1 {
			claimed = m.MessageID
		}
		if (i >= 0 && i != found) || (claimed != "" && claimed != string(r.key.id(id))) {
			r.result.Contradictions++
			r.result.culprit(CulpritContradiction, m.Token, r.units[found].recipient, fmt.Sprintf("the envelope says %q, the header %q", m.Token, id))
			break
		}
	}
	return found
}

// lookup returns the unit of an id and a recipient that was made normal, -1 when there is none or not one alone.
func (r *Reconciler) lookup(id, recipient []byte) int32 {
	if len(id) == 0 {
		return -1
	}
	if i, ok := r.byID[idRecipient{string(r.key.id(id)), string(recipient)}]; ok && i >= 0 {
		return i
	}
	return -1
}

// unclaimed counts an attempt that belongs to no claim.
func (r *Reconciler) unclaimed(a *event.Attempt) {
	recipient := r.key.recipient(a.Recipient)
	if len(a.Sender) == 0 {
		// The null sender: a notification on its way to a claimed sender, or a RCPT outside any transaction.
		if _, ok := r.byToken[string(recipient)]; ok {
			r.result.Returned.Attempts++
			if a.Delivered {
				r.result.Returned.Delivered++
			}
			return
		}
		if len(a.Token) == 0 && !a.Delivered {
			r.result.Unattributed++
			return
		}
	}
	r.result.Foreign.Attempts++
	id := a.Token
	if len(id) == 0 {
		id = a.Sender
	}
	key := idRecipient{string(r.key.id(id)), string(recipient)}
	if _, ok := r.foreign[key]; !ok {
		r.foreign[key] = struct{}{}
		r.result.culprit(CulpritForeign, key.id, key.recipient, "")
	}
	if a.Delivered {
		r.result.Foreign.Delivered++
	}
}

// KnowQueue says that the sender's queue was listed, even if it is empty: what is not in it is not open.
func (r *Reconciler) KnowQueue() { r.queueKnown = true }

// Queue takes a line of the queue's listing.
func (r *Reconciler) Queue(q *Queued) error {
	r.KnowQueue()
	r.result.Queue.Listed++
	i := r.locate(&q.IDs, q.Recipient)
	if i < 0 {
		r.result.Queue.Unmatched++
		return nil
	}
	r.units[i].flags |= queued
	return nil
}

// KnowNotifications says that the sender's notifications were collected, even if there were none.
func (r *Reconciler) KnowNotifications() { r.dsnKnown = true }

// Notify takes a notification.
func (r *Reconciler) Notify(n *Notification) error {
	r.KnowNotifications()
	if n.Action != "failed" {
		r.result.Notifications.Other++
		return nil
	}
	r.result.Notifications.Failed++
	i := r.locate(&n.IDs, n.Recipient)
	if i < 0 && n.none() {
		i = r.locateRecipient(n.Recipient)
	}
	if i < 0 {
		r.result.Notifications.Unmatched++
		return nil
	}
	u := &r.units[i]
	u.notified++
	if strings.HasPrefix(n.Status, "5.") && !strings.HasSuffix(n.Status, ".4.7") { // X.4.7: delivery time expired (RFC 3463 section 3.5)
		u.flags |= status5
	}
	return nil
}

// locate finds the unit that a listing names: by token, sender, X-Storm-Id, Message-ID, in this order.
func (r *Reconciler) locate(ids *IDs, recipient string) int32 {
	to := r.key.recipient([]byte(recipient))
	for _, id := range [4]string{ids.Token, ids.Sender, ids.StormID, ids.MessageID} {
		if i := r.lookup([]byte(id), to); i >= 0 {
			return i
		}
	}
	return -1
}

// locateRecipient finds the only unit of a recipient.
func (r *Reconciler) locateRecipient(recipient string) int32 {
	if r.byRcpt == nil {
		r.byRcpt = make(map[string]int32, len(r.units))
		for i, u := range r.units {
			if _, ok := r.byRcpt[u.recipient]; ok {
				r.byRcpt[u.recipient] = several
			} else {
				r.byRcpt[u.recipient] = int32(i)
			}
		}
	}
	if i, ok := r.byRcpt[normalID(recipient)]; ok {
		return i
	}
	return -1
}

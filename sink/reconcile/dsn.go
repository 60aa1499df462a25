package reconcile

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/smtpstorm/xk6-smtp/sink/event"
)

// Notification is what a sender was told of a recipient.
type Notification = event.Notification

const dsnKeys = "keys: recipient action, optional: token sender storm_id message_id original_recipient status time malformed notification_id, others are ignored"

// dsnView is what is known of the notifications.
type dsnView struct {
	complete bool
	units    map[int32]*notified
	unheard  map[uint32]struct{} // shared senders of notifications that nobody could read
	nobodys  uint64              // notifications that nobody could read, and that don't say to whom they went
}

// notified is what a unit's sender was told of it.
type notified struct {
	failed    int
	ids       []uint64 // hashes of the notifications' own identities
	again     []uint64 // of those that came again
	first     int64    // the time of the first notification of failure; 0: not known
	permanent bool     // a status of 5.x.x other than x.4.7, delivery time expired (RFC 3463 section 3.5)
}

// KnowNotifications says that all notifications that the sender gave are passed on, even if there are none.
func (j *Judge) KnowNotifications() { j.dsns.complete = true }

// Notify takes a notification.
func (j *Judge) Notify(n *Notification) error {
	if n.Malformed != "" {
		if j.isDelivery(n) {
			return nil
		}
		note := n.Malformed
		if n.Recipient == "" && n.Sender != "" {
			note = "to " + n.Sender + ": " + note
		}
		j.find(KindDSNMalformed, n.Token, n.Recipient, note)
		j.unreadable(n)
	}
	if n.Action != "failed" {
		return nil
	}
	i := j.notifiedUnit(n)
	if i < 0 {
		j.result.UnknownNotifications++
		if n.Sender != "" { // to whom an alias led: any of the sender's messages
			j.unheard([]byte(n.Sender))
		}
		return nil
	}
	j.units.at(i).flags |= gaveUp
	if j.anothers(n, i) {
		j.result.UnknownNotifications++
		return nil
	}
	d := j.dsns.units[i]
	if d == nil {
		d = &notified{}
		j.dsns.units[i] = d
	}
	if n.ID != "" {
		id := xxhash.Sum64(appendID(nil, []byte(n.ID)))
		if slices.Contains(d.ids, id) {
			d.again = append(d.again, id)
			return nil
		}
		d.ids = append(d.ids, id)
	}
	d.failed++
	if !n.Time.IsZero() && (d.first == 0 || n.Time.UnixNano() < d.first) {
		d.first = n.Time.UnixNano()
	}
	if strings.HasPrefix(n.Status, "5.") && !strings.HasSuffix(n.Status, ".4.7") {
		d.permanent = true
	}
	return nil
}

// isDelivery reports whether what could not be read as a notification is a message to a claimed recipient, with the null sender: its attempt is
// judged as others are.
func (j *Judge) isDelivery(n *Notification) bool {
	if n.Recipient != "" || n.Action != "" || n.Sender == "" || j.sends([]byte(n.Sender)) {
		return false
	}
	address := appendAddress(nil, []byte(n.Sender))
	return j.claimed(address) || len(j.aliased(address)) > 0
}

// anothers reports whether the notification went to the sender of another message, which tells the unit's own nothing.
func (j *Judge) anothers(n *Notification, i int32) bool {
	if n.Sender == "" {
		return false
	}
	m := j.units.at(i).message
	e := j.knownSender([]byte(n.Sender))
	return e != nil && e.value >= 0 && e.value != m && j.messages.at(m).flags&nullSender == 0
}

// returnedAgain reports whether a notification came again although its sender had been told that it was taken.
func (j *Judge) returnedAgain(id uint64) bool {
	var copies []*delivery
	last, ok := j.returned[id]
	for k := last; ok && k >= 0; k = j.deliveries.at(k).next {
		copies = append(copies, j.deliveries.at(k))
	}
	if len(copies) < 2 {
		return false
	}
	slices.SortFunc(copies, func(a, b *delivery) int { return cmp.Compare(a.mail, b.mail) })
	var e evidence
	j.group(copies, 1, &e)
	return e.unexcused
}

// unreadable takes a notification of which nobody knows whom it is about, or what it says: any recipient of the message that it names, any
// of its sender's messages, or any message at all.
func (j *Judge) unreadable(n *Notification) {
	if n.Recipient != "" && n.Action != "" {
		return
	}
	s := sight{envid: []byte(n.Token), sender: []byte(n.Sender), stormID: []byte(n.StormID), messageID: []byte(n.MessageID)}
	f := j.lookup(&s)
	if f.message < 0 && n.Token != "" {
		f = j.lookup(&sight{sender: []byte(n.Token)})
	}
	switch {
	case f.message >= 0:
		j.messages.at(f.message).flags |= dsnUnreadable
	case n.Sender != "":
		j.unheard([]byte(n.Sender))
	case n.Token == "" && n.StormID == "" && n.MessageID == "":
		j.dsns.nobodys++
	}
}

// unheard notes that a sender was given a notification of which nobody knows what it says: it could not be read, or the sink refused it. It
// reports whether the address is the sender of a claim.
func (j *Judge) unheard(address []byte) bool {
	e := j.knownSender(address)
	switch {
	case e == nil:
		return false
	case e.value >= 0:
		j.messages.at(e.value).flags |= dsnUnreadable
		return true
	}
	if _, seen := j.dsns.unheard[e.text]; seen {
		return true
	}
	if j.dsns.unheard == nil {
		j.dsns.unheard = map[uint32]struct{}{}
	}
	j.dsns.unheard[e.text] = struct{}{}
	for i := range int32(j.messages.n) { // #nosec G115 -- bounded as units are
		if m := j.messages.at(i); j.texts.is(m.sender, j.texts.get(e.text)) {
			m.flags |= dsnUnreadable
		}
	}
	return true
}

// notifiedUnit finds the unit that a notification is about: by its identities, or by a recipient that one unit alone has.
func (j *Judge) notifiedUnit(n *Notification) int32 {
	for _, rcpt := range [...]string{n.Original, n.Recipient} {
		if rcpt == "" {
			continue
		}
		s := sight{envid: []byte(n.Token), sender: []byte(n.Sender), stormID: []byte(n.StormID), messageID: []byte(n.MessageID), recipient: []byte(rcpt)}
		if f := j.lookup(&s); f.unit >= 0 {
			return f.unit
		}
		if n.Token != "" {
			if f := j.lookup(&sight{sender: []byte(n.Token), recipient: []byte(rcpt)}); f.unit >= 0 {
				return f.unit
			}
		}
		if n.Token == "" && n.Sender == "" && n.StormID == "" && n.MessageID == "" {
			if u := j.onlyUnit(rcpt); u >= 0 {
				return u
			}
		}
	}
	return none
}

// onlyUnit returns the only unit of a recipient.
func (j *Judge) onlyUnit(recipient string) int32 {
	if e := j.recipient(appendAddress(nil, []byte(recipient))); e != nil && e.value >= 0 {
		return e.value
	}
	return none
}

// judgeDSN compares what the sender was told with what the sink told (docs/reconciliation.md, Findings).
func (j *Judge) judgeDSN(u *unit, m *message, fate Fate, f flags, add func(Kind, string)) {
	i := j.unitOf(u.message, j.texts.get(u.recipient))
	d := j.dsns.units[i]
	refused := u.refused != 0 || m.mailRefused != 0 || f&unreadRefused != 0
	if d == nil {
		owed := m.flags&(noNotify|nullSender|dsnQueued|dsnUnclear|dsnUnreadable) == 0 && j.dsns.nobodys == 0 && u.yes > 0
		if (fate == Refused || fate == Expired) && owed && j.dsns.complete && j.queue.complete() && j.queue.dsns == 0 {
			add(KindDSNMissing, "")
		}
		return
	}
	times := d.failed
	for _, id := range d.again {
		if j.returnedAgain(id) { // else whoever sent it did not get the reply
			times++
		}
	}
	if times > u.most() {
		add(KindDSNRepeated, fmt.Sprintf("%d times", times))
	}
	if f&acceptedTold != 0 && !refused && f&refusedUnknown == 0 {
		add(KindDSNForged, "")
	}
	if first := firstOf(u.refused, m.mailRefused); first != 0 && d.first != 0 && d.first < first-int64(time.Second) { // notifications have seconds
		add(KindDSNEarly, "")
	}
	if fate == Expired && d.permanent {
		add(KindExpiredPermanent, "")
	}
	if f&refusedUntold != 0 && !refused && f&refusedUnknown == 0 {
		add(KindDSNAfterUntold, "")
	}
}

func firstOf(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// ReadNotifications reads notifications as JSON Lines and passes each to f, whose error ends it. Statuses and recipients may have the
// comments and types that RFC 3464 allows. Errors are *jsonl.InputErrors that call the file name.
func ReadNotifications(r io.Reader, name string, f func(*Notification) error) error {
	in := newInput(r, name, dsnKeys)
	for {
		if err := in.next(); err != nil {
			return ended(err)
		}
		var n Notification
		err := in.notification(&n)
		if err == nil {
			err = f(&n)
		}
		if err != nil {
			return in.error(err)
		}
	}
}

func (in *input) notification(n *Notification) (err error) {
	if err := in.names(&n.Token, &n.Sender, &n.StormID, &n.MessageID); err != nil {
		return err
	}
	if n.ID, err = in.text("notification_id", false); err != nil {
		return err
	}
	if n.Malformed, err = in.text("malformed", false); err != nil {
		return err
	}
	if n.Recipient, err = in.text("recipient", n.Malformed == ""); err != nil {
		return err
	}
	n.Recipient = event.ParseDSNAddress(n.Recipient)
	if n.Original, err = in.text("original_recipient", false); err != nil {
		return err
	}
	n.Original = event.ParseDSNAddress(n.Original)
	if n.Action, err = in.text("action", n.Malformed == ""); err != nil {
		return err
	}
	if n.Action, err = event.ParseDSNAction(n.Action); err != nil {
		return keyed("action", err)
	}
	if n.Status, err = in.text("status", false); err != nil {
		return err
	}
	if n.Status, err = event.ParseDSNStatus(n.Status); err != nil {
		n.Malformed = err.Error()
	}
	n.Time, err = in.instant("time")
	return err
}

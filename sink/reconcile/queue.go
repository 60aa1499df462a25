package reconcile

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/jsonl"
)

// minListings is how far apart the last two listings of a watched queue must be for an absence to count (docs/reconciliation.md, lost).
const minListings = 5 * time.Second

// QueueEntry is one line of a queue's listing: the sender still holds a message for a recipient.
type QueueEntry struct {
	Listing                           time.Time // not zero: no message, but the line that begins a listing of a watched queue, taken then
	Token, Sender, StormID, MessageID string
	NullSender                        bool      // the sender is the empty one
	Recipient                         string    // empty: the listing has the message, and doesn't say for whom
	DSN                               bool      // a notification to Recipient, who is the sender of what it tells about
	Unnamed                           bool      // the listing says that a message is there, and not which
	Arrived                           time.Time // when the MTA took the message; zero: the listing doesn't say
}

// queueView is what is known of the sender's queue. Listings are numbered from 1.
type queueView struct {
	n         uint32
	final     bool      // the last listing is complete by itself
	confirmed bool      // the last two are far enough apart
	last      time.Time // when the last one was taken; zero: after all that is judged
	former    time.Time // when the one before was
	dsns      uint64    // notifications in the last listing
	unnamed   uint64    // messages in the last listing of which nobody knows whose they are
	ours      uint64    // lines of the last listing that are about claims
	before    uint64    // of the one before
	unknown   uint64
	unclear   map[uint32]struct{} // shared senders to whom a notification is queued
	doubts    [2]doubts           // what entries of the last listing, and of the one before, may be about
}

// complete reports whether the absence of a unit from the queue is known.
func (q *queueView) complete() bool { return (q.final || q.confirmed) && q.unnamed == 0 }

// holds reports whether the last listing has the unit.
func (q *queueView) holds(u *unit) bool { return q.n > 0 && u.listed == q.n }

// held reports whether the listing is one of those that must lack a lost unit.
func (q *queueView) held(listed uint32) bool {
	return listed > 0 && (listed == q.n || !q.final && listed+1 == q.n)
}

// doubtful reports whether one of the listings that must lack a lost unit has an entry that may be about it.
func (q *queueView) doubtful(j *Judge, u *unit) bool {
	return q.doubts[0].about(j, u) || !q.final && q.doubts[1].about(j, u)
}

// seen returns the time of the first of the listings that must lack a lost unit; zero: after all that is judged.
func (q *queueView) seen() time.Time {
	if q.final {
		return q.last
	}
	return q.former
}

// Listing begins a listing of the queue, which was taken at a time; the zero time means after all that is judged. final says that it is
// complete by itself, as a file that a user gives; else the queue is watched, and two listings must lack a unit.
func (j *Judge) Listing(at time.Time, final bool) {
	q := &j.queue
	q.confirmed = q.n > 0 && at.Sub(q.last) >= minListings
	q.n++
	q.last, q.former, q.final = at, q.last, final
	q.doubts = [2]doubts{nil, q.doubts[0]}
	q.before = q.ours + q.unnamed
	q.dsns, q.unnamed, q.ours, q.unknown, q.unclear = 0, 0, 0, 0, map[uint32]struct{}{}
	for i := range int32(j.messages.n) { // #nosec G115 -- bounded as units are
		j.messages.at(i).flags &^= dsnQueued | dsnUnclear
	}
}

// Settled reports whether the queue was seen to hold nothing of the claims twice, far enough apart: no unit's fate can change any more.
func (j *Judge) Settled() bool {
	q := &j.queue
	return q.confirmed && j.Owed()+q.before == 0
}

// Owed returns how many lines of the last listing are about claims, or are messages of which nobody knows whose they are.
func (j *Judge) Owed() uint64 { return j.queue.ours + j.queue.unnamed }

// Queued takes a line of the listing that was begun last. Without one it begins a final one, taken after all that is judged.
func (j *Judge) Queued(q *QueueEntry) error {
	if !q.Listing.IsZero() {
		j.Listing(q.Listing, false)
		return nil
	}
	if j.queue.n == 0 {
		j.Listing(time.Time{}, true)
	}
	notification := q.DSN || q.NullSender && q.Token == "" && q.StormID == "" && q.MessageID == ""
	if q.Unnamed || notification && q.Recipient == "" {
		j.queue.unnamed++
		return nil
	}
	if notification {
		j.queuedDSN(q)
		return nil
	}
	f := j.lookup(&sight{envid: []byte(q.Token), sender: []byte(q.Sender), stormID: []byte(q.StormID), messageID: []byte(q.MessageID), recipient: []byte(q.Recipient)})
	if f.unit < 0 && q.Token != "" { // a token may be a sender
		f = j.lookup(&sight{sender: []byte(q.Token), recipient: []byte(q.Recipient)})
	}
	if f.unit < 0 && q.Recipient == "" && f.message >= 0 {
		f.unit = j.onlyUnitOf(f.message)
	}
	if f.unit < 0 {
		j.queuedElsewhere(f.message, q)
		return nil
	}
	j.queue.ours++
	j.units.at(f.unit).listed = j.queue.n
	return nil
}

// onlyUnitOf returns the unit of a message that has one recipient, none of a message of several.
func (j *Judge) onlyUnitOf(m int32) int32 {
	if msg := j.messages.at(m); msg.first == msg.last {
		return msg.first
	}
	return none
}

// queuedElsewhere takes a queued message whose recipient nobody claims, as an alias leaves it: it may be what is owed to any of the
// recipients of message m, or of the messages of a shared sender. Of one whose sender nobody claims, since a relay may have changed it, any
// claim to the recipient may be what it is about.
func (j *Judge) queuedElsewhere(m int32, q *QueueEntry) {
	if m >= 0 {
		j.queue.ours++
		j.messages.at(m).elsewhere = j.queue.n
		return
	}
	e := j.knownSender([]byte(q.Sender))
	if e == nil {
		j.queuedByStranger(q)
		return
	}
	j.queue.ours++
	if _, seen := j.queue.unclear[^e.text]; seen {
		return
	}
	j.queue.unclear[^e.text] = struct{}{}
	for i := range int32(j.messages.n) { // #nosec G115 -- bounded as units are
		if msg := j.messages.at(i); msg.sender == e.text || j.texts.is(msg.sender, j.texts.get(e.text)) {
			msg.elsewhere = j.queue.n
		}
	}
}

// queuedByStranger takes an entry whose sender no claim has. One that arrived before the first claim is another run's.
func (j *Judge) queuedByStranger(q *QueueEntry) {
	rcpt := appendAddress(nil, []byte(q.Recipient))
	earlier := !q.Arrived.IsZero() && j.begin != 0 && q.Arrived.Add(time.Second).UnixNano() < j.begin // listings have seconds
	units := j.aliased(rcpt)
	claimed := j.claimed(rcpt)
	if earlier || !claimed && len(units) == 0 {
		j.queue.unknown++
		return
	}
	j.queue.ours++
	if claimed {
		j.queue.doubts[0].doubt(nil, rcpt)
	}
	for _, u := range units {
		j.queue.doubts[0].doubt(nil, j.texts.get(j.units.at(u).recipient))
	}
}

// queuedDSN finds the message that a queued notification is about: its recipient is the sender of that message, if of one
// only. Else it is not known which of the sender's messages it is about.
func (j *Judge) queuedDSN(q *QueueEntry) {
	j.queue.dsns++
	e := j.knownSender([]byte(q.Recipient))
	switch {
	case e == nil: // unless it is a message that was sent with the null sender
		j.queuedByStranger(q)
	case e.value >= 0:
		j.queue.ours++
		j.messages.at(e.value).flags |= dsnQueued
	default:
		j.queue.ours++
		if _, seen := j.queue.unclear[e.text]; seen {
			return
		}
		j.queue.unclear[e.text] = struct{}{}
		for i := range int32(j.messages.n) { // #nosec G115 -- bounded as units are
			if m := j.messages.at(i); j.texts.is(m.sender, j.texts.get(e.text)) {
				m.flags |= dsnUnclear
			}
		}
	}
}

const queueKeys = "keys: recipient and one of token sender storm_id message_id, optional: kind (message or dsn) arrived, others are ignored; or listing, a time"

var errNoID = errors.New("missing, and so are sender, storm_id and message_id (" + queueKeys + ")")

// ReadQueue reads a listing of a queue and passes each line to f, whose error ends it: JSON Lines of ours, the output of Postfix's
// postqueue -j, of Exim's -bp, of OpenSMTPD's smtpctl show queue, or a listing of Haraka's queue directory; the first line tells which.
// Errors are *jsonl.InputErrors that call the file name.
func ReadQueue(r io.Reader, name string, f func(*QueueEntry) error) error {
	in := newInput(r, name, queueKeys)
	for {
		line, err := in.nextLine()
		if err != nil {
			return ended(err)
		}
		if line[0] != '{' && line[0] != ' ' && line[0] != '\t' || !looksJSON(line) {
			return in.mtaListing(line, f)
		}
		if err := in.queued(line, f); err != nil {
			return in.error(err)
		}
	}
}

func (in *input) queued(line []byte, f func(*QueueEntry) error) error {
	if err := in.scan.Scan(line); err != nil {
		return err
	}
	if in.has("queue_id") && in.has("recipients") {
		return in.postqueue(line, f)
	}
	var q QueueEntry
	var err error
	if q.Listing, err = in.instant("listing"); err != nil {
		return err
	}
	kind, err := in.text("kind", false)
	if err != nil {
		return err
	}
	if q.Unnamed = kind == "unnamed"; q.Unnamed || !q.Listing.IsZero() {
		return f(&q)
	}
	if err := in.names(&q.Token, &q.Sender, &q.StormID, &q.MessageID); err != nil {
		return err
	}
	q.NullSender = in.has("sender") && q.Sender == ""
	if q.Recipient, err = in.text("recipient", false); err == nil && !in.has("recipient") {
		err = in.missing("recipient")
	}
	if err != nil {
		return err
	}
	if q.Arrived, err = in.instant("arrived"); err != nil {
		return err
	}
	switch kind {
	case "", "message":
	case "dsn":
		q.DSN = true
		if q.Recipient == "" {
			return keyed("recipient", errors.New("is empty"))
		}
	default:
		return keyed("kind", fmt.Errorf("unknown value %q (valid: message dsn unnamed)", kind))
	}
	if q.Token == "" && q.Sender == "" && q.StormID == "" && q.MessageID == "" && !q.NullSender && !q.DSN {
		return keyed("token", errNoID)
	}
	return f(&q)
}

// Append appends the entry as one JSON line of queue.jsonl with its line feed.
func (q *QueueEntry) Append(dst []byte) []byte {
	if !q.Listing.IsZero() {
		return append(jsonl.AppendTime(append(dst, `{"listing":`...), q.Listing), "}\n"...)
	}
	if q.Unnamed {
		return append(dst, `{"kind":"unnamed"}`+"\n"...)
	}
	dst = jsonl.AppendString(append(dst, `{"recipient":`...), []byte(q.Recipient))
	for _, id := range [...]struct{ key, value string }{{"token", q.Token}, {"sender", q.Sender}, {"storm_id", q.StormID}, {"message_id", q.MessageID}} {
		if id.value != "" || id.key == "sender" && q.NullSender {
			dst = append(append(append(dst, `,"`...), id.key...), `":`...)
			dst = jsonl.AppendString(dst, []byte(id.value))
		}
	}
	if q.DSN {
		dst = append(dst, `,"kind":"dsn"`...)
	}
	if !q.Arrived.IsZero() {
		dst = jsonl.AppendTime(append(dst, `,"arrived":`...), q.Arrived)
	}
	return append(dst, "}\n"...)
}

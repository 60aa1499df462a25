package reconcile

import (
	"fmt"
	"slices"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/event"
)

// DefaultIncidentWindow is how long before an incident a reply may have been handed over that the sender forgot by it.
const DefaultIncidentWindow = 5 * time.Second

// Options says how to judge.
type Options struct {
	// IncidentWindow is DefaultIncidentWindow when 0.
	IncidentWindow time.Duration
	// MinimalBackoff is how soon after a deferral the sender's policy lets it try again; 0: not known, and not judged.
	MinimalBackoff time.Duration
	// FailOn says which findings fail; nil: DefaultFailOn.
	FailOn FailOn
	// Stopped says that not all of the load was carried out, and why, which leaves the verdict undetermined; empty: it was.
	Stopped string
	// Crossed names the thresholds of the script that were crossed; empty: none were.
	Crossed string
	// Adopt takes attempts of messages that nobody has claimed for claimed ones, for who waits for what others send: see Provisional. They make no findings.
	Adopt bool
	// Delivered, if not nil, is told the token of a unit with each delivery of it, before Row returns.
	Delivered func(token []byte)
}

// Judge gives each claimed unit its fate. Call Claim for all claims first; then take the rows of each ledger, the listings of the
// queue, notifications, log and incidents, in any order; then Finish. It is not safe for concurrent use.
type Judge struct {
	options  Options
	texts    texts
	units    pages[unit]
	messages pages[message]
	byUnit   index // (message, recipient or alias) -> unit

	tokens, senders, stormIDs, messageIDs ids
	variants                              variants
	bodies                                index // body -> message, or several

	tries      pages[try]
	deliveries pages[delivery]
	strays     []stray
	wrong      map[int32]string // unit -> to whom it was delivered instead
	copied     map[int32]string // unit -> to which stranger a copy went
	foreign    map[uint64]struct{}
	adopted    map[int32]bool // messages that nobody has claimed

	ledgers    []*Ledger
	open       map[connKey]*connection
	runNumbers map[string]uint32
	lastNumber uint32
	torn       bool                // claims are missing
	recurs     bool                // some unit was claimed more than once
	runs       map[string]struct{} // ids of the claims' run
	lastRun    string
	begin      int64 // the first claim's time; 0: not known
	latest     int64 // the last time at which a claim was acknowledged; 0: not known

	folded     folds
	recipients recipients
	attempted  doubts // by attempts that several claims may have led to

	queue     queueView
	dsns      dsnView
	returned  map[uint64]int32 // Message-ID of a notification -> the last of its deliveries
	incidents []int64

	found  map[Kind]*Finding
	result Result

	buf, idBuf, rcptBuf, xtextBuf []byte
	copyBuf                       []*delivery
}

// New returns a judge who knows nothing.
func New(o Options) *Judge {
	if o.IncidentWindow <= 0 {
		o.IncidentWindow = DefaultIncidentWindow
	}
	if o.FailOn == nil {
		o.FailOn = DefaultFailOn()
	}
	return &Judge{
		options: o, wrong: map[int32]string{}, copied: map[int32]string{}, foreign: map[uint64]struct{}{}, adopted: map[int32]bool{}, open: map[connKey]*connection{},
		runNumbers: map[string]uint32{}, runs: map[string]struct{}{}, found: map[Kind]*Finding{}, dsns: dsnView{units: map[int32]*notified{}}, returned: map[uint64]int32{},
	}
}

// runNumber returns the number of a run; one without an id is a run of its own.
func (j *Judge) runNumber(id string) (n uint32, known bool) {
	if n, known = j.runNumbers[id]; known && id != "" {
		return n, true
	}
	j.lastNumber++
	if id != "" {
		j.runNumbers[id] = j.lastNumber
	}
	return j.lastNumber, false
}

// Incident takes what was done to the harness at a time. Only the end of the sender makes it forget.
func (j *Judge) Incident(i *Incident) {
	j.result.Incidents++
	if i.Who == "mta" && (i.What == "kill" || i.What == "restart" || i.What == "stop") {
		at := i.Time.UnixNano()
		k, _ := slices.BinarySearch(j.incidents, at)
		j.incidents = slices.Insert(j.incidents, k, at)
	}
}

// Finish settles what is open and gives each unit its fate, passing it to each, in the order of the claims; each may be nil. The unit
// is valid during the call only. The judge must not be used after it.
func (j *Judge) Finish(each func(*Unit) error) (*Result, error) {
	for _, l := range j.ledgers {
		for key := range j.open {
			l.close(key, event.ToldUnknown)
		}
	}
	j.tie()
	j.splits()
	for _, l := range j.ledgers {
		l.cameBack()
	}
	lacking := j.lacking()
	out := &j.result
	out.Lacking = lacking
	var view Unit
	for i := range int32(j.units.n) { // #nosec G115 -- bounded, see Claim
		u := j.units.at(i)
		fate, f := j.fate(i, u, len(lacking) == 0)
		out.Units++
		out.Fates[fate]++
		view.reset()
		j.conclude(i, u, fate, f, &view)
		if each == nil {
			continue
		}
		j.describe(u, fate, &view)
		if err := each(&view); err != nil {
			return nil, err
		}
	}
	if out.Early > 0 && out.Fates[Undetermined] > 0 {
		out.Lacking = append(out.Lacking, fmt.Sprintf("whether attempts before the first claim are theirs (%d): if the sender's clock is ahead of the sink's, correct the times of the claims", out.Early))
	}
	if out.Fates[Undetermined] > 0 && len(out.Lacking) == 0 {
		out.Lacking = []string{"whether what was seen is about them: an entry of the queue, an attempt or a notification that names no unit for sure, or a refusal that may have been read"}
	}
	out.Messages = uint64(j.messages.n) // #nosec G115 -- not negative
	j.list()
	out.Verdict = out.verdict(&j.options)
	return out, nil
}

// lacking says what would have to be known to call a unit lost (docs/reconciliation.md, lost); nothing when all is known.
func (j *Judge) lacking() []string {
	var out []string
	if len(j.ledgers) == 0 {
		out = append(out, "no ledger was given")
	}
	for _, l := range j.ledgers {
		j.result.MissingRows += l.missing
		j.result.TornOctets += l.torn
		for _, doubt := range [...]struct {
			is   bool
			text string
		}{
			{!l.begun, "a ledger is empty"}, {l.begun && !l.stopped, "a ledger has no stop row: the sink died or is running still"},
			{l.cutRows, "rows whose sender, token or recipient was cut: whose they are is not known"}, {l.lossy, "a ledger was kept with durability none"}, {l.missing > 0, "rows are missing in a ledger (give all of its parts)"}, {l.torn > 0, "a ledger ends in a torn row"},
		} {
			if doubt.is && !slices.Contains(out, doubt.text) {
				out = append(out, doubt.text)
			}
		}
	}
	switch q := &j.queue; {
	case q.unnamed > 0:
		out = append(out, fmt.Sprintf("the queue's listing has entries that don't say whose they are (%d)", q.unnamed))
	case !q.complete():
		out = append(out, "the queue was not seen empty of them twice, 5 s apart (give --queue)")
	case !q.seen().IsZero() && q.seen().UnixNano() < j.latest:
		out = append(out, "the queue was listed before the last message was sent")
	}
	switch {
	case !j.dsns.complete:
		out = append(out, "the notifications were not seen (give --dsn)")
	case j.dsns.nobodys > 0:
		out = append(out, fmt.Sprintf("notifications that could not be read don't say to whom they went (%d)", j.dsns.nobodys))
	}
	return out
}

// fate gathers the evidence of a unit, and applies the rules.
func (j *Judge) fate(i int32, u *unit, absent bool) (Fate, flags) {
	m := j.messages.at(u.message)
	e := evidence{yes: int(u.yes), unknown: int(u.unknown)}
	f := u.flags | j.copies(u, &e)
	_, e.misdelivered = j.wrong[i]
	e.refused = u.refused != 0 || m.mailRefused != 0 || f&unreadRefused != 0
	e.unsure = f&refusedUnknown != 0
	e.expired = f&gaveUp != 0
	e.queued = j.queue.holds(u) || m.flags&dsnQueued != 0
	e.unclear = f&seenEarly != 0 || m.flags&(dsnUnclear|dsnUnreadable|unreadRecipient) != 0 || j.attempted.about(j, u) || j.queue.doubtful(j, u)
	e.absent = absent && !j.queue.held(u.listed) && !j.queue.held(m.elsewhere)
	f |= j.retries(u, m)
	return e.fate(), f
}

// retries looks for attempts that should not have been made (docs/reconciliation.md, Findings). MAIL does not say for which of a message's
// recipients it is: that one was refused, or came again, is evidence about messages of one recipient only, of which no copy went astray.
// A sender must wait before it tries a destination again (RFC 5321 4.5.4.1), but may try the other addresses of a destination at once.
func (j *Judge) retries(u *unit, m *message) (f flags) {
	if int(u.yes)+int(u.no)+int(u.unknown) > 1 { // submitted again: its attempts are not all of one queue entry
		return 0
	}
	refused, alone := u.refused, m.first == m.last && m.flags&expands == 0 && u.flags&strayed == 0
	if alone && m.mailRefused != 0 && (refused == 0 || m.mailRefused < refused) {
		refused = m.mailRefused
	}
	var end, failed int64 // when the attempt before was deferred; when it ended without a reply that settles it
	hasty := 0
	for k := u.firstTry; k >= 0; {
		t := j.tries.at(k)
		k = t.next
		if t.reply&onlyMail != 0 && !alone {
			continue
		}
		if refused != 0 && t.at > refused {
			f |= retriedRefusal
		}
		if least := int64(j.options.MinimalBackoff); least > 0 && end != 0 && t.at > end && t.at-end < least {
			f |= retriedSoon
		}
		if failed != 0 && t.at > failed && t.at-failed < int64(pause) {
			if hasty++; hasty > otherAddresses {
				f |= withoutPause
			}
		} else {
			hasty = 0
		}
		end, failed = 0, 0
		if t.deferred() {
			end = t.ended()
		}
		if t.deferred() || t.reply&replySent == 0 {
			failed = t.ended()
		}
	}
	return f
}

const (
	// pause is the shortest time between two attempts that is one: half of the shortest that any queue we know can be told to make.
	pause = 500 * time.Millisecond
	// otherAddresses is how often a sender may try again at once: Postfix tries at most five addresses of a destination (smtp_mx_address_limit).
	otherAddresses = 5
)

// splits notes the messages whose recipients were delivered in different transactions.
func (j *Judge) splits() {
	for i := range int32(j.messages.n) { // #nosec G115 -- bounded as units are
		m := j.messages.at(i)
		if m.first == m.last {
			continue
		}
		var first *delivery
		split := false
		for u := m.first; u >= 0 && !split; u = j.units.at(u).next {
			if k := j.units.at(u).delivery; k >= 0 {
				d := j.firstDelivery(k)
				split = first != nil && (d.key != first.key || d.message != first.message)
				first = d
			}
		}
		for u := m.first; u >= 0 && split; u = j.units.at(u).next {
			if e := j.units.at(u); e.delivery >= 0 {
				e.flags |= wasSplit
			}
		}
	}
}

// firstDelivery returns the first of the deliveries of which k is the last.
func (j *Judge) firstDelivery(k int32) *delivery {
	for {
		d := j.deliveries.at(k)
		if d.next < 0 {
			return d
		}
		k = d.next
	}
}

// conclude turns fate and flags of a unit into findings.
func (j *Judge) conclude(i int32, u *unit, fate Fate, f flags, view *Unit) {
	m := j.messages.at(u.message)
	add := func(k Kind, note string) {
		view.findings = append(view.findings, k)
		fd := j.finding(k)
		fd.Units++
		if len(fd.Evidence) < maxEvidence {
			fd.Evidence = append(fd.Evidence, Evidence{Token: string(j.texts.get(m.token)), Recipient: string(j.texts.get(u.recipient)), Note: note})
		}
	}
	switch fate {
	case Lost:
		add(KindLost, "")
	case Duplicated:
		add(KindDuplicated, "")
	case Misdelivered:
		add(KindMisdelivered, "delivered to "+j.wrong[i])
	}
	if f&strayed != 0 {
		add(KindMisrouted, "a copy was delivered to "+j.copied[i])
	}
	for _, k := range flagKinds {
		if f&k.flag != 0 {
			add(k.kind, "")
		}
	}
	delivered := fate <= Delivered
	if delivered && u.yes == 0 && u.unknown == 0 {
		add(KindAlthoughRefused, "")
	}
	if contradicted, _ := j.stillQueued(u); contradicted && delivered {
		add(KindQueuedDelivered, "")
	}
	j.judgeDSN(u, m, fate, f, add)
}

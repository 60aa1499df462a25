package reconcile

import (
	"slices"
	"strconv"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/jsonl"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Unit is what became of one unit: one line of units.jsonl. Its slices are valid during the call only.
type Unit struct {
	Token, Recipient []byte
	Fate             Fate
	Sent             time.Time   // when its claims say first that it was sent; zero: they don't say. Not in units.jsonl
	Attempts         []time.Time // when each RCPT was read; with one recipient, also each MAIL that got no further
	Deliveries       []Delivery
	FirstRefusal     Refusal   // with Code 0: none
	LastCode         smtp.Code // of the reply that decided the last attempt; 0: none did
	QueuedAtEnd      bool

	findings []Kind
}

// Findings returns the kinds of findings that concern the unit.
func (u *Unit) Findings() []Kind { return u.findings }

// Delivery is one copy of a unit.
type Delivery struct {
	Time    time.Time // when its reply was handed over
	Told    event.Told
	Dropped bool // the plan threw it away
}

// Refusal is the first reply of 4yz or 5yz that was sent for a unit.
type Refusal struct {
	Time  time.Time
	Stage smtp.Stage
	Code  smtp.Code
}

func (u *Unit) reset() {
	*u = Unit{Attempts: u.Attempts[:0], Deliveries: u.Deliveries[:0], findings: u.findings[:0]}
}

// describe fills in the rest of a unit's line.
func (j *Judge) describe(u *unit, fate Fate, view *Unit) {
	m := j.messages.at(u.message)
	view.Token, view.Recipient, view.Fate = j.texts.get(m.token), j.texts.get(u.recipient), fate
	_, later := j.stillQueued(u)
	view.QueuedAtEnd = j.queue.holds(u) && !later
	if m.sent != 0 {
		view.Sent = time.Unix(0, m.sent).UTC()
	}
	for k := u.firstTry; k >= 0; k = j.tries.at(k).next {
		view.Attempts = append(view.Attempts, time.Unix(0, j.tries.at(k).at).UTC())
		view.LastCode = j.tries.at(k).code()
	}
	for k := u.delivery; k >= 0; k = j.deliveries.at(k).next {
		d := j.deliveries.at(k)
		view.Deliveries = append(view.Deliveries, Delivery{time.Unix(0, d.handed).UTC(), d.told, d.dropped})
	}
	slices.Reverse(view.Deliveries)
	switch {
	case u.refusal != 0 && (m.mailRefusal == 0 || u.refusal <= m.mailRefusal):
		view.FirstRefusal = Refusal{time.Unix(0, u.refusal).UTC(), smtp.Stage(u.refusalStage), smtp.Code(u.refusalCode)}
	case m.mailRefusal != 0:
		view.FirstRefusal = Refusal{time.Unix(0, m.mailRefusal).UTC(), smtp.StageMail, smtp.Code(m.mailCode)}
	}
}

// Append appends the unit as one JSON line with its line feed.
func (u *Unit) Append(dst []byte) []byte {
	dst = jsonl.AppendString(append(dst, `{"token":`...), u.Token)
	dst = jsonl.AppendString(append(dst, `,"recipient":`...), u.Recipient)
	dst = append(append(append(dst, `,"fate":"`...), u.Fate.String()...), '"')
	if len(u.findings) > 0 {
		dst = append(dst, `,"findings":`...)
		for i, k := range u.findings {
			dst = append(append(append(append(dst, ",["[b2i(i == 0)]), '"'), k...), '"')
		}
		dst = append(dst, ']')
	}
	if len(u.Attempts) > 0 {
		dst = append(dst, `,"attempts":`...)
		for i, at := range u.Attempts {
			dst = jsonl.AppendTime(append(dst, ",["[b2i(i == 0)]), at)
		}
		dst = append(dst, ']')
	}
	if len(u.Deliveries) > 0 {
		dst = append(dst, `,"deliveries":`...)
		for i := range u.Deliveries {
			d := &u.Deliveries[i]
			dst = jsonl.AppendTime(append(append(dst, ",["[b2i(i == 0)]), `{"time":`...), d.Time)
			told := d.Told
			if told == event.ToldNothing {
				told = event.ToldUnknown
			}
			dst = append(append(append(dst, `,"told":"`...), told.String()...), '"')
			if d.Dropped {
				dst = append(dst, `,"dropped":true`...)
			}
			dst = append(dst, '}')
		}
		dst = append(dst, ']')
	}
	if r := &u.FirstRefusal; r.Code != 0 {
		dst = jsonl.AppendTime(append(dst, `,"first_refusal":{"time":`...), r.Time)
		dst = append(append(append(dst, `,"stage":"`...), r.Stage.String()...), `","code":`...)
		dst = append(strconv.AppendUint(dst, uint64(r.Code), 10), '}')
	}
	if u.QueuedAtEnd {
		dst = append(dst, `,"queued_at_end":true`...)
	}
	return append(dst, "}\n"...)
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

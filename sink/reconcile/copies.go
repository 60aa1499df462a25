package reconcile

import (
	"cmp"
	"slices"
	"sort"

	"github.com/smtpstorm/xk6-smtp/sink/event"
)

// copies compares the deliveries of a unit with each other (docs/reconciliation.md, Fates): a delivery is unexcused when, before its MAIL was
// read, as many deliveries of the unit as were due had been told, their replies handed over. Deliveries to different addresses of a
// list that a claim names are not copies of each other.
func (j *Judge) copies(u *unit, e *evidence) (f flags) {
	j.copyBuf = j.copyBuf[:0]
	for k := u.delivery; k >= 0; k = j.deliveries.at(k).next {
		d := j.deliveries.at(k)
		j.copyBuf = append(j.copyBuf, d)
		if d.dropped {
			e.dropped = true
		} else {
			e.delivered++
		}
		if d.flags&altered != 0 {
			e.altered = true
		}
		if d.told == event.ToldYes && d.positive {
			f |= acceptedTold
		}
	}
	if len(j.copyBuf) < 2 {
		e.copies = len(j.copyBuf)
		return f
	}
	slices.SortFunc(j.copyBuf, func(a, b *delivery) int { return cmp.Or(cmp.Compare(a.to, b.to), cmp.Compare(a.mail, b.mail)) })
	most := max(1, e.yes+e.unknown)
	for rest := j.copyBuf; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].to == rest[0].to {
			n++
		}
		e.copies = max(e.copies, n)
		if n > most {
			f |= j.group(rest[:n], most, e)
		}
		rest = rest[n:]
	}
	return f
}

// group compares the copies to one recipient, of which there are more than most, in the order of their MAIL. What was told before any
// of them was told before the last.
func (j *Judge) group(g []*delivery, most int, e *evidence) (f flags) {
	last := g[len(g)-1].mail
	told := 0
	var under int64 // until when a copy before was under way
	for i, d := range g {
		if i > 0 && d.mail <= under {
			f |= overlappedCopies
		}
		under = max(under, d.handed)
		if d.told != event.ToldYes || !d.positive || max(d.handed, d.mail) >= last {
			continue
		}
		if j.excused(d, g) {
			f |= incidentExcused
		} else {
			told++
		}
	}
	if told >= most && !(j.torn && j.recurs) { // else a claim that is missing may have made it due
		e.unexcused = true
	}
	return f
}

// excused reports whether an incident made the sender forget a delivery that it had been told of before the next copy began. g is in the
// order of MAIL.
func (j *Judge) excused(told *delivery, g []*delivery) bool {
	at, forgotten := j.forgotten(told)
	next := sort.Search(len(g), func(k int) bool { return g[k].mail > told.handed })
	return forgotten && next < len(g) && g[next].mail >= at
}

// forgotten returns the incident by which the sender may have forgotten a delivery that it had been told of: at most the window after the
// reply was handed over. Incidents are in the order of time.
func (j *Judge) forgotten(told *delivery) (at int64, ok bool) {
	i := sort.Search(len(j.incidents), func(i int) bool { return j.incidents[i] >= told.handed })
	if i == len(j.incidents) || j.incidents[i] > told.handed+int64(j.options.IncidentWindow) {
		return 0, false
	}
	return j.incidents[i], true
}

// stillQueued reports whether the last listing has a unit that the sender had been told to be delivered, as often as is due, minListings
// before it was taken, so that there was time to forget it. It reports as well whether the sender was told of a delivery after it was taken.
func (j *Judge) stillQueued(u *unit) (contradicted, later bool) {
	if !j.queue.holds(u) {
		return false, false
	}
	told := 0
	taken := j.queue.last
	for k := u.delivery; k >= 0; k = j.deliveries.at(k).next {
		d := j.deliveries.at(k)
		if d.told != event.ToldYes || !d.positive {
			continue
		}
		later = later || !taken.IsZero() && d.handed >= taken.UnixNano()
		if _, forgotten := j.forgotten(d); !forgotten && (taken.IsZero() || d.handed+int64(minListings) <= taken.UnixNano()) {
			told++
		}
	}
	return told >= u.most(), later
}

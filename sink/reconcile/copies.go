package reconcile

import "github.com/smtpstorm/xk6-smtp/sink/event"

// maxCopies bounds the copies of one unit that are compared with each other; of a unit that was delivered more often the first count.
const maxCopies = 1000

// copies weighs the deliveries of a unit against each other (docs/books.md, Fates): a delivery is unexcused when, before its MAIL was
// read, as many deliveries of the unit as were due had been told, their replies handed over. Deliveries to different addresses of a
// list that a claim names are not copies of each other.
func (j *Judge) copies(u *unit, e *evidence) (f flags) {
	j.copyBuf = j.copyBuf[:0]
	for k := u.delivery; k >= 0 && len(j.copyBuf) < maxCopies; k = j.deliveries.at(k).next {
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
	most := max(1, e.yes+e.unknown)
	for i, d := range j.copyBuf {
		same, told := 0, 0
		for k, o := range j.copyBuf {
			if o.to != d.to {
				continue
			}
			same++
			if k == i {
				continue
			}
			if o.positive && o.told == event.ToldYes && o.handed < d.mail {
				if j.excused(o) {
					f |= incidentExcused
				} else {
					told++
				}
			}
			if o.mail <= d.handed && d.mail <= o.handed {
				f |= overlappedCopies
			}
		}
		e.copies = max(e.copies, same)
		if told >= most {
			e.unexcused = true
		}
	}
	if e.copies <= most {
		f &^= overlappedCopies | incidentExcused
	}
	return f
}

// excused reports whether an incident made the sender forget a delivery that it had been told of: at most the window after the reply
// was handed over, and before the next copy began.
func (j *Judge) excused(told *delivery) bool {
	next := int64(0)
	for _, d := range j.copyBuf {
		if d != told && d.to == told.to && d.mail > told.handed && (next == 0 || d.mail < next) {
			next = d.mail
		}
	}
	for _, at := range j.incidents {
		if at >= told.handed && at <= told.handed+int64(j.options.IncidentWindow) && next >= at {
			return true
		}
	}
	return false
}

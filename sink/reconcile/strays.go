package reconcile

import (
	"bytes"

	"github.com/cespare/xxhash/v2"

	"github.com/smtpstorm/xk6-smtp/sink/event"
)

// stray is a delivery to somebody whom no claim names.
type stray struct {
	message   int32 // that an identity ties it to
	recipient string
	at        int64
}

// stray takes an attempt that belongs to no unit. A delivery that an identity ties to a claimed message is that message's: judged at
// the end, when it is known which of its units were delivered. What nothing ties to a claim is foreign.
func (j *Judge) stray(a *event.Attempt, content *contents, m int32) {
	if m >= 0 && a.Delivered && j.torn { // the claim for this recipient may be one that is missing
		j.result.Unattributed++
		return
	}
	if m >= 0 && a.Delivered {
		j.strays = append(j.strays, stray{m, string(a.Recipient), a.End.UnixNano()})
		return
	}
	if m >= 0 {
		j.result.StrayAttempts++ // not delivered: no harm done
		return
	}
	j.result.Foreign++
	if j.torn {
		return
	}
	id := a.Token
	if len(id) == 0 {
		id = content.stormID
	}
	key := mix(xxhash.Sum64(appendID(nil, id))*31 ^ xxhash.Sum64(j.rcptBuf))
	if _, seen := j.foreign[key]; seen {
		return
	}
	j.foreign[key] = struct{}{}
	kind := KindForeignOther
	for run := range j.runs {
		if bytes.Contains(a.Sender, []byte(run)) || bytes.Contains(content.stormID, []byte(run)) {
			kind = KindForeign
		}
	}
	j.find(kind, string(id), string(a.Recipient), "")
}

// tie gives each stray delivery to a unit of its message: one of which nothing else is known becomes misdelivered; else it is a misrouted
// copy. Both sides are named, and each delivery counts once.
func (j *Judge) tie() {
	for i := range j.strays {
		s := &j.strays[i]
		var home int32 = none
		for u := j.messages.at(s.message).first; u >= 0; u = j.units.at(u).next {
			if j.wrong[u] == s.recipient { // the same one again
				home = u
				break
			}
			if home < 0 && j.wrong[u] == "" && j.missing(u) {
				home = u
			}
		}
		if home >= 0 {
			j.wrong[home] = s.recipient
			continue
		}
		first := j.messages.at(s.message).first
		if first < 0 {
			continue
		}
		j.units.at(first).flags |= strayed
		f := j.finding(KindMisrouted)
		f.Numbers["deliveries"]++
		if _, seen := j.copied[first]; !seen {
			j.copied[first] = s.recipient
		}
	}
}

// missing reports whether the unit was neither delivered nor refused nor given up, and is queued no more.
func (j *Judge) missing(i int32) bool {
	u := j.units.at(i)
	m := j.messages.at(u.message)
	return u.delivery < 0 && u.refused == 0 && u.flags&unreadRefused == 0 && m.mailRefused == 0 && u.flags&gaveUp == 0 && m.flags&dsnQueued == 0 && !j.queue.holds(u)
}

package reconcile

import (
	"bufio"
	"errors"
	"io"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/ledger"
)

// Inputs are the files that Reconcile judges. Those with a nil reader are not there.
type Inputs struct {
	Claims    ledger.Input
	Ledgers   []ledger.Input
	Queue     ledger.Input // complete and final, even if it is empty, unless it says that the queue was watched
	QueueAt   time.Time    // when Queue was listed, if it doesn't say so itself; zero: after all else
	DSNs      ledger.Input // JSON Lines: all that the sender gave, even if there are none
	Incidents ledger.Input
	Log       ledger.Input
	// Notifications are more of what the sender gave, as package dsn reads them; with KnowNotifications they are all.
	Notifications     []Notification
	KnowNotifications bool
	// Units, if not nil, gets a JSON line for each unit.
	Units io.Writer
	// Each, if not nil, is called with each unit, which is valid during the call only.
	Each func(*Unit)
}

// Reconcile reads all inputs and judges. A *jsonl.InputError names file, line and key of what is wrong in them.
func Reconcile(in Inputs, o Options) (*Result, error) {
	j := New(o)
	torn, err := ReadClaims(in.Claims.R, in.Claims.Name, j.Claim)
	if err != nil {
		return nil, err
	}
	if torn {
		j.TornClaims()
	}
	if err := j.readLedgers(in.Ledgers); err != nil {
		return nil, err
	}
	if in.Queue.R != nil {
		if err := j.readQueue(in.Queue, in.QueueAt); err != nil {
			return nil, err
		}
	}
	if in.DSNs.R != nil || in.KnowNotifications {
		j.KnowNotifications()
	}
	if in.DSNs.R != nil {
		if err := ReadNotifications(in.DSNs.R, in.DSNs.Name, j.Notify); err != nil {
			return nil, err
		}
	}
	for i := range in.Notifications {
		if err := j.Notify(&in.Notifications[i]); err != nil {
			return nil, err
		}
	}
	if in.Incidents.R != nil {
		if err := ReadIncidents(in.Incidents.R, in.Incidents.Name, func(i *Incident) error { j.Incident(i); return nil }); err != nil {
			return nil, err
		}
	}
	if in.Log.R != nil {
		if err := ReadLog(in.Log.R, in.Log.Name, j.Log); err != nil {
			return nil, err
		}
	}
	if in.Units == nil && in.Each == nil {
		return j.Finish(nil)
	}
	if in.Units == nil {
		in.Units = io.Discard
	}
	out := bufio.NewWriterSize(in.Units, 1<<16)
	var line []byte
	result, err := j.Finish(func(u *Unit) error {
		if in.Each != nil {
			in.Each(u)
		}
		line = u.Append(line[:0])
		_, err := out.Write(line)
		return err
	})
	if err == nil {
		err = out.Flush()
	}
	return result, err
}

// readLedgers takes ledgers, and the parts of rotated ones: each after the part that it goes on with.
func (j *Judge) readLedgers(files []ledger.Input) error {
	var l *Ledger
	begins := false // the next start row is the first of its file
	var parts *ledger.Parts
	parts = ledger.NewParts(func(row *event.Row) error {
		if begins && row.Kind == event.KindStart && parts.Starts() {
			l, begins = j.Ledger(), false
		}
		return l.Row(row)
	})
	for _, file := range files {
		begins = true
		scanned, err := parts.Read(file)
		if err != nil {
			return err
		}
		l.torn += scanned.Torn
	}
	return parts.End()
}

var errListedTwice = errors.New("the file says itself when the queue was listed, and so does the command line")

// readQueue takes a file of the queue, of which the caller may know when it was made.
func (j *Judge) readQueue(in ledger.Input, taken time.Time) error {
	err := ReadQueue(in.R, in.Name, func(q *QueueEntry) error {
		switch {
		case q.Listing.IsZero() && j.queue.n == 0:
			j.Listing(taken, true)
		case !q.Listing.IsZero() && !taken.IsZero():
			return keyed("listing", errListedTwice)
		}
		return j.Queued(q)
	})
	if err == nil && j.queue.n == 0 { // it is empty
		j.Listing(taken, true)
	}
	return err
}

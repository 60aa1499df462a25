package reconcile

import (
	"io"
	"strconv"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/jsonl"
)

// LogEvent is one event of the MTA's own log: one line of mta.jsonl.
type LogEvent struct {
	Time       time.Time
	QueueID    string
	Event      string // accepted, deferred, suspended, sent, bounced or expired
	Sender     string
	Recipient  string
	Code       int
	Text       string
	Connection string
}

const (
	logEvents = "accepted deferred suspended sent bounced expired"
	logKeys   = "keys: time queue_id event, optional: sender recipient code text connection, others are ignored"
)

// Log takes an event of the MTA's log. An MTA that says that it gave a recipient up has said so, even if no notification was seen.
func (j *Judge) Log(e *LogEvent) error {
	if e.Recipient == "" || e.Event != "bounced" && e.Event != "expired" {
		return nil
	}
	if f := j.lookup(&sight{sender: []byte(e.Sender), recipient: []byte(e.Recipient)}); f.unit >= 0 {
		j.units.at(f.unit).flags |= gaveUp
	}
	return nil
}

// Append appends the event as one line of mta.jsonl, with its line feed; what is empty is left out.
func (e *LogEvent) Append(dst []byte) []byte {
	dst = jsonl.AppendTime(append(dst, `{"time":`...), e.Time)
	for _, k := range [...]struct{ key, value string }{{`,"queue_id":`, e.QueueID}, {`,"event":`, e.Event}, {`,"sender":`, e.Sender}, {`,"recipient":`, e.Recipient}} {
		if k.value != "" {
			dst = jsonl.AppendString(append(dst, k.key...), k.value)
		}
	}
	if e.Code != 0 {
		dst = strconv.AppendInt(append(dst, `,"code":`...), int64(e.Code), 10)
	}
	for _, k := range [...]struct{ key, value string }{{`,"text":`, e.Text}, {`,"connection":`, e.Connection}} {
		if k.value != "" {
			dst = jsonl.AppendString(append(dst, k.key...), k.value)
		}
	}
	return append(dst, "}\n"...)
}

// ReadLog reads events of an MTA's log, one JSON object a line, and passes each to f, whose error ends it. Errors are
// *jsonl.InputErrors that call the file name.
func ReadLog(r io.Reader, name string, f func(*LogEvent) error) error {
	in := newInput(r, name, logKeys)
	for {
		if err := in.next(); err != nil {
			return ended(err)
		}
		var e LogEvent
		err := in.logEvent(&e)
		if err == nil {
			err = f(&e)
		}
		if err != nil {
			return in.error(err)
		}
	}
}

func (in *input) logEvent(e *LogEvent) (err error) {
	for _, k := range [...]struct {
		key      string
		to       *string
		required bool
	}{{"queue_id", &e.QueueID, true}, {"sender", &e.Sender, false}, {"recipient", &e.Recipient, false}, {"text", &e.Text, false}, {"connection", &e.Connection, false}} {
		if *k.to, err = in.text(k.key, k.required); err != nil {
			return err
		}
	}
	if e.Event, err = in.oneOf("event", logEvents); err != nil {
		return err
	}
	if e.Time, err = in.instant("time"); err == nil && e.Time.IsZero() {
		err = in.missing("time")
	}
	code, codeErr := in.number("code", 16)
	if err == nil {
		err = codeErr
	}
	e.Code = int(code) // #nosec G115 -- of 16 bits
	return err
}

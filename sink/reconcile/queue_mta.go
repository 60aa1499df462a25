package reconcile

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/jsonl"
)

func looksJSON(line []byte) bool {
	line = bytes.TrimSpace(line)
	return len(line) > 0 && line[0] == '{'
}

// postqueue takes a line of Postfix's postqueue -j (postqueue(1), JSON OBJECT FORMAT): one message with its recipients. The null sender
// is written as MAILER-DAEMON.
func (in *input) postqueue(line []byte, f func(*QueueEntry) error) error {
	q := QueueEntry{}
	var err error
	if q.Sender, err = in.text("sender", false); err != nil {
		return err
	}
	if q.Sender == "" || q.Sender == "MAILER-DAEMON" {
		q.Sender, q.NullSender = "", true
	}
	seconds, err := in.number("arrival_time", 32)
	if err != nil {
		return err
	}
	if seconds > 0 {
		q.Arrived = time.Unix(int64(seconds), 0).UTC() // #nosec G115 -- of 32 bits
	}
	recipients, _ := in.scan.Get("recipients")
	var each jsonl.Scanner
	n := 0
	err = recipients.Each(func(v jsonl.Value) error {
		if v.Shape != jsonl.ShapeOther {
			return v.Not("an object")
		}
		if err := each.Scan(v.B); err != nil {
			return err
		}
		address, ok := each.Get("address")
		if !ok {
			return jsonl.ErrMissing
		}
		text, err := address.Text()
		if err != nil {
			return err
		}
		n++
		q.Recipient = string(text)
		return f(&q)
	})
	if err != nil {
		return keyed("recipients", err)
	}
	if n == 0 { // as while the message is being taken, or removed
		return f(&q)
	}
	return nil
}

var (
	// eximHead is the first line of a message in exim -bp: age, size, id, <sender>, and perhaps *** frozen ***.
	eximHead = regexp.MustCompile(`^\s*\d+[smhdw]\s+[0-9.]+[KMG]?\s+[0-9A-Za-z]{6}-[0-9A-Za-z]{6,11}-[0-9A-Za-z]{2,4}\s+<(.*)>(\s.*)?$`)
	// harakaFile is the name of a file in Haraka's queue, which says that a message is there and not which: times of arrival and of the
	// next attempt, attempts, process, a random piece, a counter, the host.
	harakaFile = regexp.MustCompile(`(^|/)\d{13}_\d{13}_\d+_\d+_[0-9A-Za-z]+_\d+_`)
)

var errListing = errors.New("no listing of a queue that is known (valid: JSON Lines, postqueue -j, exim -bp, smtpctl show queue, the names of Haraka's files)")

// mtaListing reads a listing that is not JSON, whose first line was read already.
func (in *input) mtaListing(line []byte, f func(*QueueEntry) error) error {
	var take func(line string) error
	switch text := string(line); {
	case eximHead.MatchString(text):
		take = in.exim(f)
	case strings.Count(text, "|") >= 6:
		take = in.opensmtpd(f)
	case strings.HasPrefix(strings.TrimSpace(text), "Mail queue is empty"):
		take = emptyQueue
	case harakaFile.MatchString(text):
		take = haraka(f)
	default:
		return in.error(errListing)
	}
	for {
		if err := take(string(line)); err != nil {
			return in.error(err)
		}
		var err error
		if line, err = in.nextLine(); err != nil {
			return ended(err)
		}
	}
}

// emptyQueue takes the one line of mailq for an empty queue, of each of several instances.
func emptyQueue(line string) error {
	if text := strings.TrimSpace(line); text != "" && text != "Mail queue is empty" {
		return fmt.Errorf("%q follows \"Mail queue is empty\"", line)
	}
	return nil
}

// exim takes the lines of exim -bp: a line for a message, then one for each recipient; D before an address says that it was delivered.
func (in *input) exim(f func(*QueueEntry) error) func(string) error {
	var q QueueEntry
	return func(line string) error {
		if head := eximHead.FindStringSubmatch(line); head != nil {
			q = QueueEntry{Sender: head[1], NullSender: head[1] == ""}
			return nil
		}
		fields := strings.Fields(line)
		if len(fields) == 2 && fields[0] == "D" {
			return nil
		}
		if len(fields) != 1 {
			return fmt.Errorf("%q is neither a message nor a recipient of exim -bp", line)
		}
		q.Recipient = strings.TrimPrefix(fields[0], "+D")
		return f(&q)
	}
}

// haraka takes a name of a file in Haraka's queue directory.
func haraka(f func(*QueueEntry) error) func(string) error {
	return func(line string) error {
		if !harakaFile.MatchString(line) {
			return fmt.Errorf("%q is no file of Haraka's queue", line)
		}
		return f(&QueueEntry{Unnamed: true})
	}
}

// opensmtpd takes a line of smtpctl show queue (smtpctl(8)): evpid|session|mda or mta|flags|sender|recipient as given|recipient|...
func (in *input) opensmtpd(f func(*QueueEntry) error) func(string) error {
	return func(line string) error {
		fields := strings.Split(line, "|")
		if len(fields) < 7 {
			return fmt.Errorf("%q has %d fields, which is not a line of smtpctl show queue", line, len(fields))
		}
		q := QueueEntry{Sender: fields[4], NullSender: fields[4] == "", Recipient: fields[6], DSN: fields[2] == "bounce"}
		if q.Recipient == "" {
			q.Recipient = fields[5]
		}
		return f(&q)
	}
}

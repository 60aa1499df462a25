package ledger

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// IDs is what can identify a message. A token is a VERP sender or an ENVID (RFC 3461), as the sender chose.
type IDs struct {
	Token     string
	Sender    string
	StormID   string // X-Storm-Id
	MessageID string // Message-ID
}

func (i *IDs) none() bool {
	return i.Token == "" && i.Sender == "" && i.StormID == "" && i.MessageID == ""
}

// Sent is one line of a file of claims: a sender says that it sent a message to a recipient. Token and recipient are required and
// unique together. A sender that is not given is the token.
type Sent struct {
	IDs
	Recipient string
	Time      time.Time // zero when not given
}

// Queued is one line of a queue's listing: a sender still holds a message for a recipient. Recipient and one of the IDs are required.
type Queued struct {
	IDs
	Recipient string
	Time      time.Time
}

// Notification is one line of a file of delivery status notifications (RFC 3464): what a sender was told of a recipient. Recipient and
// action are required; without any of the IDs the recipient has to be unique.
type Notification struct {
	IDs
	Recipient string
	Action    string // failed, delayed, delivered, relayed or expanded (RFC 3464 section 2.3.3)
	Status    string // enhanced status code, such as 5.1.1; empty when not given
	Time      time.Time
}

// actions are the actions of a notification.
const actions = "failed delayed delivered relayed expanded"

// claimReader reads the lines of one of the three files.
type claimReader struct {
	name  string
	what  string
	lines *lines
	scan  scanner
}

// next scans the next line that is not blank. Unlike in a ledger the last line may lack its line feed: nobody appends to these files.
func (c *claimReader) next() error {
	for {
		line, err := c.lines.next()
		if errors.Is(err, io.EOF) && c.lines.torn > 0 {
			c.lines.number++
			line, err = c.lines.tail, nil
			if c.lines.torn > MaxLine {
				err = errTooLong
			}
			c.lines.torn = 0
		}
		switch {
		case errors.Is(err, io.EOF):
			return err
		case errors.Is(err, errTooLong):
			return c.error(err)
		case err != nil:
			return &InputError{File: c.name, Err: err}
		}
		if len(strings.TrimSpace(string(line))) == 0 {
			continue
		}
		if err := c.scan.scan(line); err != nil {
			return c.error(err)
		}
		return nil
	}
}

func (c *claimReader) error(err error) error { return inputError(c.name, c.lines.number, err) }

// text returns the string of a key, which may be empty or missing only if it is optional.
func (c *claimReader) text(key string, required bool) (string, error) {
	v, ok := c.scan.get(key)
	if !ok {
		if required {
			return "", c.error(&keyError{key, fmt.Errorf("missing (%s)", c.what)})
		}
		return "", nil
	}
	b, err := v.text()
	if err == nil && required && len(b) == 0 {
		err = errors.New("is empty")
	}
	if err != nil {
		return "", c.error(&keyError{key, err})
	}
	return string(b), nil
}

// common reads the keys that all three files share.
func (c *claimReader) common(ids *IDs, recipient *string, at *time.Time) (err error) {
	for _, k := range []struct {
		key string
		to  *string
	}{{"token", &ids.Token}, {"sender", &ids.Sender}, {"storm_id", &ids.StormID}, {"message_id", &ids.MessageID}} {
		if *k.to, err = c.text(k.key, false); err != nil {
			return err
		}
	}
	if *recipient, err = c.text("recipient", true); err != nil {
		return err
	}
	if v, ok := c.scan.get("time"); ok {
		if *at, err = v.instant(); err != nil {
			return c.error(&keyError{"time", err})
		}
	}
	return nil
}

const (
	sentKeys   = "keys: token recipient, optional: sender storm_id message_id time, others are ignored"
	queuedKeys = "keys: recipient and one of token sender storm_id message_id, optional: time, others are ignored"
	dsnKeys    = "keys: recipient action, optional: token sender storm_id message_id status time, others are ignored"
)

// ReadSent reads claims, one JSON object a line, and passes each with its line number to f, whose error ends it. Errors are
// *InputErrors that call the file name.
func ReadSent(r io.Reader, name string, f func(*Sent) error) error {
	c := claimReader{name: name, what: sentKeys, lines: newLines(r)}
	for {
		if err := c.next(); err != nil {
			return endOfFile(err)
		}
		var s Sent
		if _, err := c.text("token", true); err != nil {
			return err
		}
		if err := c.common(&s.IDs, &s.Recipient, &s.Time); err != nil {
			return err
		}
		if err := f(&s); err != nil {
			return c.error(err)
		}
	}
}

// ReadQueue reads a queue's listing; otherwise as ReadSent.
func ReadQueue(r io.Reader, name string, f func(*Queued) error) error {
	c := claimReader{name: name, what: queuedKeys, lines: newLines(r)}
	for {
		if err := c.next(); err != nil {
			return endOfFile(err)
		}
		var q Queued
		if err := c.common(&q.IDs, &q.Recipient, &q.Time); err != nil {
			return err
		}
		if q.none() {
			return c.error(&keyError{"token", fmt.Errorf("missing (%s)", queuedKeys)})
		}
		if err := f(&q); err != nil {
			return c.error(err)
		}
	}
}

// ReadNotifications reads notifications; otherwise as ReadSent.
func ReadNotifications(r io.Reader, name string, f func(*Notification) error) error {
	c := claimReader{name: name, what: dsnKeys, lines: newLines(r)}
	for {
		if err := c.next(); err != nil {
			return endOfFile(err)
		}
		var n Notification
		if err := c.common(&n.IDs, &n.Recipient, &n.Time); err != nil {
			return err
		}
		var err error
		if n.Action, err = c.text("action", true); err != nil {
			return err
		}
		n.Action = strings.ToLower(n.Action)
		if !validAction(n.Action) {
			return c.error(&keyError{"action", fmt.Errorf("unknown action %q (valid: %s)", n.Action, actions)})
		}
		if v, ok := c.scan.get("status"); ok {
			if _, err := v.enhanced(); err != nil {
				return c.error(&keyError{"status", err})
			}
			n.Status = string(v.b)
		}
		if err := f(&n); err != nil {
			return c.error(err)
		}
	}
}

func validAction(action string) bool {
	for _, a := range strings.Fields(actions) {
		if a == action {
			return true
		}
	}
	return false
}

func endOfFile(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

package fault

import (
	"errors"
	"fmt"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// MaxRaw is how many octets a reply may have that are written out.
const MaxRaw = 64 << 10

// Unreadable reports whether a client can't read the reply as it is sent: its syntax is broken, or its own octets aren't one reply that
// says what the sink takes it for. Only faults of a validated outcome know that of own octets.
func (f *Faults) Unreadable() bool { return f.Malformed != MalformedNone || f.unreadable }

// readRaw takes from an outcome's own octets what they say, as far as the outcome doesn't say it.
func (o *OutcomeSpec) readRaw(outcome *Outcome) error {
	switch {
	case len(o.Raw) > MaxRaw:
		return fmt.Errorf("%d octets are too many (want at most %d)", len(o.Raw), MaxRaw)
	case !o.Enhanced.IsZero(), o.NoEnhanced, len(o.Text) > 0:
		return errors.New("beside an enhanced status code or a text (want these within the octets)")
	}
	var p smtp.ReplyParser
	n, done, err := p.Feed(o.Raw)
	outcome.Code = o.Code
	if outcome.Code == 0 {
		if outcome.Code = leadingCode(o.Raw); outcome.Code == 0 {
			return errors.New("no code from 200 to 599 at its beginning (want beside it what the sink takes it for, such as reply: 250)")
		}
	}
	outcome.Written = true
	outcome.Reply = &smtp.Reply{Code: outcome.Code}
	if err == nil && done && p.Code() == outcome.Code {
		outcome.Reply.Enhanced = p.Enhanced()
		outcome.unreadable = n != len(o.Raw)
	} else {
		outcome.unreadable = true
	}
	return nil
}

// leadingCode returns the code that octets begin with; 0: none.
func leadingCode(octets []byte) smtp.Code {
	if len(octets) < 3 || len(octets) > 3 && octets[3] != ' ' && octets[3] != '-' && octets[3] != '\r' && octets[3] != '\n' {
		return 0
	}
	code, err := smtp.ParseCode(string(octets[:3]))
	if err != nil {
		return 0
	}
	return code
}

package storm

import (
	"fmt"
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/mtalog"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

// LogCheck compares the attempts of the ledger with those of the MTA's own log, message by message.
type LogCheck struct {
	// Events of the log, by their kind.
	Events map[string]int `json:"events"`
	// Reached are the events that stand for an envelope that the next hop saw; Unreached are deferrals without: nobody answered, or the
	// greeting turned the connection away.
	Reached   int `json:"reached"`
	Unreached int `json:"unreached"`
	// Unclear are those of which the log doesn't tell it.
	Unclear int `json:"unclear,omitempty"`
	Ledger  int `json:"ledger_attempts"`
	// Units are those whose numbers differ, and Different names the first of them.
	Units     int      `json:"units_that_differ"`
	Different []string `json:"different,omitempty"`
}

// maxDifferent bounds the units that are named.
const maxDifferent = 20

// checkLog compares. An MTA that was killed while it delivered has logged nothing of what was under way: one attempt of a message may be
// missing then.
func checkLog(units []judged, events []reconcile.LogEvent, killed bool) *LogCheck {
	c := &LogCheck{Events: map[string]int{}}
	reached, unclear := map[string]int{}, map[string]int{}
	for i := range events {
		e := &events[i]
		c.Events[e.Event]++
		if e.Recipient == "" || e.Sender == "" {
			continue
		}
		switch e.Event {
		case "sent", "bounced", "deferred":
			name := strings.ToLower(e.Recipient)
			switch mtalog.ReachedEnvelope(e) {
			case mtalog.DidReach:
				c.Reached++
				reached[name]++
			case mtalog.MaybeReached:
				c.Unclear++
				unclear[name]++
			default:
				c.Unreached++
			}
		}
	}
	for i := range units {
		u := &units[i]
		c.Ledger += len(u.attempts)
		name := strings.ToLower(u.recipient)
		most := reached[name] + unclear[name]
		if killed && len(u.deliveries) > 0 {
			most++
		}
		if log := reached[name]; len(u.attempts) < log || len(u.attempts) > most {
			if c.Units++; len(c.Different) < maxDifferent {
				c.Different = append(c.Different, fmt.Sprintf("%s: %d attempts in the ledger, %d in the log", u.recipient, len(u.attempts), log))
			}
		}
	}
	return c
}

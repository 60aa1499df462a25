package storm

import (
	"fmt"
	"strings"

	"github.com/smtpstorm/xk6-smtp/bench/mta"
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
	Ledger    int `json:"ledger_attempts"`
	// Units are those whose numbers differ, and Different names the first of them.
	Units     int      `json:"units_that_differ"`
	Different []string `json:"different,omitempty"`
}

// maxDifferent bounds the units that are named.
const maxDifferent = 20

// checkLog compares.
func checkLog(units []judged, events []reconcile.LogEvent) *LogCheck {
	c := &LogCheck{Events: map[string]int{}}
	reached := map[string]int{}
	for i := range events {
		e := &events[i]
		c.Events[e.Event]++
		if e.Recipient == "" || e.Sender == "" {
			continue
		}
		switch e.Event {
		case "sent", "bounced", "deferred":
			if mta.ReachedEnvelope(e) {
				c.Reached++
				reached[strings.ToLower(e.Recipient)]++
			} else {
				c.Unreached++
			}
		}
	}
	for i := range units {
		u := &units[i]
		c.Ledger += len(u.attempts)
		if log := reached[strings.ToLower(u.recipient)]; log != len(u.attempts) {
			if c.Units++; len(c.Different) < maxDifferent {
				c.Different = append(c.Different, fmt.Sprintf("%s: %d attempts in the ledger, %d in the log", u.recipient, len(u.attempts), log))
			}
		}
	}
	return c
}

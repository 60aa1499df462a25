package sink

import (
	"fmt"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
)

// late says from when on something is counted that was not counted before; a zero time: since the ledger begins, or else the server.
type late struct {
	connections time.Time // whose ordinal the plan may ask for
	mails       time.Time
	recipients  time.Time
}

// swapped notes that another plan counts from now on. Connections are counted whatever the plan; the others where it asks for them.
func (l *late) swapped(old, plan *fault.Plan, now time.Time) {
	had, has := needs(old), needs(plan)
	if has.Mails && !had.Mails {
		l.mails = now
	}
	if has.Recipients && !had.Recipients {
		l.recipients = now
	}
}

func needs(plan *fault.Plan) (n fault.Needs) {
	if plan != nil {
		n = plan.Needs()
	}
	return n
}

// Late says, in one line, which ordinals the plan in force asks for that don't count from the beginning of the ledger, or, without one, of the
// server: nothing had asked for them before. It is empty where all do.
func (s *Server) Late() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	has := needs(s.active.Load().plan)
	var parts []string
	for _, c := range [...]struct {
		asked bool
		what  string
		since time.Time
	}{{has.Connections, "connections", s.late.connections}, {has.Mails, "MAIL commands", s.late.mails}, {has.Recipients, "attempts", s.late.recipients}} {
		if c.asked && !c.since.IsZero() {
			parts = append(parts, fmt.Sprintf("%s are counted from %s on", c.what, c.since.UTC().Format(time.RFC3339)))
		}
	}
	return strings.Join(parts, ", ")
}

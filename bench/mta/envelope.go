package mta

import (
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

// ReachedEnvelope reports whether an event of a log tells of an attempt whose envelope the next hop has seen, that is of a reply to MAIL, RCPT,
// DATA or the body, or of a connection that broke there; not of one that nobody took, or that was turned away before.
func ReachedEnvelope(e *reconcile.LogEvent) bool {
	switch e.Event {
	case sent:
		return true
	case deferred, bounced:
	default:
		return false
	}
	text := strings.ToLower(e.Text)
	for _, before := range [...]string{
		"refused to talk to me", "connect to ", "connection refused", "connection timed out", "initial server greeting", "initial connection",
		"performing the ehlo", "performing the helo", "reply to ehlo", "reply to helo", "tried all mx", "no route", "connect timeout",
	} {
		if strings.Contains(text, before) {
			return false
		}
	}
	return e.Code != 0 || strings.Contains(text, "while sending") || strings.Contains(text, "end of data") || strings.Contains(text, "after")
}

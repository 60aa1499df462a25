package mtalog

import (
	"testing"
	"time"
)

// TestPostfixArrival: a long queue id has the time at which a message came, to the microsecond; nothing else is taken for one.
func TestPostfixArrival(t *testing.T) {
	for id, want := range map[string]string{
		"4jbQnD0gM9z9rxm":  "2026-11-27T08:00:00.095637Z",
		"4jbQnD0gM9z":      "2026-11-27T08:00:00.095637Z",
		"76D2C9E62F4":      "", // a short one
		"4jbQnDzzzzz9rxm":  "", // more than a million microseconds
		"AjbQnD0gM9z9rxm":  "", // A is no digit
		"z":                "",
		"":                 "",
		"BBBBBBBBBBBBBBz1": "",
	} {
		got := ""
		if at, ok := postfixArrival(id); ok {
			got = at.Format(time.RFC3339Nano)
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", id, got, want)
		}
	}
}

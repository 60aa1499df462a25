package mta

import (
	"slices"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/mtalog"
)

// TestEveryLogCanBeRead: the format of an MTA's log has the MTA's name, unless it is one of events.
func TestEveryLogCanBeRead(t *testing.T) {
	for _, a := range registry() {
		if a.events == slices.Contains(mtalog.Formats(), a.name) {
			t.Errorf("package mtalog reads logs of %v; that of %s is of events: %v", mtalog.Formats(), a.name, a.events)
		}
	}
}

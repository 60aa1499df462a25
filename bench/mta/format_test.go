package mta

import (
	"slices"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/mtalog"
)

// TestEveryLogCanBeRead: the format of an MTA's log has the MTA's name.
func TestEveryLogCanBeRead(t *testing.T) {
	for _, name := range Names() {
		if !slices.Contains(mtalog.Formats(), name) {
			t.Errorf("package mtalog reads no log of %s", name)
		}
	}
}

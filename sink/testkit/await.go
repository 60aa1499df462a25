package testkit

import (
	"strings"
	"testing"
	"time"
)

// Patience bounds every wait of Await. It is far more than a loaded machine needs.
const Patience = 90 * time.Second

// Await polls until a condition holds that another process, or the kernel, brings about without telling anybody. After Patience the test
// fails with what it waited for, and with what there is to see instead. Where there is a channel, a reader or a process to wait for,
// wait for that.
func Await(t testing.TB, what string, holds func() bool, seen ...func() string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	overdue := time.After(Patience)
	for !holds() {
		select {
		case <-tick.C:
		case <-overdue:
			var said []string
			for _, s := range seen {
				said = append(said, s())
			}
			t.Fatalf("still not after %v: %s; %s", Patience, what, strings.Join(said, "; "))
		}
	}
}

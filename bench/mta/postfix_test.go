package mta

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// A message that moves on while the queues are listed is found again where it went, and is still one message.
func TestPostfixQueuesOfAMovingMessage(t *testing.T) {
	spool := t.TempDir()
	path := func(q postfixQueue, id string) string { return filepath.Join(spool, string(q), id[:1], id) }
	for _, dir := range []string{path(incomingQueue, "A1"), path(activeQueue, "A1"), path(activeQueue, "B2"), path(deferredQueue, "A1"), path(deferredQueue, "B2")} {
		if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{path(incomingQueue, "A1"), path(activeQueue, "B2"), path(deferredQueue, "A3")} {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	seen := make(map[string]struct{})
	list := func(q postfixQueue) {
		t.Helper()
		if err := q.list(filepath.Join(spool, string(q)), seen); err != nil {
			t.Fatal(err)
		}
	}
	move := func(id string, from, to postfixQueue) {
		t.Helper()
		if err := os.Rename(path(from, id), path(to, id)); err != nil {
			t.Fatal(err)
		}
	}
	list(incomingQueue)
	move("A1", incomingQueue, activeQueue)
	list(activeQueue)
	move("B2", activeQueue, deferredQueue)
	list(deferredQueue)
	move("A3", deferredQueue, activeQueue)
	list(activeQueue)
	if got := slices.Sorted(maps.Keys(seen)); !slices.Equal(got, []string{"A1", "A3", "B2"}) {
		t.Errorf("listed %q, want each message once", got)
	}
}

// What is set again stands once: postlogd waits for ever for itself when there is much to warn of.
func TestOnlyLast(t *testing.T) {
	const own, extra = "a = 1\nb = 2\nab = 3\n", "b = 4\n  c = 5\n# a = 6\n"
	if got, want := onlyLast(own+extra+"\n", extra), "a = 1\nab = 3\n"+extra+"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := onlyLast(own, ""); got != own {
		t.Errorf("without anything else: %q", got)
	}
}

package mta

import (
	"maps"
	"os"
	"path/filepath"
	"testing"
)

// A message that moves on while the queues are listed is found again where it went, and is still one message.
func TestQueuesOfAMovingMessage(t *testing.T) {
	spool := t.TempDir()
	path := func(q queue, id string) string { return filepath.Join(spool, string(q), id[:1], id) }
	for _, dir := range []string{path(incoming, "A1"), path(active, "A1"), path(active, "B2"), path(deferred, "A1"), path(deferred, "B2")} {
		if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{path(incoming, "A1"), path(active, "B2"), path(deferred, "A3")} {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	where := make(map[string]queue)
	list := func(q queue) {
		t.Helper()
		if err := q.list(filepath.Join(spool, string(q)), where); err != nil {
			t.Fatal(err)
		}
	}
	move := func(id string, from, to queue) {
		t.Helper()
		if err := os.Rename(path(from, id), path(to, id)); err != nil {
			t.Fatal(err)
		}
	}
	list(incoming)
	move("A1", incoming, active)
	list(active)
	move("B2", active, deferred)
	list(deferred)
	move("A3", deferred, active)
	list(active)
	if want := map[string]queue{"A1": active, "B2": deferred, "A3": active}; !maps.Equal(where, want) {
		t.Errorf("listed %v, want %v", where, want)
	}
}

package mta

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/ledger"
)

// TestSources: an agent that can send from several addresses sends from several of those that it was given, and from no other.
func TestSources(t *testing.T) {
	const messages = 20
	sources := []string{"127.0.0.2", "127.0.0.3", "127.0.0.4"}
	for _, c := range Find() {
		if !c.Traits.Sources {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			b := newTestbed(t, c, "  - {name: well, stage: rcpt, reply: plain}\n", Options{Sources: sources})
			d := b.dial()
			for n := range messages {
				d.submit(fmt.Sprintf("s%d@src.test", n), fmt.Sprintf("r%d@dst.test", n))
			}
			b.delivered(messages)
			b.end()
			seen := map[string]int{}
			file, err := os.Open(filepath.Join(b.dir, "ledger.jsonl"))
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			if _, err := ledger.Each(ledger.Input{Name: file.Name(), R: file}, func(row *event.Row) error {
				if row.Kind == event.KindAttempt {
					seen[row.Attempt.Client.Addr().String()]++
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			for source := range seen {
				if !slices.Contains(sources, source) || len(seen) < 2 {
					t.Errorf("attempts came from %v, want several of %v and no other", seen, sources)
				}
			}
		})
	}
}

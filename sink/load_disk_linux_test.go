package sink_test

import (
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// A ledger whose disk is full costs rows, which are counted, but neither mail nor memory: with durability batch every message is
// still accepted. The disk is a real one where this process may mount one: elsewhere TestFullDisk has an injected file alone.
func TestLoadOnAFullDisk(t *testing.T) {
	for _, durability := range []string{"batch", "ack"} {
		t.Run("durability="+durability, func(t *testing.T) {
			server, err := launch(t, serverSpec{Driver: "epoll", Plan: "ledger-" + durability, Disk: 512 << 10})
			if err != nil {
				if strings.Contains(err.Error(), "not permitted") || strings.Contains(err.Error(), "denied") {
					sinktest.Missing(t, "no right to mount a small disk: %v", err)
				}
				t.Fatal(err)
			}
			others := newBystanders(t, server.address)
			mem := watchMemory(server)
			var full *serverReport
			others.during(func() {
				full = server.until("the disk is full", func(r *serverReport) bool { return r.Ledger.Lost > 0 })
				hold(500 * time.Millisecond)
			})
			after := server.report()
			if full.Ledger.WriteErrors == 0 || !strings.Contains(after.Ledger.Error, "no space left") {
				t.Errorf("the ledger says %+v, want that no space is left", after.Ledger)
			}
			if after.Ledger.Lost <= full.Ledger.Lost {
				t.Errorf("%d rows were lost when the disk was full, %d after more messages; want each to be counted", full.Ledger.Lost, after.Ledger.Lost)
			}
			mem.expectWithin(8 << 20)
			want := map[string]string{"batch": "250 ", "ack": "451 4.3.0 "}[durability]
			if got := others.message(); !strings.HasPrefix(got, want) {
				t.Errorf("with a full disk a message got %q, want %s", got, want)
			}
		})
	}
}

// message has one of them deliver a message, and returns the final reply.
func (b *bystanders) message() string {
	b.t.Helper()
	c := b.load.conns[0]
	if err := c.message(b.load.sent.Add(1)); err != nil {
		b.t.Fatal(err)
	}
	text, _, _ := strings.Cut(string(c.in[:]), "\r\n")
	return text
}

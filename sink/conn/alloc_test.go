//go:build !race

// The race detector makes sync.Pool forget at random, on purpose, and so everything pooled allocates.

package conn

import (
	"net/netip"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/metrics"
	"github.com/smtpstorm/xk6-smtp/sink/session"
)

// nowhere is a transport that takes everything, and whose client has read it all.
type nowhere struct{ octets int }

func (n *nowhere) write(p []byte)                { n.octets += len(p) }
func (n *nowhere) pause()                        {}
func (n *nowhere) narrow()                       {}
func (n *nowhere) resume()                       {}
func (n *nowhere) awaitDrain()                   {}
func (n *nowhere) close(session.CloseMode)       {}
func (n *nowhere) startTLS(fault.TLSFault, bool) {}
func (n *nowhere) Committed(uint64, error)       {}
func (n *nowhere) unread() int                   { return 0 }
func (n *nowhere) unacknowledged() int           { return 0 }
func (n *nowhere) takeError() error              { return nil }
func (n *nowhere) refused() bool                 { return false }
func (n *nowhere) encrypted() bool               { return false }

// rowCount is an observer that only counts.
type rowCount int

func (c *rowCount) Row(*event.Row) { *c++ }

// Whatever the sink tells of a message, to counters, and to observers if there are any, costs no allocation: with the control API and
// monitoring off nobody observes, and the rows that they would look at aren't even made.
func TestMessagesDoNotAllocate(t *testing.T) {
	for name, observed := range map[string]bool{"nobody observes": false, "somebody does": true} {
		t.Run(name, func(t *testing.T) {
			var rows rowCount
			cfg := Config{Loops: 1, Now: time.Now, Metrics: metrics.NewSet(1, 0)}
			sessions := &session.Config{Triggers: true}
			if observed {
				cfg.Observer = &rows
				sessions.CaptureHeaders, sessions.HashBodies = true, true
			}
			r := newRecorder(&cfg, 0)
			r.env.Scratch = new(session.Scratch)
			var p pump
			var out nowhere
			now := time.Unix(1_800_000_000, 0)
			p.greet(r, &out, sessions, session.ConnInfo{ID: 1, Listener: "test", Client: netip.MustParseAddrPort("192.0.2.1:50000")}, now)
			feed := func(text []byte) {
				now = now.Add(time.Millisecond)
				if n := p.feed(r, &out, now, text, false); n != len(text) {
					t.Fatalf("%d of %q were taken", n, text)
				}
			}
			feed([]byte("EHLO client.test\r\n"))
			message := [][]byte{
				[]byte("MAIL FROM:<a@s.test>\r\n"), []byte("RCPT TO:<b@r.test>\r\n"), []byte("RCPT TO:<c@r.test>\r\n"), []byte("DATA\r\n"),
				[]byte("Subject: x\r\nMessage-ID: <1@s.test>\r\n\r\ntext\r\n.\r\n"),
			}
			send := func() {
				for _, text := range message {
					feed(text)
				}
			}
			send() // fills pools and tables
			before := rows
			if n := testing.AllocsPerRun(1000, send); n != 0 {
				t.Errorf("%v allocations for a message", n)
			} else {
				t.Logf("%v allocations for a message, %d rows", n, rows-before)
			}
			if made := rows > before; made != observed {
				t.Errorf("%d rows were made", rows-before)
			}
		})
	}
}

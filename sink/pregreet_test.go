package sink_test

import (
	"slices"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink"
)

// A client that talks before a greeting that is held back meets what the plan says, whatever carries it: the greeting itself would come far
// later than anybody here waits.
func TestPregreet(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		server := faulty(t, kind, `
listeners: [{name: plain, address: "127.0.0.1:0"}, {name: tls, address: "127.0.0.1:0", tls: implicit}, {name: closing, address: "127.0.0.1:0"}]
rules:
  - {stage: connect, delay: 30m}
  - {name: door, stage: pregreet, match: {listener: closing}, close: fin}
  - {name: talker, stage: pregreet, reply: 521}`, func(cfg *sink.Config) { cfg.Listeners = nil })
		config := trusting(t, server.Server)
		for _, listener := range []string{"plain", "tls"} {
			c := dial(t, server.Server, listener)
			if listener == "tls" {
				if err := c.secure(config); err != nil {
					t.Fatal(err)
				}
			}
			c.command("EHLO client.test", "521 ")
			c.expect("503 ") // the answer to EHLO
			c.quit()
		}
		c := dial(t, server.Server, "closing")
		c.send("E")
		c.expectEOF()
		_ = c.conn.Close()

		got := server.rows()
		slices.Sort(got)
		if want := []string{"connection fault fin-before", "connection quit", "connection quit"}; !slices.Equal(got, want) {
			t.Errorf("the ledger has %q, want %q", got, want)
		}
		stats := server.Stats()
		if stats.Clients == nil || stats.Clients.Pregreets != 3 {
			t.Errorf("clients are counted as %+v, want 3 pregreets", stats.Clients)
		}
		counted := map[string]uint64{}
		for _, r := range stats.Replies {
			counted[r.Stage.String()+" "+r.Cause] += r.Decided
		}
		if counted["pregreet rule:talker"] != 2 || counted["pregreet rule:door"] != 1 {
			t.Errorf("decided were %v, want 2 by talker and 1 by door", counted)
		}
	})
}

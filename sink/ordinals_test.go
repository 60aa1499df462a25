package sink_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// come opens connections one after the other and returns the code of each greeting.
func come(t *testing.T, server *sink.Server, connections int) (codes string) {
	t.Helper()
	for range connections {
		c := dial(t, server, "")
		codes += c.reply()[:3] + " "
		_ = c.conn.Close()
	}
	return codes
}

func repeated(code string, n int) (codes string) {
	for range n {
		codes += code + " "
	}
	return codes
}

const refuseTheFirstTen = "- {name: ten, stage: connect, match: {connection: 1-10}, reply: 554}"

// TestConnectionsOfACalmCount: which connection of a client one is does not depend on the plan or phase that came before. It was counted when
// it was accepted, greeted or not.
func TestConnectionsOfACalmCount(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		t.Run("a phase", func(t *testing.T) {
			var clock movedClock
			server := faulty(t, kind, "start: first-connection\nphases:\n  - {name: calm, duration: 1h}\n  - {name: storm, duration: 1h, rules: ["+refuseTheFirstTen[2:]+"]}\n",
				func(cfg *sink.Config) { cfg.Now, cfg.IdleTimeout = clock.now, -1 })
			if got := come(t, server.Server, 20); got != repeated("220", 20) {
				t.Errorf("in the calm the greetings are %s", got)
			}
			clock.forward(time.Hour)
			if got := come(t, server.Server, 5); got != repeated("220", 5) || server.Phase() != "storm" {
				t.Errorf("in phase %q the greetings are %s", server.Phase(), got)
			}
		})
		t.Run("another plan", func(t *testing.T) {
			server := sinktest.Start(t, sinktest.WithDriver(kind)) // without a ledger
			come(t, server, 5)
			noBanner := parsePlan(t, "listener_faults: {'*': no-banner}\nrules: []")
			swap(t, server, noBanner.Plan)
			eventually(t, server, "nobody is greeted", func(*sink.Stats) bool { return server.Listeners()[0].Fault.String() == "no-banner" })
			silent := dial(t, server, "")
			eventually(t, server, "a sixth connection was accepted", func(s *sink.Stats) bool { return s.Connections == 6 })
			_ = silent.conn.Close()
			swap(t, server, parsePlan(t, "rules:\n"+refuseTheFirstTen).Plan)
			eventually(t, server, "all are greeted", func(*sink.Stats) bool { return server.Listeners()[0].Fault.String() == "none" })
			if got, want := come(t, server, 6), repeated("554", 4)+repeated("220", 2); got != want {
				t.Errorf("the greetings are %s, want %s", got, want)
			}
		})
	})
}

// TestTheSecondConnectionAccepted: a rule for MAIL is about the second connection that was accepted, not the second that spoke, and a sink
// that was restarted in good order goes on counting.
func TestTheSecondConnectionAccepted(t *testing.T) {
	const plan = "rules:\n  - {name: second, stage: mail, match: {connection: 2}, reply: 451}\n  - {name: fifth, stage: mail, match: {connection: 5}, reply: 452}\n"
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		server := faulty(t, kind, plan, func(cfg *sink.Config) { cfg.Ledger.Durability = event.Batch })
		first := greeted(t, server.Server)
		second := greeted(t, server.Server)
		third := greeted(t, server.Server)
		third.command("MAIL FROM:<c@sender.test>", "250 ")
		first.command("MAIL FROM:<a@sender.test>", "250 ")
		second.command("MAIL FROM:<b@sender.test>", "451 ")
		for _, c := range []*rawClient{first, second, third} {
			c.quit()
		}
		server.rows()
		again := faulty(t, kind, plan, func(cfg *sink.Config) {
			cfg.Ledger = sink.LedgerConfig{Path: server.path, Durability: event.Batch}
		})
		var codes string
		for i := range 3 {
			c := greeted(t, again.Server)
			c.send(fmt.Sprintf("MAIL FROM:<%d@sender.test>\r\n", i))
			codes += c.reply()[:3] + " "
			c.quit()
		}
		if codes != "250 452 250 " {
			r, _ := again.Recovered()
			t.Errorf("after a restart connections 4 to 6 get %s, want 250 452 250 (%+v)", codes, r)
		}
	})
}

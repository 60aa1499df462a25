package sink_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/ledger"
)

// rowLog is an observer that writes down what it is told, as a ledger does.
type rowLog struct {
	mu   sync.Mutex
	text []byte
}

func (l *rowLog) Row(row *event.Row) {
	if row.Kind == event.KindStart || row.Kind == event.KindStop { // of the server: see TestTheTailHasAllRows
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = ledger.Append(l.text, row)
}

// TestTheObserverIsToldWhatTheLedgerHas compares the two, row by row: of a refused MAIL, a refused RCPT, a delivery, and a reply that is withheld.
func TestTheObserverIsToldWhatTheLedgerHas(t *testing.T) {
	const plan = `rules:
  - {name: no sender, stage: mail, match: {sender: "*@no.test"}, outcomes: [{reply: {code: 550, text: no}}]}
  - {name: no recipient, stage: rcpt, match: {recipient: "*@no.test"}, outcomes: [{reply: {code: 450, text: later}}]}
  - {name: lost, stage: message, match: {sender: "*@lost.test"}, close: fin}
`
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		var seen rowLog
		server := faulty(t, kind, plan, func(cfg *sink.Config) { cfg.Observer = &seen })
		c := greeted(t, server.Server)
		c.command("MAIL FROM:<a@no.test>", "550 ")
		c.command("MAIL FROM:<a@sender.test> ENVID=e+3D", "250 ")
		c.command("RCPT TO:<b@no.test>", "450 ")
		c.command("RCPT TO:<b@recipient.test>", "250 ")
		c.command("DATA", "354 ")
		c.send("X-Storm-Id: s\r\nMessage-ID: <m@x>\r\n\r\nbody\r\n.\r\n")
		c.expect("250 ")
		c.command("MAIL FROM:<a@lost.test>", "250 ")
		c.command("RCPT TO:<b@recipient.test>", "250 ")
		c.command("DATA", "354 ")
		c.send(theMessage)
		_ = c.conn.Close()
		eventually(t, server.Server, "the connection has ended", func(s *sink.Stats) bool { return s.Open == 0 && s.Connections == 1 })
		if err := server.Close(); err != nil {
			t.Fatal(err)
		}
		var want []byte
		kinds := map[event.Kind]int{}
		readLedger(t, server.path, func(row *event.Row) {
			if row.Kind != event.KindStart && row.Kind != event.KindStop {
				kinds[row.Kind]++
				want = ledger.Append(want, row)
			}
		})
		if kinds[event.KindTransaction] != 1 || kinds[event.KindAttempt] != 3 || kinds[event.KindMessage] != 2 || kinds[event.KindConnection] != 1 {
			t.Errorf("the ledger has %v:\n%s", kinds, want)
		}
		if got := string(seen.text); got != string(want) || !strings.Contains(got, `"cause":"rule:no recipient"`) {
			t.Errorf("the observer was told\n%sand the ledger has\n%s", got, want)
		}
	})
}

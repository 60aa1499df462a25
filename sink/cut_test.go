package sink_test

import (
	"io"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink"
)

// A reply that is cut, and one in mid-body, reach a client as planned, whatever carries them.
func TestCutAndEarlyReplies(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		server := faulty(t, kind, `rules:
  - {stage: vrfy, cut: {octets: 2, close: fin}}
  - {stage: data, body: {after: 6, reply: 421/4.3.2, close: fin}}`, nil)
		c := greeted(t, server.Server)
		c.send("VRFY x\r\n")
		if got, err := io.ReadAll(c.in); err != nil || string(got) != "25" {
			t.Errorf("VRFY got %q, %v, want 25 and the end", got, err)
		}
		_ = c.conn.Close()

		c = greeted(t, server.Server)
		c.command("MAIL FROM:<a@sender.test>", "250 ")
		c.command("RCPT TO:<b@recipient.test>", "250 ")
		c.command("DATA", "354 ")
		c.send("text\r\n")
		c.expect("421 4.3.2 ")
		c.expectEOF()
		_ = c.conn.Close()
		want := map[string]bool{"connection fault cut-fin": true, "connection fault body-reply+body-fin": true}
		for _, row := range server.rows() {
			delete(want, row)
		}
		if len(want) > 0 {
			t.Errorf("the ledger lacks %v", want)
		}
	})
}

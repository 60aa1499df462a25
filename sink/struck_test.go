package sink_test

import (
	"slices"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink"
)

// TestCountersAndLedgerAgree: a message that the plan keeps counts as delivered although its reply was never sent, and one that it throws
// away does not although the client was told 250.
func TestCountersAndLedgerAgree(t *testing.T) {
	for _, tt := range []struct {
		name, plan           string
		client               func(c *rawClient)
		delivered, discarded uint64
		row                  string
	}{
		{"kept", "rules: [{name: r, stage: message, close: fin, delivery: keep}]", (*rawClient).expectEOF, 1, 0,
			"attempt b@recipient.test message 250 lost rule:r fin-before+keep delivered"},
		{"kept and refused", "rules: [{name: r, stage: message, reply: 451, delivery: keep}]", func(c *rawClient) { c.expect("451 ") }, 1, 0,
			"attempt b@recipient.test message 451 reply rule:r keep delivered sent"},
		{"thrown away", "rules: [{name: r, stage: message, delivery: discard}]", func(c *rawClient) { c.expect("250 ") }, 0, 1,
			"attempt b@recipient.test message 250 reply rule:r discard sent"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := faulty(t, sink.DriverNet, tt.plan, nil)
			c := greeted(t, b.Server)
			c.message()
			tt.client(c)
			_ = c.conn.Close()
			rows := b.rows()
			if !slices.Contains(rows, tt.row) {
				t.Errorf("the ledger has %q, want %q", rows, tt.row)
			}
			s := b.Stats()
			if a := s.Attempts; a.Delivered != tt.delivered || a.Discarded != tt.discarded || a.Unanswered != 0 {
				t.Errorf("the counters say %+v, want %d delivered, %d discarded", a, tt.delivered, tt.discarded)
			}
			if o := s.Rules[0].Outcomes[0]; o.Injected != 1 || o.Struck != 1 {
				t.Errorf("the outcome counts %+v, want 1", o)
			}
		})
	}
}

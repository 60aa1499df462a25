package mta

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/mtalog"
	"github.com/smtpstorm/xk6-smtp/sink/testkit"
)

// TestFaultsMetByPostfix: what Postfix's smtp(8) makes of replies that are cut, that nobody has asked for, or that are none, of a slow link,
// of a door that is shut for who talks first, and of XFORWARD that is announced and not obeyed. Each message has a domain, and a fault, of its
// own; the first attempt is what counts.
func TestFaultsMetByPostfix(t *testing.T) {
	t.Parallel()
	cases := []struct {
		domain, rule string
		event, text  string // of the log: what the text holds
		accepted     bool   // by the sink
	}{
		{"plain", "", mtalog.Sent, "250 2.0.0", true},
		{"cut-rcpt", "stage: rcpt, cut: {octets: 3, close: fin}", mtalog.Deferred, "lost connection", false},
		{"cut-code", "stage: message, cut: {octets: 3, close: fin}", mtalog.Deferred, "lost connection", false},
		{"cut-line", "stage: message, reply: {code: 250, text: Ok}, cut: {octets: 12, close: rst}", mtalog.Deferred, "lost connection", false},
		{"early-421", "stage: data, body: {after: 20, reply: 421/4.3.2, close: fin}", mtalog.Deferred, "421 4.3.2", false},
		{"early-451", "stage: data, body: {after: 20, reply: 451}", mtalog.Deferred, "451 4.3.0", true},
		{"early-250", "stage: data, body: {after: 20, reply: 250}", mtalog.Sent, "250 2.0.0", false},
		{"lf", `stage: rcpt, reply: 250, raw: "250 2.1.5 Ok\n"`, mtalog.Sent, "250 2.0.0", true},
		{"bare-code", `stage: rcpt, reply: 250, raw: "250\r\n"`, mtalog.Sent, "250 2.0.0", true},
		{"empty-line", `stage: rcpt, reply: 250, raw: "\r\n250 2.1.5 Ok\r\n"`, mtalog.Sent, "250 2.0.0", true},
		{"too-many", `stage: rcpt, reply: 250, raw: "250 Ok\r\n554 No\r\n"`, mtalog.Bounced, "554 No (in reply to DATA", false},
		{"no-code", `stage: rcpt, reply: 250, raw: "999 Ok\r\n"`, mtalog.Bounced, "999 Ok", true}, // and then, having pipelined DATA, it sends an empty message,
		{"slow", "stage: mail, bandwidth: 8kbit/s", mtalog.Sent, "250 2.0.0", true},
	}
	rules := "  - {stage: connect, delay: 50ms}\n  - {stage: pregreet, reply: 554}\n  - {stage: ehlo, reply: plain, capabilities: [PIPELINING, ENHANCEDSTATUSCODES, 8BITMIME, XFORWARD NAME ADDR PROTO HELO]}\n" +
		"  - {stage: message, match: {sender: early-250@src.test}, reply: 554}\n"
	for _, c := range cases {
		if c.rule != "" {
			rules += fmt.Sprintf("  - {match: {sender: %s@src.test}, %s}\n", c.domain, c.rule)
		}
	}
	b := newTestbed(t, candidate("postfix"), rules, Options{Extra: "smtp_send_xforward_command = yes\nsmtp_destination_concurrency_failed_cohort_limit = 1000\nsmtp_connection_cache_on_demand = no"})
	d := b.dial()
	for _, c := range cases {
		d.submit(c.domain+"@src.test", "r@"+c.domain+".test")
	}
	first := map[string]mtalog.Event{}
	testkit.Await(t, "a first attempt of each message", func() bool {
		file, err := os.Open(b.agent.LogPath())
		if err != nil {
			return false
		}
		defer file.Close()
		clear(first)
		err = mtalog.Read("postfix", file, file.Name(), mtalog.Options{Until: time.Now(), Location: time.UTC}, func(e *mtalog.Event) error {
			if _, known := first[e.Recipient]; !known && strings.HasPrefix(e.Recipient, "r@") && (e.Event == mtalog.Sent || e.Event == mtalog.Deferred || e.Event == mtalog.Bounced) {
				first[e.Recipient] = *e
			}
			return nil
		})
		return err == nil && len(first) == len(cases)
	})
	accepted := map[string]bool{}
	for _, m := range b.received.Deliveries() {
		accepted[m.Recipient] = true
	}
	for _, c := range cases {
		recipient := "r@" + c.domain + ".test"
		e := first[recipient]
		if e.Event != c.event || !strings.Contains(e.Text, c.text) || accepted[recipient] != c.accepted {
			t.Errorf("%s: Postfix says %s, %q, and the sink has accepted it: %v; want %s, %q, %v", c.domain, e.Event, e.Text, accepted[recipient], c.event, c.text, c.accepted)
		}
	}
	stats := b.server.Stats()
	asked := uint64(0)
	for _, r := range stats.Replies {
		if r.Stage.String() == "unknown" && r.Code == 500 {
			asked += r.Decided
		}
		if r.Stage.String() == "pregreet" {
			t.Errorf("Postfix has talked before it was greeted")
		}
	}
	if asked < uint64(len(cases)) {
		t.Errorf("XFORWARD was refused %d times, want once for each of %d messages", asked, len(cases))
	}
}

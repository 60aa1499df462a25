package prometheus_test

import (
	"fmt"
	"net/smtp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink"
	planfile "github.com/smtpstorm/xk6-smtp/sink/plan"
	"github.com/smtpstorm/xk6-smtp/sink/prometheus"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
	"github.com/smtpstorm/xk6-smtp/sink/testkit"
)

// An hour in which each half of a minute brings another plan with rules, phases and reactions of new names, and clients, senders, recipients
// and domains that nobody has seen: the number of series comes to rest, none of them names a client or a domain, and no counter goes back.
func TestSeriesOfThePastDontGrow(t *testing.T) {
	const steps, rules, said, rest = 120, 40, 5, 100 // of the hour, of a plan, of these that speak, and after how many steps all names that may stay have come
	var passed atomic.Int64
	began := time.Now()
	server := sinktest.Start(t, sinktest.With(func(cfg *sink.Config) {
		cfg.Now = func() time.Time { return time.Now().Add(time.Duration(passed.Load())) }
	}))
	h := prometheus.Handler(server, "1")
	most, last := 0, map[string]float64{}
	for step := range steps {
		var text strings.Builder
		fmt.Fprintf(&text, "version: 1\nname: plan-%d\nrules:\n", step)
		for i := range rules {
			fmt.Fprintf(&text, "  - {name: rule-%d-%d, stage: rcpt, match: {recipient: \"r%d@*\"}, outcomes: [{weight: 1, reply: 4%02d}, {weight: 1}]}\n", step, i, i, 50+i%3)
		}
		fmt.Fprintf(&text, "phases: [{name: phase-%d, duration: 10s}, {name: lull-%[1]d, duration: 10s}, {name: calm-%[1]d, duration: 1h}]\n", step)
		fmt.Fprintf(&text, "react: [{name: react-%d, of: sender, when: {stage: rcpt}, for: 1m, then: {rules: [{stage: mail, match: {sender: \"nobody@*\"}, reply: 450}]}}]\n", step)
		file, err := planfile.Parse("plan", []byte(text.String()))
		if err != nil {
			t.Fatal(err)
		}
		if err := server.Swap(file.Plan, file.SHA256); err != nil {
			t.Fatal(err)
		}
		c, err := smtp.Dial(server.Addr("").String())
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Mail(fmt.Sprintf("s%d@sender-%d.test", step, step)); err != nil {
			t.Fatal(err)
		}
		for i := range said {
			_ = c.Rcpt(fmt.Sprintf("r%d@domain-%d-%d.test", i, step, i)) // refused, or not
		}
		if err := c.Quit(); err != nil {
			t.Fatal(err)
		}
		testkit.Await(t, "the connection has ended", func() bool { return server.Totals().Open == 0 }, func() string { return fmt.Sprint(server.Totals().Open) })
		passed.Add(int64(time.Hour / steps))

		if step%5 != 4 {
			continue
		}
		seen := scrape(t, h)
		series, sums := 0, map[string]float64{}
		for line := range strings.Lines(seen) {
			name, _, _ := strings.Cut(line, "{")
			if !strings.HasPrefix(name, "smtpsink_") {
				continue
			}
			series++
			value, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' '):]), 64)
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			if name, _, _ = strings.Cut(name, " "); strings.HasSuffix(name, "_total") {
				sums[strings.TrimSpace(line[:strings.LastIndexByte(line, ' ')])] += value
				if !strings.Contains(line, "reaction=") { // those of the plan in force alone
					sums[name] += value
				}
			}
			if strings.Contains(line, "domain-") || strings.Contains(line, "sender-") || strings.Contains(line, "127.0.0.1") && !strings.Contains(line, "listener=\"127.0.0.1") {
				t.Errorf("a series names a peer: %s", line)
			}
		}
		for name, before := range last {
			if now, there := sums[name]; there && now < before {
				t.Fatalf("step %d: %s went back from %v to %v", step, name, before, now)
			}
		}
		last = sums
		if step < rest {
			most = max(most, series)
		} else if series > most {
			t.Fatalf("step %d: %d series, and there were %d at most in the first %d steps", step, series, most, rest)
		}
	}
	if hour := server.Totals().Seconds; hour < time.Hour.Seconds() {
		t.Errorf("%v s have passed, want an hour", hour)
	}
	if last["smtpsink_rule_outcomes_total"] != steps*said || last["smtpsink_attempts_total"] != steps*said {
		t.Errorf("%v outcomes, %v attempts; want %d of each", last["smtpsink_rule_outcomes_total"], last["smtpsink_attempts_total"], steps*said)
	}
	t.Logf("%d series at most, in %v", most, time.Since(began).Round(time.Millisecond))
}

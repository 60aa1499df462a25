package mta

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/mtalog"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

const (
	schedulerRecipients = 2000
	schedulerTolerance  = 0.015 // of the share of deferred recipients
	// schedulerRules: five connections at once. Without jitter the replies end together, and hide what the feedback does.
	schedulerRules = "  - {name: work, stage: rcpt, reply: plain, delay: 'uniform(50ms,150ms)'}\n" +
		"limits:\n  - {name: five, kind: concurrency, scope: client, max: 5, reply: 421}"
)

// TestPostfixScheduler repeats the experiment whose results Postfix publishes: the last table of SCHEDULER_README, "Impact of active server
// concurrency limiter". First attempts only. Where Postfix as it is now does something else, the table says so, and nothing fails.
func TestPostfixScheduler(t *testing.T) {
	runs, err := strconv.Atoi(os.Getenv("SMTPSTORM_SCHEDULER"))
	if err != nil || runs < 1 {
		t.Skip("a message to 2,000 recipients takes most of a minute: run make scheduler (SMTPSTORM_SCHEDULER is the number of runs)")
	}
	rows, versions := make([]string, len(schedulerSettings())), make([]string, len(schedulerSettings()))
	t.Run("feedback", func(t *testing.T) {
		for i, s := range schedulerSettings() {
			t.Run(strings.ReplaceAll(s.name, "/", " by "), func(t *testing.T) {
				t.Parallel()
				var shares []string
				sum := 0.
				for run := range runs {
					var deferrals int
					if !t.Run(strconv.Itoa(run+1), func(t *testing.T) { deferrals, versions[i] = schedulerRun(t, s.name) }) {
						return
					}
					share := float64(deferrals) / schedulerRecipients
					sum += share
					shares = append(shares, percent(share))
				}
				mean := sum / float64(runs)
				published, verdict := "-", fmt.Sprintf("as in theory (%+.1f points)", 100*(mean-s.theory))
				if s.published > 0 {
					published = percent(s.published)
				}
				switch far := math.Abs(mean-s.theory) > schedulerTolerance; {
				case far && s.today:
					verdict = fmt.Sprintf("**not as in theory** (%+.1f points)", 100*(mean-s.theory))
					t.Errorf("%s of the recipients were deferred (%s), want %s, or up to %.1f points more or less", percent(mean), strings.Join(shares, ", "), percent(s.theory), 100*schedulerTolerance)
				case far:
					verdict = fmt.Sprintf("not as published: rounding (%+.1f points from the simulation of it)", 100*(mean-s.simulated(true)))
				}
				rows[i] = fmt.Sprintf("| %s | %s | %s | %s | %s | **%s** | %s | %s |\n", s.name, published, percent(s.theory), percent(s.simulated(false)), percent(s.simulated(true)),
					percent(mean), strings.Join(shares, ", "), verdict)
			})
		}
	})
	table := versions[0] + ". Share of the 2,000 recipients that were deferred at the first attempt:\n\n" +
		"| feedback | published | theory | simulated without rounding | simulated with rounding | measured (mean) | runs | |\n|---|---|---|---|---|---|---|---|\n" + strings.Join(rows, "")
	t.Logf("\n%s", table)
	if file := os.Getenv("SMTPSTORM_SCHEDULER_FILE"); file != "" {
		if err := os.WriteFile(file, []byte(table), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func percent(share float64) string { return fmt.Sprintf("%.1f%%", 100*share) }

// schedulerRun sends one message to all recipients, and says how many Postfix deferred at the first attempt. Its log and the sink's
// ledger must say the same of the others.
func schedulerRun(t *testing.T, feedback string) (deferrals int, version string) {
	b := newTestbed(t, candidate("postfix"), schedulerRules, Options{
		Policy: Policy{MinimalBackoff: time.Hour, MaximalBackoff: time.Hour, Lifetime: 24 * time.Hour, Concurrency: 20},
		Extra: "initial_destination_concurrency = 5\ndefault_destination_recipient_limit = 2\nsmtp_connection_cache_on_demand = no\n" +
			"default_destination_concurrency_positive_feedback = " + feedback + "\ndefault_destination_concurrency_negative_feedback = " + feedback + "\n" +
			"queue_run_delay = 1h\nsmtpd_recipient_limit = 5000",
	})
	d := b.dial()
	d.say("MAIL FROM:<s@src.test>", 250)
	for i := range schedulerRecipients {
		d.say(fmt.Sprintf("RCPT TO:<r%d@dst.test>", i), 250)
	}
	d.say("DATA", 354)
	d.say("Subject: one message\r\n\r\nbody\r\n.", 250)

	// A run takes 40 s; the log has no end to wait for.
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	overdue := time.After(4 * time.Minute)
	count := map[string]int{}
	for {
		clear(count)
		if err := b.agent.Log(func(e *reconcile.LogEvent) error { count[e.Event]++; return nil }); err != nil {
			t.Fatal(err)
		}
		deferrals = count[mtalog.Deferred] + count[mtalog.Suspended]
		if count[mtalog.Sent]+deferrals >= schedulerRecipients {
			break
		}
		select {
		case <-tick.C:
		case <-overdue:
			t.Fatalf("after 4 minutes Postfix's log has %v, want %d recipients sent or deferred", count, schedulerRecipients)
		}
	}
	b.end()
	if n := len(b.received.Deliveries()); n != count[mtalog.Sent] || count[mtalog.Sent]+deferrals != schedulerRecipients || count[mtalog.Suspended] > 0 {
		t.Errorf("Postfix's log has %v, and the ledger %d deliveries; want all %d recipients, none of them suspended", count, n, schedulerRecipients)
	}
	return deferrals, b.agent.Version()
}

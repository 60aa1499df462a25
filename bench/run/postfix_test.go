package run

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

func TestPostfixLegFollowsEveryMessage(t *testing.T) {
	requirePostfix(t)
	o, console := options(t, "ok")
	o.MTA = MTAPostfix
	outcome, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("Postfix on what was not delivered:\n%s", unfinished(t, o.Out+"/postfix-mail.log"))
		}
	})
	if len(outcome.Legs) != 3 || outcome.Exit != 0 {
		t.Fatalf("outcome %+v, want three legs and no problem\n%s", outcome, console)
	}
	leg := outcome.Legs[2]
	d, b := leg.Record.Delivery, leg.Record.Judgement
	if d == nil || b.Units != fakeMessages || b.Fates[reconcile.Delivered] != fakeMessages {
		t.Fatalf("fates %v, want all %d delivered once\n%s", b.Fates, fakeMessages, console)
	}
	if want := []result.AttemptCount{{Attempts: 2, Messages: fakeMessages}}; !slices.Equal(d.Attempts, want) {
		t.Errorf("attempts %v, want %v: each first attempt is deferred", d.Attempts, want)
	}
	var attempts, delivered uint64
	for _, s := range d.Series {
		attempts, delivered = attempts+s.Attempts, delivered+s.Delivered
	}
	if last := d.Series[len(d.Series)-1]; last.Queued == nil || *last.Queued != 0 || attempts != 2*fakeMessages || delivered != fakeMessages {
		t.Errorf("%d attempts and %d deliveries in the series, which ends as %+v; want %d, %d and an empty queue", attempts, delivered, last, 2*fakeMessages, fakeMessages)
	}
	if d.Gaps.Count() != fakeMessages || d.Gaps.Quantile(0) < 900 {
		t.Errorf("gaps %+v, want one of a queue run or more for each message", d.Gaps.Summary())
	}
	if len(d.Backoff) != 1 || d.Backoff[0].K != 1 || d.Backoff[0].Count != fakeMessages || d.Backoff[0].P50 < 900 {
		t.Errorf("pauses %+v, want the first of each message and no second", d.Backoff)
	}
	if d.Latency == nil || d.Latency.Count() != fakeMessages {
		t.Errorf("latency %+v: want that of %d messages", d.Latency, fakeMessages)
	}
	if m := leg.Record.Provenance.MTA; m == nil || m.Name != "Postfix" || !strings.HasPrefix(m.Version, "3.") || !strings.Contains(m.Config, "minimal_backoff_time = 3s") {
		t.Errorf("provenance of the MTA: %+v", m)
	}
	// Postfix may come two seconds before its 3 s.
	if m := leg.Record.Provenance.MTA; m.RetryAfterSeconds != 1 || tooSoon(t, &o, time.Second) != 0 || tooSoon(t, &o, time.Hour) != fakeMessages {
		t.Errorf("retries are judged by %v s, with %d and, by an hour, %d too soon; want 1 s, 0 and %d", m.RetryAfterSeconds, tooSoon(t, &o, time.Second), tooSoon(t, &o, time.Hour), fakeMessages)
	}
	if text, err := os.ReadFile(o.Out + "/mta/mta.jsonl"); err != nil || strings.Count(string(text), `"event":"deferred"`) != fakeMessages || strings.Count(string(text), `"event":"sent"`) != fakeMessages {
		t.Errorf("%v, or the log does not tell of %d deferrals and deliveries:\n%s", err, fakeMessages, text)
	}
	for _, name := range []string{"mta.json", "sink-mta.json", "postfix-mail.log", "mta/sent.jsonl", "mta/ledger.jsonl", "mta/queue.jsonl", "mta/mta.jsonl", "mta/units.jsonl"} {
		if _, err := os.Stat(o.Out + "/" + name); err != nil {
			t.Error(err)
		}
	}
}

// tooSoon judges the files of a leg through an MTA again, as if its policy forbade another attempt for that long.
func tooSoon(t *testing.T, o *Options, policy time.Duration) (units uint64) {
	t.Helper()
	b, err := FindFiles(o.Out)
	if err != nil {
		t.Fatal(err)
	}
	leg := &b.Legs[len(b.Legs)-1]
	leg.Record.Provenance.MTA.RetryAfterSeconds = policy.Seconds()
	r, err := b.Judge(nil, reconcile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range r.Findings {
		if f := &r.Findings[i]; f.Kind == reconcile.KindRetriedTooSoon {
			units = f.Units
		}
	}
	return units
}

// unfinished returns the lines of Postfix's log that are about messages it still held at the end, and its warnings.
func unfinished(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	removed := map[string]bool{}
	queueID := func(line string) string {
		_, rest, _ := strings.Cut(line, "]: ")
		id, _, ok := strings.Cut(rest, ": ")
		if !ok || strings.ContainsAny(id, " =") {
			return ""
		}
		return id
	}
	lines := strings.Split(string(text), "\n")
	for _, line := range lines {
		if strings.HasSuffix(line, ": removed") {
			removed[queueID(line)] = true
		}
	}
	var b strings.Builder
	for _, line := range lines {
		if id := queueID(line); id != "" && !removed[id] {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}

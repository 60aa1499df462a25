package run

import (
	"os"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

func TestPostfixLegFollowsEveryMessage(t *testing.T) {
	for _, tool := range []string{"postfix", "postconf"} {
		sinktest.RequireTool(t, tool, "postfix")
	}
	if os.Geteuid() != 0 {
		if os.Getenv("REQUIRE_ALL") == "1" {
			t.Fatal("a private Postfix needs root, and REQUIRE_ALL=1")
		}
		t.Skip("a private Postfix needs root: run the tests as root")
	}
	o, console := options(t, "ok")
	o.MTA = MTAPostfix
	outcome, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(outcome.Legs) != 3 || !outcome.OK {
		t.Fatalf("outcome %+v, want three legs and no problem\n%s", outcome, console)
	}
	leg := outcome.Legs[2]
	d := leg.Record.Delivery
	if d == nil || d.Accepted != fakeMessages || d.DeliveredOnce != fakeMessages || d.Duplicated+d.Bounced+d.Undelivered != 0 {
		t.Fatalf("delivery %+v, want all %d accepted and delivered once\n%s", d, fakeMessages, console)
	}
	retried := uint64(0)
	for _, a := range d.Attempts {
		if a.Attempts > 1 {
			retried += a.Messages
		}
	}
	if retried == 0 {
		t.Errorf("attempts %v: no message was retried although 3 in 10 recipients are deferred", d.Attempts)
	}
	peak := uint64(0)
	for _, s := range d.Series {
		peak = max(peak, s.Queued)
	}
	if last := d.Series[len(d.Series)-1]; peak == 0 || last.Queued != 0 || last.Delivered != fakeMessages {
		t.Errorf("the queue peaked at %d and ended as %+v; want it to rise and to drain", peak, last)
	}
	if d.Latency == nil || d.Latency.Count() != fakeMessages || d.Latency.Summary().Max < 1000 {
		t.Errorf("latency %+v: want %d, those of retried messages above 1 s", d.Latency, fakeMessages)
	}
	if m := leg.Record.Provenance.MTA; m == nil || m.Name != "Postfix" || !strings.HasPrefix(m.Version, "3.") || !strings.Contains(m.Config, "minimal_backoff_time = 2s") {
		t.Errorf("provenance of the MTA: %+v", m)
	}
	for _, name := range []string{"mta.json", "sink-mta.json", "postfix-mail.log"} {
		if _, err := os.Stat(o.Out + "/" + name); err != nil {
			t.Error(err)
		}
	}
}

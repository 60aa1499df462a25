package run

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/bench/k6"
	"github.com/smtpstorm/xk6-smtp/bench/mta"
	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// TestDeliveryScriptThroughPostfix runs scripts/delivery.js as it stands: k6 submits to a private Postfix that relays to the sink within
// the same k6, which defers half of the first attempts. Each message is waited for, and thresholds judge the whole way.
func TestDeliveryScriptThroughPostfix(t *testing.T) {
	t.Parallel()
	requirePostfix(t)
	program := realK6(t)
	dir := t.TempDir()
	sinkAddress := freeAddress(t)
	spool, err := os.MkdirTemp("", "smtpstorm-postfix-") // t.TempDir can't be entered by Postfix's own user
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(spool)
	postfix, err := mta.Start(t.Context(), MTAPostfix, mta.Options{Dir: spool, Relay: sinkAddress, Policy: mtaRetries})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := postfix.Close(); err != nil {
			t.Error(err)
		}
	}()
	host, port, err := net.SplitHostPort(postfix.Addr())
	if err != nil {
		t.Fatal(err)
	}
	run := func(name string, env ...string) (*result.Record, string, int) {
		record := filepath.Join(dir, name+".json")
		args := []string{"run", "--quiet", "--no-color", "-o", "smtpstorm=" + record, "--env", "SMTP_HOST=" + host, "--env", "SMTP_PORT=" + port,
			"--env", "SINK_LISTEN=" + sinkAddress, "--env", "RATE=10", "--env", "DURATION=2s", "--env", "DEFER=0.5"}
		for _, e := range env {
			args = append(args, "--env", e)
		}
		cmd := exec.CommandContext(t.Context(), program, append(args, filepath.Join(scriptsDir, "delivery.js"))...)
		cmd.Env = append(os.Environ(), "K6_NO_USAGE_REPORT=true", "K6_AUTO_EXTENSION_RESOLUTION=false")
		out, _ := cmd.CombinedOutput() // the status says it
		r, err := result.Read(record)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return r, string(out), cmd.ProcessState.ExitCode()
	}

	got, out, status := run("good")
	if status != 0 {
		t.Fatalf("k6 ended with status %d\n%s", status, out)
	}
	messages := uint64(got.Client.Sum("smtp_messages", nil))
	delivery := got.Client.Total("smtp_delivery_duration", nil)
	if messages < 20 || delivery.Count() != messages {
		t.Errorf("%d messages, %d delivered, want 20 or more and all of them", messages, delivery.Count())
	}
	if first := float64(mtaRetries.MinimalBackoff.Milliseconds()) / 2; delivery.Quantile(0.2) > first || delivery.Quantile(1) < first {
		t.Errorf("deliveries took %.0f ms to %.0f ms: want some at once, and those that were deferred after a retry", delivery.Quantile(0.2), delivery.Quantile(1))
	}
	for _, s := range got.Client.Find("checks", nil) {
		if s.Fails > 0 || s.Passes == 0 {
			t.Errorf("check %q: %d passed, %d failed", s.Tags["check"], s.Passes, s.Fails)
		}
	}
	if !slices.ContainsFunc(got.Load.Thresholds, func(th result.Threshold) bool { return th.Metric == "smtp_delivery_duration" && th.OK }) {
		t.Errorf("thresholds %+v, want one on smtp_delivery_duration that held", got.Load.Thresholds)
	}
	// The clients read Postfix's replies, and Postfix the sink's: the record knows, and nobody compares the two.
	if m := got.Provenance.MTA; m == nil || m.Name != postfix.Addr() || got.Provenance.SinkMode != result.SinkInProcess || got.Sink == nil {
		t.Errorf("the record names MTA %+v, sink %q; want %s and a sink's part", m, got.Provenance.SinkMode, postfix.Addr())
	}
	deferred := uint64(0)
	for _, r := range got.Sink.Replies {
		if r.Stage == smtp.StageRcpt && r.Code == 451 {
			deferred += r.Decided
		}
	}
	if deferred == 0 || got.Sink.Messages != messages {
		t.Errorf("the sink deferred %d recipients and took %d messages, want some and %d", deferred, got.Sink.Messages, messages)
	}

	// A pipeline that is too slow for the threshold fails the job.
	if _, out, status = run("slow", "MAX_P95=100", "DURATION=1s"); status != k6.ThresholdsCrossed || !strings.Contains(out, "smtp_delivery_duration") {
		t.Errorf("with a threshold of 100 ms k6 ended with status %d, want %d\n%s", status, k6.ThresholdsCrossed, out)
	}
}

// requirePostfix skips a test that can't have a private Postfix.
func requirePostfix(t *testing.T) {
	t.Helper()
	for _, tool := range []string{"postfix", "postconf"} {
		sinktest.RequireTool(t, tool, "postfix")
	}
	sinktest.RequireRoot(t, "a private Postfix")
}

package xk6smtp_test

import (
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// scriptRun is how a script is run for a second.
type scriptRun struct {
	name    string
	own     bool   // runs its own sink
	reply   string // of the sink that it is run against
	delay   string
	env     []string
	expects string // a metric that must have values
}

// runScript runs a script of the project, and returns its record: its thresholds are kept and no check failed. Those that judge speed may be
// crossed, since how fast a machine is that does other things, too, is nothing that a test can promise; the test's log names them.
func runScript(t *testing.T, binary, record string, args ...string) (*result.Record, string) {
	t.Helper()
	cmd, out := k6(t, binary, append([]string{"run", "--no-color", "--quiet", "-o", "smtpstorm=" + record}, args...)...)
	err := cmd.Run()
	if err != nil && cmd.ProcessState.ExitCode() != result.ThresholdsCrossed {
		t.Fatalf("%v\n%s", err, out)
	}
	got, readErr := result.Read(record)
	if readErr != nil {
		t.Fatal(readErr)
	}
	crossed := 0
	for _, threshold := range got.Load.Thresholds {
		switch {
		case threshold.OK:
		case judgesSpeed(threshold):
			crossed++
			t.Logf("too slow for %s: %s", threshold.Metric, threshold.Expression)
		default:
			t.Fatalf("%s: %s is crossed\n%s", threshold.Metric, threshold.Expression, out)
		}
	}
	if (err != nil) != (crossed > 0) {
		t.Fatalf("%v with thresholds %+v\n%s", err, got.Load.Thresholds, out)
	}
	for _, s := range got.Client.Find("checks", nil) {
		if s.Fails > 0 {
			t.Errorf("check %q failed %d times\n%s", s.Tags["check"], s.Fails, out)
		}
	}
	return got, out.String()
}

// judgesSpeed tells whether a threshold depends on how fast this machine is: percentiles of times, and the iterations that found no free VU.
func judgesSpeed(t result.Threshold) bool {
	return strings.HasPrefix(t.Expression, "p(") || t.Metric == "dropped_iterations"
}

// testScripts runs every script for a second: each ends with its thresholds kept and no check failed. Scripts that can run a sink of their
// own do.
func testScripts(t *testing.T, binary string) {
	scripts := []scriptRun{
		{name: "calm", expects: "smtp_messages"},
		{name: "bounce-storm", reply: "message=250:2,450:1,550:2", env: []string{"MAX_FAILED=0.95"}, expects: "mail_bounced"},
		{name: "ramping-arrival-rate", expects: "smtp_messages"},
		{name: "soak", expects: "smtp_msg_duration"},
		{name: "workload", env: []string{"SEED=7"}, expects: "step_in_time"},
		{name: "connection-churn", expects: "smtp_conn_banner"},
		{name: "large-attachments", env: []string{"MEGABYTES=1", "RATE=3", "CHUNKING=1"}, expects: "smtp_msg_sending"},
		{name: "tls-handshakes", own: true, expects: "smtp_conn_tls_handshaking"},
		{name: "auth-storm", own: true, expects: "smtp_conn_auth"},
		{name: "mixed-recipients", reply: "rcpt=250:90,550/5.1.1:10", expects: "recipients_refused"},
		{name: "shared-array", expects: "smtp_messages"},
		{name: "delivery", own: true, expects: "smtp_delivery_duration"},
		{name: "ci-thresholds", own: true, expects: "smtp_sink_replies"},
		{name: "smoke", own: true, expects: "smtp_sink_replies"},
		{name: "spike", delay: "message=50ms", env: []string{"SPIKE=1s", "VUS=2"}, expects: "dropped_iterations"},
	}
	files, err := filepath.Glob(filepath.Join("..", "scripts", "*.js"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !slices.ContainsFunc(scripts, func(s scriptRun) bool {
			return s.name+".js" == filepath.Base(file)
		}) {
			t.Errorf("%s is run by no test", file)
		}
	}
	for _, script := range scripts {
		t.Run(script.name, func(t *testing.T) {
			t.Parallel()
			record := filepath.Join(t.TempDir(), "run.json")
			args := []string{"--env", "DURATION=1s"}
			if !slices.ContainsFunc(script.env, func(e string) bool { return strings.HasPrefix(e, "RATE=") }) {
				args = append(args, "--env", "RATE=20")
			}
			if !script.own {
				flags := fault.Flags{Seed: 7}
				if script.reply != "" {
					flags.Replies = []string{script.reply}
				}
				if script.delay != "" {
					flags.Delays = []string{script.delay}
				}
				host, port, err := net.SplitHostPort(sinktest.Start(t, sinktest.WithFlags(flags)).Addr("").String())
				if err != nil {
					t.Fatal(err)
				}
				args = append(args, "--env", "SMTP_HOST="+host, "--env", "SMTP_PORT="+port)
			}
			for _, e := range script.env {
				args = append(args, "--env", e)
			}
			got, out := runScript(t, binary, record, append(args, filepath.Join("..", "scripts", script.name+".js"))...)
			if len(got.Client.Find(script.expects, nil)) == 0 {
				t.Errorf("no %s in the record\n%s", script.expects, out)
			}
			if marked := slices.ContainsFunc(got.Notes, func(n string) bool { return strings.HasPrefix(n, "sink: in-process") }); marked != script.own {
				t.Errorf("notes %q", got.Notes)
			}
		})
	}
}

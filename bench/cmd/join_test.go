package cmd

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/report"
	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/sink/testkit"
)

// flat is a text on one line: where its lines break is nobody's business here.
func flat(text string) string { return strings.Join(strings.Fields(text), " ") }

// build returns a directory with the real k6 and the real smtpsink.
func build(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: builds and runs the real k6")
	}
	dir := t.TempDir()
	for _, folder := range []string{"xk6smtp/cmd/k6", "sink/cmd/smtpsink"} {
		program, err := testkit.Program(folder)
		if err == nil {
			err = os.Symlink(program, filepath.Join(dir, filepath.Base(folder)))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// sinkProcess is a running smtpsink.
type sinkProcess struct {
	port string
	cmd  *exec.Cmd
	out  *os.File
	said *bufio.Reader
}

// startSink starts smtpsink, whose counters go to a file.
func startSink(t *testing.T, bin, counters string, args ...string) *sinkProcess {
	t.Helper()
	out, err := os.Create(counters)
	if err != nil {
		t.Fatal(err)
	}
	s := &sinkProcess{cmd: exec.Command(filepath.Join(bin, "smtpsink"), append(args, "--listen", "127.0.0.1:0", "--json")...), out: out}
	s.cmd.Stdout = out
	said, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.cmd.Process.Kill() })
	s.said = bufio.NewReader(said)
	line, err := s.said.ReadString('\n')
	_, address, ok := strings.Cut(line, "listening on 127.0.0.1:")
	if err != nil || !ok {
		t.Fatalf("smtpsink says %q, %v", line, err)
	}
	s.port, _, _ = strings.Cut(address, " ")
	return s
}

// controlURL reads on until smtpsink says where its control API is.
func (s *sinkProcess) controlURL(t *testing.T) string {
	t.Helper()
	for {
		line, err := s.said.ReadString('\n')
		if err != nil {
			t.Fatalf("smtpsink doesn't say where its control API is: %q, %v", line, err)
		}
		if _, at, ok := strings.Cut(strings.TrimSpace(line), "the control API is at "); ok {
			return at
		}
	}
}

// stop ends smtpsink in good order.
func (s *sinkProcess) stop(t *testing.T) {
	t.Helper()
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(s.said)
	if err := s.cmd.Wait(); err != nil {
		t.Fatalf("smtpsink: %v\n%s", err, rest)
	}
	if err := s.out.Close(); err != nil {
		t.Fatal(err)
	}
}

// runK6 runs a bundled script for a second and writes its record.
func runK6(t *testing.T, bin, record, script string, env ...string) {
	t.Helper()
	args := []string{"run", "--quiet", "--no-color", "-o", "smtpstorm=" + record, "--env", "DURATION=2s", "--env", "RATE=50", "--env", "VUS=10"}
	for _, e := range env {
		args = append(args, "--env", e)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "k6"), append(args, "../../scripts/"+script)...)
	cmd.Env = append(os.Environ(), "K6_NO_USAGE_REPORT=true", "K6_AUTO_EXTENSION_RESOLUTION=false")
	// On a busy machine arrivals are dropped, and thresholds crossed: the record is as good as any.
	if out, err := cmd.CombinedOutput(); err != nil && cmd.ProcessState.ExitCode() != result.ThresholdsCrossed {
		t.Errorf("k6: %v\n%s", err, out) // not Fatalf: two may run at once
	}
}

// TestJoinRealProcesses joins what a real k6 and a real smtpsink leave behind, and a run whose sink was within k6.
func TestJoinRealProcesses(t *testing.T) {
	bin := build(t)
	dir := t.TempDir()
	plan, err := filepath.Abs("../../scripts/plans/bounce-storm.yaml")
	if err != nil {
		t.Fatal(err)
	}
	path := func(name string) string { return filepath.Join(dir, name) }

	sink := startSink(t, bin, path("sink.json"), "--plan", plan)
	runK6(t, bin, path("run.json"), "bounce-storm.js", "SMTP_PORT="+sink.port, "MAX_FAILED=0.6")
	sink.stop(t)

	stdout, stderr, status := smtpbench(t, dir, "join", "sink.json", "run.json", "--plan", plan, "--out", "joined.json", "--label", "tuesday", "--html", "joined.html")
	if status != 0 || stderr != "" {
		t.Fatalf("join: status %d, stderr %q\n%s", status, stderr, stdout)
	}
	for _, want := range []string{"tuesday", "replies, every code at every stage", "rcpt 450 4.2.1", "verdict SOUND: each of the"} {
		if !strings.Contains(flat(stdout), want) {
			t.Errorf("join doesn't say %q:\n%s", want, stdout)
		}
	}
	joined, err := result.Read(path("joined.json"))
	if err != nil {
		t.Fatal(err)
	}
	p := joined.Provenance
	if p.SinkMode != result.SinkExternal || p.Plan.Name != "bounce-storm" || !strings.Contains(p.Plan.Text, "rules:") || p.Seed == 0 || joined.Label != "tuesday" {
		t.Errorf("provenance %+v, label %q", p, joined.Label)
	}
	rec := result.Reconcile(joined.Client, joined.Sink)
	if !rec.Balanced || rec.Injected < 100 || rec.Injected != rec.Observed+rec.InFlight {
		t.Errorf("reconciliation: %+v", rec.Totals)
	}
	planned := false
	for _, row := range rec.Rows {
		planned = planned || row.Drawn > 0 && row.Planned > 0
	}
	if !planned {
		t.Error("nothing was planned")
	}

	t.Run("as JSON", func(t *testing.T) {
		stdout, _, status := smtpbench(t, dir, "join", "run.json", "sink.json", "--json")
		var summary report.Summary
		if err := json.Unmarshal([]byte(stdout), &summary); err != nil || status != 0 || summary.Exit != 0 || summary.Legs[0].Reconciliation == nil {
			t.Errorf("status %d, %v:\n%.300s", status, err, stdout)
		}
	})
	t.Run("through an MTA nothing is compared", func(t *testing.T) {
		stdout, stderr, status := smtpbench(t, dir, "join", "run.json", "sink.json", "--mta", "Postfix 3.10", "--out", "mta.json")
		if status != 0 || stderr != "" || strings.Contains(stdout, "injected") {
			t.Errorf("status %d, stderr %q:\n%s", status, stderr, stdout)
		}
		stdout, stderr, status = smtpbench(t, dir, "compare", "joined.json", "mta.json")
		if status != 0 || stderr != "" || !strings.Contains(stdout, "smtp_msg_duration") {
			t.Errorf("compare with a direct run: status %d, stderr %q:\n%s", status, stderr, stdout)
		}
	})
	t.Run("bad input", func(t *testing.T) { testJoinBadInput(t, dir, plan) })
	t.Run("a stranger at the sink", func(t *testing.T) {
		sink := startSink(t, bin, path("shared.json"))
		runK6(t, bin, path("calm.json"), "calm.js", "SMTP_PORT="+sink.port)
		if err := smtp.SendMail("127.0.0.1:"+sink.port, nil, "stranger@src.test", []string{"b@dst.test"}, []byte("Subject: x\r\n\r\nx\r\n")); err != nil {
			t.Fatal(err)
		}
		sink.stop(t)
		stdout, stderr, status := smtpbench(t, dir, "join", "calm.json", "shared.json")
		if status != exitFailed || stderr != "" || !strings.Contains(flat(stdout), "verdict FAULTS: 6 harness-mismatch (connect 220: injected 11, observed 10, in flight 0: 1 unexplained") {
			t.Errorf("status %d, stderr %q\n%s", status, stderr, stdout)
		}
	})
	t.Run("two k6 at the same time", func(t *testing.T) {
		sink := startSink(t, bin, path("two-sink.json"), "--plan", plan)
		var loads sync.WaitGroup
		for _, run := range []string{"1", "2"} {
			loads.Go(func() {
				runK6(t, bin, path("load-"+run+".json"), "bounce-storm.js", "SMTP_PORT="+sink.port, "MAX_FAILED=0.6", "RUN="+run)
			})
		}
		loads.Wait()
		sink.stop(t)
		stdout, stderr, status := smtpbench(t, dir, "join", "load-1.json", "two-sink.json", "load-2.json", "--plan", plan, "--out", "two.json")
		if status != 0 || stderr != "" || !strings.Contains(stdout, "verdict  SOUND: each of the") {
			t.Fatalf("status %d, stderr %q\n%s", status, stderr, stdout)
		}
		var complete [3]uint64
		for i, name := range []string{"two.json", "load-1.json", "load-2.json"} {
			record, err := result.Read(path(name))
			if err != nil {
				t.Fatal(err)
			}
			complete[i] = record.Load.IterationsComplete
		}
		if complete[0] == 0 || complete[0] != complete[1]+complete[2] {
			t.Errorf("iterations: %d together, %d and %d apart", complete[0], complete[1], complete[2])
		}
		stdout, _, status = smtpbench(t, dir, "join", "load-1.json", "two-sink.json")
		if status != exitFailed || !strings.Contains(stdout, "verdict  FAULTS") {
			t.Errorf("with one of the two: status %d\n%s", status, stdout)
		}
	})
	t.Run("a sink within k6 is reported as it is", func(t *testing.T) {
		runK6(t, bin, path("within.json"), "ci-thresholds.js")
		stdout, stderr, status := smtpbench(t, dir, "report", "within.json")
		if status != 0 || stderr != "" || !strings.Contains(stdout, "replies, every code at every stage") || !strings.Contains(stdout, "(in-process)") {
			t.Errorf("status %d, stderr %q\n%s", status, stderr, stdout)
		}
		record, err := result.Read(path("within.json"))
		if err != nil || record.Provenance.SinkMode != result.SinkInProcess || record.Sink == nil {
			t.Fatalf("record: %v, %+v", err, record.Provenance)
		}
		stdout, _, status = smtpbench(t, dir, "compare", "joined.json", "within.json", "--html", "both.html", "--json")
		var both report.Summary
		if err := json.Unmarshal([]byte(stdout), &both); err != nil || status != 0 || len(both.Legs) != 2 {
			t.Fatalf("compare: status %d, %v\n%.300s", status, err, stdout)
		}
		for _, leg := range both.Legs {
			if leg.Reconciliation == nil || !leg.Reconciliation.Balanced {
				t.Errorf("compare: %s: %+v", leg.Label, leg.Reconciliation)
			}
		}
		_, stderr, status = smtpbench(t, dir, "join", "within.json", "sink.json")
		if status != exitUsage || !strings.Contains(stderr, "its sink ran within k6") {
			t.Errorf("join of a complete record: status %d, stderr %q", status, stderr)
		}
	})
}

// testJoinBadInput breaks the files of a good run.
func testJoinBadInput(t *testing.T, dir, plan string) {
	write := func(name string, text []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func(name string) []byte {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	run, sink := read("run.json"), read("sink.json")
	write("torn-run.json", run[:len(run)/2])
	write("torn-sink.json", sink[:len(sink)/2])
	write("run.json.partial", run[:len(run)-20])
	write("copy.json", run)
	write("empty.json", nil)
	write("ledger.jsonl", []byte(`{"kind":"header","format":"smtpstorm-ledger/1"}`+"\n"+`{"kind":"connection"}`+"\n"))
	write("points.json", []byte(`{"type":"Metric","data":{}}`+"\n"+`{"type":"Point"}`+"\n"))
	write("list.json", []byte("[1,2]"))
	write("object.json", []byte("{}"))
	write("future.json", bytes.Replace(run, []byte(result.Schema), []byte("smtpstorm/run/9"), 1))
	write("twin.json", sink)
	write("other-seed.json", bytes.Replace(bytes.Replace(sink, []byte(`"seed": `), []byte(`"seed": 1`), 1), []byte(`"seconds": `), []byte(`"seconds": 1`), 1))
	write("late.json", bytes.Replace(sink, []byte(`"started": "20`), []byte(`"started": "21`), 1))
	write("stage.json", bytes.Replace(sink, []byte(`"stage": "rcpt"`), []byte(`"stage": "lunch"`), 1))
	write("other.yaml", []byte("version: 1\nname: other\n"))
	for _, tt := range []struct{ args, want string }{
		{"run.json", "got 1 argument, want the record of k6, or those of several, and the counters"},
		{"run.json nowhere.json", "nowhere.json can't be read: no such file"},
		{"run.json .", ". can't be read: is a directory"},
		{"run.json run.json", "run.json is named twice"},
		{"run.json run.json sink.json", "run.json is named twice"},
		{"run.json copy.json sink.json", "run.json and copy.json are the same record"},
		{"run.json copy.json", "run.json and copy.json are all records of k6"},
		{"sink.json sink.json", "sink.json is named twice"},
		{"run.json sink.json twin.json", "sink.json and twin.json are the same counters"},
		{"run.json sink.json other-seed.json", "ran different plans, or had different seeds"},
		{"joined.json sink.json", "holds a sink's part already"},
		{"torn-run.json sink.json", "torn-run.json: the file is torn"},
		{"run.json torn-sink.json", "torn-sink.json: the file is torn"},
		{"run.json.partial sink.json", "the record is incomplete"},
		{"run.json empty.json", "empty.json: the file is empty"},
		{"run.json ledger.jsonl", "ledger.jsonl: a ledger, and not counters"},
		{"points.json sink.json", "run k6 with -o smtpstorm=FILE"},
		{"run.json list.json", "list.json: neither a record of k6"},
		{"run.json object.json", "object.json: neither a record of k6"},
		{"future.json sink.json", `unknown schema "smtpstorm/run/9"`},
		{"run.json late.json", "are not of one run"},
		{"run.json stage.json", "lunch"},
		{"run.json sink.json --plan other.yaml", `the sink ran another plan than other.yaml: "bounce-storm"`},
		{"run.json sink.json --plan nowhere.yaml", "nowhere.yaml"},
		{"run.json sink.json --out none/joined.json", "none/joined.json can't be written"},
		{"run.json sink.json --plam " + plan, "unknown flag: --plam"},
	} {
		stdout, stderr, status := smtpbench(t, dir, append([]string{"join"}, strings.Fields(tt.args)...)...)
		if status != exitUsage || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, tt.want) {
			t.Errorf("join %s: status %d, stdout %.60q, stderr %q; want status 2 and one line with %q", tt.args, status, stdout, stderr, tt.want)
		}
	}
}

// TestJoinOfARunningSink warns of counters that are not the last ones; a sink without a plan has none that could be another.
func TestJoinOfARunningSink(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	record := result.New("")
	record.Provenance.Started, record.Provenance.Ended = now, now.Add(time.Minute)
	record.Client = &result.Client{}
	if err := record.Write(filepath.Join(dir, "run.json")); err != nil {
		t.Fatal(err)
	}
	stats := `{"driver":"net","started":"2026-01-02T03:04:00Z","seconds":30,"replies":[],"open":2}`
	if err := os.WriteFile(filepath.Join(dir, "sink.json"), []byte(stats), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "plan.yaml"), []byte("version: 1\nname: some\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, status := smtpbench(t, dir, "join", "run.json", "sink.json")
	if status != exitFailed || stderr != "" || !strings.Contains(flat(stdout), "2 connections were open") || !strings.Contains(flat(stdout), "1 harness-mismatch (the sink saw no client") {
		t.Errorf("status %d, stderr %q\n%s", status, stderr, stdout)
	}
	if _, stderr, status = smtpbench(t, dir, "join", "run.json", "sink.json", "--plan", "plan.yaml"); status != exitUsage || !strings.Contains(stderr, "the sink ran no plan") {
		t.Errorf("status %d, stderr %q", status, stderr)
	}
}

package cmd

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/sink/testkit"
)

// binary is the built command.
var binary string

func TestMain(m *testing.M) {
	var err error
	if binary, err = testkit.Program("bench/cmd/smtpbench"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// smtpbench runs the built command in a directory and returns what it said and its exit status.
func smtpbench(t *testing.T, dir string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.Command(binary, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	overdue := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer overdue.Stop()
	var exited *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exited) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// fakeVersion makes a script answer as a k6 with the extension does when it is asked for its version.
const fakeVersion = `[ "$1" = version ] && echo "k6 v2.2.0" && echo "  github.com/smtpstorm/xk6-smtp (devel), k6/x/smtp [js]" && exit 0
`

// workspace is a directory like a checkout: scripts, a plan that is broken, and a k6 that does nothing.
func workspace(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"scripts/calm.js":                        "// calm",
		"scripts/bounce-storm.js":                "// storm",
		"scripts/plans/bounce-storm.yaml":        "version: 1\n",
		"scripts/plans/tempfail-rcpt-30.yaml":    "version: 1\n",
		"broken.yaml":                            "version: 1\nrulez: []\n",
		"bin/k6":                                 "#!/bin/sh\n" + fakeVersion,
		"bin/other-k6":                           "#!/bin/sh\necho k6 v2.2.0\n",
		"my.js":                                  "// mine",
		"record.json":                            `{"schema":"smtpstorm/run/1"}`,
		"old.json":                               `{"schema":"smtpstorm/run/0"}`,
		"text.json":                              "hello",
		"thesis/chapter-1.txt":                   "",
		"results/latest/summary-is-missing.html": "",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestBadInputIsOneLineAndStatus2(t *testing.T) {
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() }) // after the parallel subtests, unlike a deferred call
	for _, tt := range []struct {
		args string
		want []string // parts of the line
	}{
		{"storm", []string{"--mta is missing", "postfix exim haraka"}},
		{"storm --mta postfix", []string{"--storm is missing", "s01-outage-421"}},
		{"storm --mta haraka --storm outage", []string{"outage: no such file", "s01-outage-421"}},
		{"storm --mta haraka --storm S1 --messages 0", []string{"--messages 0"}},
		{"storm --mta haraka --storm S1 --cutoff 0s", []string{"--cutoff 0s"}},
		{"storm --mta haraka --storm S1 --backoff 0s", []string{"--backoff 0s"}},
		{"storm --mta sendmail --storm S18", []string{"not applicable", "sendmail can't be told to send from several addresses"}},
		{"storm --mta dma --storm S11", []string{"not applicable", "dma can't be told when to give up"}},
		{"storm --mta sendmail --storm S15", []string{"not applicable", "sendmail can't be given next hops"}},
		{"storm --mta-address 127.0.0.1:9 --storm S1", []string{"--sink-listen is missing"}},
		{"storm --mta postfix --sink-listen 127.0.0.1:9 --storm S1", []string{"go with --mta-address"}},
		{"storm --mta-address 127.0.0.1:9 --sink-listen 127.0.0.1:10 --storm S1 --log x", []string{"--log-format"}},
		{"storm report nowhere", []string{"nowhere", "no such file"}},
		{"storm weather", []string{"weather"}},
		{"ruin", []string{`unknown command "ruin"`, "did you mean run?", "capacity compare completion export history join judge merge mta plot relay report run scripts storm version"}},
		{"run --ratte 5", []string{"unknown flag: --ratte", "--rate "}},
		{"run --rate fast", []string{`"fast"`, "--rate"}},
		{"run --rate 0", []string{"--rate 0", "more than 0"}},
		{"run --rate 0.5", []string{"--rate 0.5", "a whole number"}},
		{"run --dashboard-listen 127.0.0.1:0", []string{"goes with --dashboard"}},
		{"run --dashboard --scripts scripts", []string{".dashboard.json can't be read"}},
		{"run --rate -3", []string{"--rate -3", "more than 0"}},
		{"run --vus many", []string{`"many"`, "--vus"}},
		{"run a.js b.js", []string{"got 2 arguments", "at most one script"}},
		{"run --k6 nowhere/k6", []string{"nowhere/k6", "build it with: make build"}},
		{"run --k6 my.txt", []string{"my.txt", "build it with: make build"}},
		{"run missing", []string{"script missing can't be read", "no built-in script", "connection-churn"}},
		{"run --plan missing", []string{"missing: no such file", "no built-in plan", "flapping"}},
		{"run --seed -1", []string{"--seed", `"-1"`, "whole number from 0"}},
		{"run --target= --sink-listen 127.0.0.1:1", []string{"--target", "empty", "variable"}},
		{"run --random-accept 0.5", []string{"--random-accept goes with --mode random"}},
		{"run --k6 /bin/true", []string{"/bin/true", "smtp extension", "make build"}},
		{"run --k6 bin/other-k6", []string{"bin/other-k6", "smtp extension", "make build"}},
		{"scripts storm", []string{`"storm"`, "bounce-storm"}},
		{"scripts --write scripts", []string{"scripts/calm.js", "there already"}},
		{"scripts calm spike", []string{"2 names", "--write"}},
		{"completion tcsh", []string{`"tcsh"`, "bash zsh fish"}},
		{"run missing.js", []string{"script missing.js can't be read", "no such file"}},
		{"run thesis", []string{"script thesis can't be read"}},
		{"run --scripts thesis", []string{"no calm.js in thesis"}},
		{"run --plan missing.yaml", []string{"missing.yaml", "no such file"}},
		{"run --plan broken.yaml", []string{"broken.yaml:2:", "rulez"}},
		{"run --mode sunny", []string{"--mode", `"sunny"`, "accept", "bounce", "unavailable"}},
		{"run --mode bounce --at lunch", []string{"--at", `"lunch"`, "rcpt"}},
		{"run --reply rcpt=900", []string{"--reply", `"900"`, "200 to 599"}},
		{"run --reply rcpt=250:lots", []string{"--reply", `"lots"`}},
		{"run --delay rcpt=soon", []string{"--delay", "soon"}},
		{"run --seed minus", []string{`"minus"`, "--seed"}},
		{"run --mta exchange", []string{`"exchange"`, "auto postfix none"}},
		{"run --target 192.0.2.1:25 --sink-listen 127.0.0.1:0", []string{"192.0.2.1:25", "--i-own-this-target"}},
		{"run --target 127.0.0.1:1", []string{"--sink-listen"}},
		{"run --target 127.0.0.1:1 --out new --sink-listen " + taken.Addr().String(), []string{taken.Addr().String(), "in use"}},
		{"run --out my.js", []string{"--out my.js", "not a directory"}},
		{"run --out my.js/results", []string{"--out my.js/results"}},
		{"run --out thesis", []string{"--out thesis", "holds something else"}},
		{"run", []string{"--out results/latest", "holds something else"}},
		{"compare record.json", []string{"record.json is no directory of smtpbench run --runs", "smtpbench compare A... -- B..."}},
		{"compare record.json text.json record.json", []string{"3 arguments and no -- that parts A from B"}},
		{"compare record.json -- record.json --json", []string{"--json stands behind the --", "flags go before it"}},
		{"compare record.json --", []string{"no record on one side of --"}},
		{"compare --json --csv record.json -- record.json", []string{"--json, --csv and --markdown exclude each other"}},
		{"compare --margin 0 record.json -- record.json", []string{"--margin 0: want percent"}},
		{"compare --undecided pass record.json -- record.json", []string{"--undecided goes with --fail-on"}},
		{"compare --fail-on p99>1 record.json -- record.json", []string{"--fail-on", "want STATISTIC(METRIC)>LIMIT"}},
		{"compare record.json missing.json", []string{"missing.json", "no such file"}},
		{"compare record.json text.json", []string{"text.json", "not a run record"}},
		{"compare record.json old.json", []string{"old.json", "smtpstorm/run/0", "smtpstorm/run/1"}},
		{"compare record.json record.json --html thesis/none/x.html", []string{"thesis/none/x.html", "no such file"}},
		{"report", []string{"got 0 arguments", "one to four"}},
		{"report record.json --", []string{"no record on one side of --"}},
		{"report thesis", []string{"directory thesis holds no run records"}},
		{"plot", []string{"got 0 arguments", "two groups of them"}},
		{"plot missing.json", []string{"missing.json", "no such file"}},
		{"plot record.json record.json record.json record.json record.json", []string{"5 records: want one to four"}},
		{"plot --svg x.svg record.json", []string{"--svg and --png go with --figure"}},
		{"plot record.json", []string{"there is nothing to draw in record.json"}},
		{"capacity calm", []string{"got 1 argument, want no argument", "workload"}},
		{"capacity --from 0", []string{"--from 0: want 1 to 100000"}},
		{"capacity --from 10 --to 5", []string{"--to 5: want 10 (--from) to 100000"}},
		{"capacity --precision 0", []string{"--precision 0: want 1 to 100 percent"}},
		{"capacity --duration 0s", []string{"--duration 0s"}},
		{"capacity --mta exim", []string{`--mta "exim"`, "none postfix"}},
		{"capacity --vus 0", []string{"--vus 0"}},
		{"capacity --env RATE=7", []string{"--env RATE=7: the search sets RATE itself"}},
		{"report a b c d e", []string{"got 5 arguments", "one to four"}},
		{"version 1", []string{"got 1 argument,"}},
	} {
		t.Run(tt.args, func(t *testing.T) {
			t.Parallel()
			dir := workspace(t)
			before := tree(t, dir)
			stdout, stderr, status := smtpbench(t, dir, strings.Fields(tt.args)...)
			if status != exitUsage {
				t.Errorf("exit status %d, want %d", status, exitUsage)
			}
			if !strings.HasPrefix(stderr, "smtpbench: ") || strings.Count(stderr, "\n") != 1 {
				t.Errorf("stderr %q, want one line", stderr)
			}
			for _, part := range tt.want {
				if !strings.Contains(stderr, part) {
					t.Errorf("stderr %q lacks %q", stderr, part)
				}
			}
			if strings.Contains(stdout, "Usage:") {
				t.Errorf("the usage was printed for an error:\n%s", stdout)
			}
			if after := tree(t, dir); after != before {
				t.Errorf("files changed from\n%s\nto\n%s", before, after)
			}
		})
	}
}

// tree lists all paths below a directory.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		b.WriteString(path + "\n")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestK6IsMissing(t *testing.T) {
	dir := workspace(t)
	if err := os.Remove(filepath.Join(dir, "bin", "k6")); err != nil {
		t.Fatal(err)
	}
	_, stderr, status := smtpbench(t, dir, "run")
	if status != exitUsage || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, "build it with: make build") {
		t.Errorf("status %d, stderr %q; want 2 and how to build k6", status, stderr)
	}
}

func TestHelpHasExamples(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"run", "--help"}, {"join", "--help"}, {"compare", "--help"}, {"report", "--help"}} {
		stdout, stderr, status := smtpbench(t, t.TempDir(), args...)
		if status != 0 || stderr != "" || !strings.Contains(stdout, "Examples:") || !strings.Contains(stdout, "  smtpbench ") {
			t.Errorf("%v: status %d, stderr %q, stdout:\n%s", args, status, stderr, stdout)
		}
	}
}

func TestVersion(t *testing.T) {
	for _, arg := range []string{"version", "--version"} {
		stdout, _, status := smtpbench(t, t.TempDir(), arg)
		if status != 0 || !strings.HasPrefix(stdout, "smtpbench ") || !strings.Contains(stdout, runtime.Version()) || strings.Count(stdout, "\n") != 1 {
			t.Errorf("%s: status %d, stdout %q", arg, status, stdout)
		}
	}
}

// writeRecord writes a record with one latency of some milliseconds.
func writeRecord(t *testing.T, path, label string, ms float64) {
	t.Helper()
	h := &result.Histogram{}
	for i := range 2000 {
		h.Record(ms + float64(i%100)/100)
	}
	r := result.New(label)
	r.Client = &result.Client{Series: []result.Series{{Metric: "smtp_msg_duration", Type: result.Trend, Unit: result.UnitMillis, Histogram: h}}}
	if err := r.Write(path); err != nil {
		t.Fatal(err)
	}
}

func TestCompare(t *testing.T) {
	dir := t.TempDir()
	writeRecord(t, filepath.Join(dir, "a.json"), "monday", 10)
	writeRecord(t, filepath.Join(dir, "b.json"), "monday", 20) // the same label: told apart by the file
	stdout, stderr, status := smtpbench(t, dir, "compare", "a.json", "b.json", "--html", "diff.html")
	if status != 0 || stderr != "" {
		t.Fatalf("status %d, stderr %q", status, stderr)
	}
	for _, part := range []string{"monday", "monday (b.json)", "smtp_msg_duration", "p99", "+10", "within-run"} {
		if !strings.Contains(stdout, part) {
			t.Errorf("the table lacks %q:\n%s", part, stdout)
		}
	}
	page, err := os.ReadFile(filepath.Join(dir, "diff.html"))
	if err != nil || !bytes.Contains(page, []byte("monday (b.json)")) {
		t.Errorf("page: %v, %d octets, want both runs in it", err, len(page))
	}
	stdout, _, status = smtpbench(t, dir, "compare", "a.json", "b.json", "--json")
	if status != 0 || !strings.HasPrefix(stdout, "{") || !strings.Contains(stdout, `"smtp_msg_duration"`) {
		t.Errorf("--json: status %d:\n%.300s", status, stdout)
	}
}

// writeGroup writes five runs of 2,000 messages each, in a directory of their own.
func writeGroup(t *testing.T, dir string, ms float64, first int) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		path := filepath.Join(dir, fmt.Sprintf("%d.json", i))
		writeRecord(t, path, "", ms+float64(i)/10)
		r, err := result.Read(path)
		if err != nil {
			t.Fatal(err)
		}
		r.Provenance.Started = time.Date(2026, 11, 1, 12, 2*i+first, 0, 0, time.UTC)
		r.Client.Series[0].Tags = result.Tags{"code": "250"}
		r.Client.Series = append(r.Client.Series, result.Series{Metric: "smtp_msg_failed", Type: result.Rate, Fails: 2000})
		if err := r.Write(path); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "summary.json"), []byte(`{"title": "no record"}`), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCompareGroups(t *testing.T) {
	dir := t.TempDir()
	writeGroup(t, filepath.Join(dir, "a"), 10, 0)
	writeGroup(t, filepath.Join(dir, "b"), 20, 1)
	for _, tt := range []struct {
		args   string
		status int
		want   []string
	}{
		{"compare a -- b", 0, []string{"verdict  p50 of the whole message is greater with B", "unpaired, interleaved: ABABABABAB", "0.008  greater", "share(failed)", "95%"}},
		{"compare a/0.json a/1.json a/2.json a/3.json a/4.json -- b", 0, []string{"verdict  p50 of the whole message is greater with B"}},
		{"compare a b", 0, []string{"verdict  p50 of the whole message is greater with B"}},
		{"compare --csv a -- b", 0, []string{"measure,family,unit,", "p50(msg_duration),primary,ms,5,5,"}},
		{"compare --markdown a -- b", 0, []string{"**p50 of the whole message is greater with B", "| p50(msg\\_duration) |", "<details>"}},
		{"compare --json a -- b", 0, []string{`"schema": "smtpstorm/comparison/1"`, `"verdict": "greater"`}},
		{"compare --fail-on p50(msg_duration)>+10% a -- b", 1, []string{"verdict  p50(msg_duration)>+10%: crossed, proved"}},
		{"compare --fail-on p50(msg_duration)>+10% b -- a", 0, []string{"holds, proved"}},
		{"compare --fail-on p50(msg_duration)>+95% a -- b", 3, []string{"undecided"}},
		{"compare --fail-on p50(msg_duration)>+95% --undecided pass a -- b", 0, []string{"undecided"}},
		{"compare --fail-on p50(msg_duration)>+95% --undecided fail a -- b", 1, []string{"undecided"}},
		{"compare --html diff.html a -- b", 0, nil},
		{"report a -- b", 0, []string{"verdict  p50 of the whole message is greater with B"}},
		{"report --html report.html --json a -- b", 0, []string{`"schema": "smtpstorm/comparison/1"`}},
		{"plot a -- b", 0, []string{"curve-smtp_msg_duration-accepted", "shift-smtp_msg_duration-accepted"}},
		{"plot --figure shift-smtp_msg_duration-accepted a -- b", 0, []string{"<svg", "</svg>"}},
		{"plot --figure curve-smtp_msg_duration --svg curve.svg --png curve.png a/0.json a/1.json", 0, nil},
	} {
		stdout, stderr, status := smtpbench(t, dir, strings.Fields(tt.args)...)
		if status != tt.status || stderr != "" {
			t.Errorf("%s: status %d, want %d; stderr %q", tt.args, status, tt.status, stderr)
		}
		for _, part := range tt.want {
			if !strings.Contains(stdout, part) {
				t.Errorf("%s: lacks %q:\n%s", tt.args, part, stdout)
			}
		}
		if tt.args == "compare a -- b" {
			for line := range strings.Lines(stdout) {
				if n := len([]rune(strings.TrimRight(line, "\n"))); n > 80 {
					t.Errorf("a line of %d columns: %s", n, line)
				}
			}
		}
	}
	page, err := os.ReadFile(filepath.Join(dir, "diff.html"))
	if err != nil || !bytes.Contains(page, []byte("is greater with B")) || bytes.Count(page, []byte("<svg")) < 2 {
		t.Errorf("page: %v, %d octets, want the verdict and charts in it", err, len(page))
	}
	for file, begin := range map[string]string{"report.html": "<!DOCTYPE html>", "curve.svg": "<?xml", "curve.png": "\x89PNG"} {
		if text, err := os.ReadFile(filepath.Join(dir, file)); err != nil || !bytes.HasPrefix(text, []byte(begin)) {
			t.Errorf("%s: %v, begins with %.20q", file, err, text)
		}
	}
	for args, want := range map[string]string{
		"compare a/0.json -- a/0.json":       "a/0.json is on both sides",
		"compare a -- a":                     "a/0.json is on both sides",
		"compare a/0.json a/0.json -- b":     "a/0.json is given twice",
		"compare a":                          "a/0.json does not say which side it is of",
		"compare a -- .":                     "directory . holds no run records",
		"compare a -- b/summary.json":        "b/summary.json: not a run record",
		"compare --warm-up 1s a -- b":        "a/0.json: it has no time windows, so that a warm-up of 1s can't be left out",
		"compare --fail-on p50(x)>1% a -- b": "no record has x (they have msg_duration)",
		"compare --html a/0.json a -- b":     "it is the same file as a/0.json, which is an input",
		"report --html a/0.json a -- b":      "it is the same file as a/0.json, which is an input",
		"plot --figure moon a/0.json":        `--figure "moon": these records have no such figure (there are: curve-smtp_msg_duration`,
		"plot --figure curve-smtp_msg_duration --png a/0.json a/0.json":            "--png: a/0.json can't be written: it is the same file as a/0.json, which is an input",
		"plot --figure curve-smtp_msg_duration --svg b/summary.json a/0.json":      "--svg: b/summary.json",
		"plot --figure curve-smtp_msg_duration --svg none/x.svg a/0.json a/1.json": "--svg: none/x.svg",
	} {
		stdout, stderr, status := smtpbench(t, dir, strings.Fields(args)...)
		if status != 2 || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, want) {
			t.Errorf("%s: status %d, stdout %q, stderr %q, want %q", args, status, stdout, stderr, want)
		}
	}
}

func TestMerge(t *testing.T) {
	dir := t.TempDir()
	writeGroup(t, filepath.Join(dir, "a"), 10, 0)
	held := result.Threshold{Metric: "smtp_msg_duration", Expression: "p(95)<11", OK: false}
	for i := range 2 {
		path := filepath.Join(dir, "a", fmt.Sprintf("%d.json", i))
		r, err := result.Read(path)
		if err != nil {
			t.Fatal(err)
		}
		r.Load.Thresholds = []result.Threshold{held, {Metric: "smtp_msg_duration", Expression: "max<1", OK: true}}[i : i+1]
		if err := r.Write(path); err != nil {
			t.Fatal(err)
		}
	}
	stdout, stderr, status := smtpbench(t, dir, "merge", "a/2.json", "a/3.json", "a/0.json", "--out", "m.json", "--label", "all")
	if status != 99 && status != 0 || stderr != "" || !strings.Contains(stdout, "all") {
		t.Fatalf("status %d, stderr %q:\n%s", status, stderr, stdout)
	}
	r, err := result.Read(filepath.Join(dir, "m.json"))
	if err != nil || r.Client.Total("smtp_msg_duration", nil).Count() != 6000 || r.Label != "all" {
		t.Errorf("the merged record: %v %+v", err, r)
	}
	if stdout, _, status = smtpbench(t, dir, "merge", "a/1.json", "a/2.json"); status != 99 || !strings.Contains(stdout, "thresholds crossed by the merged figures: smtp_msg_duration max<1") {
		t.Errorf("status %d:\n%s", status, stdout)
	}
	for args, want := range map[string]string{
		"merge a/0.json":                         "got 1 argument, want two records or more",
		"merge a/0.json a/0.json":                "a/0.json and a/0.json are records of one run",
		"merge a/0.json a/summary.json":          "a/summary.json: not a run record",
		"merge a/0.json a/1.json --out a/0.json": "it is the same file as a/0.json, which is an input",
	} {
		if stdout, stderr, status := smtpbench(t, dir, strings.Fields(args)...); status != 2 || stdout != "" || !strings.Contains(stderr, want) {
			t.Errorf("%s: status %d, stderr %q, want %q", args, status, stderr, want)
		}
	}
}

func TestHistory(t *testing.T) {
	dir := t.TempDir()
	writeGroup(t, filepath.Join(dir, "a"), 10, 0)
	writeGroup(t, filepath.Join(dir, "b"), 20, 100)
	for i := range 5 {
		path := filepath.Join(dir, "b", fmt.Sprintf("%d.json", i))
		r, err := result.Read(path)
		if err != nil {
			t.Fatal(err)
		}
		r.Provenance.Commit = "0123456789abcdef"
		if err := r.Write(path); err != nil {
			t.Fatal(err)
		}
	}
	stdout, stderr, status := smtpbench(t, dir, "history", "b", "a", "--measure", "p50(msg_duration)", "--svg", "h.svg")
	if status != 0 || stderr != "" || !strings.Contains(strings.Join(strings.Fields(stdout), " "), "p50 of the whole message went from 10.7 ms to 20.7 ms at commit 0123456789ab (run 6 of 10, b/0.json)") {
		t.Errorf("status %d, stderr %q:\n%s", status, stderr, stdout)
	}
	if drawing, err := os.ReadFile(filepath.Join(dir, "h.svg")); err != nil || !bytes.Contains(drawing, []byte("<svg")) {
		t.Errorf("the drawing: %v", err)
	}
	if stdout, _, status := smtpbench(t, dir, "history", "a", "b", "--json"); status != 0 || !strings.Contains(stdout, `"index": 5`) {
		t.Errorf("--json: status %d\n%.300s", status, stdout)
	}
	for args, want := range map[string]string{
		"history .":                      "directory . holds no run records",
		"history a --svg x.svg":          "--svg goes with --measure",
		"history a --measure p50":        "want STATISTIC(METRIC)",
		"history a a":                    "a/0.json is given twice",
		"history a --measure p50(msg_x)": "no record has smtp_msg_x",
	} {
		if stdout, stderr, status := smtpbench(t, dir, strings.Fields(args)...); status != 2 || stdout != "" || !strings.Contains(stderr, want) {
			t.Errorf("%s: status %d, stderr %q, want %q", args, status, stderr, want)
		}
	}
}

func TestExportBenchfmt(t *testing.T) {
	dir := t.TempDir()
	writeGroup(t, filepath.Join(dir, "a"), 10, 0)
	stdout, stderr, status := smtpbench(t, dir, "export", "--benchfmt", "a")
	if status != 0 || stderr != "" || strings.Count(stdout, "BenchmarkSMTP/metric=smtp_msg_duration/outcome=accepted\t2000\t10.495 p50-ms\t") != 1 ||
		strings.Count(stdout, "BenchmarkSMTP/messages\t2000\t0 failed-%\t0 deferred-%") != 5 || strings.Count(stdout, "\n") != 10 {
		t.Errorf("status %d, stderr %q:\n%s", status, stderr, stdout)
	}
	for args, want := range map[string]string{"export a": "say in which format (valid: --benchfmt)", "export --benchfmt a/summary.json": "a/summary.json: not a run record"} {
		if stdout, stderr, status := smtpbench(t, dir, strings.Fields(args)...); status != 2 || stdout != "" || !strings.Contains(stderr, want) {
			t.Errorf("%s: status %d, stderr %q, want %q", args, status, stderr, want)
		}
	}
}

package cmd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// The ways in which run works; the arguments that choose each.
var modes = []struct {
	name string
	args string
}{
	{"bundled", "--mta none"},
	{"script", "my.js"},
	{"target", "--target 127.0.0.1:1 --sink-listen 127.0.0.1:0"},
}

// flagRow says what becomes of a flag in each mode: a text that shows that it was obeyed, in k6's command line, in its environment, or in what
// smtpbench says; or "refused: " and a text of the error.
type flagRow struct {
	args string
	want [3]string
}

// seen is a row whose effect is the same in all modes.
func seen(args, effect string) flagRow { return flagRow{args, [3]string{effect, effect, effect}} }

// no is a row's refusal in a mode.
const no = "refused: "

// flagTable has every flag of run, by its name. What a flag does beyond what shows here, such as the length of a leg, package run tests.
var flagTable = map[string][]flagRow{
	"out":      {seen("--out elsewhere", "output: elsewhere-")},
	"messages": {seen("--messages 77", "MESSAGES=77"), seen("--messages 0", no+"--messages 0")},
	"vus":      {seen("--vus 7", "VUS=7"), seen("--vus 0", no+"--vus 0")},
	"rate":     {seen("--rate 7", "RATE=7"), seen("--rate 7 --messages 14", "DURATION=2"), seen("--rate 0", no+"--rate 0")},
	"max-time": {seen("--max-time 0", no+"--max-time 0"), seen("--max-time -1s", no+"--max-time")},
	"env":      {seen("--env SIZE=12", "SIZE=12"), seen("--env SIZE", no+"NAME=VALUE")},
	"plan":     {seen("--plan missing.yaml", no+"missing.yaml"), seen("--plan greylist", "k6: run"), seen("--plan calm --mode bounce", no+"--plan and --mode")},
	"mode":     {seen("--mode nice", no+"--mode"), seen("--mode offline --at connect", "k6: run")},
	"at":       {seen("--at rcpt", no+"--at"), seen("--mode bounce --at never", no+"--at")},
	"weight":   {seen("--weight 450:9", no+"--weight"), seen("--mode bounce --weight 450", no+"--weight")},
	"random-accept": {seen("--random-accept 0.5", no+"--random-accept"), seen("--mode bounce --random-accept 0.5", no+"--random-accept"),
		seen("--mode random --random-accept 0", no+"--random-accept"), seen("--mode random --random-accept 0.5", "k6: run")},
	"reply":             {seen("--reply rcpt=999", no+"--reply"), seen("--reply rcpt=450", "k6: run")},
	"delay":             {seen("--delay rcpt", no+"--delay"), seen("--delay rcpt=1ms", "k6: run")},
	"seed":              {seen("--seed -1", no+"--seed"), seen("--seed 1", "k6: run")},
	"mta":               {{"--mta postfix --mta none", [3]string{"k6: run", "k6: run", no + "--mta none and --target"}}, {"--mta auto", [3]string{"k6: run", no + "--mta auto", no + "--mta auto"}}},
	"target":            {{"--target 127.0.0.1:9", [3]string{no + "--mta none and --target", no + "--sink-listen", "SMTP_PORT=9"}}},
	"sink-listen":       {{"--sink-listen 127.0.0.1:0", [3]string{no + "--target", no + "--target", "k6: run"}}},
	"i-own-this-target": {{"--i-own-this-target", [3]string{no + "--target", "k6: run", "k6: run"}}, seen("", "K6_BLACKLIST_IPS=128.0.0.0/1,")},
	"cutoff":            {{"--cutoff 3", [3]string{no + "--cutoff", no + "--cutoff", "k6: run"}}, seen("--cutoff 0", no+"--cutoff")},
	"queue-command":     {{"--queue-command true", [3]string{no + "--queue-command", no + "--queue-command", "k6: run"}}},
	"minimal-backoff":   {{"--minimal-backoff 5m", [3]string{no + "--minimal-backoff", no + "--minimal-backoff", "k6: run"}}, seen("--minimal-backoff 0", no+"--minimal-backoff"), seen("--minimal-backoff soon", no+"--minimal-backoff")},
	"runs":              {seen("--runs 2", no+"--runs 2 needs a second side"), seen("--runs 0 --against-plan greylist", no+"--runs")},
	"against-plan":      {seen("--against-plan greylist", no+"--runs"), seen("--runs 2 --against-plan missing.yaml", no+"missing.yaml")},
	"against-target":    {seen("--against-target 127.0.0.1:9", no+"--runs")},
	"against-mta":       {seen("--against-mta exim", no+"--runs"), {"--runs 2 --against-mta exchange", [3]string{no + "one side goes through an MTA", no + "one side goes through an MTA", no + "a private exchange"}}},
	"against-k6":        {seen("--against-k6 bin/second-k6", no+"--runs"), seen("--runs 2 --against-k6 nowhere", no+"nowhere")},
	"sides":             {seen("--sides sides.yaml", no+"sides.yaml")},
	"fail-on":           {seen("--fail-on loss", no+`--fail-on: unknown name "loss" (valid: faults`), seen("--fail-on lost,thresholds", "k6: run")},
	"dashboard":         {seen("--dashboard --dashboard-listen 127.0.0.1:0", "K6_WEB_DASHBOARD=true")},
	"dashboard-listen":  {seen("--dashboard-listen 127.0.0.1:0", no+"--dashboard"), seen("--dashboard --dashboard-listen nowhere", no+"--dashboard-listen")},
	"k6":                {seen("--k6 bin/second-k6", "second: run"), seen("--k6 nowhere", no+"nowhere")},
	"scripts":           {seen("--scripts thesis", no+"thesis"), {"--scripts scripts", [3]string{"scripts/calm.js", "my.js", "mta.js"}}},
}

// Every flag is obeyed or refused, in every mode: a flag that a mode does not heed is an error, and one without a row here a failed test.
func TestEveryFlagIsObeyedOrRefused(t *testing.T) {
	known := newRunCommand(Host{}, os.Stdout).Flags()
	known.VisitAll(func(f *pflag.Flag) {
		if len(flagTable[f.Name]) == 0 {
			t.Errorf("flag --%s has no row", f.Name)
		}
	})
	for name, rows := range flagTable {
		if known.Lookup(name) == nil {
			t.Errorf("there is no flag --%s", name)
		}
		for _, row := range rows {
			for i, mode := range modes {
				t.Run(mode.name+" "+row.args, func(t *testing.T) {
					t.Parallel()
					tryFlag(t, mode.args+" "+row.args, row.want[i])
				})
			}
		}
	}
}

func tryFlag(t *testing.T, args, want string) {
	t.Helper()
	dir := workspace(t)
	if err := os.RemoveAll(filepath.Join(dir, "results")); err != nil {
		t.Fatal(err)
	}
	for name, says := range map[string]string{"k6": "k6", "second-k6": "second"} {
		// It tells what it was called with, and fails.
		text := "#!/bin/sh\n" + fakeVersion + `{ echo "` + says + `: $*"; env; ls -d -- .[!.]* */.[!.]* | sed 's/^\./output: /'; } >> "` + dir + "/log\"\nexit 1\n"
		if err := os.WriteFile(filepath.Join(dir, "bin", name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "scripts", ".dashboard.json"), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(args, "--rate") {
		args += " --rate 50" // no probe
	}
	_, stderr, status := smtpbench(t, dir, append([]string{"run"}, strings.Fields(args)...)...)
	log, err := os.ReadFile(filepath.Join(dir, "log"))
	if text, refused := strings.CutPrefix(want, no); refused {
		if status != exitUsage || !strings.Contains(stderr, text) || strings.Count(stderr, "\n") != 1 || err == nil {
			t.Errorf("%s: exit status %d, %q, k6 was called with %q; want status %d, %q, and no call", args, status, stderr, log, exitUsage, text)
		}
		return
	}
	if status != exitFailed || !strings.Contains(string(log), want) {
		t.Errorf("%s: exit status %d, %q; want status %d, and k6 told %q:\n%s", args, status, stderr, exitFailed, want, log)
	}
}

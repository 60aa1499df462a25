package cmd

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/smtpstorm/xk6-smtp/sink/learn"
	"github.com/smtpstorm/xk6-smtp/sink/mtalog"
)

var eximLog = filepath.Join("..", "mtalog", "testdata", "exim.log")

// learnFlags has every flag of smtpsink learn: what the plan, the summary or the line at the end has when it is given, or why it is refused. LOG is
// Exim's golden log, of 10 attempts from 01:06:18 to 01:06:29 UTC.
var learnFlags = map[string][]struct{ args, want string }{
	"log":          {{"--log LOG", "Learned by smtpsink learn from 1 log of exim: 10 attempts"}, {"", refused + "--log is missing"}, {"--log DIR/none", refused + "none: no such file"}, {"--log LOG --log LOG", refused + "the same file"}},
	"format":       {{"--log LOG --format exim", "log of exim"}, {"--log LOG --format haraka", refused + "no line up to here is one of this format"}, {"--log LOG --format exchange", refused + "--format exchange: unknown (valid: postfix exim"}},
	"zone":         {{"--log LOG --zone Europe/Berlin", "10 attempts"}, {"--log LOG --zone Mars", refused + "--zone Mars"}},
	"from":         {{"--log LOG --from 2026-11-27T01:06:20Z", ": 3 attempts"}, {"--log LOG --from yesterday", refused + "--from yesterday"}, {"--log LOG --from 2027-01-01", refused + "no attempt to deliver"}},
	"to":           {{"--log LOG --to 2026-11-27T01:06:20Z", ": 7 attempts"}, {"--log LOG --from 2026-11-28 --to 2026-11-27", refused + "is not before --to"}},
	"destinations": {{"--log LOG --min-count 1 --destinations 1", "# 4 other domains: 7 attempts"}, {"--log LOG --destinations -1", refused + "--destinations -1"}},
	"min-count":    {{"--log LOG --min-count 1", `"*@e.test"`}, {"--log LOG", "# all 5 domains: 10 attempts"}, {"--log LOG --min-count 0", refused + "--min-count 0"}},
	"phases":       {{"--log LOG --phases 1", "nothing changes with time"}, {"--log LOG --phases 0", refused + "--phases 0"}},
	"scale":        {{"--log LOG --scale 0", refused + "--scale 0"}, {"--log LOG --scale 60", "10 attempts"}},
	"listen":       {{"--log LOG --min-count 1 --listen 127.0.0.1:2601", `{name: "e.test", address: "127.0.0.1:2601"}`}, {"--log LOG --listen 127.0.0.1:65530", refused + "--listen"}, {"--log LOG --listen 127.0.0.1", refused + "--listen"}},
	"out":          {{"--log LOG --out DIR/plan.yaml", "plan.yaml: # Learned by"}, {"--log LOG --out DIR", refused + "there already"}, {"--log LOG --out DIR/none/plan.yaml", refused + "can't be written"}},
	"json":         {{"--log LOG --json", `"attempts": 10`}},
}

func TestLearnFlags(t *testing.T) {
	log, err := filepath.Abs(eximLog)
	if err != nil {
		t.Fatal(err)
	}
	command, _, err := NewCommand(io.Discard, io.Discard).Find([]string{"learn"})
	if err != nil {
		t.Fatal(err)
	}
	command.Flags().VisitAll(func(f *pflag.Flag) {
		if len(learnFlags[f.Name]) == 0 && f.Name != "help" {
			t.Errorf("flag --%s has no row", f.Name)
		}
	})
	for name, rows := range learnFlags {
		for _, row := range rows {
			t.Run(name+" "+row.args, func(t *testing.T) {
				dir := t.TempDir()
				args := strings.Fields("learn " + strings.NewReplacer("LOG", log, "DIR", dir).Replace(row.args))
				stdout, stderr, status := invoke(t, args...)
				if text, is := strings.CutPrefix(row.want, refused); is {
					if status != exitUsage || !strings.Contains(stderr, text) || strings.Count(stderr, "\n") != 1 || stdout != "" {
						t.Errorf("exit status %d, %q, %q; want status %d and one line with %q", status, stderr, stdout, exitUsage, text)
					}
					return
				}
				seen := stdout + stderr
				if plan, err := os.ReadFile(filepath.Join(dir, "plan.yaml")); err == nil {
					seen += "plan.yaml: " + string(plan)
				}
				if status != 0 || !strings.Contains(seen, row.want) {
					t.Errorf("exit status %d; want %q in\n%s", status, row.want, seen)
				}
			})
		}
	}
}

// TestLearnedPlansAreGood: of each MTA's golden log, whatever is told apart, comes a plan that check takes, and a summary that says the same.
func TestLearnedPlansAreGood(t *testing.T) {
	for _, format := range mtalog.Formats() {
		for _, more := range []string{"", "--min-count 1", "--min-count 1 --listen 127.0.0.1:2601", "--min-count 1 --phases 1 --destinations 0"} {
			plan := filepath.Join(t.TempDir(), "plan.yaml")
			args := append([]string{"learn", "--log", filepath.Join("..", "mtalog", "testdata", format+".log"), "--out", plan, "--json"}, strings.Fields(more)...)
			stdout, stderr, status := invoke(t, args...)
			var s learn.Summary
			if err := json.Unmarshal([]byte(stdout), &s); status != 0 || stderr != "" || err != nil || s.Format != format || s.Events.Attempts == 0 || s.Lines == 0 {
				t.Fatalf("%s %s: exit status %d, %s, %v, %+v", format, more, status, stderr, err, s)
			}
			said, stderr, status := invoke(t, "check", plan)
			if status != 0 {
				t.Errorf("%s %s: exit status %d, %s%s", format, more, status, said, stderr)
			}
			text, err := os.ReadFile(plan)
			if err != nil {
				t.Fatal(err)
			}
			for _, secret := range []string{"s+x", "src.bench.test", "ok1", "b1", "m1", "dead"} {
				if strings.Contains(string(text), secret) {
					t.Errorf("%s %s: the plan has %q:\n%s", format, more, secret, text)
				}
			}
		}
	}
}

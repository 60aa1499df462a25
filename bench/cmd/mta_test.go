package cmd

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/bench/mta"
	"github.com/smtpstorm/xk6-smtp/sink/mtalog"
)

func TestMTALog(t *testing.T) {
	logs := filepath.Join("..", "..", "sink", "mtalog", "testdata")
	for _, format := range mtalog.Formats() {
		log, err := filepath.Abs(filepath.Join(logs, format+".log"))
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(filepath.Join(logs, format+".jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		out, errs, status := smtpbench(t, t.TempDir(), "mta", "log", "--format", format, "--zone", "UTC", log)
		// A checkout changes the file's time, and with it the year of times that have none.
		if status != 0 || errs != "" || strings.Count(out, "\n") != strings.Count(string(want), "\n") || format != "postfix" && out != string(want) {
			t.Errorf("%s: status %d, %s\n%s", format, status, errs, out)
		}
		// The events are what judge takes.
		dir := filesOf(t, "sent.jsonl", "ledger.jsonl")
		if err := os.WriteFile(filepath.Join(dir, "mta.jsonl"), []byte(out), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, errs, _ := smtpbench(t, dir, "judge", "."); errs != "" || !strings.Contains(out, "FAULTS") {
			t.Errorf("judge with the events of %s: %s\n%s", format, out, errs)
		}
	}
	other := filepath.Join(t.TempDir(), "access.log")
	if err := os.WriteFile(other, []byte("GET / HTTP/1.1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		args []string
		err  string
	}{
		{"no format", []string{other}, "--format is missing (valid: " + strings.Join(mtalog.Formats(), " ") + ")"},
		{"an unknown format", []string{"--format", "exchange", other}, `unknown format "exchange" (valid: `},
		{"another program's log", []string{"--format", mtalog.Formats()[0], other}, "access.log:1: no line up to here is one of this format"},
		{"no file", []string{"--format", mtalog.Formats()[0], other + "x"}, "no such file"},
		{"no argument", []string{"--format", mtalog.Formats()[0]}, "got 0 arguments"},
		{"an unknown zone", []string{"--format", mtalog.Formats()[0], "--zone", "Mars/Olympus", other}, "--zone Mars/Olympus"},
	} {
		out, errs, status := smtpbench(t, t.TempDir(), append([]string{"mta", "log"}, test.args...)...)
		if status != 2 || out != "" || !strings.Contains(errs, test.err) || strings.Count(errs, "\n") != 1 {
			t.Errorf("%s: status %d, %q, %q; want 2 and %q in one line", test.name, status, out, errs, test.err)
		}
	}
}

func TestMTAList(t *testing.T) {
	t.Setenv("SMTPSTORM_MTAS", t.TempDir())
	out, errs, status := smtpbench(t, t.TempDir(), "mta", "list")
	if status != 0 || errs != "" {
		t.Errorf("status %d, %s", status, errs)
	}
	commands, _, _ := smtpbench(t, t.TempDir(), "mta", "list", "--fetch")
	for _, c := range mta.Find() {
		says := "ready: " + c.Path
		switch err := c.Ready(); {
		case errors.Is(err, mta.ErrMissing):
			says = "missing; this gets it"
		case err != nil:
			says = "not ready: " + err.Error()
		}
		_, line, found := strings.Cut("\n"+out, "\n"+c.Name+" ")
		if !found || !strings.Contains(line, says) || strings.Contains(out, ":\n  "+c.Fetch+"\n") != (c.Path == "") || strings.Contains(commands, c.Fetch+"\n") != (c.Path == "") {
			t.Errorf("%s, %q: listed as\n%s\nand to be fetched with\n%s", c.Name, c.Path, out, commands)
		}
	}
	one, _, status := smtpbench(t, t.TempDir(), "mta", "list", "--fetch", "nodemailer@6.3.0")
	if c, err := mta.Lookup("nodemailer@6.3.0"); status != 0 || err != nil || one != c.Fetch+"\n" {
		t.Errorf("to be fetched with %q (%d, %v)", one, status, err)
	}
	for _, args := range [][]string{{"mta"}, {"mta", "lst"}, {"mta", "list", "x"}, {"mta", "list", "postfix@3"}} {
		if out, errs, status := smtpbench(t, t.TempDir(), args...); status != 2 || out != "" || strings.Count(errs, "\n") != 1 {
			t.Errorf("%q: status %d, %q, %q", args, status, out, errs)
		}
	}
}

package cmd

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestOutputThatCannotBeWritten: whoever keeps what a command prints on a full disk is told that it isn't there.
func TestOutputThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	for name, ms := range map[string]float64{"a.json": 10, "b.json": 11} {
		writeRecord(t, filepath.Join(dir, name), name, ms)
	}
	for _, args := range [][]string{
		{"mta", "list"}, {"mta", "list", "--fetch"}, {"scripts"}, {"storm", "list"}, {"version"}, {"completion", "bash"},
		{"compare", "a.json", "b.json"}, {"compare", "--csv", "a.json", "b.json"}, {"merge", "a.json", "b.json"}, {"export", "--benchfmt", "a.json"},
	} {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		var errs bytes.Buffer
		cmd := exec.CommandContext(t.Context(), binary, args...)
		// Without a cache of MTAs some are missing.
		cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.Env = dir, full, &errs, append(os.Environ(), "SMTPSTORM_MTAS="+dir)
		_ = cmd.Run()
		_ = full.Close()
		if cmd.ProcessState.ExitCode() != exitFailed || !strings.Contains(errs.String(), "no space left on device") {
			t.Errorf("%s: exit status %d, %q", strings.Join(args, " "), cmd.ProcessState.ExitCode(), errs.String())
		}
	}
}

// TestTemporaryDirectoryThatIsNone is named with the variable that chose it.
func TestTemporaryDirectoryThatIsNone(t *testing.T) {
	dir := workspace(t)
	cmd := exec.CommandContext(t.Context(), binary, "run", "--mta", "none", "--k6", "bin/k6", "--out", "new")
	var errs bytes.Buffer
	cmd.Dir, cmd.Stderr, cmd.Env = dir, &errs, append(os.Environ(), "TMPDIR="+filepath.Join(dir, "none"))
	_ = cmd.Run()
	if cmd.ProcessState.ExitCode() == 0 || !strings.Contains(errs.String(), "none is no directory for temporary files: no such file or directory (TMPDIR names another)\n") {
		t.Errorf("exit status %d, %q", cmd.ProcessState.ExitCode(), errs.String())
	}
}

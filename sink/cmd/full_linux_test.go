package cmd

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestOutputThatCannotBeWritten: whoever keeps what a command prints on a full disk is told that it isn't there.
func TestOutputThatCannotBeWritten(t *testing.T) {
	_, control := steerable(t)
	for _, args := range [][]string{
		{"catalogue"}, {"plans"}, {"check", "calm"}, {"check", "--json", "calm"}, {"check", "--canonical", "calm"}, {"version"}, {"completion", "bash"},
		{"ctl", "stats", "--control", control}, {"ctl", "stats", "--json", "--control", control}, {"ctl", "plan", "--control", control}, {"ctl", "next", "--control", control},
	} {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		var errs bytes.Buffer
		cmd := exec.CommandContext(t.Context(), binary, args...)
		cmd.Stdout, cmd.Stderr = full, &errs
		_ = cmd.Run()
		_ = full.Close()
		if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(errs.String(), "no space left on device") {
			t.Errorf("%s: exit status %d, %q", strings.Join(args, " "), cmd.ProcessState.ExitCode(), errs.String())
		}
	}
}

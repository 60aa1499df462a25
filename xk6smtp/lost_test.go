//go:build unix

package xk6smtp_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestK6LosesItsRecord has k6 lose its record in three ways: its exit status is never 0, and what else it does at its end it does.
func TestK6LosesItsRecord(t *testing.T) {
	binary := builtK6(t)
	const (
		ofModule = `
			import { Client } from 'k6/x/smtp';
			export const options = { vus: 2, iterations: 4 };
			export default async function () { new Client({ host: '127.0.0.1', port: 1 }).close(); }
			export const handleSummary = () => ({ stdout: 'the summary' });`
		withoutModule = `
			export const options = { vus: 2, iterations: 4 };
			export default function () {}
			export const handleSummary = () => ({ stdout: 'the summary' });`
	)
	for _, test := range []struct {
		name, script string
		late         bool // lost at the end, not at the start
	}{
		{"at the end", ofModule, true},
		{"at the end, without the module", withoutModule, true},
		{"at the start", ofModule, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			record := filepath.Join(dir, "run.json")
			points := filepath.Join(dir, "points.json")
			if test.late { // a pipe whose reader goes when the run has begun
				if err := unix.Mkfifo(record, 0o600); err != nil {
					t.Fatal(err)
				}
				go func() {
					if pipe, err := os.Open(record); err == nil {
						_, _ = pipe.Read(make([]byte, 1))
						_ = pipe.Close()
					}
				}()
			} else if err := os.Symlink("/dev/full", record+".partial"); err != nil {
				t.Fatal(err)
			}
			cmd, out := k6(t, binary, "run", "--no-color", "--quiet", "-o", "json="+points, "-o", "smtpstorm="+record, script(t, test.script))
			if err := cmd.Run(); err == nil || cmd.ProcessState.ExitCode() != 255 {
				t.Errorf("k6 ended with %v, expected status 255\n%s", cmd.ProcessState, out)
			}
			if info, err := os.Stat(record); err == nil && info.Mode().IsRegular() {
				t.Error("there is a record")
			}
			if !test.late {
				if !strings.Contains(out.String(), "no space left on device") {
					t.Errorf("the reason is missing:\n%s", out)
				}
				return
			}
			if !strings.Contains(out.String(), "The record of the run is lost") || !strings.Contains(out.String(), "the summary") {
				t.Errorf("the reason or the summary is missing:\n%s", out)
			}
			if text, err := os.ReadFile(points); err != nil || bytes.Count(text, []byte(`"metric":"iterations"`)) < 5 {
				t.Errorf("the other output lost something, %v:\n%s", err, text)
			}
		})
	}
}

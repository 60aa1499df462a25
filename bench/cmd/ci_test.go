package cmd

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// workflow is what this test reads of a workflow of GitHub Actions.
type workflow struct {
	Jobs map[string]struct {
		Env   map[string]string
		Steps []struct {
			Name, Uses, Run, If string
		}
	}
}

// TestWorkflow runs the example of docs/ci.md as GitHub would, with the programs of this work tree: through a truthful relay, and through
// liars.
func TestWorkflow(t *testing.T) {
	sinktest.RequireTool(t, "bash", "bash")
	programs := build(t)
	ours, err := os.ReadFile(binary)
	if err == nil {
		err = os.WriteFile(filepath.Join(programs, "smtpbench"), ours, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../../docs/github-actions.yml")
	if err != nil {
		t.Fatal(err)
	}
	var w workflow
	if err := yaml.Unmarshal(text, &w); err != nil || len(w.Jobs) != 1 {
		t.Fatalf("%d jobs, %v", len(w.Jobs), err)
	}
	for _, test := range []struct {
		name, lies string
		status     int
		says       string
	}{
		{"truthful", "", 0, "SOUND: all 200 units accounted for"},
		{"loses", "--lie lose=2/200", 1, "2 lost"},
		{"duplicates", "--lie duplicate=3/200", 1, "3 duplicated"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, job := range w.Jobs {
				env := map[string]string{"SERVER": freeAddress(t), "SINK": freeAddress(t), "LIES": test.lies}
				for name := range env {
					if _, has := job.Env[name]; !has {
						t.Errorf("the job has no %s", name)
					}
				}
				dir, status, said := t.TempDir(), 0, ""
				for _, step := range job.Steps {
					if step.Run == "" || step.Name == "Install" || status != 0 && step.If != "always()" {
						continue
					}
					out, code := shell(t, dir, programs, env, step.Run)
					said += "\n# " + step.Name + "\n" + out
					if status == 0 {
						status = code
					}
				}
				if status != test.status || !strings.Contains(flat(said), test.says) {
					t.Errorf("the job ends with status %d, want %d and %q:%s", status, test.status, test.says, said)
				}
				for _, kept := range []string{"report.html", "units.jsonl", "summary.json"} {
					if _, err := os.Stat(filepath.Join(dir, "results", kept)); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
}

// shell runs a step as GitHub's runner does: bash -e, in the job's directory and environment.
func shell(t *testing.T, dir, programs string, env map[string]string, run string) (output string, status int) {
	t.Helper()
	script := filepath.Join(t.TempDir(), "step.sh")
	if err := os.WriteFile(script, []byte(run), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-e", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+programs+string(filepath.ListSeparator)+os.Getenv("PATH"))
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = 10 * time.Second
	err := cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

// freeAddress is an address of loopback at which nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

package docs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
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

// TestWorkflow runs the job of guide/ci.md as GitHub would, through a truthful relay, and through liars.
func TestWorkflow(t *testing.T) {
	const page = "github-actions.yml"
	text, err := os.ReadFile(page)
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
			m := open(t, page)
			for _, job := range w.Jobs {
				if _, has := job.Env["LIES"]; !has {
					t.Error("the job has no LIES")
				}
				for name, value := range job.Env {
					if name == "LIES" {
						value = test.lies
					}
					m.run(0, "export "+name+"='"+value+"'")
				}
				status, said := 0, ""
				for _, step := range job.Steps {
					if step.Run == "" || step.Name == "Install" || status != 0 && step.If != "always()" {
						continue
					}
					if err := os.WriteFile(filepath.Join(m.dir, "step.sh"), []byte(step.Run), 0o600); err != nil {
						t.Fatal(err)
					}
					out, code := m.run(0, "bash -e step.sh")
					said += "\n# " + step.Name + "\n" + out
					if status == 0 {
						status = code
					}
				}
				if status != test.status || !strings.Contains(strings.Join(strings.Fields(said), " "), test.says) {
					t.Errorf("the job ends with status %d, want %d and %q:%s", status, test.status, test.says, said)
				}
				for _, kept := range []string{"report.html", "units.jsonl", "summary.json"} {
					if _, err := os.Stat(filepath.Join(m.dir, "results", kept)); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
}

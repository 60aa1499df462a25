package plan_test

import (
	"path/filepath"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/plan"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// TestShippedPlans loads every plan in scripts/plans: each has a name that is its file's, a description, and lets DSNs pass first at
// every stage where it refuses anything.
func TestShippedPlans(t *testing.T) {
	paths, err := filepath.Glob("../../scripts/plans/*.yaml")
	if err != nil || len(paths) < 3 {
		t.Fatalf("found %d plans (%v), want at least 3", len(paths), err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			f, err := plan.Load(path)
			if err != nil {
				t.Fatal(err)
			}
			if want := f.Plan.Name() + ".yaml"; want != filepath.Base(path) || f.Plan.Description() == "" {
				t.Errorf("plan is called %q with description %q, want the file's name and some description", f.Plan.Name(), f.Plan.Description())
			}
			if len(f.SHA256) != 64 || len(f.Text) == 0 {
				t.Errorf("source has %d octets and SHA-256 %q, want both", len(f.Text), f.SHA256)
			}
			for s := range smtp.NumStages {
				rules := f.Plan.At(smtp.Stage(s))
				if len(rules) == 0 {
					continue
				}
				first := rules[0]
				if len(first.Match.Senders) != 1 || first.Match.Senders[0] != "<>" || len(first.Outcomes) != 1 || first.Outcomes[0].Reply != nil {
					t.Errorf("first rule at %v is %q, want one that gives the null sender the plain reply", smtp.Stage(s), first.Name)
				}
			}
		})
	}
}

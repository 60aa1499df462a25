package plan_test

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/plan"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// TestShippedPlans loads every plan in scripts/plans: each has a name that is its file's, a description, and lets DSNs pass first at
// every stage where anything is wrong.
func TestShippedPlans(t *testing.T) {
	paths, err := plan.ShippedPlans()
	if err != nil || len(paths) != 23 {
		t.Fatalf("found %d plans (%v), want 23", len(paths), err)
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
				checkExemption(t, f.Plan, smtp.Stage(s))
			}
			for _, l := range f.Plan.AllLimits() {
				if m := exempts(l.Stage); !slices.ContainsFunc(l.Except, func(e fault.Match) bool { return reflect.DeepEqual(e, m) }) {
					t.Errorf("limit %q has the exceptions %+v, want %+v among them", l.Name, l.Except, m)
				}
			}
			for i, phase := range f.Plan.Phases() {
				v := f.Plan.View(time.Unix(0, 0).Add(phaseBegin(f.Plan, i)), time.Unix(0, 0))
				if v.Phase() != phase || v.ListenerFault("dsn") != fault.ListenerUp {
					t.Errorf("phase %q: listener dsn is %v in phase %q, want it up", phase.Name, v.ListenerFault("dsn"), v.PhaseName())
				}
			}
		})
	}
}

// exempts is how DSNs are known at a stage: by their null sender, and before MAIL by a listener of their own.
func exempts(s smtp.Stage) fault.Match {
	switch s {
	case smtp.StageMail, smtp.StageRcpt, smtp.StageData, smtp.StageBdat, smtp.StageMessage:
		return fault.Match{Senders: []string{"<>"}}
	}
	return fault.Match{Listeners: []string{"dsn"}}
}

// checkExemption checks that where any rule speaks at the stage, the plan's first one gives DSNs the plain reply.
func checkExemption(t *testing.T, p *fault.Plan, s smtp.Stage) {
	t.Helper()
	if !slices.ContainsFunc(p.Rules(), func(r *fault.Rule) bool { return r.Stage == s }) {
		return
	}
	own := slices.DeleteFunc(slices.Clone(p.OwnRules()), func(r *fault.Rule) bool { return r.Stage != s || r.Match.OutOfOrder })
	if len(own) == 0 {
		t.Errorf("no rule of the plan's own at %v, want one that lets DSNs pass", s)
		return
	}
	if first := own[0]; !reflect.DeepEqual(first.Match, exempts(s)) || len(first.Outcomes) != 1 || first.Outcomes[0].Reply != nil ||
		first.Outcomes[0].Faulty || !first.Outcomes[0].Delay.IsZero() {
		t.Errorf("first rule at %v is %q, want the plain reply for %+v", s, first.Name, exempts(s))
	}
}

// phaseBegin returns when the i-th phase begins for the first time.
func phaseBegin(p *fault.Plan, i int) (begin time.Duration) {
	for _, earlier := range p.Phases()[:i] {
		begin += earlier.Duration
	}
	return begin
}

// TestReferencePage reads every plan in docs/plans.md.
func TestReferencePage(t *testing.T) {
	page, err := os.ReadFile("../../docs/plans.md")
	if err != nil {
		t.Fatal(err)
	}
	s := compiled(t)
	blocks := strings.Split(string(page), "```yaml\n")[1:]
	if len(blocks) == 0 {
		t.Error("no plan on the page")
	}
	for i, block := range blocks {
		text, _, closed := strings.Cut(block, "```\n")
		if !closed {
			t.Fatalf("plan %d has no end", i+1)
		}
		if _, err := plan.Parse("plans.md", []byte(text)); err != nil {
			t.Errorf("plan %d: %v", i+1, err)
		}
		if err := s.Validate(asJSON(t, text)); err != nil {
			t.Errorf("plan %d: %v", i+1, err)
		}
	}
}

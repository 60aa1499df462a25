package run

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
)

// Replies are counted as they stand on the wire, so that what was injected is what was observed, also where a session has no enhanced
// status codes to give: before EHLO, where a plan hides ENHANCEDSTATUSCODES, after HELO, and for a refused EHLO.
func TestRepliesWithoutEnhancedCodesBalance(t *testing.T) {
	k6 := realK6(t)
	t.Parallel()
	for name, tt := range map[string]struct {
		flags        fault.Flags
		plan         string
		stage, never string // a reply that must be there, and one that must not
		code         int
	}{
		"before EHLO": {flags: fault.Flags{Replies: []string{"connect=220:80,421/4.3.2:20"}, Seed: 7}, stage: "connect", code: 421, never: "4.3.2"},
		"hidden": {plan: "{stage: ehlo, missing: [ENHANCEDSTATUSCODES]}, {stage: rcpt, outcomes: [{weight: 80}, {weight: 20, reply: 450}]}",
			stage: "rcpt", code: 450, never: "4.2.0"},
		"after HELO":   {plan: "{stage: ehlo, reply: 502}, {stage: rcpt, outcomes: [{weight: 80}, {weight: 20, reply: 450}]}", stage: "rcpt", code: 450, never: "4.2.0"},
		"refused EHLO": {flags: fault.Flags{Replies: []string{"ehlo=550/5.7.1"}}, stage: "ehlo", code: 550, never: "5.7.1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			o := Options{
				K6: k6, Scripts: scriptsDir, Script: "connection-churn", Out: filepath.Join(dir, "out"), Console: newConsole(),
				Messages: 60, VUs: 4, Rate: 30, Flags: tt.flags,
			}
			if tt.plan != "" {
				o.Plan = filepath.Join(dir, "plan.yaml")
				if err := os.WriteFile(o.Plan, []byte("version: 1\nseed: 7\nrules: ["+tt.plan+"]\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			out, err := Run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			storm := out.Legs[len(out.Legs)-1].Reconciliation
			seen := uint64(0)
			for _, row := range storm.Rows {
				if row.Stage.String() == tt.stage && int(row.Code) == tt.code {
					seen += row.Observed
				}
				if row.Enhanced.String() == tt.never {
					t.Errorf("%v was injected %d times and observed %d times", row.Kind, row.Injected, row.Observed)
				}
			}
			if !storm.Balanced || seen == 0 || storm.Injected != storm.Observed+storm.InFlight {
				t.Errorf("%d replies of %s %d, problems %q, %d injected, %d observed", seen, tt.stage, tt.code, storm.Problems, storm.Injected, storm.Observed)
			}
		})
	}
}

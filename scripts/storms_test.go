package scripts

import (
	"bytes"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/plan"
)

// TestStorms holds that each storm is found by its number and its name, says what it copies and what to look for, ends, and is the plan that its
// canonical form is.
func TestStorms(t *testing.T) {
	for _, f := range Storms() {
		number, name, _ := strings.Cut(f.Name, "-")
		for _, by := range []string{f.Name, name, StormNumber(number), strings.ToLower(StormNumber(number)), f.Base()} {
			file, err := LoadStorm(by)
			if err != nil {
				t.Fatal(err)
			}
			if file.Spec.Name != name || !bytes.Equal(file.Text, f.Text()) {
				t.Errorf("%s is the storm %s, want %s", by, file.Spec.Name, name)
			}
		}
		file, err := plan.Parse(f.Base(), f.Text())
		if err != nil {
			t.Fatal(err)
		}
		text := string(f.Text())
		if !strings.HasPrefix(text, "# ") || strings.Count(text, "\n# Look for: ") != 1 || file.Spec.Description == "" || len(file.Spec.Phases) == 0 {
			t.Errorf("%s lacks a comment on what it copies, on what to look for, its description, or phases", f.Name)
		}
	}
	for _, unknown := range []string{"S99", "outage", "calm"} {
		if _, err := LoadStorm(unknown); err == nil || !strings.Contains(err.Error(), "s01-outage-421") {
			t.Errorf("%s: %v, want an error that lists the storms", unknown, err)
		}
	}
	for name, want := range map[string]string{"s00-control": "S0", "s06b-in-the-wild": "S6B", "s10-crash": "S10", "mine.yaml": "", "storm": ""} {
		if got := StormNumber(name); got != want {
			t.Errorf("the number of %s is %q, want %q", name, got, want)
		}
	}
}

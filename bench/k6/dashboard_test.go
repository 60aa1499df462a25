package k6

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDashboardShowsEveryMetric holds the configuration to the metrics that the extension registers, both ways.
func TestDashboardShowsEveryMetric(t *testing.T) {
	config, err := os.ReadFile(filepath.Join("../../scripts", DashboardConfig))
	if err != nil {
		t.Fatal(err)
	}
	var parsed struct {
		Tabs []struct {
			Title    string
			Sections []struct {
				Panels []struct {
					Title, Kind string
					Series      []struct{ Query, Legend string }
				}
			}
		}
	}
	if err := json.Unmarshal(config, &parsed); err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	for _, tab := range parsed.Tabs {
		for _, section := range tab.Sections {
			for _, panel := range section.Panels {
				for _, series := range panel.Series {
					for _, name := range regexp.MustCompile(`\bsmtp_\w+`).FindAllString(series.Query, -1) {
						shown[name] = true
					}
					for _, tag := range regexp.MustCompile(`tags\.(\w+)`).FindAllStringSubmatch(series.Query, -1) {
						if !slices.Contains(strings.Split(DashboardTags, ","), tag[1]) {
							t.Errorf("%s, %s: the tag %q of %q is not among %s", tab.Title, panel.Title, tag[1], series.Query, DashboardTags)
						}
					}
					// The dashboard's starts_with looks for the last occurrence: '550' doesn't start with '5' there.
					if strings.Contains(series.Query, "starts_with(tags") {
						t.Errorf("%s, %s: starts_with of a code in %q is not to be trusted", tab.Title, panel.Title, series.Query)
					}
				}
			}
		}
	}
	registered := map[string]bool{}
	for _, file := range []string{"metrics.go", "sink_module.go"} {
		source, err := os.ReadFile(filepath.Join("../../xk6smtp", file))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile(`"(smtp_\w+)"`).FindAllSubmatch(source, -1) {
			registered[string(name[1])] = true
			if !shown[string(name[1])] {
				t.Errorf("%s is on no panel", name[1])
			}
		}
	}
	for name := range shown {
		if !registered[name] {
			t.Errorf("a panel shows %s, which the extension doesn't register", name)
		}
	}
}

package run

import (
	"encoding/json"
	"html"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

// agree has console, page, summary and exit status of a run say one thing, and so do its files when they are judged again: that result is
// returned.
func agree(t *testing.T, out, console string, exit int) *reconcile.Result {
	t.Helper()
	found, err := FindFiles(out)
	if err != nil {
		t.Fatal(err)
	}
	again, err := found.Judge(nil, reconcile.Options{FailOn: reconcile.DefaultFailOn()})
	if err != nil {
		t.Fatal(err)
	}
	said := again.Verdict.Sentence
	if strings.Count(flat(console), flat("verdict "+said)) != 2 { // above all, and below
		t.Errorf("the console doesn't say %q:\n%s", said, console)
	}
	page, err := os.ReadFile(filepath.Join(out, "report.html"))
	if err != nil || !strings.Contains(html.UnescapeString(string(page)), said) {
		t.Errorf("the page doesn't say %q (%v)", said, err)
	}
	text, err := os.ReadFile(filepath.Join(out, summaryFile))
	if err != nil {
		t.Fatal(err)
	}
	var summary reconcile.Summary
	if err := json.Unmarshal(text, &summary); err != nil {
		t.Fatal(err)
	}
	if summary.Sentence != said || summary.Verdict.Verdict != again.Verdict.Verdict || summary.Exit != exit {
		t.Errorf("the summary says %+v, the files judged again %+v, and the exit status is %d", summary.Verdict, again.Verdict, exit)
	}
	for _, f := range again.Findings {
		if i := slices.IndexFunc(summary.Findings, func(g reconcile.Finding) bool { return g.Kind == f.Kind }); i < 0 || summary.Findings[i].Units != f.Units || len(summary.Findings[i].Evidence) != len(f.Evidence) {
			t.Errorf("the summary's findings %+v, those of the files judged again %+v", summary.Findings, again.Findings)
		}
		for _, e := range f.Evidence {
			if !strings.Contains(console, e.String()) {
				t.Errorf("the console doesn't name %v of %s", e, f.Kind)
			}
		}
	}
	schema, err := jsonschema.NewCompiler().Compile(filepath.Join("..", "..", "docs", "summary.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(value); err != nil {
		t.Error(err)
	}
	return again
}

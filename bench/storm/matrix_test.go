package storm

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/bench/storm/measure"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
	textof "github.com/smtpstorm/xk6-smtp/sink/text"
)

// TestMatrix: the worst comes first, storms are in the order of their numbers, what wasn't run is a dash, and there is no link to a page that isn't
// there.
func TestMatrix(t *testing.T) {
	dir := t.TempDir()
	keep := func(mta, number, name, verdict string, exit int, page bool) {
		t.Helper()
		r := &Record{Schema: Schema, Figures: &measure.Figures{Depth: &measure.Depth{Peak: 1234}}, Judgement: &reconcile.Result{}, Machine: &Machine{LoadBegin: 3.4, LoadEnd: 12.6}}
		r.Provenance.MTA = &result.MTA{Name: mta, Version: mta + " 1.0"}
		r.Storm = About{Number: number, Name: name}
		r.Judgement.Verdict.Verdict, r.Judgement.Verdict.Exit, r.Judgement.Verdict.Sentence = verdict, exit, "the sentence of "+mta
		out := filepath.Join(dir, number, mta)
		if err := os.MkdirAll(out, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := r.Write(filepath.Join(out, RecordFile)); err != nil {
			t.Fatal(err)
		}
		if page {
			if err := os.WriteFile(filepath.Join(out, PageFile), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	keep("exim", "S10", "crash", "sound", 0, false)
	keep("postfix", "S2", "recipients-deferred", "faults", 1, true)
	keep("exim", "S2", "recipients-deferred", "sound", 0, true)
	path, err := WriteReport(dir)
	if err != nil {
		t.Fatal(err)
	}
	octets, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(octets)
	for _, want := range []string{
		"3 runs of 2 MTAs under 2 storms: 1 with faults", `<a href="S2/postfix/report.html">postfix, S2 recipients-deferred</a>: the sentence of postfix`, `<a href="S2/exim/report.html">`,
		`<th>S2 recipients-deferred</th><th>S10 crash</th>`, `<td class="na">–</td>`, `<td class="num">3, 13</td>`, "peak 1,234",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page has no %s", want)
		}
	}
	for _, not := range []string{`href=""`, "S10/exim"} {
		if strings.Contains(text, not) {
			t.Errorf("the page has %s, which leads nowhere", not)
		}
	}
}

// TestRecordedMatrix: results/storms/README.md says of the recorded cells what their records say.
func TestRecordedMatrix(t *testing.T) {
	dir := filepath.Join("..", "..", "results", "storms")
	found, err := Find(dir)
	if err != nil {
		t.Fatal(err)
	}
	var units, attempts uint64
	for _, f := range found {
		r := f.Record
		units += r.Judgement.Units
		if n := r.Judgement.Fates[reconcile.Lost] + r.Judgement.Fates[reconcile.Duplicated] + r.Judgement.Fates[reconcile.Undetermined]; n > 0 {
			t.Errorf("%s: %d units lost, duplicated without a cause or undetermined", r.Label(), n)
		}
		if strings.HasPrefix(r.Label(), "nodemailer, S4 ") && r.Log.Units == 3 && len(r.Findings) == 1 {
			continue // its pool sends again by itself, and tells nobody
		}
		if r.Log == nil || r.Log.Units > 0 || len(r.Findings) > 0 {
			t.Errorf("%s: log %+v, findings %q; want the attempts of the log", r.Label(), r.Log, r.Findings)
			continue
		}
		attempts += uint64(r.Log.Ledger) // #nosec G115 -- a count
		if strings.HasPrefix(r.Storm.Number, "S8") && r.Judgement.Fates[reconcile.DuplicatedAmbiguous] != 5 {
			t.Errorf("%s: %d messages twice, want the five whose reply was dropped", r.Label(), r.Judgement.Fates[reconcile.DuplicatedAmbiguous])
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		fmt.Sprintf("%s messages in %d cells", textof.Count(units), len(found)), fmt.Sprintf("%s attempts, of which", textof.Count(attempts)),
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the findings don't say %q", want)
		}
	}
}

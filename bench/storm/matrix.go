package storm

import (
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/smtpstorm/xk6-smtp/bench/input"
	"github.com/smtpstorm/xk6-smtp/bench/report"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
	"github.com/smtpstorm/xk6-smtp/sink/text"
)

//go:embed matrix.html.tmpl
var matrixTemplate string

// Found is a record and where it lies.
type Found struct {
	Dir    string // of its results
	Record *Record
}

// Find reads all records below a directory, in the order of storms and MTAs. The error is an *input.Error when there are none, or one can't be read.
func Find(dir string) (found []Found, err error) {
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Name() != RecordFile {
			return err
		}
		r, err := Read(path)
		if err != nil {
			return input.Errorf("%v", err)
		}
		found = append(found, Found{filepath.Dir(path), r})
		return nil
	})
	var bad *input.Error
	switch {
	case errors.As(err, &bad):
		return nil, err
	case err != nil:
		return nil, input.Errorf("%s: %v", dir, input.Reason(err))
	case len(found) == 0:
		return nil, input.Errorf("%s: no %s is in it, or below it: smtpbench storm writes them", dir, RecordFile)
	}
	slices.SortStableFunc(found, func(a, b Found) int {
		return cmp.Or(compareNumbers(a.Record.Storm.Number, b.Record.Storm.Number), strings.Compare(a.Record.Storm.Name, b.Record.Storm.Name), strings.Compare(a.Record.Provenance.MTA.Name, b.Record.Provenance.MTA.Name),
			a.Record.Load.Begin.Compare(b.Record.Load.Begin))
	})
	return found, nil
}

// compareNumbers orders S2 before S10, and storms without a number last.
func compareNumbers(a, b string) int {
	if (a == "") != (b == "") {
		return cmp.Compare(len(b), len(a))
	}
	return cmp.Or(cmp.Compare(numberOf(a), numberOf(b)), strings.Compare(a, b))
}

func numberOf(s string) (n int) {
	for _, c := range strings.TrimPrefix(s, "S") {
		if c < '0' || c > '9' {
			break
		}
		n = 10*n + int(c-'0')
	}
	return n
}

// rank orders verdicts, the worst first.
func rank(r *Record) int {
	return slices.Index([]string{"faults", "undetermined", "thresholds", "sound"}, r.Judgement.Verdict.Verdict)
}

type matrixPage struct {
	Style    template.CSS
	Mark     template.HTML
	Title    string
	Headline string
	OK       bool
	Worst    []worst
	Bands    []matrixBand
	Tables   []matrixTable
}

type worst struct{ Label, Sentence, Link, Class string }

// matrixBand is a part of the matrix: some storms, all MTAs.
type matrixBand struct {
	Storms []string
	Rows   []matrixRow
}

// bandStorms is how many storms fit beside one another on paper.
const bandStorms = 7

type matrixRow struct {
	MTA   string
	Cells []matrixCell
}

type matrixCell struct {
	Link, Class, Verdict string
	Facts                []string
}

type matrixTable struct {
	Storm, About string
	Rows         []stormRow
}

type stormRow struct {
	MTA, Link, Verdict                                                      string
	Peak, Attempts, Connections, Wasted, Lag, Drain, Delay, Kept, CPU, Load string
}

// WriteMatrix writes a page over many records: MTAs in rows, storms in columns, the worst finding first. Links lead to their pages, where they are, relative
// to the directory in which the page will lie.
func WriteMatrix(w io.Writer, dir string, found []Found) error {
	t, err := template.New("matrix").Parse(matrixTemplate)
	if err != nil {
		return fmt.Errorf("page template: %w", err)
	}
	return t.Execute(w, newMatrix(dir, found))
}

func newMatrix(dir string, found []Found) *matrixPage {
	p := &matrixPage{Style: report.Style(), Mark: template.HTML(report.PageMark), Title: "MTAs under bounce storms", OK: true} // #nosec G203 -- a constant of this program
	link := func(f *Found) string {
		page := filepath.Join(f.Dir, PageFile)
		if _, err := os.Stat(page); err != nil {
			return "" // somebody keeps the records alone
		}
		path, err := filepath.Rel(dir, page)
		if err != nil {
			return ""
		}
		return filepath.ToSlash(path)
	}
	var storms, mtas []string
	bad := 0
	for i := range found {
		r := found[i].Record
		if !slices.Contains(storms, stormOf(r)) {
			storms = append(storms, stormOf(r))
		}
		if !slices.Contains(mtas, r.Provenance.MTA.Name) {
			mtas = append(mtas, r.Provenance.MTA.Name)
		}
		if r.Judgement.Verdict.Exit != reconcile.ExitSound || len(r.Findings) > 0 {
			bad++
		}
	}
	slices.Sort(mtas)
	p.OK = bad == 0
	p.Headline = fmt.Sprintf("%d %s of %d %s under %d %s: ", len(found), text.Plural(len(found), "run"), len(mtas), text.Plural(len(mtas), "MTA"), len(storms), text.Plural(len(storms), "storm"))
	if bad == 0 {
		p.Headline += "all sound."
	} else {
		p.Headline += fmt.Sprintf("%d with faults, undetermined units or findings.", bad)
	}
	order := slices.Clone(found)
	slices.SortStableFunc(order, func(a, b Found) int { return cmp.Compare(rank(a.Record), rank(b.Record)) })
	for i := range order {
		r := order[i].Record
		if r.Judgement.Verdict.Exit != reconcile.ExitSound || len(r.Findings) > 0 {
			p.Worst = append(p.Worst, worst{r.Label(), strings.Join(append([]string{r.Judgement.Verdict.Sentence}, r.Findings...), "; "), link(&order[i]), class(r)})
		}
	}
	for part := range slices.Chunk(storms, bandStorms) {
		band := matrixBand{Storms: part}
		for _, mta := range mtas {
			row := matrixRow{MTA: mta}
			for _, storm := range band.Storms {
				cell := matrixCell{Verdict: "–"}
				for i := range found {
					r := found[i].Record
					if stormOf(r) != storm || r.Provenance.MTA.Name != mta {
						continue
					}
					if cell.Class == "" || rank(r) < slices.Index([]string{"faults", "undetermined", "thresholds", "sound"}, cell.Verdict) {
						cell = matrixCell{Link: link(&found[i]), Class: class(r), Verdict: r.Judgement.Verdict.Verdict, Facts: brief(r)}
					}
				}
				row.Cells = append(row.Cells, cell)
			}
			band.Rows = append(band.Rows, row)
		}
		p.Bands = append(p.Bands, band)
	}
	for _, storm := range storms {
		table := matrixTable{Storm: storm}
		for i := range found {
			if r := found[i].Record; stormOf(r) == storm {
				table.About = r.Storm.Description + " Look for: " + r.Storm.Look
				table.Rows = append(table.Rows, rowOf(r, link(&found[i])))
			}
		}
		p.Tables = append(p.Tables, table)
	}
	return p
}

func stormOf(r *Record) string { return strings.TrimSpace(r.Storm.Number + " " + r.Storm.Name) }

func class(r *Record) string {
	switch {
	case r.Judgement.Verdict.Verdict == "faults":
		return "fail"
	case r.Judgement.Verdict.Exit != reconcile.ExitSound || len(r.Findings) > 0:
		return "note"
	}
	return "pass"
}

// brief is what a cell of the matrix says.
func brief(r *Record) (out []string) {
	f := r.Figures
	if f.Depth != nil {
		out = append(out, "peak "+text.Count(f.Depth.Peak))
	}
	if f.Recovery.Backlog > 0 {
		out = append(out, "lag "+seconds(f.Recovery.Lag), "drained "+seconds(f.Recovery.To0))
	}
	for _, n := range []reconcile.Fate{reconcile.Duplicated, reconcile.DuplicatedAmbiguous, reconcile.Refused, reconcile.Expired, reconcile.Queued, reconcile.Lost, reconcile.Undetermined} {
		if count := r.Judgement.Fates[n]; count > 0 {
			out = append(out, text.Count(count)+" "+n.String())
		}
	}
	return out
}

func rowOf(r *Record, link string) stormRow {
	f := r.Figures
	row := stormRow{MTA: r.Provenance.MTA.Version, Link: link, Verdict: r.Judgement.Verdict.Verdict, Peak: "–", Kept: "–", CPU: "–", Load: "–", Lag: "–", Drain: "–", Delay: "–"}
	if f.Depth != nil {
		row.Peak = text.Count(f.Depth.Peak)
	}
	row.Attempts, row.Connections, row.Wasted = text.Count(f.Attempts.Messages), text.Count(f.Attempts.Connections), cell2(f.Waste.ConnectionsPer)
	if f.Recovery.Backlog > 0 {
		row.Lag, row.Drain = seconds(f.Recovery.Lag), seconds(f.Recovery.To0)
	}
	for _, d := range f.Delay {
		if d.Injected == "during" {
			row.Delay = seconds(d.P50)
		}
	}
	if f.Adherence != nil {
		row.Kept = fmt.Sprintf("%.0f%%", 100*f.Adherence.Share())
	}
	if m := r.Machine; m != nil {
		row.Load = fmt.Sprintf("%.0f, %.0f", m.LoadBegin, m.LoadEnd)
	}
	if f.Resources != nil {
		row.CPU = fmt.Sprintf("%.1f s", f.Resources.CPU)
	}
	return row
}

// WriteReport reads all records below a directory, and writes the page over them into it.
func WriteReport(dir string) (path string, err error) {
	found, err := Find(dir)
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, MatrixFile)
	f, err := os.Create(path) // #nosec G304 -- in the directory that the user names
	if err != nil {
		return "", err
	}
	return path, errors.Join(WriteMatrix(f, dir, found), f.Close())
}

// Names of pages among the results.
const (
	PageFile   = "report.html"
	MatrixFile = "storms.html"
)

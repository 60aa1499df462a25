package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"

	"github.com/smtpstorm/xk6-smtp/bench/compare"
	"github.com/smtpstorm/xk6-smtp/bench/plot"
	"github.com/smtpstorm/xk6-smtp/bench/result"
)

//go:embed comparison.html.tmpl
var comparisonTemplate string

// ComparisonHTML writes one self-contained page of a comparison: style and charts are inline, nothing is loaded from anywhere.
func ComparisonHTML(w io.Writer, c Comparison) error {
	p, err := newComparisonPage(c)
	if err != nil {
		return err
	}
	t, err := template.New("comparison").Parse(comparisonTemplate)
	if err != nil {
		return fmt.Errorf("comparison template: %w", err)
	}
	return t.Execute(w, p)
}

// comparisonPage is what the template sees: strings, ready to be printed.
type comparisonPage struct {
	Style           template.CSS
	Title, Design   string
	Headline        []string
	Bad             bool
	Sides           []sideCard
	Tables          []comparedTable
	Notes           []string
	Acceptance      []comparedRow
	AcceptanceWords string
	Curves          folded
	Shifts          folded
	Errors          []errorRow
	ErrorsVerdict   string
	Times           []figure
	Replies         []repliesOf
	Warnings        []compare.Finding
	Differ          []differRow
	Runs            []runRow
	Command         string
}

// folded are figures of which the first few are open: the whole message stands before its phases.
type folded struct{ Open, More []figure }

func fold(figures []figure, open int) folded {
	open = min(open, len(figures))
	return folded{figures[:open], figures[open:]}
}

// openCurves and openShifts are how many figures a reader sees at once.
const openCurves, openShifts = 4, 2

type sideCard struct{ Name, Text, Colour string }

type comparedTable struct {
	Title  string
	Rows   []comparedRow
	Folded bool
}

type comparedRow struct {
	Name, A, B, Change, Interval, P, Verdict string
	Why                                      string // there is no test, in full
	Decided                                  bool
}

type errorRow struct{ Name, Kind, A, B, Change, Part string }

type repliesOf struct {
	Label, Colour string
	Lines         []stageLine
}

type differRow struct{ What, A, B string }

type runRow struct{ Side, Path, Began, Seed, Block, Order, Messages string }

func newComparisonPage(c Comparison) (*comparisonPage, error) {
	p := &comparisonPage{
		Style: template.CSS(pageStyle), Title: c.A.Label + " against " + c.B.Label, Design: "Design: " + designText(c.Result), Headline: c.Headline, // #nosec G203 -- a constant of this package, embedded from a file
		Notes: tableNotes(c.Result), Warnings: c.Warnings, Command: c.Command,
	}
	for _, g := range c.Gates {
		p.Bad = p.Bad || g.State == compare.Worse
	}
	for i, s := range c.sides() {
		p.Sides = append(p.Sides, sideCard{s.Name + ": " + s.Label, sideText(s), plot.Colour(i)})
		for _, r := range s.Runs {
			row := runRow{Side: s.Name, Path: r.Path, Began: timeText(r.Started), Seed: fmt.Sprint(r.Seed), Messages: count(r.Tried)}
			if r.Block > 0 {
				row.Block, row.Order = fmt.Sprint(r.Block), fmt.Sprint(r.Order)
			}
			p.Runs = append(p.Runs, row)
		}
		if lines := repliesLines(s); len(lines) > 0 {
			p.Replies = append(p.Replies, repliesOf{s.Name + ": " + s.Label, plot.Colour(i), lines})
		}
	}
	n := len(c.Primary())
	p.Tables = append(p.Tables, comparedTable{Title: "Primary family (ms)", Rows: comparedRows(c.Rows[:n])})
	if len(c.Rows) > n {
		p.Tables = append(p.Tables, comparedTable{fmt.Sprintf("%d exploratory rows (ms), not corrected for their number", len(c.Rows)-n), comparedRows(c.Rows[n:]), true})
	}
	if c.Acceptance != nil {
		p.Acceptance, p.AcceptanceWords = comparedRows(c.Acceptance.Rows), acceptanceWords(c.Acceptance)
	}
	if c.Errors != nil {
		p.ErrorsVerdict = errorsVerdict(c.Errors)
		for _, e := range c.Errors.Classes {
			p.Errors = append(p.Errors, errorRow{e.Class.String(), string(e.Kind), share(e.A), share(e.B), points(e.B-e.A) + " points", fmt.Sprintf("%.0f %%", 100*e.Part)})
		}
	}
	for _, d := range c.Differ {
		p.Differ = append(p.Differ, differRow{d.What, strings.Join(d.A, "\n"), strings.Join(d.B, "\n")})
	}
	curves, err := inline(comparedCurves(c))
	if err != nil {
		return nil, err
	}
	shifts, err := inline(shiftCharts(c))
	if err != nil {
		return nil, err
	}
	p.Curves, p.Shifts = fold(curves, openCurves), fold(shifts, openShifts)
	p.Times, err = inline(comparedTimes(c))
	return p, err
}

func (c *Comparison) sides() []*compare.SideInfo { return []*compare.SideInfo{&c.A, &c.B} }

func comparedRows(rows []compare.Row) []comparedRow {
	var out []comparedRow
	for i := range rows {
		r := &rows[i]
		row := comparedRow{Name: r.Name, A: amount(r, r.MedianA), B: amount(r, r.MedianB), Verdict: string(r.Reason), Why: r.Why}
		if r.Shift != nil {
			row.Change, row.Interval, row.P = changeText(r), effectInterval(r), pValue(r.Shift.P)
			row.Verdict = strings.Replace(verdictWord(r), "~", string(compare.Undecided), 1)
			row.Decided = r.Verdict == compare.Less || r.Verdict == compare.Greater
		}
		out = append(out, row)
	}
	return out
}

// repliesLines sums the runs' replies up.
func repliesLines(s *compare.SideInfo) []stageLine {
	var runs [][]result.Row
	for _, run := range s.All {
		runs = append(runs, run.Replies)
	}
	var out []stageLine
	for _, row := range result.SumRows(runs...) {
		line := newStageLine(row, 0)
		line.Reply = row.String()
		out = append(out, line)
	}
	return out
}

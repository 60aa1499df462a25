package report

import (
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/smtpstorm/xk6-smtp/bench/compare"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
	"github.com/smtpstorm/xk6-smtp/sink/text"
)

// Comparison is a comparison of two groups of runs that is to be rendered.
type Comparison struct {
	*compare.Result
	// Command reproduces it from the same records.
	Command string
}

// ComparisonText writes the verdict in words, then a table in benchstat's manner that fits 80 columns.
func ComparisonText(w io.Writer, c Comparison) error {
	var b strings.Builder
	labelled := func(word, said string) {
		said = strings.ReplaceAll(text.Wrap(said, text.Columns-9, ""), "\n", "\n         ")
		b.WriteString(strings.TrimRight(fmt.Sprintf("%-9s", word)+said, " ") + "\n")
	}
	for i, line := range c.Headline {
		word := ""
		if i == 0 {
			word = "verdict"
		}
		labelled(word, line)
	}
	b.WriteByte('\n')
	labelled("A", sideText(&c.A))
	labelled("B", sideText(&c.B))
	labelled("design", designText(c.Result))
	if differ := c.Between(); len(differ) > 0 {
		labelled("differ", "in "+strings.Join(differ, ", "))
	}
	b.WriteString("\n" + comparisonTable(c, c.Primary(), "primary family"))
	if rest := shown(c.Rows[len(c.Primary()):]); len(rest) > 0 {
		b.WriteString("\n" + comparisonTable(c, rest, "exploratory"))
	}
	for _, note := range tableNotes(c.Result) {
		b.WriteString(text.Wrap(note, text.Columns, "") + "\n")
	}
	if s := errorsText(c.Errors); s != "" {
		b.WriteString("\n" + s)
	}
	if s := acceptanceText(c); s != "" {
		b.WriteString("\n" + s)
	}
	if s := shiftText(c.Shifts); s != "" {
		b.WriteString("\n" + s)
	}
	for _, f := range c.Warnings {
		b.WriteString("\n" + text.Wrap("warning: "+f.Text, text.Columns, "  "))
	}
	if len(c.Warnings) > 0 {
		b.WriteByte('\n')
	}
	// Labels, paths and warnings come from files: none of them steers a terminal.
	_, err := io.WriteString(w, smtp.VisibleLines(strings.TrimRight(b.String(), "\n")+"\n"))
	return err
}

func sideText(s *compare.SideInfo) string {
	out := s.Label + ": " + text.Counted(len(s.Runs), "run")
	if s.Plan != "" {
		out += ", plan " + s.Plan
	}
	var n uint64
	for _, r := range s.Runs {
		n += r.Tried
	}
	if n > 0 {
		out += ", " + count(n) + " messages"
	}
	return out
}

func designText(r *compare.Result) string {
	switch {
	case len(r.A.Runs) == 1 && len(r.B.Runs) == 1 && r.Design.Kind != compare.Blocks:
		return "one run a side"
	case r.Design.Kind == compare.Blocks:
		return fmt.Sprintf("%s, both sides once in each, in the order %s (drawn from seed %d)", text.Counted(len(r.A.Runs), "block"), r.Design.Order, r.Design.Seed)
	case r.Design.Kind == compare.Interleaved:
		return "unpaired, interleaved: " + r.Design.Order
	case r.Design.Kind == compare.Separate:
		return "unpaired, not interleaved: " + r.Design.Order
	}
	return "unpaired, in an unknown order"
}

// shown are the exploratory rows of the text: the median and p99 of each latency that could be tested, and shares that are not 0. JSON, CSV and
// the page have all.
func shown(rows []compare.Row) []compare.Row {
	var out []compare.Row
	for _, r := range rows {
		switch s := r.Measure.Statistic; {
		case r.Measure.IsShare():
			if r.MedianA != 0 || r.MedianB != 0 {
				out = append(out, r)
			}
		case r.Shift != nil && (s == compare.P50 || s == compare.P99):
			out = append(out, r)
		}
	}
	return out
}

func comparisonTable(c Comparison, rows []compare.Row, title string) string {
	t := text.Table{Right: []int{1, 2, 3, 5}}
	t.Row(title, "A", "B", "B-A", "interval", "p", "ms")
	for i := range rows {
		r := &rows[i]
		if r.Shift == nil {
			t.Row(rowName(r), amount(r, r.MedianA), amount(r, r.MedianB), "", string(r.Reason))
			continue
		}
		t.Row(rowName(r), amount(r, r.MedianA), amount(r, r.MedianB), changeText(r), effectInterval(r), pValue(r.Shift.P), verdictWord(r))
	}
	return t.String()
}

// rowName is the row's name with the outcome in few letters.
func rowName(r *compare.Row) string {
	m := r.Measure
	short := map[compare.Outcome]string{compare.Deferred: " 4yz", compare.Bounced: " 5yz", compare.NotAccepted: " failed"}[m.Key.Outcome]
	m.Key.Outcome = compare.Any
	return m.Name() + short
}

// amount writes a value of a row: milliseconds, or a share in percent.
func amount(r *compare.Row, v float64) string {
	switch {
	case math.IsNaN(v):
		return "-"
	case math.IsInf(v, 1) && r.Measure.Key.Metric == compare.MetricAcceptance:
		return "never"
	case math.IsInf(v, 1):
		return "> max"
	case r.Measure.IsShare():
		return fmt.Sprintf("%.2f%%", 100*v)
	}
	return millis(v)
}

// points writes a share, or a difference of shares, in points. What rounds to nothing has the sign of nothing.
func points(share float64) string {
	hundredths := math.Round(1e4 * share)
	if hundredths == 0 {
		hundredths = 0 // a negative zero is no more
	}
	return fmt.Sprintf("%+.2f", hundredths/100)
}

// changeText writes the estimate: a percentage of latencies, points of shares.
func changeText(r *compare.Row) string {
	switch {
	case r.Measure.IsShare():
		return points(r.Shift.Estimate) + "pt"
	case r.Ratio != nil && r.Ratio.Estimate >= 10:
		return "×" + factor(r.Ratio.Estimate)
	case r.Ratio != nil:
		return fmt.Sprintf("%+.1f%%", 100*(r.Ratio.Estimate-1))
	case math.IsNaN(r.Shift.Estimate):
		return "-"
	}
	return signed(r.Shift.Estimate)
}

// effectInterval writes the interval of the shift, in the row's unit. Its level is the row's.
func effectInterval(r *compare.Row) string {
	e := r.Shift
	if math.IsNaN(e.Lo) {
		return "by ranks"
	}
	write := func(v float64) string {
		if r.Measure.IsShare() {
			return points(v)
		}
		return signed(v)
	}
	left, right := "[", "]"
	if e.OpenLo {
		left = "("
	}
	if e.OpenHi {
		right = ")"
	}
	s := left + write(e.Lo) + ", " + write(e.Hi) + right
	if !e.Attained {
		s += "*"
	}
	return s
}

func verdictWord(r *compare.Row) string {
	switch {
	case (r.Verdict == compare.Less || r.Verdict == compare.Greater) && r.Within:
		return string(r.Verdict) + ", within margin"
	case r.Verdict == compare.Undecided:
		return "~"
	case r.Verdict == compare.Equivalent:
		return "equal"
	}
	return string(r.Verdict)
}

// tableNotes explain the tables.
func tableNotes(r *compare.Result) []string {
	if len(r.A.Runs) == 1 && len(r.B.Runs) == 1 {
		return nil
	}
	test := "exact Mann-Whitney test"
	if r.Design.Kind == compare.Blocks {
		test = "exact signed-rank test of the blocks"
	}
	level := func(alpha float64) string { return fmt.Sprintf("%.4g%%", 100*(1-alpha)) }
	var levels []string
	for _, row := range r.Primary() {
		if row.Shift != nil {
			levels = append(levels, level(row.Alpha))
		}
	}
	out := []string{fmt.Sprintf("A, B: medians over the runs. B-A in percent from logarithms, shares in points; the interval in ms or points is that which inverts the test whose p stands beside it (%s). Levels after Holm in the primary family: %s; exploratory rows %s each, not corrected. ~ undecided, equal: proved to lie within %s. --json and --csv have all rows.",
		test, orDash(strings.Join(levels, ", ")), level(r.Options.Alpha), r.Options.Margins())}
	star := false
	for _, row := range r.Rows {
		star = star || row.Shift != nil && !row.Shift.Attained && !math.IsNaN(row.Shift.Lo)
	}
	if star {
		out = append(out, "* the full range: so few runs can't have the level")
	}
	for _, row := range r.Primary() {
		switch {
		case row.Reason != "":
			out = append(out, fmt.Sprintf("%s: %s", row.Name, row.Why))
		case row.Needs > 0:
			out = append(out, fmt.Sprintf("%s: needs at least %s to be decided at %s", row.Name, units(r, row.Needs), level(row.Alpha)))
		case row.Findable > 0 && row.Measure.IsShare():
			out = append(out, fmt.Sprintf("%s: this design finds a difference of %.2g points in 80%% of cases", row.Name, 100*row.Findable))
		case row.Findable >= 1:
			out = append(out, fmt.Sprintf("%s: this design finds a factor of %s in 80%% of cases", row.Name, factor(1+row.Findable)))
		case row.Findable > 0:
			out = append(out, fmt.Sprintf("%s: this design finds a change of %+.2g%% in 80%% of cases", row.Name, 100*row.Findable))
		}
	}
	return out
}

func units(r *compare.Result, n int) string {
	if r.Design.Kind == compare.Blocks {
		return text.Counted(n, "block")
	}
	return text.Counted(n, "run") + " a side"
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// mostClasses is how many classes of errors the text shows.
const mostClasses = 10

func errorsText(e *compare.Errors) string {
	if e == nil {
		return ""
	}
	t := text.Table{Right: []int{1, 2, 3, 4}}
	t.Row("errors", "A", "B", "B-A", "of the distance")
	for _, k := range []compare.Kind{compare.Temporary, compare.Permanent, compare.Network} {
		if v := e.Kinds[k]; v[0]+v[1] > 0 {
			t.Row(string(k)+", of all messages", share(v[0]), share(v[1]), points(v[1]-v[0])+"pt", "")
		}
	}
	for i, class := range e.Classes {
		if i == mostClasses {
			t.Row(fmt.Sprintf("  and %d more", len(e.Classes)-mostClasses))
			break
		}
		t.Row("  "+class.Class.String()+", of its stage", share(class.A), share(class.B), points(class.B-class.A)+"pt", fmt.Sprintf("%.0f%%", 100*class.Part))
	}
	return t.String() + text.Wrap(errorsVerdict(e), text.Columns, "") + "\n"
}

// errorsVerdict says whether the distributions of errors differ.
func errorsVerdict(e *compare.Errors) string {
	if math.IsNaN(e.P) {
		return "The distributions were not tested: it takes several runs a side."
	}
	what := "not shown to differ"
	if e.Differs {
		what = "differ"
	}
	draws := count(uint64(e.Draws)) // #nosec G115 -- a count, never negative
	how := draws + " random relabellings of whole runs"
	if e.Exact {
		how = "all " + draws + " relabellings of whole runs"
	}
	s := fmt.Sprintf("The distributions of errors by stage and code %s (p = %s, %s).", what, pValue(e.P), how)
	if e.Floor > e.Alpha {
		s += fmt.Sprintf(" So few runs can't give less than p = %s.", pValue(e.Floor))
	}
	return s
}

func acceptanceText(c Comparison) string {
	a := c.Acceptance
	if a == nil || a.ShareA == 1 && a.ShareB == 1 {
		return ""
	}
	return comparisonTable(c, a.Rows, "time to acceptance") + text.Wrap(acceptanceWords(a), text.Columns, "") + "\n"
}

func acceptanceWords(a *compare.Acceptance) string {
	return fmt.Sprintf("Over all attempted messages: one that was not accepted counts as never. %s of A's and %s of B's were accepted; a message of B is accepted later than one of A in %.1f%% of pairs, ties counting half.",
		share(a.ShareA), share(a.ShareB), 100*a.Later)
}

// shiftText says in words where the distributions differ.
func shiftText(shifts []compare.ShiftFunction) string {
	var b strings.Builder
	for _, f := range shifts {
		if f.Key.Metric != compare.MetricDuration {
			continue
		}
		b.WriteString(text.Wrap(shiftWords(&f), text.Columns, "") + "\n")
	}
	return b.String()
}

func shiftWords(f *compare.ShiftFunction) string {
	var differ []string
	for _, d := range f.Deciles {
		if d.Differs {
			differ = append(differ, fmt.Sprintf("p%.0f %sms", 100*d.Q, signed(d.Shift)))
		}
	}
	if len(differ) == 0 {
		return fmt.Sprintf("Shift function of %s: no decile is shown to differ (simultaneous band, %.4g%%).", compare.PhaseWords(f.Key.Metric), 100*f.Level)
	}
	return fmt.Sprintf("Shift function of %s: differs at %s (simultaneous band, %.4g%%).", compare.PhaseWords(f.Key.Metric), strings.Join(differ, ", "), 100*f.Level)
}

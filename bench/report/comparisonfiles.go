package report

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/smtpstorm/xk6-smtp/bench/compare"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// ComparisonSchema is the version of the JSON of a comparison.
const ComparisonSchema = "smtpstorm/comparison/1"

type comparisonJSON struct {
	Schema     string                  `json:"schema"`
	Verdict    []string                `json:"verdict"`
	NoWinner   string                  `json:"no_winner,omitempty"`
	A          compare.SideInfo        `json:"a"`
	B          compare.SideInfo        `json:"b"`
	Design     compare.Design          `json:"design"`
	Options    compare.Options         `json:"options"`
	Gates      []compare.Gate          `json:"criteria,omitempty"`
	Rows       []rowJSON               `json:"rows"`
	Errors     *errorsJSON             `json:"errors,omitempty"`
	Acceptance *acceptanceJSON         `json:"acceptance,omitempty"`
	Shifts     []compare.ShiftFunction `json:"shift_functions,omitempty"`
	Drifts     []compare.Drift         `json:"drift,omitempty"`
	Differ     []compare.Differ        `json:"differences,omitempty"`
	Warnings   []compare.Finding       `json:"warnings,omitempty"`
	Command    string                  `json:"command,omitempty"`
}

type rowJSON struct {
	Name     string          `json:"name"`
	Primary  bool            `json:"primary"`
	Unit     string          `json:"unit"` // ms or share
	A        []valueJSON     `json:"a"`
	B        []valueJSON     `json:"b"`
	MedianA  *float64        `json:"median_a"`
	MedianB  *float64        `json:"median_b"`
	Reason   compare.Reason  `json:"reason,omitempty"`
	Why      string          `json:"why,omitempty"`
	Shift    *effectJSON     `json:"shift,omitempty"`
	Ratio    *effectJSON     `json:"ratio,omitempty"`
	Alpha    float64         `json:"alpha,omitempty"`
	Verdict  compare.Verdict `json:"verdict"`
	Within   bool            `json:"within_margin"`
	Needs    int             `json:"needs_runs,omitempty"`
	Findable float64         `json:"findable,omitempty"`
}

type valueJSON struct {
	Value  *float64 `json:"value"` // null: none, or hidden by unseen work
	N      uint64   `json:"n"`
	Unseen uint64   `json:"unseen,omitempty"`
	Few    bool     `json:"few,omitempty"`
	RoomLo float64  `json:"room_lo,omitempty"`
	RoomHi float64  `json:"room_hi,omitempty"`
}

func newValueJSON(v compare.Value) valueJSON {
	return valueJSON{finite(v.V), v.N, v.Unseen, v.Few, v.RoomLo, v.RoomHi}
}

type effectJSON struct {
	Estimate *float64 `json:"estimate"`
	Lo       *float64 `json:"lo"`
	Hi       *float64 `json:"hi"`
	OpenLo   bool     `json:"open_lo,omitempty"`
	OpenHi   bool     `json:"open_hi,omitempty"`
	Level    *float64 `json:"level"`
	Attained bool     `json:"attained"`
	P        float64  `json:"p"`
}

type errorsJSON struct {
	*compare.Errors
	P *float64 `json:"p"`
}

type acceptanceJSON struct {
	*compare.Acceptance
	Rows []rowJSON `json:"rows"`
}

// ComparisonJSON writes every figure of a comparison. What is unknown or infinite is null.
func ComparisonJSON(w io.Writer, c Comparison) error {
	out := comparisonJSON{
		Schema: ComparisonSchema, Verdict: c.Headline, NoWinner: c.NoWinner, A: c.A, B: c.B, Design: c.Design, Options: c.Options, Gates: c.Gates,
		Rows: rowsJSON(c.Rows), Shifts: c.Shifts, Drifts: c.Drifts, Differ: c.Differ, Warnings: c.Warnings, Command: c.Command,
	}
	if c.Errors != nil {
		out.Errors = &errorsJSON{c.Errors, finite(c.Errors.P)}
	}
	if c.Acceptance != nil {
		out.Acceptance = &acceptanceJSON{c.Acceptance, rowsJSON(c.Acceptance.Rows)}
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(out)
}

func rowsJSON(rows []compare.Row) []rowJSON {
	var out []rowJSON
	for i := range rows {
		r := &rows[i]
		j := rowJSON{Name: r.Name, Primary: r.Primary, Unit: "ms", MedianA: finite(r.MedianA), MedianB: finite(r.MedianB), Reason: r.Reason, Why: r.Why,
			Shift: newEffectJSON(r.Shift), Ratio: newEffectJSON(r.Ratio), Alpha: r.Alpha, Verdict: r.Verdict, Within: r.Within, Needs: r.Needs, Findable: r.Findable}
		if r.Measure.IsShare() {
			j.Unit = "share"
		}
		for _, v := range r.A {
			j.A = append(j.A, newValueJSON(v))
		}
		for _, v := range r.B {
			j.B = append(j.B, newValueJSON(v))
		}
		out = append(out, j)
	}
	return out
}

func newEffectJSON(e *compare.Effect) *effectJSON {
	if e == nil {
		return nil
	}
	return &effectJSON{finite(e.Estimate), finite(e.Lo), finite(e.Hi), e.OpenLo, e.OpenHi, finite(e.Level), e.Attained, e.P}
}

// ComparisonCSV writes a line for each row, with a header. What is unknown or infinite is empty.
func ComparisonCSV(w io.Writer, c Comparison) error {
	out := csv.NewWriter(w)
	_ = out.Write(strings.Fields("measure family unit runs_a runs_b median_a median_b shift shift_lo shift_hi level ratio ratio_lo ratio_hi p alpha verdict within_margin why")) // Error returns it
	number := func(v float64) string {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return ""
		}
		return strconv.FormatFloat(v, 'g', 8, 64)
	}
	for i := range c.Rows {
		r := &c.Rows[i]
		family, unit := "exploratory", "ms"
		if r.Primary {
			family = "primary"
		}
		if r.Measure.IsShare() {
			unit = "share"
		}
		line := []string{r.Name, family, unit, strconv.Itoa(len(r.A)), strconv.Itoa(len(r.B)), number(r.MedianA), number(r.MedianB)}
		if e := r.Shift; e != nil {
			line = append(line, number(e.Estimate), number(e.Lo), number(e.Hi), number(e.Level))
		} else {
			line = append(line, "", "", "", "")
		}
		if e := r.Ratio; e != nil {
			line = append(line, number(e.Estimate), number(e.Lo), number(e.Hi))
		} else {
			line = append(line, "", "", "")
		}
		if r.Shift != nil {
			line = append(line, number(r.Shift.P), number(r.Alpha))
		} else {
			line = append(line, "", "")
		}
		_ = out.Write(append(line, string(r.Verdict), strconv.FormatBool(r.Within), r.Why))
	}
	out.Flush()
	return out.Error()
}

// ComparisonMarkdown writes what fits a pull request: the verdict, the family's rows, warnings, and the other rows folded.
func ComparisonMarkdown(w io.Writer, c Comparison) error {
	var b strings.Builder
	for _, line := range c.Headline {
		fmt.Fprintf(&b, "**%s**\n\n", markdown(line))
	}
	fmt.Fprintf(&b, "A: %s. B: %s. Design: %s.\n\n", markdown(sideText(&c.A)), markdown(sideText(&c.B)), markdown(designText(c.Result)))
	if differ := c.Between(); len(differ) > 0 {
		fmt.Fprintf(&b, "The sides differ in %s.\n\n", markdown(strings.Join(differ, ", ")))
	}
	markdownTable(&b, c.Primary())
	if rest := c.Rows[len(c.Primary()):]; len(rest) > 0 {
		fmt.Fprintf(&b, "\n<details><summary>%d exploratory rows, not corrected for their number</summary>\n\n", len(rest))
		markdownTable(&b, rest)
		b.WriteString("\n</details>\n")
	}
	if c.Errors != nil {
		fmt.Fprintf(&b, "\n%s\n", markdown(errorsVerdict(c.Errors)))
	}
	for _, note := range tableNotes(c.Result) {
		fmt.Fprintf(&b, "\n%s\n", markdown(note))
	}
	if len(c.Warnings) > 0 {
		b.WriteString("\n")
	}
	for _, f := range c.Warnings {
		fmt.Fprintf(&b, "- ⚠ %s\n", markdown(f.Text))
	}
	if c.Command != "" {
		fmt.Fprintf(&b, "\n```sh\n%s\n```\n", strings.ReplaceAll(c.Command, "```", ""))
	}
	_, err := io.WriteString(w, smtp.VisibleLines(b.String()))
	return err
}

func markdownTable(b *strings.Builder, rows []compare.Row) {
	b.WriteString("| measure | A | B | B-A | interval | p | verdict |\n|---|--:|--:|--:|---|--:|---|\n")
	for i := range rows {
		r := &rows[i]
		cells := []string{r.Name, amount(r, r.MedianA), amount(r, r.MedianB), "", "", "", r.Why}
		if r.Shift != nil {
			cells[3], cells[4], cells[5], cells[6] = changeText(r), effectInterval(r), pValue(r.Shift.P), strings.Replace(verdictWord(r), "~", "undecided", 1)
		}
		for j := range cells {
			cells[j] = markdown(cells[j])
		}
		b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
	}
}

// markdown keeps text from being taken for markup.
func markdown(s string) string {
	return strings.NewReplacer(`\`, `\\`, "|", `\|`, "<", "&lt;", ">", "&gt;", "*", `\*`, "_", `\_`, "`", "\\`", "[", `\[`, "~", `\~`, "\n", " ").Replace(s)
}

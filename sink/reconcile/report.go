package reconcile

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// SummaryFormat names the format of summary.json and its version.
const SummaryFormat = "smtpstorm/summary/1"

// MarshalJSON implements json.Marshaler: what summary.json says of the books.
func (r *Result) MarshalJSON() ([]byte, error) {
	fates := make(map[string]uint64, NumFates)
	for f, n := range r.Fates {
		fates[Fate(f).String()] = n
	}
	findings := r.Findings
	if findings == nil {
		findings = []Finding{}
	}
	return json.Marshal(struct {
		Format string `json:"format"`
		Verdict
		Messages uint64            `json:"messages"`
		Units    uint64            `json:"units"`
		Fates    map[string]uint64 `json:"fates"`
		Findings []Finding         `json:"findings"`
		Lacking  []string          `json:"lacking,omitempty"`
		Figures  map[string]uint64 `json:"figures"`
	}{SummaryFormat, r.Verdict, r.Messages, r.Units, fates, findings, r.Lacking, r.figures()})
}

// figures returns the other counts by name.
func (r *Result) figures() map[string]uint64 {
	return map[string]uint64{
		"runs": r.Runs, "attempts": r.Attempts, "deliveries": r.Deliveries, "returned_attempts": r.Returned, "unattributed_attempts": r.Unattributed,
		"foreign_attempts": r.Foreign, "stray_attempts": r.StrayAttempts, "unknown_notifications": r.UnknownNotifications, "incidents": r.Incidents,
		"missing_rows": r.MissingRows, "torn_octets": uint64(max(r.TornOctets, 0)), // #nosec G115 -- not negative
	}
}

// WriteText renders the result for people: the verdict in a sentence, then fates and findings.
func (r *Result) WriteText(w io.Writer) error {
	var text strings.Builder
	fmt.Fprintln(&text, r.Verdict.Sentence)
	t := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	line := func(cells ...any) {
		for i, c := range cells {
			if i > 0 {
				fmt.Fprint(t, "\t")
			}
			fmt.Fprint(t, c)
		}
		fmt.Fprintln(t)
	}
	line()
	line("units", r.Units, fmt.Sprintf("(message, recipient) of %d %s", r.Messages, plural(r.Messages, "message")))
	for f, n := range r.Fates {
		if n > 0 {
			line("  "+Fate(f).String(), n)
		}
	}
	line("attempts", r.Attempts, fmt.Sprintf("in %d %s of the sink", r.Runs, plural(r.Runs, "run")))
	line("deliveries", r.Deliveries)
	for _, c := range [...]struct {
		name string
		n    uint64
		note string
	}{
		{"returned", r.Returned, "attempts of notifications on their way to a claimed sender"},
		{"unattributed", r.Unattributed, "attempts outside any transaction"},
		{"strays", r.StrayAttempts, "attempts of a claimed message to somebody else, not delivered"},
		{"foreign", r.Foreign, "attempts that nothing ties to a claim"},
		{"unknown notifications", r.UnknownNotifications, "of failure, that name no claim"},
		{"missing rows", r.MissingRows, "the ledger could not be written"},
	} {
		if c.n > 0 {
			line(c.name, c.n, c.note)
		}
	}
	_ = t.Flush() // to memory
	if r.Fates[Undetermined] > 0 {
		for _, what := range r.Lacking {
			fmt.Fprintf(&text, "not known: %s\n", what)
		}
	}
	for i := range r.Findings {
		f := &r.Findings[i]
		fmt.Fprintf(&text, "\n%v: %s, %d %s: %s\n", f.Severity, f.Kind, f.Units, plural(f.Units, "unit"), f.Means)
		for _, e := range f.Evidence {
			fmt.Fprintf(&text, "  %s to %s", printable(e.Token), printable(e.Recipient))
			if e.Note != "" {
				fmt.Fprintf(&text, ": %s", printable(e.Note))
			}
			fmt.Fprintln(&text)
		}
		if more := f.Units - uint64(len(f.Evidence)); f.Units > uint64(len(f.Evidence)) {
			fmt.Fprintf(&text, "  and %d more (all are in units.jsonl)\n", more)
		}
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// printable quotes what would spoil a line.
func printable(s string) string {
	for _, r := range s {
		if r < ' ' || r == 0x7f || r == 0xfffd {
			return fmt.Sprintf("%q", s)
		}
	}
	return s
}

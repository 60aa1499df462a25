package reconcile

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"

	"github.com/smtpstorm/xk6-smtp/sink/jsonl"
	"github.com/smtpstorm/xk6-smtp/sink/text"
)

// SummarySchema names the format of summary.json and its version.
const SummarySchema = "smtpstorm/summary/2"

// Summary is a result as JSON has it: what summary.json begins with.
type Summary struct {
	Schema string `json:"schema"`
	Verdict
	Messages uint64            `json:"messages"`
	Units    uint64            `json:"units"`
	Fates    map[string]uint64 `json:"fates"`
	Findings []Finding         `json:"findings"`
	Lacking  []string          `json:"lacking,omitempty"`
	Figures  map[string]uint64 `json:"figures"`
}

// Summary returns the result as JSON has it.
func (r *Result) Summary() Summary {
	s := Summary{SummarySchema, r.Verdict, r.Messages, r.Units, make(map[string]uint64, NumFates), r.Findings, r.Lacking,
		map[string]uint64{"torn_octets": uint64(max(r.TornOctets, 0))}} // #nosec G115 -- not negative
	for f, n := range r.Fates {
		s.Fates[Fate(f).String()] = n
	}
	if s.Findings == nil {
		s.Findings = []Finding{}
	}
	for _, c := range r.counts()[2:] { // messages and units stand for themselves
		s.Figures[c.name] = *c.n
	}
	return s
}

// MarshalJSON implements json.Marshaler.
func (r *Result) MarshalJSON() ([]byte, error) { return json.Marshal(r.Summary()) }

// UnmarshalJSON implements json.Unmarshaler.
func (r *Result) UnmarshalJSON(text []byte) error {
	var s Summary
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	*r = Result{Verdict: s.Verdict, Findings: s.Findings, Lacking: s.Lacking}
	for f := range r.Fates {
		r.Fates[f] = s.Fates[Fate(f).String()]
	}
	for _, c := range r.counts()[2:] {
		*c.n = s.Figures[c.name]
	}
	r.Messages, r.Units, r.TornOctets = s.Messages, s.Units, int64(s.Figures["torn_octets"]&math.MaxInt64) // #nosec G115 -- of 63 bits
	return nil
}

// WriteText renders the result for people: the verdict in a sentence, then fates and findings.
func (r *Result) WriteText(w io.Writer) error {
	if _, err := fmt.Fprintf(w, "%s\n\n", r.Verdict.Sentence); err != nil {
		return err
	}
	return r.WriteFound(w)
}

// WriteFound renders fates and findings for people.
func (r *Result) WriteFound(w io.Writer) error {
	var out strings.Builder
	t := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	line := func(cells ...any) {
		for i, c := range cells {
			if i > 0 {
				fmt.Fprint(t, "\t")
			}
			fmt.Fprint(t, c)
		}
		fmt.Fprintln(t)
	}
	if r.Units+r.Attempts == 0 && r.Replies > 0 { // nobody's messages were judged
		line("replies", r.Replies, "of the sink, compared with what clients observed")
	} else {
		r.writeCounts(line)
	}
	_ = t.Flush() // to memory
	if r.Fates[Undetermined] > 0 {
		for _, what := range r.Lacking {
			fmt.Fprintf(&out, "not known: %s\n", what)
		}
	}
	for i := range r.Findings {
		f := &r.Findings[i]
		noun, listed := f.Kind.Counts()
		where := ""
		if listed {
			where = " (all are in units.jsonl)"
		}
		fmt.Fprintf(&out, "\n%v: %s, %s: %s\n", f.Severity, f.Kind, text.Counted(f.Units, noun), f.Means)
		for _, e := range f.Evidence {
			fmt.Fprintf(&out, "  %s\n", e)
		}
		if more := f.Units - uint64(len(f.Evidence)); f.Units > uint64(len(f.Evidence)) {
			fmt.Fprintf(&out, "  and %d more%s\n", more, where)
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// writeCounts writes the counts of units and attempts.
func (r *Result) writeCounts(line func(cells ...any)) {
	line("units", r.Units, "(message, recipient) of "+text.Counted(r.Messages, "message"))
	for f, n := range r.Fates {
		if n > 0 {
			line("  "+Fate(f).String(), n)
		}
	}
	line("attempts", r.Attempts, "in "+text.Counted(r.Runs, "run")+" of the sink")
	if r.Killed > 0 {
		line("killed", r.Killed, "of these runs: no stop row, and the next went on with the ledger")
	}
	line("deliveries", r.Deliveries)
	for _, c := range [...]struct {
		name string
		n    uint64
		note string
	}{
		{"returned", r.Returned, "attempts of notifications on their way to a claimed sender"},
		{"unattributed", r.Unattributed, "attempts outside any transaction, or of one of several units"},
		{"early", r.Early, "attempts of what is claimed, before the first claim: another run's, or the clocks of sender and sink differ"},
		{"strays", r.StrayAttempts, "attempts of a claimed message to somebody else, not delivered"},
		{"foreign", r.Foreign, "attempts that nothing ties to a claim"},
		{"unknown notifications", r.UnknownNotifications, "of failure, that name no claim, or went to the sender of another"},
		{"missing rows", r.MissingRows, "of a ledger: they could not be written, or a part of it was not given"},
	} {
		if c.n > 0 {
			line(c.name, c.n, c.note)
		}
	}
}

// String returns the evidence in one line.
func (e Evidence) String() string {
	var parts []string
	if e.Leg != "" {
		parts = append(parts, e.Leg)
	}
	if e.Token != "" || e.Recipient != "" {
		parts = append(parts, printable(e.Token)+" to "+printable(e.Recipient))
	}
	if e.Note != "" {
		parts = append(parts, printable(e.Note))
	}
	return strings.Join(parts, ": ")
}

// printable quotes what would break a line.
func printable(s string) string {
	for _, r := range s {
		if r < ' ' || r == 0x7f || r == 0xfffd {
			return fmt.Sprintf("%q", s)
		}
	}
	return s
}

// MarshalJSON implements json.Marshaler: tokens and recipients may be of any octets, see package jsonl.
func (e Evidence) MarshalJSON() ([]byte, error) {
	dst := []byte{'{'}
	for _, k := range e.members() {
		if *k.value == "" {
			continue
		}
		if len(dst) > 1 {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, '"'), k.key...), `":`...)
		dst = jsonl.AppendString(dst, *k.value)
	}
	return append(dst, '}'), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (e *Evidence) UnmarshalJSON(text []byte) error {
	var scan jsonl.Scanner
	if err := scan.Scan(text); err != nil {
		return err
	}
	for _, k := range e.members() {
		if v, ok := scan.Get(k.key); ok {
			octets, err := v.Text()
			if err != nil {
				return err
			}
			*k.value = string(octets)
		}
	}
	return nil
}

type evidenceMember struct {
	key   string
	value *string
}

func (e *Evidence) members() []evidenceMember {
	return []evidenceMember{{"leg", &e.Leg}, {"token", &e.Token}, {"recipient", &e.Recipient}, {"note", &e.Note}}
}

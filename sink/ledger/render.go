package ledger

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/text"
)

// table collects aligned lines; an empty one parts tables.
type table struct{ parts []text.Table }

func newTable() *table { return &table{parts: make([]text.Table, 1)} }

// line writes cells; every cell but the last is aligned with those above it.
func (t *table) line(cells ...any) {
	for len(cells) > 0 && cells[len(cells)-1] == "" {
		cells = cells[:len(cells)-1]
	}
	if len(cells) == 0 {
		t.parts = append(t.parts, text.Table{})
		return
	}
	t.parts[len(t.parts)-1].Row(cells...)
}

// lineIf writes the line if n is not 0.
func (t *table) lineIf(n uint64, cells ...any) {
	if n != 0 {
		t.line(cells...)
	}
}

func (t *table) writeTo(w io.Writer) error {
	var all []string
	for _, part := range t.parts {
		if !part.Empty() {
			all = append(all, part.String())
		}
	}
	_, err := io.WriteString(w, strings.Join(all, "\n"))
	return err
}

// named says of the plan without a name that it has none.
func named(plans []string) []string {
	plans = slices.Clone(plans)
	for i, name := range plans {
		if name == "" {
			plans[i] = "(unnamed)"
		}
	}
	return plans
}

// WriteText renders the summary for people.
func (s *Summary) WriteText(w io.Writer) error {
	t := newTable()
	t.line("runs", fmt.Sprintf("%d, with plan %s", s.Runs, strings.Join(named(s.Plans), ", ")))
	t.line("from", s.First.Format(time.RFC3339Nano))
	t.line("to", fmt.Sprintf("%s (%v)", s.Last.Format(time.RFC3339Nano), s.Last.Sub(s.First)))
	for _, r := range s.Rows {
		t.line("rows of kind "+r.Name, r.Count)
	}
	t.line("connections", fmt.Sprintf("%d, and %d that have no end", s.Connections, s.Unfinished))
	for _, r := range s.ConnectionReasons {
		t.line("  ended by "+r.Name, r.Count)
	}
	t.line("octets in, out", fmt.Sprintf("%d, %d", s.OctetsIn, s.OctetsOut))
	t.line("units (token, recipient)", s.Units)
	t.line("  delivered", s.DeliveredUnits)
	t.line("  delivered more than once", s.DuplicatedUnits)
	t.line("deliveries", s.Deliveries)
	t.line("  of which the client may not know", s.AmbiguousDeliveries)
	for _, a := range s.AttemptsPerUnit {
		t.line(fmt.Sprintf("units with %d %s", a.Attempts, text.Plural(a.Attempts, "attempt")), a.Units)
	}
	t.lineIf(s.CutRows, "rows with values that were cut", s.CutRows)
	t.lineIf(s.AmendedRows, "rows that a later one replaced", s.AmendedRows)
	t.lineIf(s.MissingRows, "WARNING: missing rows", s.MissingRows, "the file could not be written: what they told is not counted")
	t.lineIf(uint64(s.TornOctets), "WARNING: torn last row", s.TornOctets, "octets, not counted: the sink died, or is writing still") // #nosec G115 -- a number of octets
	if len(s.Replies) > 0 {
		t.line()
		t.line("row", "stage", "ending", "reply", "count")
		for _, r := range s.Replies {
			reply := "-"
			if r.Code != 0 {
				reply = strings.TrimSpace(fmt.Sprintf("%d %v", r.Code, r.Enhanced))
			}
			t.line(r.Kind, r.Stage, r.Ending, reply, r.Count)
		}
	}
	return t.writeTo(w)
}

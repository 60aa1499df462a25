package ledger

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/internal/text"
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

// WriteText renders the summary for people.
func (s *Summary) WriteText(w io.Writer) error {
	t := newTable()
	t.line("runs", fmt.Sprintf("%d, with plan %s", s.Runs, strings.Join(s.Plans, ", ")))
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
		t.line(fmt.Sprintf("units with %d %s", a.Attempts, plural(a.Attempts, "attempt")), a.Units)
	}
	t.lineIf(s.AmendedRows, "rows that a later one replaced", s.AmendedRows)
	doubts(t, s.MissingRows, 0, s.TornOctets)
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

// WriteText renders the reconciliation for people.
func (r *Reconciliation) WriteText(w io.Writer) error {
	t := newTable()
	t.line("sent", r.Sent, fmt.Sprintf("(token, recipient) of %d %s", r.Messages, plural(r.Messages, "message")))
	for class := range numClasses {
		c := Class(class)
		n := *r.Classes.Of(c)
		if (c == ClassOpenOrLost && r.QueueKnown) || ((c == ClassOpen) && !r.QueueKnown) {
			continue // this class can't be told from what was given
		}
		note := ""
		if c == ClassLost && r.LostDiscarded > 0 {
			note = fmt.Sprintf("%d of them the sink threw away on purpose", r.LostDiscarded)
		}
		t.line("  "+c.String(), n, note)
	}
	t.line("attempts", r.Attempts, fmt.Sprintf("in %d %s of the sink", r.Runs, plural(r.Runs, "run")))
	t.line("deliveries", r.Deliveries)
	t.lineIf(r.Foreign.Units, "foreign", r.Foreign.Units, fmt.Sprintf("never claimed: %d %s, %d delivered", r.Foreign.Attempts, plural(r.Foreign.Attempts, "attempt"), r.Foreign.Delivered))
	t.lineIf(r.Returned.Attempts, "returned", r.Returned.Attempts, fmt.Sprintf("attempts of the null sender to a claimed sender, %d delivered", r.Returned.Delivered))
	t.lineIf(r.Unattributed, "unattributed", r.Unattributed, "attempts outside any transaction")
	t.lineIf(r.Contradictions, "contradictions", r.Contradictions, "attempts whose message says another identity than their envelope")
	if r.QueueKnown {
		t.line("queue", r.Queue.Listed, fmt.Sprintf("listed, %d match no claim, %d were delivered", r.Queue.Unmatched, r.Queue.Delivered))
	}
	if n := r.Notifications; r.NotificationsKnown {
		t.line("notifications", n.Failed, fmt.Sprintf("of failure, %d repeat another, %d match no claim, %d were delivered; %d of other actions",
			n.Repeated, n.Unmatched, n.Delivered, n.Other))
		t.lineIf(n.Missing, "unnotified", n.Missing, "bounced without a notification")
		t.lineIf(n.GivenUp, "given up", n.GivenUp, "expired units whose notification says 5.x.x: an MTA's way to say expired, or a false bounce")
	}
	doubts(t, r.MissingRows, r.LossyRuns, r.TornOctets)
	if len(r.Culprits) > 0 {
		t.line()
		t.line("what", "token, recipient: what is known")
		for _, c := range r.Culprits {
			known := fmt.Sprintf("%s, %s: %d %s, %d delivered", printable(c.Token), printable(c.Recipient), c.Attempts, plural(uint64(c.Attempts), "attempt"), c.Deliveries)
			if c.Note != "" {
				known += "; " + printable(c.Note)
			}
			t.line(c.Kind, known)
		}
		t.line(fmt.Sprintf("(at most %d of each kind)", maxCulprits))
	}
	t.line()
	t.line(r.verdict())
	return t.writeTo(w)
}

func (r *Reconciliation) verdict() string {
	if !r.Clean() {
		return fmt.Sprintf("NOT CLEAN: %d lost, %d duplicated without explanation", r.Classes.Lost, r.Classes.DuplicatedUnexplained)
	}
	if r.Classes.OpenOrLost > 0 {
		return fmt.Sprintf("clean, as far as the inputs tell: %d are open or lost, which only the sender's queue can say", r.Classes.OpenOrLost)
	}
	return "clean: nothing lost, no duplicate without explanation"
}

// doubts tells why a ledger may not hold all that happened.
func doubts(t *table, missing, lossy uint64, torn int64) {
	t.lineIf(missing, "WARNING: missing rows", missing, "the file could not be written: what they told is not counted")
	t.lineIf(lossy, "WARNING: lossy runs", lossy, "with durability none, which may lose rows when the sink dies")
	t.lineIf(uint64(torn), "WARNING: torn last row", torn, "octets, not counted: the sink died, or is writing still") // #nosec G115 -- a number of octets
}

func plural(n uint64, word string) string { return text.Plural(n, word) }

// printable quotes what would spoil a line.
func printable(s string) string {
	for _, r := range s {
		if r < ' ' || r == 0x7f || r == 0xfffd {
			return fmt.Sprintf("%q", s)
		}
	}
	return s
}

package run

import (
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/text"
)

// WriteReplies writes what each leg planned, injected and observed, per stage and code.
func WriteReplies(w io.Writer, legs []*Leg) error {
	written := false
	for _, leg := range legs {
		if leg.Reconciliation == nil {
			continue
		}
		t := text.Table{Right: []int{2, 3, 4, 5}}
		t.Row("stage", "reply", "planned", "injected", "observed", "in flight")
		for _, row := range leg.Reconciliation.Rows {
			planned := "-" // no rule drew it: there is nothing that it could be held against
			if row.Drawn > 0 || row.Planned != math.Trunc(row.Planned) {
				planned = fmt.Sprintf("%.1f", row.Planned)
			}
			t.Row(row.Stage.String(), row.Words(), planned, text.Count(row.Injected), text.Count(row.Observed), text.Count(row.InFlight))
		}
		if written {
			fmt.Fprintln(w)
		}
		written = true
		if _, err := fmt.Fprintf(w, "replies: %s\n%s", leg.Name, t.String()); err != nil {
			return err
		}
	}
	if !written {
		return nil
	}
	_, err := fmt.Fprintln(w, "planned: weight x occurrences at the sink; - where no rule draws")
	return err
}

// writeDelivery writes how many attempts and how much time the messages through an MTA took.
func writeDelivery(w io.Writer, legs []*Leg) {
	for _, leg := range legs {
		d := leg.Record.Delivery
		if d == nil {
			continue
		}
		fmt.Fprintf(w, "\ndelivery: %s\n", leg.Record.Label)
		var attempts []string
		for _, a := range d.Attempts {
			attempts = append(attempts, fmt.Sprintf("%d: %s", a.Attempts, text.Count(a.Messages)))
		}
		if len(attempts) > 0 {
			fmt.Fprintf(w, "messages by attempts at the sink    %s\n", strings.ReplaceAll(text.Wrap(strings.Join(attempts, ", "), text.Columns-36, ""), "\n", "\n"+strings.Repeat(" ", 36)))
		}
		if h := d.Latency; h != nil {
			fmt.Fprintf(w, "begin of sending to the sink's 250  p50 %.0f, p90 %.0f, p99 %.0f, max %.0f ms\n",
				h.Quantile(0.5), h.Quantile(0.9), h.Quantile(0.99), h.Quantile(1))
		}
		peak, seen := uint64(0), false
		for _, s := range d.Series {
			if s.Queued != nil {
				peak, seen = max(peak, *s.Queued), true
			}
		}
		if seen {
			fmt.Fprintf(w, "longest queue that was seen         %s\n", text.Counted(peak, "message"))
		}
	}
}

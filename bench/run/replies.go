package run

import (
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"

	"github.com/smtpstorm/xk6-smtp/bench/result"
)

// WriteReplies writes what each leg planned, injected and observed, per stage and code.
func WriteReplies(w io.Writer, legs []*Leg) error {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	var titles, heads strings.Builder
	var all []result.Reconciliation
	for _, leg := range legs {
		if leg.Reconciliation == nil {
			continue
		}
		all = append(all, *leg.Reconciliation)
		fmt.Fprintf(&titles, "\t%s\t\t\t\t", leg.Name)
		heads.WriteString("\tplanned\tinjected\tobserved\tin flight\t")
	}
	if len(all) == 0 {
		return nil
	}
	fmt.Fprintf(table, "replies\t\t%s\nstage\treply\t%s\n", titles.String(), heads.String())
	for _, reply := range kinds(all) {
		fmt.Fprintf(table, "%s\t%s\t", reply.Stage, strings.TrimSpace(fmt.Sprint(reply.Code, " ", reply.Enhanced)))
		for _, c := range all {
			fmt.Fprint(table, "\t", cells(c.Rows, reply))
		}
		fmt.Fprintln(table)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(text.String()) {
		fmt.Fprintln(w, strings.TrimRight(line, " \n"))
	}
	_, err := fmt.Fprintln(w, "planned: weight x occurrences at the sink; - where no rule draws")
	return err
}

// kinds lists the replies of all legs in the dialogue's order.
func kinds(all []result.Reconciliation) []result.Reply {
	var merged result.Sink
	for _, c := range all {
		for _, row := range c.Rows {
			merged.Replies = append(merged.Replies, result.ReplyCount{Stage: row.Stage, Code: row.Code, Enhanced: row.Enhanced})
		}
	}
	var out []result.Reply
	for _, row := range result.Reconcile(&result.Client{}, &merged).Rows {
		out = append(out, row.Reply)
	}
	return out
}

// cells are the columns of one leg.
func cells(rows []result.Row, reply result.Reply) string {
	for _, row := range rows {
		if row.Reply != reply {
			continue
		}
		planned := "-" // no rule drew it: there is nothing that it could be held against
		if row.Drawn > 0 || row.Planned != math.Trunc(row.Planned) {
			planned = fmt.Sprintf("%.1f", row.Planned)
		}
		return fmt.Sprintf("%s\t%s\t%s\t%s\t", planned, count(row.Injected), count(row.Observed), count(row.InFlight))
	}
	return "\t\t\t\t"
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
			attempts = append(attempts, fmt.Sprintf("%d: %s", a.Attempts, count(a.Messages)))
		}
		if len(attempts) > 0 {
			fmt.Fprintf(w, "messages by attempts at the sink    %s\n", strings.Join(attempts, ", "))
		}
		if h := d.Latency; h != nil {
			fmt.Fprintf(w, "begin of sending to the sink's 250  p50 %.0f ms, p90 %.0f ms, p99 %.0f ms, max %.0f ms\n",
				h.Quantile(0.5), h.Quantile(0.9), h.Quantile(0.99), h.Quantile(1))
		}
		peak := uint64(0)
		for _, s := range d.Series {
			peak = max(peak, s.Queued)
		}
		if peak > 0 {
			fmt.Fprintf(w, "longest queue                       %s messages\n", count(peak))
		}
	}
}

package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/metrics"
)

// counterTable renders the final counters for people.
func counterTable(s *sink.Stats) string {
	var b strings.Builder
	a := s.Attempts
	fmt.Fprintf(&b, "%d connections, %d transactions, %d messages accepted in %.1f s; %d octets in, %d out\n",
		s.Connections, s.Transactions, s.Messages, s.Seconds, s.BytesIn, s.BytesOut)
	fmt.Fprintf(&b, "recipients: %d delivered, %d deferred, %d bounced, %d unanswered\n", a.Delivered, a.Deferred, a.Bounced, a.Unanswered)
	if s.Ledger != nil {
		fmt.Fprintf(&b, "ledger: %d rows, %d octets\n", s.Ledger.Rows, s.Ledger.Octets)
		if s.Ledger.Lost > 0 {
			fmt.Fprintf(&b, "%d rows are missing in it: %s\n", s.Ledger.Lost, s.Ledger.Error)
		}
	}
	if s.Lateness != nil {
		fmt.Fprintf(&b, "delayed replies: %d, later than planned by %d us (p50), %d us (p99), %d us (max)\n",
			s.Lateness.Count, s.Lateness.P50Micros, s.Lateness.P99Micros, s.Lateness.MaxMicros)
	}
	if f := s.Folded; f.Replies > 0 || f.Attempts > 0 {
		fmt.Fprintf(&b, "counted together as %s, since too many kinds were met: %d replies, %d recipients by domain\n", metrics.Other, f.Replies, f.Attempts)
	}
	b.WriteString(selfCheck(s.SelfCheck))
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	if len(s.Replies) > 0 {
		fmt.Fprintln(w, "\nstage\tcode\tenhanced\tcause\tcount")
		for _, r := range s.Replies {
			fmt.Fprintf(w, "%v\t%d\t%s\t%s\t%d\n", r.Stage, r.Code, r.Enhanced.Append(nil), r.Cause, r.Count)
		}
	}
	if len(s.Rules) > 0 {
		fmt.Fprintln(w, "\nrule\tstage\tcode\tplanned\tinjected")
		for _, r := range s.Rules {
			for _, o := range r.Outcomes {
				fmt.Fprintf(w, "%s\t%v\t%s\t%.1f\t%d\n", r.Name, r.Stage, outcomeName(o), o.Probability*float64(r.Occurrences), o.Injected)
			}
		}
	}
	writeDestinations(w, s.Destinations)
	if len(s.Phases) > 0 {
		fmt.Fprintln(w, "\nphase\tstage\tcode\tcause\tcount")
		for _, p := range s.Phases {
			for _, r := range p.Replies {
				fmt.Fprintf(w, "%s\t%v\t%d\t%s\t%d\n", p.Name, r.Stage, r.Code, r.Cause, r.Count)
			}
		}
	}
	if len(s.InFlight) > 0 {
		fmt.Fprintln(w, "\nin flight\tcode\tnever written\twritten, perhaps unread")
		for _, f := range s.InFlight {
			writeInFlight(w, &f)
		}
	}
	_ = w.Flush() // into memory
	return b.String()
}

// mostDestinations is how many destinations the table shows; --json has all.
const mostDestinations = 20

// writeDestinations writes what came for each destination, the busiest first; for a single one there is nothing to tell apart.
func writeDestinations(w io.Writer, all []metrics.DestinationCount) {
	if len(all) < 2 {
		return
	}
	total := func(d metrics.DestinationCount) uint64 {
		a := d.Attempts
		return a.Delivered + a.Deferred + a.Bounced + a.Unanswered
	}
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b metrics.DestinationCount) int { return cmp.Compare(total(b), total(a)) })
	fmt.Fprintln(w, "\nlistener\trecipient domain\tdelivered\tdeferred\tbounced\tunanswered")
	for _, d := range all[:min(len(all), mostDestinations)] {
		a := d.Attempts
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\n", d.Listener, d.Domain, a.Delivered, a.Deferred, a.Bounced, a.Unanswered)
	}
	if n := len(all) - mostDestinations; n > 0 {
		fmt.Fprintf(w, "and %d more\n", n)
	}
}

// selfCheck says what the sink finds of itself.
func selfCheck(c *sink.SelfCheck) string {
	if c == nil {
		return ""
	}
	var b strings.Builder
	tested := 0
	for _, f := range c.Fits {
		if f.Tested {
			tested++
		}
		if !f.Rejected {
			continue
		}
		fmt.Fprintf(&b, "warning: rule %q has not drawn as planned (p = %.2g):", f.Rule, f.P)
		for _, o := range f.Outcomes {
			fmt.Fprintf(&b, " %s planned %.4g%%, drawn %.4g%% (95%%: %.4g%% to %.4g%%);", o.Outcome, 100*o.Planned, 100*o.Drawn, 100*o.Bounds.Lo, 100*o.Bounds.Hi)
		}
		b.WriteString("\n")
	}
	for _, line := range c.Saturation {
		fmt.Fprintf(&b, "warning: %s\n", line)
	}
	if c.OK {
		fmt.Fprintf(&b, "self-check: not saturated; %d %s drew as planned\n", tested, plural(tested, "rule"))
	}
	return b.String()
}

// outcomeName says what an outcome is: its code, and what is done besides.
func outcomeName(o metrics.OutcomeCount) string {
	name := "none"
	if o.Code != 0 {
		name = fmt.Sprint(uint16(o.Code))
	}
	if o.Fault != "" {
		name += " " + o.Fault
	}
	return name
}

func writeInFlight(w *tabwriter.Writer, f *metrics.InFlightCount) {
	fmt.Fprintf(w, "%v\t%d\t%d\t%d\n", f.Stage, f.Code, f.Unwritten, f.Unread)
}

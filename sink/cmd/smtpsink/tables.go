package main

import (
	"fmt"
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
	if s.Counters.Evictions > 0 {
		fmt.Fprintf(&b, "warning: %d attempt counters were forgotten: a replay of this load may draw otherwise\n", s.Counters.Evictions)
	}
	if s.Lateness != nil {
		fmt.Fprintf(&b, "delayed replies: %d, later than planned by %d us (p50), %d us (p99), %d us (max)\n",
			s.Lateness.Count, s.Lateness.P50Micros, s.Lateness.P99Micros, s.Lateness.MaxMicros)
	}
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
				fmt.Fprintf(w, "%s\t%v\t%d\t%.1f\t%d\n", r.Name, r.Stage, o.Code, o.Probability*float64(r.Occurrences), o.Injected)
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

func writeInFlight(w *tabwriter.Writer, f *metrics.InFlightCount) {
	fmt.Fprintf(w, "%v\t%d\t%d\t%d\n", f.Stage, f.Code, f.Unwritten, f.Unread)
}

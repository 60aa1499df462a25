package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/smtpstorm/xk6-smtp/bench/compare"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
	"github.com/smtpstorm/xk6-smtp/sink/text"
)

// Text writes the verdict of every run and one table for each that is compared
// with the first. A single run gets a table of its own.
func Text(w io.Writer, r Report) error {
	s, err := Summarize(r)
	if err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", text.Wrap(r.Title, text.Columns, "  "))
	verdictText(&b, s)
	others := s.Legs[1:]
	if len(others) == 0 {
		b.WriteByte('\n')
		latencyTable(&b, s, 0)
	}
	for i := range others {
		b.WriteByte('\n')
		latencyTable(&b, s, i+1)
	}
	for i := range s.Legs {
		if table := errorTable(&s.Legs[i]); table != "" {
			b.WriteString("\n" + table)
		}
	}
	for _, warning := range r.Warnings {
		b.WriteString("\n" + text.Wrap("warning: "+warning, text.Columns, "  "))
	}
	for _, leg := range s.Legs {
		for _, warning := range leg.Warnings {
			b.WriteString("\n" + text.Wrap("warning: "+leg.Label+": "+warning, text.Columns, "  "))
		}
		if leg.Reconciliation != nil {
			for _, p := range leg.Reconciliation.Problems {
				b.WriteString("\n" + text.Wrap("not reconciled: "+leg.Label+": "+p, text.Columns, "  "))
			}
		}
	}
	// Labels and warnings come from files and peers: none of them steers a terminal.
	_, err = io.WriteString(w, smtp.VisibleLines(strings.TrimRight(b.String(), "\n")+"\n"))
	return err
}

// mostBeside is how many runs stand side by side; of more, each has its verdict below that of the one before.
const mostBeside = 2

func verdictText(b *strings.Builder, s *Summary) {
	rows := verdictRows(s)
	cell := func(c Check) string {
		if c.Status == Fail {
			return "FAIL " + c.Text
		}
		return c.Text
	}
	if len(s.Legs) <= mostBeside {
		var t text.Table
		head := []any{""}
		for _, leg := range s.Legs {
			head = append(head, leg.Label)
		}
		t.Row(head...)
		for _, v := range rows {
			row := []any{v.Name}
			for _, c := range v.Cells {
				row = append(row, cell(c))
			}
			t.Row(row...)
		}
		b.WriteString(t.String())
		return
	}
	for i, leg := range s.Legs {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(text.Wrap(leg.Label, text.Columns, "  ") + "\n")
		t := text.Table{Indent: "  "}
		for _, v := range rows {
			t.Row(v.Name, cell(v.Cells[i]))
		}
		b.WriteString(t.String())
	}
}

// latencyTable writes leg i against the first; i = 0 writes the first alone.
func latencyTable(b *strings.Builder, s *Summary, i int) {
	base, other := s.Legs[0], s.Legs[i]
	t := text.Table{Right: []int{1}}
	t.Row("ms", base.Label, "95% interval")
	if i > 0 {
		t = text.Table{Right: []int{1, 2, 3}}
		t.Row("ms", base.Label, other.Label, "difference", "within-run 95%")
	}
	method, few, first := "", false, true
	for _, p := range s.Latency {
		x, y := p.Legs[0], p.Legs[i]
		if x.Count == 0 && y.Count == 0 {
			continue
		}
		if !first {
			t.Row("")
		}
		first = false
		t.Row(p.Metric)
		for j, q := range x.percentiles {
			name, value := "  "+quantileName(q.Q), percentile(q, x.Count)+star(q, x.Count, &few)
			switch {
			case i == 0:
				t.Row(name, value, interval(q.Within, millis))
			case y.differences == nil: // unlike runs: another kind of server answered
				t.Row(name, value, percentile(y.percentiles[j], y.Count)+star(y.percentiles[j], y.Count, &few), "", "")
			default:
				d := y.differences[j]
				difference, within := "unknown", ""
				if d.Known {
					difference, within = strings.TrimSpace(signed(d.Delta)+" "+change(d)), interval(d.Within, signed)
				}
				t.Row(name, value, percentile(d.B, y.Count)+star(d.B, y.Count, &few), difference, within)
			}
		}
		if y.Method != "" {
			method = y.Method
		}
	}
	b.WriteString(t.String())
	say := func(format string, args ...any) {
		b.WriteString(text.Wrap(fmt.Sprintf(format, args...), text.Columns, "") + "\n")
	}
	switch {
	case i > 0 && !alike(base.record, other.record):
		say("n = %s and %s; the clients of one run spoke to the sink and those of the other to an MTA: their difference would say nothing.",
			samples(s.Latency, 0), samples(s.Latency, i))
	case i > 0:
		say("n = %s and %s; one run a side: the intervals (%s) cover what varied within the runs, not what would vary from run to run, so no run is called better. ~: the interval contains 0. None where there are too few independent blocks of time. The report (--html) has the interval of each value.",
			samples(s.Latency, 0), samples(s.Latency, i), method)
	}
	if few {
		say("* fewer than ten values lie beyond this percentile")
	}
}

func star(p compare.Percentile, n uint64, used *bool) string {
	if n == 0 || !p.Few || p.Beyond {
		return ""
	}
	*used = true
	return "*"
}

func samples(phases []Phase, leg int) string {
	var n uint64
	for _, p := range phases {
		n = max(n, p.Legs[leg].Count)
	}
	return count(n)
}

package report

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/bench/stat"
)

// Text writes the verdict of every run and one table for each that is compared
// with the first. A single run gets a table of its own.
func Text(w io.Writer, r Report) error {
	s, err := Summarize(r)
	if err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", r.Title)
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
	for _, leg := range s.Legs {
		for _, warning := range leg.Warnings {
			fmt.Fprintf(&b, "\nwarning: %s: %s", leg.Label, warning)
		}
		if leg.Reconciliation != nil {
			for _, p := range leg.Reconciliation.Problems {
				fmt.Fprintf(&b, "\nnot reconciled: %s: %s", leg.Label, p)
			}
		}
	}
	text := strings.TrimRight(b.String(), "\n") + "\n"
	_, err = io.WriteString(w, text)
	return err
}

// Table writes the latencies of two runs side by side: for each phase and
// percentile both values, their difference and its within-run interval.
func Table(w io.Writer, a, b *result.Record, o stat.Options) error {
	s, err := Summarize(Report{Legs: []*result.Record{a, b}, Intervals: o})
	if err != nil {
		return err
	}
	var out strings.Builder
	latencyTable(&out, s, 1)
	_, err = io.WriteString(w, out.String())
	return err
}

func verdictText(b *strings.Builder, s *Summary) {
	t := grid{head: []string{""}}
	for _, leg := range s.Legs {
		t.head = append(t.head, leg.Label)
	}
	for _, v := range verdictRows(s) {
		row := []string{v.Name}
		for _, c := range v.Cells {
			mark := ""
			if c.Status == Fail {
				mark = "FAIL "
			}
			row = append(row, mark+c.Text)
		}
		t.rows = append(t.rows, row)
	}
	t.write(b)
}

// latencyTable writes leg i against the first; i = 0 writes the first alone.
func latencyTable(b *strings.Builder, s *Summary, i int) {
	base, other := s.Legs[0], s.Legs[i]
	t := grid{right: map[int]bool{1: true, 2: true, 3: true, 4: true}}
	t.head = []string{"ms", "", base.Label, "95% interval"}
	t.right[3] = false
	if i > 0 {
		t.head = append(t.head, other.Label, "95% interval", "difference", "within-run 95%")
		t.right = map[int]bool{1: true, 2: true, 4: true, 6: true}
	}
	method := ""
	few := false
	for _, p := range s.Latency {
		x, y := p.Legs[0], p.Legs[i]
		if x.Count == 0 && y.Count == 0 {
			continue
		}
		for j, q := range x.percentiles {
			name := ""
			if j == 0 {
				name = p.Metric
			}
			row := []string{name, quantileName(q.Q), percentile(q, x.Count) + star(q, x.Count, &few), interval(q.Within, millis)}
			switch {
			case i > 0 && y.differences == nil: // unlike runs: another kind of server answered
				row = append(row, percentile(y.percentiles[j], y.Count)+star(y.percentiles[j], y.Count, &few), interval(y.percentiles[j].Within, millis), "", "")
			case i > 0:
				d := y.differences[j]
				row = append(row, percentile(d.B, y.Count)+star(d.B, y.Count, &few), interval(d.B.Within, millis))
				if d.Known {
					row = append(row, strings.TrimSpace(signed(d.Delta)+" "+change(d)), interval(d.Within, signed))
				} else {
					row = append(row, "unknown", "")
				}
			}
			t.rows = append(t.rows, row)
		}
		t.rows = append(t.rows, nil)
		if y.Method != "" {
			method = y.Method
		}
	}
	if n := len(t.rows); n > 0 && t.rows[n-1] == nil {
		t.rows = t.rows[:n-1]
	}
	t.write(b)
	switch {
	case i > 0 && !alike(base.record, other.record):
		fmt.Fprintf(b, "n = %s and %s; the clients of one run spoke to the sink and those of the other to an MTA: their difference would say nothing.\n",
			samples(s.Latency, 0), samples(s.Latency, i))
	case i > 0:
		fmt.Fprintf(b, "n = %s and %s; one run a side: the intervals (%s) cover what varied within the runs,\nnot what would vary from run to run, so no run is called better. ~: the interval contains 0.\n",
			samples(s.Latency, 0), samples(s.Latency, i), method)
	}
	if few {
		b.WriteString("* fewer than ten values lie beyond this percentile\n")
	}
}

func star(p stat.Percentile, n uint64, used *bool) string {
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

// grid is a table of text with columns as wide as their widest cell, parted as
// benchstat does. A nil row is an empty line.
type grid struct {
	head  []string
	rows  [][]string
	right map[int]bool // columns set flush right
}

func (g *grid) write(b *strings.Builder) {
	width := make([]int, len(g.head))
	for _, row := range append([][]string{g.head}, g.rows...) {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	line := func(row []string) {
		var l strings.Builder
		for i, cell := range row {
			if i > 0 {
				l.WriteString("  ")
				if g.head[i] != "" && (i < 3 || i%2 == 0) || len(g.right) == 0 {
					l.WriteString("│ ")
				}
			}
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			if g.right[i] {
				l.WriteString(pad + cell)
			} else {
				l.WriteString(cell + pad)
			}
		}
		b.WriteString(strings.TrimRight(l.String(), " ") + "\n")
	}
	line(g.head)
	for _, row := range g.rows {
		if row == nil {
			b.WriteByte('\n')
			continue
		}
		line(row)
	}
}

package main

import (
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/smtpstorm/xk6-smtp/bench/peers/program"
	"github.com/smtpstorm/xk6-smtp/bench/result"
)

// record is what peers.json holds: everything that was measured.
type record struct {
	Schema      int               `json:"schema"` // 1
	Provenance  result.Provenance `json:"provenance"`
	Rounds      int               `json:"rounds"`
	Scale       float64           `json:"scale"` // 1: the full load
	LoadBefore  float64           `json:"load_average_before"`
	LoadAfter   float64           `json:"load_average_after"`
	Missing     []string          `json:"missing,omitempty"`
	Interrupted bool              `json:"interrupted,omitempty"`
	Outcomes    []*outcome        `json:"outcomes"`
}

func (r *record) outcome(workload string) *outcome {
	for _, o := range r.Outcomes {
		if o.Workload == workload {
			return o
		}
	}
	return nil
}

// write puts the record, a report in words and the plots into dir.
func (r *record) write(dir string) error {
	if err := program.WriteRecord(dir, "peers", r, r.report); err != nil {
		return err
	}
	return r.plots(dir)
}

// report writes the record in Markdown.
func (r *record) report(w io.Writer) {
	p := &r.Provenance
	fmt.Fprintf(w, "# The sink beside its peers\n\n")
	fmt.Fprintln(w, program.Heading(p))
	fmt.Fprintf(w, "%d interleaved rounds, %g of the full load. The machine's load average was %.2f before and %.2f after.\n", r.Rounds, r.Scale, r.LoadBefore, r.LoadAfter)
	fmt.Fprintf(w, "Again: `%s`.\n\n", strings.Join(p.CommandLine, " "))
	if r.LoadBefore > 0.5 {
		fmt.Fprintf(w, "**The machine was not idle when this began**: compare ratios and CPU time, not wall time.\n\n")
	}
	if r.Interrupted {
		fmt.Fprintf(w, "**Interrupted**: what follows was complete by then.\n\n")
	}
	for _, m := range r.Missing {
		fmt.Fprintf(w, "Left out, since it isn't here: %s.\n\n", m)
	}
	r.verdicts(w)
	for _, o := range r.Outcomes {
		fmt.Fprintln(w)
		o.report(w)
	}
}

func (r *record) verdicts(w io.Writer) {
	fmt.Fprintf(w, "| target | measured: median [95%% interval] | |\n|---|---|---|\n")
	for i := range targets {
		t := &targets[i]
		e, v := t.judge(r.outcome(t.workload))
		sign := map[bool]string{true: "at most", false: "at least"}[t.most]
		what := fmt.Sprintf("%s: %s %s %s", t.workload, t.a, sign, number(t.bound))
		if t.b != "" {
			what += " x " + t.b
		} else if o := r.outcome(t.workload); o != nil {
			what += " " + o.Unit
		}
		if t.idle {
			what += fmt.Sprintf(", machine idle (%d of %d rounds: at most %d%% of its time stolen by the host)", e.N, r.Rounds, maxStolen)
		}
		if t.stretch != 0 {
			what += fmt.Sprintf(" (stretch %s)", number(t.stretch))
		}
		fmt.Fprintf(w, "| %s | %s | %s |\n", what, e, v)
	}
}

// String writes a median with its interval; one that isn't confident says what it is.
func (e estimate) String() string {
	switch {
	case e.N == 0:
		return "-"
	case !e.Confident:
		return fmt.Sprintf("%s (%d rounds: %s to %s)", number(e.Median), e.N, number(e.Lo), number(e.Hi))
	}
	return fmt.Sprintf("%s [%s, %s]", number(e.Median), number(e.Lo), number(e.Hi))
}

// number writes three significant digits, or all of an integer part.
func number(v float64) string {
	switch a := math.Abs(v); {
	case a == 0:
		return "0"
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	case a >= 1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.2g", v)
}

// report writes one workload's table.
func (o *outcome) report(w io.Writer) {
	fmt.Fprintf(w, "## %s: %s\n\n", o.Workload, o.Title)
	reference := o.Servers[0]
	fmt.Fprintf(w, "| server | %s: median | least to greatest | %s / it [95%%] | p | server's cores | generator's | the limit was |\n|---|---|---|---|---|---|---|---|\n", o.Unit, reference)
	for _, server := range o.Servers {
		var values []float64
		for _, v := range o.values(server) {
			values = append(values, v)
		}
		if len(values) == 0 {
			continue
		}
		e := estimateOf(values)
		ratio, p := "", ""
		if server != reference {
			r, pv := o.ratio(reference, server)
			ratio, p = r.String(), fmt.Sprintf("%.3f", pv)
		}
		fmt.Fprintf(w, "| %s | %s | %s to %s | %s | %s | %.2f | %.2f | %s |\n", server, number(e.Median), number(e.Min), number(e.Max), ratio, p,
			o.busy(server), o.generatorBusy(server), o.limit(server))
	}
	for _, line := range o.extras() {
		fmt.Fprintf(w, "\n%s\n", line)
	}
	for _, f := range o.Failures {
		fmt.Fprintf(w, "\nFailed and left out from then on: %s\n", f)
	}
}

// extras says what else the samples tell.
func (o *outcome) extras() (lines []string) {
	for _, server := range o.Servers {
		sums := make(map[string]bool)
		for i := range o.Samples {
			if s := &o.Samples[i]; s.Server == server {
				for k := range s.More {
					sums[k] = true
				}
			}
		}
		for _, k := range sorted(sums) {
			mean := o.mean(server, func(s *sample) float64 { return s.More[k] })
			lines = append(lines, fmt.Sprintf("%s: %s, mean of the rounds: %s", server, strings.ReplaceAll(k, "_", " "), number(mean)))
		}
	}
	return lines
}

func (o *outcome) busy(server string) float64 {
	return o.mean(server, func(s *sample) float64 { return s.CPU / s.Wall })
}

func (o *outcome) generatorBusy(server string) float64 {
	return o.mean(server, func(s *sample) float64 { return s.GeneratorCPU / s.Wall })
}

// limit says what held the pair up: whichever of the two, each with one thread that matters, had a core to itself.
func (o *outcome) limit(server string) string {
	const full = 0.85
	s, g := o.busy(server), o.generatorBusy(server)
	switch {
	case g == 0:
		return "-"
	case s >= full && g >= full:
		return "both"
	case s >= full:
		return "the server"
	case g >= full:
		return "the generator"
	}
	return "neither: waits, or other processes"
}

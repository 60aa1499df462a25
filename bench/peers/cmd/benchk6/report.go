package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"golang.org/x/perf/benchmath"

	"github.com/smtpstorm/xk6-smtp/bench/peers/program"
	"github.com/smtpstorm/xk6-smtp/bench/result"
)

const kib = 1 << 10

// sample is one round.
type sample struct {
	LoadAverage float64 `json:"load_average"` // before it
	Source      load    `json:"smtp_source"`
	Stepwise    load    `json:"k6"`
	Pipelined   load    `json:"k6_pipelined"`
	Chunked     load    `json:"k6_chunked"` // pipelined, the body by BDAT: one write and one round trip a message
	Start       load    `json:"k6_start"`   // one message per VU
}

// cpuRatio is k6's CPU time per message over smtp-source's, k6's start left out.
func (s *sample) cpuRatio(l *load) float64 {
	mine := (l.CPU - s.Start.CPU) / float64(l.Messages-s.Start.Messages)
	return mine / (s.Source.CPU / float64(s.Source.Messages))
}

// rateRatio is k6's messages per second over smtp-source's.
func (s *sample) rateRatio(l *load) float64 {
	return float64(l.Messages) / l.Wall / (float64(s.Source.Messages) / s.Source.Wall)
}

// memory is what one idle connection adds to k6, in octets.
type memory struct {
	Live     float64 `json:"live"` // heap and stacks after collections
	Resident float64 `json:"resident"`
}

// record is what k6.json holds.
type record struct {
	Schema          int               `json:"schema"` // 1
	Provenance      result.Provenance `json:"provenance"`
	Server          string            `json:"server"`
	Rounds          int               `json:"rounds"`
	Messages        int               `json:"messages"`
	VUs             int               `json:"vus"`
	Size            int               `json:"size"`
	IdleConnections int               `json:"idle_connections"`
	LoadBefore      float64           `json:"load_average_before"`
	LoadAfter       float64           `json:"load_average_after"`
	Samples         []sample          `json:"samples"`
	Memory          []memory          `json:"memory,omitempty"`
	Figures         []figure          `json:"figures"`
}

// figure is a target, and what was measured.
type figure struct {
	Name      string  `json:"name"`
	Unit      string  `json:"unit"`
	Bound     float64 `json:"bound"` // 0: none
	Most      bool    `json:"at_most"`
	N         int     `json:"n"`
	Median    float64 `json:"median"`
	Lo        float64 `json:"lo"` // of the 95% interval, or the least value with fewer than six
	Hi        float64 `json:"hi"`
	Confident bool    `json:"confident"`
	Verdict   string  `json:"verdict"`
}

// estimate fills in median and interval by order statistics: no distribution is assumed.
func (f *figure) estimate(values []float64) {
	const confidence = 0.95
	f.N = len(values)
	sum := benchmath.AssumeNothing.Summary(benchmath.NewSample(slices.Clone(values), &benchmath.DefaultThresholds), confidence)
	f.Median, f.Lo, f.Hi = sum.Center, sum.Lo, sum.Hi
	f.Confident = sum.Confidence >= confidence && !math.IsInf(sum.Lo, 0) && !math.IsInf(sum.Hi, 0)
	if !f.Confident {
		f.Lo, f.Hi = slices.Min(values), slices.Max(values)
	}
	good := func(v float64) bool { return f.Most && v <= f.Bound || !f.Most && v >= f.Bound }
	switch {
	case f.Bound == 0:
		f.Verdict = ""
	case !good(f.Median):
		f.Verdict = "missed"
	case !f.Confident:
		f.Verdict = "median met, too few rounds"
	case good(f.Lo) && good(f.Hi):
		f.Verdict = "met"
	default:
		f.Verdict = "median met, interval not"
	}
}

// judge computes the figures.
func (r *record) judge() {
	add := func(f figure, n int, value func(i int) float64) {
		if n == 0 {
			return
		}
		values := make([]float64, n)
		for i := range values {
			values[i] = value(i)
		}
		f.estimate(values)
		r.Figures = append(r.Figures, f)
	}
	n := len(r.Samples)
	add(figure{Name: "CPU time per message without pipelining", Unit: "x smtp-source", Bound: 3, Most: true}, n, func(i int) float64 { return r.Samples[i].cpuRatio(&r.Samples[i].Stepwise) })
	add(figure{Name: "CPU time per message with pipelining", Unit: "x smtp-source"}, n, func(i int) float64 { return r.Samples[i].cpuRatio(&r.Samples[i].Pipelined) })
	add(figure{Name: "messages per second without pipelining", Unit: "x smtp-source"}, n, func(i int) float64 { return r.Samples[i].rateRatio(&r.Samples[i].Stepwise) })
	add(figure{Name: "messages per second with pipelining", Unit: "x smtp-source", Bound: 0.8}, n, func(i int) float64 { return r.Samples[i].rateRatio(&r.Samples[i].Pipelined) })
	add(figure{Name: "CPU time per message with pipelining and chunking", Unit: "x smtp-source"}, n, func(i int) float64 { return r.Samples[i].cpuRatio(&r.Samples[i].Chunked) })
	add(figure{Name: "messages per second with pipelining and chunking", Unit: "x smtp-source", Bound: 0.8}, n, func(i int) float64 { return r.Samples[i].rateRatio(&r.Samples[i].Chunked) })
	add(figure{Name: "heap and stacks per idle connection", Unit: "KiB", Bound: 24, Most: true}, len(r.Memory), func(i int) float64 { return r.Memory[i].Live / kib })
	add(figure{Name: "resident memory per idle connection", Unit: "KiB"}, len(r.Memory), func(i int) float64 { return r.Memory[i].Resident / kib })
}

// write puts the record and a report in words into dir.
func (r *record) write(dir string) error { return program.WriteRecord(dir, "k6", r, r.report) }

// report writes the record in Markdown.
func (r *record) report(w io.Writer) {
	p := &r.Provenance
	fmt.Fprintf(w, "# k6 beside smtp-source\n\n%s\n", program.Heading(p))
	fmt.Fprintf(w, "%d interleaved rounds of %d messages of %d octets, %d VUs or sessions, to %s. The machine's load average was %.2f before and %.2f after.\n",
		r.Rounds, r.Messages, r.Size, r.VUs, r.Server, r.LoadBefore, r.LoadAfter)
	fmt.Fprintf(w, "Again: `%s`.\n\n", strings.Join(p.CommandLine, " "))
	if r.LoadBefore > 0.5 {
		fmt.Fprintf(w, "**The machine was not idle when this began**: rates depend on who else ran, CPU times less so.\n\n")
	}
	fmt.Fprintf(w, "| | target | median | 95%% interval | n | |\n|---|---|---|---|---|---|\n")
	for _, f := range r.Figures {
		bound := "-"
		if f.Bound != 0 {
			bound = fmt.Sprintf("%s %g", map[bool]string{true: "at most", false: "at least"}[f.Most], f.Bound)
		}
		interval := fmt.Sprintf("%.2f to %.2f", f.Lo, f.Hi)
		if !f.Confident {
			interval = "none; " + interval + " seen"
		}
		fmt.Fprintf(w, "| %s | %s | %.2f %s | %s | %d | %s |\n", f.Name, bound, f.Median, f.Unit, interval, f.N, f.Verdict)
	}
	fmt.Fprintf(w, "\n| round | load | smtp-source: us per message, messages/s | k6 | k6, pipelining | k6, pipelining and chunking | k6's start: CPU s |\n|---|---|---|---|---|---|---|\n")
	for i := range r.Samples {
		s := &r.Samples[i]
		cell := func(l *load, cpu float64, messages int) string {
			return fmt.Sprintf("%.0f, %.0f", 1e6*cpu/float64(messages), float64(l.Messages)/l.Wall)
		}
		fmt.Fprintf(w, "| %d | %.1f | %s | %s | %s | %s | %.2f |\n", i+1, s.LoadAverage, cell(&s.Source, s.Source.CPU, s.Source.Messages),
			cell(&s.Stepwise, s.Stepwise.CPU-s.Start.CPU, s.Stepwise.Messages-s.Start.Messages),
			cell(&s.Pipelined, s.Pipelined.CPU-s.Start.CPU, s.Pipelined.Messages-s.Start.Messages),
			cell(&s.Chunked, s.Chunked.CPU-s.Start.CPU, s.Chunked.Messages-s.Start.Messages), s.Start.CPU)
	}
}

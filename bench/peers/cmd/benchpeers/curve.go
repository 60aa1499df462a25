package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/peers/program"
	"github.com/smtpstorm/xk6-smtp/bench/result"
)

// curve is one quantity of the sink over another.
type curve struct {
	Name        string       `json:"name"`
	Title       string       `json:"title"`
	X           string       `json:"x"`
	Y           string       `json:"y"`
	Logarithmic bool         `json:"-"` // the x axis
	Points      []curvePoint `json:"points"`
	Failures    []string     `json:"failures,omitempty"`

	xs      []int
	measure func(h *harness, ctx context.Context, x int) (float64, error)
}

type curvePoint struct {
	X        float64   `json:"x"`
	Values   []float64 `json:"values"` // by round
	Estimate estimate  `json:"estimate"`
}

type curveRecord struct {
	Schema      int               `json:"schema"` // 1
	Provenance  result.Provenance `json:"provenance"`
	Rounds      int               `json:"rounds"`
	Scale       float64           `json:"scale"`
	LoadBefore  float64           `json:"load_average_before"`
	LoadAfter   float64           `json:"load_average_after"`
	Interrupted bool              `json:"interrupted,omitempty"`
	Curves      []*curve          `json:"curves"`
}

const (
	mib         = 1 << 20
	unitPerMail = "CPU per message (us)"
)

// allCurves lists what is measured; every one should be flat or a straight line.
func allCurves() []*curve {
	sizes := []int{0, 1 * kib, 4 * kib, 16 * kib, 64 * kib, 256 * kib, 1 * mib, 4 * mib, 10 * mib, 25 * mib}
	conns := []int{1, 10, 100, 1000, 4000, 10_000, manyConns}
	perMail := func(spec loadSpec, budget int, extra ...string) func(*harness, context.Context, int) (float64, error) {
		return func(h *harness, ctx context.Context, _ int) (float64, error) {
			spec := spec
			spec.Messages = max(h.scaled(budget), spec.Conns)
			return h.perMessage(ctx, spec, extra...)
		}
	}
	return []*curve{
		{Name: "cpu over connections", Title: "CPU per message of 1 KiB over busy connections", X: "connections", Y: unitPerMail, Logarithmic: true, xs: conns,
			measure: func(h *harness, ctx context.Context, x int) (float64, error) {
				return perMail(loadSpec{Conns: x, Size: kib, Greet: true}, 20_000)(h, ctx, x)
			}},
		{Name: "memory over connections", Title: "Resident memory over idle connections", X: "connections", Y: "growth of RSS (KiB)", xs: conns,
			measure: func(h *harness, ctx context.Context, x int) (float64, error) {
				var grown float64
				err := h.withSink(ctx, nil, func(p *process) error {
					before, err := p.resident()
					if err != nil {
						return err
					}
					_, err = h.hold(ctx, p, loadSpec{Addr: p.addr, Conns: x, Greet: true, Hold: true}, func() error {
						after, err := p.resident()
						grown = float64(after-before) / kib
						return err
					})
					return err
				})
				return grown, err
			}},
		{Name: "cpu over size", Title: "CPU per message over its size, bare-LF detection on", X: "octets", Y: unitPerMail, xs: sizes,
			measure: func(h *harness, ctx context.Context, x int) (float64, error) {
				return perMail(loadSpec{Conns: 10, Size: x, Greet: true}, 10+min(10_000, 512*mib/max(x, 1)))(h, ctx, x)
			}},
		{Name: "memory over size", Title: "Peak resident memory over the message's size, 10 connections", X: "octets", Y: "RSS (KiB)", xs: sizes,
			measure: func(h *harness, ctx context.Context, x int) (float64, error) {
				var peak float64
				err := h.withSink(ctx, nil, func(p *process) error {
					if _, err := h.own(ctx, p, loadSpec{Addr: p.addr, Conns: 10, Size: x, Greet: true, Messages: 10 + h.scaled(min(2000, 256*mib/max(x, 1)))}); err != nil {
						return err
					}
					n, err := p.resident()
					peak = float64(n) / kib
					return err
				})
				return peak, err
			}},
		{Name: "cpu over recipients", Title: "CPU per message of 1 KiB over its recipients", X: "recipients", Y: unitPerMail, xs: []int{1, 10, 50, 100, 250, 500, 1000},
			measure: func(h *harness, ctx context.Context, x int) (float64, error) {
				return perMail(loadSpec{Conns: 20, Size: kib, Recipients: x, Greet: true}, 200+20_000/x)(h, ctx, x)
			}},
		{Name: "cpu over rules", Title: "CPU per message of 1 KiB over the plan's rules, none of which matches", X: "rules", Y: unitPerMail, xs: []int{0, 1, 10, 100, 250, 500, 1000},
			measure: func(h *harness, ctx context.Context, x int) (float64, error) {
				path, err := rulesFile(x)
				if err != nil {
					return 0, err
				}
				defer os.Remove(path)
				return perMail(loadSpec{Conns: 100, Size: kib, Greet: true}, 10_000, "--plan", path)(h, ctx, x)
			}},
		{Name: "cpu over domains", Title: "CPU per message of 1 KiB over rules for one recipient domain each, one of which matches", X: "rules", Y: unitPerMail, xs: []int{1, 10, 100, 250, 500, 1000},
			measure: func(h *harness, ctx context.Context, x int) (float64, error) {
				path, err := domainsFile(x)
				if err != nil {
					return 0, err
				}
				defer os.Remove(path)
				return perMail(loadSpec{Conns: 100, Size: kib, Greet: true}, 10_000, "--plan", path)(h, ctx, x)
			}},
	}
}

// withSink runs f on a sink of its own.
func (h *harness) withSink(ctx context.Context, extra []string, f func(p *process) error) error {
	addr, err := program.FreeAddress()
	if err != nil {
		return err
	}
	p, err := startProcess(ctx, addr, h.programs.sinkArgs(addr, extra...))
	if err != nil {
		return err
	}
	err = f(p)
	if stopped := p.stop(); err == nil {
		err = stopped
	}
	return err
}

// perMessage returns the sink's CPU time per message in microseconds, without connecting.
func (h *harness) perMessage(ctx context.Context, spec loadSpec, extra ...string) (us float64, err error) {
	err = h.withSink(ctx, extra, func(p *process) error {
		spec.Addr, spec.Greet, spec.Wait = p.addr, true, true
		// The first load fills pools and tables.
		for range 2 {
			s, err := h.own(ctx, p, spec)
			if err != nil {
				return err
			}
			us = s.CPU / float64(s.Messages) * 1e6
		}
		return nil
	})
	return us, err
}

// rulesFile writes a plan with n rules that each look at every recipient and match none.
func rulesFile(n int) (string, error) {
	return planFile(n, func(b *strings.Builder, i int) {
		fmt.Fprintf(b, "  - {name: r%d, stage: rcpt, match: {sender: \"*@s%d.example.net\", attempt: 1-3}, reply: 450}\n", i, i)
	})
}

// domainsFile writes a plan with n rules by recipient domain; the last one matches the load's.
func domainsFile(n int) (string, error) {
	return planFile(n, func(b *strings.Builder, i int) {
		domain := fmt.Sprintf("d%d.example.net", i)
		if i == n {
			domain = "example.com"
		}
		fmt.Fprintf(b, "  - {name: r%d, stage: rcpt, match: {recipient: \"*@%s\"}, reply: 250}\n", i, domain)
	})
}

func planFile(n int, rule func(b *strings.Builder, i int)) (string, error) {
	var b strings.Builder
	b.WriteString("version: 1\nname: " + strconv.Itoa(n) + " rules\n")
	if n > 0 {
		b.WriteString("rules:\n")
	}
	for i := 1; i <= n; i++ {
		rule(&b, i)
	}
	f, err := os.CreateTemp("", "rules-*.yaml")
	if err != nil {
		return "", err
	}
	_, err = f.WriteString(b.String())
	if closed := f.Close(); err == nil {
		err = closed
	}
	return f.Name(), err
}

// curves measures all curves: in each round every point of every curve once.
func (h *harness) curves(ctx context.Context, peers *record, o *options, stdout, stderr io.Writer) error {
	rec := &curveRecord{Schema: 1, Provenance: peers.Provenance, Rounds: h.rounds, Scale: h.scale, LoadBefore: program.LoadAverage(), Curves: allCurves()}
	for round := 1; round <= h.rounds && ctx.Err() == nil; round++ {
		start := time.Now()
		for _, c := range rec.Curves {
			for i, x := range c.xs {
				if len(c.Points) == i {
					c.Points = append(c.Points, curvePoint{X: float64(x)})
				}
				fmt.Fprintf(h.progress, "\r\x1b[Kround %d of %d: %s: %d", round, h.rounds, c.Name, x)
				v, err := c.measure(h, ctx, x)
				if ctx.Err() != nil {
					break
				}
				if err != nil {
					c.Failures = append(c.Failures, fmt.Sprintf("%d %s, round %d: %v", x, c.X, round, err))
					continue
				}
				c.Points[i].Values = append(c.Points[i].Values, v)
			}
		}
		fmt.Fprintf(h.progress, "\r\x1b[K")
		fmt.Fprintf(stderr, "round %d of %d (%s)\n", round, h.rounds, time.Since(start).Round(time.Second))
	}
	for _, c := range rec.Curves {
		for i := range c.Points {
			c.Points[i].Estimate = estimateOf(c.Points[i].Values)
		}
	}
	rec.Provenance.Ended, rec.LoadAfter, rec.Interrupted = time.Now(), program.LoadAverage(), ctx.Err() != nil
	if err := rec.write(o.out); err != nil {
		return err
	}
	fmt.Fprintf(stderr, "written: %s\n", filepath.Join(o.out, "curves.md"))
	if o.json {
		return writeJSON(stdout, rec)
	}
	rec.report(stdout)
	return nil
}

func writeJSON(w io.Writer, v any) error {
	text, err := json.MarshalIndent(v, "", " ")
	if err == nil {
		_, err = fmt.Fprintf(w, "%s\n", text)
	}
	return err
}

func (r *curveRecord) write(dir string) error {
	if err := program.WriteRecord(dir, "curves", r, r.report); err != nil {
		return err
	}
	for _, c := range r.Curves {
		if err := c.plot(filepath.Join(dir, fileName(c.Name)+".svg")); err != nil {
			return fmt.Errorf("plot of %s: %w", c.Name, err)
		}
	}
	return nil
}

func (r *curveRecord) report(w io.Writer) {
	p := &r.Provenance
	fmt.Fprintf(w, "# The sink's cost curves\n\n%s %d rounds, %g of the full load; load average %.2f before, %.2f after.\nAgain: `%s`.\n",
		program.Heading(p), r.Rounds, r.Scale, r.LoadBefore, r.LoadAfter, strings.Join(p.CommandLine, " "))
	if r.Interrupted {
		fmt.Fprintf(w, "\n**Interrupted**: later rounds are missing.\n")
	}
	for _, c := range r.Curves {
		fmt.Fprintf(w, "\n## %s\n\n%s: %s.\n\n| %s | median | least to greatest | per %s since the row above |\n|---|---|---|---|\n", c.Name, c.Title, c.Y, c.X, strings.TrimSuffix(c.X, "s"))
		for i, at := range c.Points {
			if at.Estimate.N == 0 {
				continue
			}
			slope := ""
			if i > 0 && c.Points[i-1].Estimate.N > 0 {
				slope = number((at.Estimate.Median - c.Points[i-1].Estimate.Median) / (at.X - c.Points[i-1].X))
			}
			fmt.Fprintf(w, "| %.0f | %s | %s to %s | %s |\n", at.X, number(at.Estimate.Median), number(at.Estimate.Min), number(at.Estimate.Max), slope)
		}
		for _, f := range c.Failures {
			fmt.Fprintf(w, "\nFailed: %s\n", f)
		}
	}
}

package report

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/compare"
	"github.com/smtpstorm/xk6-smtp/bench/plot"
	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/bench/stat"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

// Summary is a report in figures: what the page and the tables show.
type Summary struct {
	reconcile.Summary           // what all runs come to
	Title             string    `json:"title"`
	Generated         time.Time `json:"generated"`
	Legs              []Leg     `json:"legs"`
	Latency           []Phase   `json:"latency"`

	// Result is what Summary says of the messages, for who renders it.
	Result *reconcile.Result `json:"-"`
}

// Leg is one run.
type Leg struct {
	Label  string  `json:"label"`
	Checks []Check `json:"checks"`
	// Reconciliation is nil unless client and sink spoke with each other and
	// both were recorded.
	Reconciliation *result.Reconciliation `json:"reconciliation,omitempty"`
	Fits           []stat.Fit             `json:"fits,omitempty"`
	Failed         Failures               `json:"failed"`
	Errors         []ErrorCount           `json:"errors,omitempty"`
	Storm          Storm                  `json:"storm"`
	Warnings       []string               `json:"warnings,omitempty"`
	Notes          []string               `json:"notes,omitempty"`

	record *result.Record
	colour string
	style  int // of its lines
}

// Failures is how many messages failed, and how that differs from the first run.
type Failures struct {
	Failed   uint64 `json:"failed"`
	Messages uint64 `json:"messages"`
	// Difference of the shares to the first run's, nil for the first.
	Difference *float64 `json:"difference,omitempty"`
	Lo         *float64 `json:"lo,omitempty"`
	Hi         *float64 `json:"hi,omitempty"`
}

// Phase is one latency over all runs.
type Phase struct {
	Metric string       `json:"metric"`
	Name   string       `json:"name"`
	Legs   []LegLatency `json:"legs"` // one for each leg, in their order

	meaning string
}

// LegLatency is one latency of one run, in milliseconds.
type LegLatency struct {
	Count   uint64   `json:"count"`
	Mean    float64  `json:"mean"`
	Method  string   `json:"interval_method,omitempty"`
	Figures []Figure `json:"percentiles"`

	percentiles []compare.Percentile
	differences []compare.Difference // nil for the first run, and for one that is not alike
}

// Figure is one percentile; absent values are unknown or unbounded.
type Figure struct {
	Percentile string   `json:"percentile"`
	Value      *float64 `json:"value"`
	Lo         *float64 `json:"lo,omitempty"`
	Hi         *float64 `json:"hi,omitempty"`
	// BeyondMax: dropped iterations, or replies that nobody waited for, hide it ("> max").
	BeyondMax bool `json:"beyond_max,omitempty"`
	// Difference to the first run with its within-run interval.
	Difference   *float64 `json:"difference,omitempty"`
	DifferenceLo *float64 `json:"difference_lo,omitempty"`
	DifferenceHi *float64 `json:"difference_hi,omitempty"`
}

// Summarize computes every figure of a report.
func Summarize(r Report) (*Summary, error) {
	if len(r.Legs) == 0 || len(r.Legs) > maxLegs {
		return nil, fmt.Errorf("a report has %d runs, want 1 to %d", len(r.Legs), maxLegs)
	}
	s := &Summary{Title: r.Title, Generated: r.Generated}
	for i, rec := range r.Legs {
		leg := newLeg(rec, i)
		if i > 0 && alike(r.Legs[0], rec) {
			leg.Failed.compare(s.Legs[0].Failed)
		}
		s.Legs = append(s.Legs, leg)
	}
	storms(s.Legs)
	s.Result = judge(s.Legs, r.Judge)
	s.Summary = s.Result.Summary()
	for _, p := range phasesOf(r.Legs) {
		s.Latency = append(s.Latency, newPhase(p, r.Legs, r.Intervals))
	}
	return s, nil
}

func newLeg(r *result.Record, i int) Leg {
	leg := Leg{Label: r.Label, Notes: r.Notes, Warnings: compare.Warnings(r), record: r, colour: plot.Colour(i), style: i}
	if leg.Label == "" {
		leg.Label = fmt.Sprintf("run %d", i+1)
	}
	if r.Client != nil && r.Sink != nil && r.Provenance.MTA == nil {
		rec := result.Reconcile(r.Client, r.Sink)
		leg.Reconciliation = &rec
	}
	if r.Sink != nil {
		leg.Fits = r.Sink.Fits()
	}
	leg.Failed.Failed, leg.Failed.Messages = failures(r.Client)
	leg.Errors = errorsOf(r.Client)
	leg.Checks = checks(r, leg.Reconciliation, leg.Fits, leg.Warnings)
	return leg
}

func (f *Failures) compare(first Failures) {
	d, iv := stat.ProportionDifference(first.Failed, first.Messages, f.Failed, f.Messages, 0.95)
	if f.Difference = finite(d); f.Difference != nil {
		f.Lo, f.Hi = finite(iv.Lo), finite(iv.Hi)
	}
}

// alike reports whether the clients of both runs spoke to the same kind of server: a difference between an answer of the sink and an
// answer of an MTA would say nothing about the storm.
func alike(a, b *result.Record) bool { return (a.Provenance.MTA == nil) == (b.Provenance.MTA == nil) }

func newPhase(p phase, legs []*result.Record, o compare.IntervalOptions) Phase {
	out := Phase{Metric: p.metric, Name: p.name, meaning: p.meaning}
	first := compare.Of(legs[0], p.metric, nil)
	for i, rec := range legs {
		d := first
		if i > 0 {
			d = compare.Of(rec, p.metric, nil)
		}
		l := LegLatency{Count: d.Total.Count(), Mean: d.Total.Summary().Mean()}
		var method compare.Method
		if i == 0 || !alike(legs[0], rec) {
			l.percentiles, method = d.Percentiles(quantiles[:], o)
		} else {
			l.differences, method = compare.Differences(first, d, quantiles[:], o)
			for _, x := range l.differences {
				l.percentiles = append(l.percentiles, x.B)
			}
		}
		if l.Count > 0 {
			l.Method = string(method)
		}
		for j, q := range l.percentiles {
			l.Figures = append(l.Figures, l.figure(j, q))
		}
		out.Legs = append(out.Legs, l)
	}
	return out
}

func (l *LegLatency) figure(j int, p compare.Percentile) Figure {
	f := Figure{Percentile: quantileName(p.Q), BeyondMax: p.Beyond}
	if l.Count > 0 && !p.Beyond {
		f.Value = finite(p.Value)
	}
	if p.Within != nil {
		f.Lo, f.Hi = finite(p.Within.Lo), finite(p.Within.Hi)
	}
	if l.differences != nil && l.differences[j].Known {
		d := l.differences[j]
		f.Difference = finite(d.Delta)
		if d.Within != nil {
			f.DifferenceLo, f.DifferenceHi = finite(d.Within.Lo), finite(d.Within.Hi)
		}
	}
	return f
}

// finite makes a value optional: JSON has no infinity.
func finite(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

// JSON writes the summary of a report.
func JSON(w io.Writer, r Report) error {
	s, err := Summarize(r)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(s)
}

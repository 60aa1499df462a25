package compare

import (
	"math"

	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/bench/stat"
)

// MetricAcceptance names the time to acceptance over all attempted messages, which no k6 metric has.
const MetricAcceptance = "acceptance"

// acceptance compares the time to acceptance: who rejects faster looks faster, unless what was rejected counts as never accepted. Nil
// where no run knows how many messages it tried.
func (p pairing) acceptance(o Options) *Acceptance {
	for _, s := range []*Side{p.a, p.b} {
		for _, r := range s.Runs {
			if r.Attempts == 0 {
				return nil
			}
		}
	}
	out := &Acceptance{ShareA: accepted(p.a), ShareB: accepted(p.b)}
	for _, s := range []Statistic{P50, P90, P99} {
		t := p.times(s)
		out.Rows = append(out.Rows, t.decide(p, o.Alpha, o))
	}
	var sum float64
	n := 0
	for i, x := range p.a.Runs {
		for j, y := range p.b.Runs {
			if p.paired && i != j {
				continue
			}
			sum += stat.Later(x.sample(), y.sample())
			n++
		}
	}
	out.Later = sum / float64(n)
	return out
}

// times is one percentile of the time to acceptance, by run.
func (p pairing) times(s Statistic) *tested {
	m := Measure{Key: Key{MetricAcceptance, Any}, Statistic: s}
	t := &tested{row: Row{Measure: m, Name: m.Name(), Verdict: NotCompared}}
	few := false
	collect := func(side *Side) (values []Value, v []float64) {
		for _, r := range side.Runs {
			h, never := r.durations(), r.never()
			x := Value{V: h.QuantileWith(s.Q, never), N: h.Count(), Unseen: never, Few: r.Attempts < stat.MinSamples(s.Q)}
			few = few || x.Few
			values, v = append(values, x), append(v, x.V)
		}
		return values, v
	}
	t.row.A, t.va = collect(p.a)
	t.row.B, t.vb = collect(p.b)
	t.row.MedianA, t.row.MedianB = median(t.va), median(t.vb)
	switch {
	case few:
		t.row.Reason, t.row.Why = Few, "too few messages for a "+s.String()
	case len(t.va) == 1 && len(t.vb) == 1:
		t.row.Reason, t.row.Why = Single, "one run a side: what varies from run to run is not known"
	default:
		t.run(p)
	}
	return t
}

// durations of the accepted messages.
func (r *Run) durations() *result.Histogram {
	if h := r.series[Key{MetricDuration, Accepted}]; h != nil {
		return h
	}
	return &result.Histogram{}
}

// never is how many attempted messages were not accepted.
func (r *Run) never() uint64 {
	n := r.durations().Count()
	return r.Attempts - min(n, r.Attempts)
}

func (r *Run) sample() stat.Sample {
	s := sampleOf(r.durations())
	s.Never = r.never()
	return s
}

func accepted(s *Side) float64 {
	var sum float64
	for _, r := range s.Runs {
		sum += 1 - float64(r.never())/math.Max(float64(r.Attempts), 1)
	}
	return sum / float64(len(s.Runs))
}

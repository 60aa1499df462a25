package compare

import (
	"cmp"
	"math"
	"slices"

	"github.com/smtpstorm/xk6-smtp/bench/stat"
)

// errors compares what went wrong by stage and code; nil where nothing did.
func (p pairing) errors(o Options) *Errors {
	seen := map[Class]bool{}
	for _, s := range []*Side{p.a, p.b} {
		for _, r := range s.Runs {
			for class := range r.Errors {
				seen[class] = true
			}
		}
	}
	if len(seen) == 0 {
		return nil
	}
	var classes []Class
	for class := range seen {
		classes = append(classes, class)
	}
	slices.SortFunc(classes, func(x, y Class) int { return cmp.Or(cmp.Compare(x.Stage, y.Stage), x.Code-y.Code) })
	a, b := shares(p.a, classes), shares(p.b, classes)
	e := &Errors{Kinds: map[Kind][2]float64{}, P: math.NaN(), Alpha: o.Alpha}
	for i, class := range classes {
		x, y := meanOf(a, i), meanOf(b, i)
		part := 0.0
		if x+y > 0 {
			part = (x - y) * (x - y) / (x + y)
		}
		e.Distance += part
		e.Classes = append(e.Classes, ErrorShare{Class: class, Kind: class.Kind(), A: x, B: y, Part: part})
	}
	for _, kind := range []Kind{Temporary, Permanent, Network} {
		e.Kinds[kind] = [2]float64{p.a.kind(kind), p.b.kind(kind)}
	}
	for i := range e.Classes {
		if e.Distance > 0 {
			e.Classes[i].Part /= e.Distance
		}
	}
	slices.SortStableFunc(e.Classes, func(x, y ErrorShare) int { return cmp.Compare(y.Part, x.Part) })
	if len(a) < 2 && len(b) < 2 {
		return e
	}
	if test, err := stat.CompareShares(a, b, p.paired, o.Seed); err == nil {
		e.P, e.Exact, e.Draws, e.Floor = test.P, test.Exact, test.Relabellings, test.Least
		e.Differs = e.P <= e.Alpha
	}
	return e
}

// kind is the share of the attempted messages that ended so, as the mean over the runs.
func (s *Side) kind(k Kind) float64 {
	var sum float64
	for _, r := range s.Runs {
		n := r.ByOutcome[Deferred]
		switch k {
		case Permanent:
			n = r.ByOutcome[Bounced]
		case Network:
			answered := r.ByOutcome[Accepted] + r.ByOutcome[Deferred] + r.ByOutcome[Bounced]
			n = r.Attempts - min(answered, r.Attempts)
		}
		sum += float64(n) / float64(max(r.Attempts, 1))
	}
	return sum / float64(len(s.Runs))
}

// shares of the classes among a stage's answers, by run.
func shares(s *Side, classes []Class) [][]float64 {
	out := make([][]float64, len(s.Runs))
	for i, r := range s.Runs {
		out[i] = make([]float64, len(classes))
		for j, class := range classes {
			out[i][j] = float64(r.Errors[class]) / float64(max(r.Answers[class.Stage], 1))
		}
	}
	return out
}

func meanOf(rows [][]float64, i int) float64 {
	var sum float64
	for _, row := range rows {
		sum += row[i]
	}
	return sum / float64(len(rows))
}

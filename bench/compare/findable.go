package compare

import (
	"math"

	"github.com/smtpstorm/xk6-smtp/bench/stat"
)

// findable is the smallest effect that so many runs, as far apart as these are, find in 80% at alpha: a ratio less 1, or a difference of shares. 0: the design can
// find none.
func (t *tested) findable(p pairing, alpha float64) float64 {
	a, b, ratio := t.va, t.vb, false
	if t.logs != nil {
		a, _ = stat.Logs(t.va)
		b, _ = stat.Logs(t.vb)
		ratio = true
	}
	if t.ranks || !ratio && !t.row.Measure.IsShare() {
		return 0
	}
	sd, m := stat.PooledSD(a, b), len(b)
	if p.paired {
		d := make([]float64, len(a))
		for i := range a {
			d[i] = b[i] - a[i]
		}
		sd, m = stat.SD(d), 0
	}
	shift := sd * p.detectable(len(a), m, alpha)
	switch {
	case math.IsInf(shift, 0) || math.IsNaN(shift):
		return 0
	case ratio:
		return math.Expm1(shift)
	}
	return shift
}

// detectable is stat.Detectable, which takes a while, and is asked for the same design many times.
func (p pairing) detectable(a, b int, alpha float64) float64 {
	key := design{a, b, alpha}
	if v, ok := p.found[key]; ok {
		return v
	}
	v := stat.Detectable(a, b, p.paired, alpha)
	p.found[key] = v
	return v
}

type design struct {
	a, b  int
	alpha float64
}

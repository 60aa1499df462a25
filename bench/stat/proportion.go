package stat

import (
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// Wilson returns the score interval of a proportion (Wilson 1927). No trials
// give [0, 1].
func Wilson(k, n uint64, confidence float64) Interval {
	if n == 0 {
		return Interval{Lo: 0, Hi: 1}
	}
	z := distuv.UnitNormal.Quantile(1 - (1-confidence)/2)
	p, m := float64(k)/float64(n), float64(n)
	mid := p + z*z/(2*m)
	half := z * math.Sqrt(p*(1-p)/m+z*z/(4*m*m))
	scale := 1 + z*z/m
	return Interval{Lo: math.Max(0, (mid-half)/scale), Hi: math.Min(1, (mid+half)/scale)}
}

// ProportionDifference returns kb/nb - ka/na with the interval that Newcombe
// (Statistics in Medicine 17, 1998, method 10) builds from the two score
// intervals. Without trials on a side the difference is NaN.
func ProportionDifference(ka, na, kb, nb uint64, confidence float64) (float64, Interval) {
	if na == 0 || nb == 0 {
		return math.NaN(), Interval{Lo: -1, Hi: 1}
	}
	a, b := float64(ka)/float64(na), float64(kb)/float64(nb)
	wa, wb := Wilson(ka, na, confidence), Wilson(kb, nb, confidence)
	d := b - a
	return d, Interval{
		Lo: d - math.Hypot(b-wb.Lo, wa.Hi-a),
		Hi: d + math.Hypot(wb.Hi-b, a-wa.Lo),
	}
}

package stat

// slack lets a p that equals a level, such as 2/70 at 2/70, count as at most that level in spite of rounding.
const slack = 1e-9

// atMost says whether p is at most alpha. Every decision of this package about a p and a level is this one.
func atMost(p, alpha float64) bool { return p <= alpha*(1+slack) }

// null is the distribution of a rank statistic if the sides don't differ: over all ways to label the values, each as likely
// as the other. The statistic is doubled, so that mid-ranks and differences of 0, which count half, stay integers: it goes
// from 0 to len-1.
type null struct {
	prob         []float64
	lower, upper []float64 // P(S <= s) and P(S >= s)
}

// newNull takes the (relative) frequencies of the statistic's values, of which all or none may be normalised.
func newNull(frequencies []float64) null {
	n := null{prob: frequencies, lower: make([]float64, len(frequencies)), upper: make([]float64, len(frequencies))}
	var total float64
	for _, f := range frequencies {
		total += f
	}
	var sum float64
	for s, f := range frequencies {
		n.prob[s] = f / total
		sum += f
		n.lower[s] = sum / total
	}
	sum = 0
	for s := len(frequencies) - 1; s >= 0; s-- {
		sum += frequencies[s] // normalised by now
		n.upper[s] = sum
	}
	return n
}

// p is two-sided: twice the smaller tail. Each direction is so tested at half the level, also where ties and unequal sizes
// make the distribution lopsided; where it is symmetric, this is the share of labellings at least as far from the middle.
func (n null) p(s int) float64 {
	return min(1, 2*n.lower[s], 2*n.upper[s])
}

// criticalValues says what a test at some level does with a value s of the statistic.
type criticalValues struct {
	rejectLo, rejectHi int // s <= rejectLo and s >= rejectHi are rejected
	acceptLo, acceptHi int // the least and the largest s that isn't
}

// critical returns the critical values at alpha. ok is false where alpha is too small for any labelling to be rejected. With ties and
// unequal sizes that may be so on one side only, where all but the last value is accepted then.
func (n null) critical(alpha float64) (c criticalValues, ok bool) {
	c = criticalValues{rejectLo: -1, rejectHi: len(n.prob), acceptLo: len(n.prob), acceptHi: -1}
	for s, p := range n.prob {
		switch {
		case p == 0: // no labelling gives this value
		case atMost(2*n.lower[s], alpha):
			c.rejectLo = s
		case atMost(2*n.upper[s], alpha):
			c.rejectHi = min(c.rejectHi, s)
		default:
			c.acceptLo, c.acceptHi = min(c.acceptLo, s), s
		}
	}
	if c.rejectLo < 0 {
		c.acceptLo = 1
	}
	if c.rejectHi == len(n.prob) {
		c.acceptHi = len(n.prob) - 2
	}
	return c, c.rejectLo >= 0 || c.rejectHi < len(n.prob)
}

// size is the chance that the test with these critical values rejects.
func (n null) size(c criticalValues) (size float64) {
	if c.rejectLo >= 0 {
		size += n.lower[c.rejectLo]
	}
	if c.rejectHi < len(n.prob) {
		size += n.upper[c.rejectHi]
	}
	return size
}

// extremes is the chance of the least and of the largest value together: of the outcomes that are rejected first.
func (n null) extremes() float64 {
	for s := range n.prob {
		if n.lower[s] > 0 {
			for top := len(n.prob) - 1; ; top-- {
				if n.upper[top] > 0 {
					return min(1, n.lower[s]+n.upper[top])
				}
			}
		}
	}
	return 1
}

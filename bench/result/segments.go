package result

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// missingSegment returns the first part of a load that none of the execution segments is, as k6 writes those (FROM:TO, of 0 to 1); empty: they
// are the whole load, or can't be read.
func missingSegment(segments []string) string {
	type span struct{ from, to *big.Rat }
	var spans []span
	for _, s := range segments {
		first, second, several := strings.Cut(s, ":")
		if !several { // k6 takes TO alone, too
			first, second = "0", first
		}
		from, ok := new(big.Rat).SetString(first)
		to, okTo := new(big.Rat).SetString(second)
		if !ok || !okTo {
			return ""
		}
		spans = append(spans, span{from, to})
	}
	slices.SortFunc(spans, func(a, b span) int { return a.from.Cmp(b.from) })
	reached, whole := new(big.Rat), big.NewRat(1, 1)
	for _, s := range spans {
		if s.from.Cmp(reached) > 0 {
			return fmt.Sprintf("%s:%s", reached.RatString(), s.from.RatString())
		}
		if s.to.Cmp(reached) > 0 {
			reached = s.to
		}
	}
	if reached.Cmp(whole) < 0 {
		return fmt.Sprintf("%s:1", reached.RatString())
	}
	return ""
}

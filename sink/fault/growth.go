package fault

import (
	"fmt"
	"math"
	"strings"
)

// Growth makes a value depend on the level of a standing: the zero value leaves it as it is. Only limits and delays of a reaction's
// treatment have levels to go by.
type Growth struct {
	Kind  GrowthKind
	First float64 // at level 1
	Bound float64 // the most, or with GrowthHalving the least
}

// GrowthKind is how a value changes from one level to the next.
type GrowthKind uint8

// The kinds.
const (
	GrowthNone     GrowthKind = iota
	GrowthDoubling            // twice as much
	GrowthHalving             // half as much
	GrowthPerLevel            // First more
)

var growthKinds = [...]string{"", "doubling", "halving", "per-level"}

// String returns the name as plans write it; empty for GrowthNone.
func (k GrowthKind) String() string { return nameOf(growthKinds[:], int(k)) }

// IsZero reports whether the value does not depend on a level.
func (g Growth) IsZero() bool { return g.Kind == GrowthNone }

// At returns the value at a level, from 1 on.
func (g Growth) At(level int) float64 {
	switch g.Kind {
	case GrowthDoubling:
		return min(math.Ldexp(g.First, level-1), g.Bound)
	case GrowthHalving:
		return max(math.Ldexp(g.First, 1-level), g.Bound)
	case GrowthPerLevel:
		return min(g.First*float64(level), g.Bound)
	}
	return g.First
}

// last returns the first level from which on the value stays as it is.
func (g Growth) last() int {
	level := 1
	for level < MaxLevel && g.At(level) != g.At(level+1) {
		level++
	}
	return level
}

func (g Growth) validate() error {
	switch {
	case int(g.Kind) >= len(growthKinds):
		return fmt.Errorf("unknown growth %v", g.Kind)
	case g.Kind == GrowthHalving && g.Bound > g.First:
		return fmt.Errorf("halving begins below its least value (want the value at level 1 first)")
	case (g.Kind == GrowthDoubling || g.Kind == GrowthPerLevel) && g.Bound < g.First:
		return fmt.Errorf("%v begins above its greatest value (want the value at level 1 first)", g.Kind)
	}
	return nil
}

// Text writes it as plans do; value writes each of its numbers.
func (g Growth) Text(value func(float64) string) string {
	return fmt.Sprintf("%v(%s,%s)", g.Kind, value(g.First), value(g.Bound))
}

// ParseGrowth parses doubling(X,MOST), halving(X,LEAST) or per-level(X,MOST), of which value parses the numbers. ok is false when the text
// is none of these.
func ParseGrowth(text string, value func(string) (float64, error)) (g Growth, ok bool, err error) {
	name, arguments, ok := strings.Cut(text, "(")
	if !ok {
		return Growth{}, false, nil
	}
	for k := GrowthDoubling; int(k) < len(growthKinds); k++ {
		if k.String() == strings.TrimSpace(name) {
			g.Kind = k
		}
	}
	first, bound, two := strings.Cut(strings.TrimSuffix(arguments, ")"), ",")
	switch {
	case g.Kind == GrowthNone:
		return Growth{}, false, nil
	case !two || !strings.HasSuffix(arguments, ")"):
		return Growth{}, true, fmt.Errorf("invalid value %q (want %s)", text, growthForms)
	}
	if g.First, err = value(strings.TrimSpace(first)); err == nil {
		g.Bound, err = value(strings.TrimSpace(bound))
	}
	if err != nil {
		return Growth{}, true, err
	}
	return g, true, g.validate()
}

const growthForms = "doubling(FIRST,MOST), halving(FIRST,LEAST) or per-level(EACH,MOST)"

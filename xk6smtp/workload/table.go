package workload

import (
	"errors"
	"fmt"
	"math"
	"sort"
)

// Entry is a value and how often it is drawn, relative to the others of its table.
type Entry struct {
	Value  int
	Weight float64
}

// Table is a discrete distribution. It is immutable; the zero value can't be drawn from.
type Table struct {
	entries []Entry
	below   []float64 // below[i] is the share of the entries up to i
}

// maxEntries bounds a table: each size is a message that is kept.
const maxEntries = 1000

// NewTable checks the entries: 1 to 1,000, with different values from low to high, and weights of which each is finite and none negative, with a sum above 0.
func NewTable(entries []Entry, low, high int) (*Table, error) {
	if len(entries) == 0 || len(entries) > maxEntries {
		return nil, fmt.Errorf("wants 1 to %d pairs, not %d", maxEntries, len(entries))
	}
	sum, seen := 0.0, map[int]bool{}
	for _, e := range entries {
		switch {
		case e.Value < low || e.Value > high:
			return nil, fmt.Errorf("wants values from %d to %d, not %d", low, high, e.Value)
		case seen[e.Value]:
			return nil, fmt.Errorf("has the value %d twice", e.Value)
		case !(e.Weight >= 0) || math.IsInf(e.Weight, 0):
			return nil, fmt.Errorf("wants weights from 0, not %v", e.Weight)
		}
		seen[e.Value] = true
		sum += e.Weight
	}
	if !(sum > 0) || math.IsInf(sum, 0) {
		return nil, errors.New("wants weights with a finite sum above 0")
	}
	t := &Table{}
	upTo := 0.0
	for _, e := range entries {
		if e.Weight > 0 {
			upTo += e.Weight
			t.entries, t.below = append(t.entries, e), append(t.below, upTo/sum)
		}
	}
	t.below[len(t.below)-1] = 1 // whatever the rounding
	return t, nil
}

// Values lists what may be drawn, in the order of the table.
func (t *Table) Values() []int {
	var out []int
	for _, e := range t.entries {
		out = append(out, e.Value)
	}
	return out
}

// at is the value of a uniform draw from [0, 1).
func (t *Table) at(u float64) int {
	return t.entries[sort.Search(len(t.below)-1, func(i int) bool { return u < t.below[i] })].Value
}

package compare

import (
	"cmp"
	"slices"

	"github.com/smtpstorm/xk6-smtp/bench/result"
)

// DesignKind says how the runs of both sides follow each other.
type DesignKind string

// The designs, from the strongest on.
const (
	Blocks      DesignKind = "blocks"      // both sides once in each block, in random order: analysed by block
	Interleaved DesignKind = "interleaved" // the sides took turns
	Separate    DesignKind = "separate"    // one side ran while the other did not: whatever drifts looks like a difference
	Untimed     DesignKind = "untimed"     // nobody knows when the runs began
)

// Design is how the runs came about.
type Design struct {
	Kind DesignKind `json:"kind"`
	// Order are the sides in the order in which their runs began: "ABBAAB".
	Order string `json:"order,omitempty"`
	// Experiment and Seed are those of blocks.
	Experiment string `json:"experiment,omitempty"`
	Seed       uint64 `json:"seed,omitempty"`
	// Unpaired are runs of blocks of which the other side is missing; they are left out.
	Unpaired []string `json:"unpaired,omitempty"`
}

// arrange orders the runs of both sides, by block where there are blocks, and says what design they have. Runs of incomplete blocks go.
func arrange(a, b *Side) Design {
	if d, ok := blocks(a, b); ok {
		d.Order = runOrder(a, b)
		return d
	}
	for _, s := range []*Side{a, b} {
		slices.SortStableFunc(s.Runs, func(x, y *Run) int { return x.started.Compare(y.started) })
	}
	d := Design{Order: runOrder(a, b)}
	switch {
	case d.Order == "":
		d.Kind = Untimed
	case interleaved(d.Order):
		d.Kind = Interleaved
	default:
		d.Kind = Separate
	}
	return d
}

// blocks pairs the runs of an experiment. Each side must be one side of it, whichever.
func blocks(a, b *Side) (Design, bool) {
	d := Design{Kind: Blocks}
	byBlock := map[int][2]*Run{}
	for i, s := range []*Side{a, b} {
		side := ""
		for _, r := range s.Runs {
			p := r.Design
			if p == nil || p.Block < 1 {
				return d, false
			}
			if d.Experiment == "" {
				d.Experiment, d.Seed = p.Experiment, p.Seed
			}
			pair := byBlock[p.Block]
			if side == "" {
				side = p.Side
			}
			if p.Experiment != d.Experiment || p.Side != side || pair[i] != nil {
				return d, false
			}
			pair[i] = r
			byBlock[p.Block] = pair
		}
		if i == 1 && side == a.Runs[0].Design.Side {
			return d, false // one and the same side, cut in two
		}
	}
	a.Runs, b.Runs = nil, nil
	numbers := make([]int, 0, len(byBlock))
	for n := range byBlock {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	for _, n := range numbers {
		pair := byBlock[n]
		if pair[0] == nil || pair[1] == nil {
			d.Unpaired = append(d.Unpaired, cmp.Or(pair[0], pair[1]).Path)
			continue
		}
		a.Runs, b.Runs = append(a.Runs, pair[0]), append(b.Runs, pair[1])
	}
	return d, true
}

// inOrder lists the runs of both sides as they began, each with its side's name; nil where a run has no time.
func inOrder(a, b *Side) (runs []*Run, sides []string) {
	type at struct {
		run  *Run
		side string
	}
	var all []at
	for i, s := range []*Side{a, b} {
		for _, r := range s.Runs {
			if r.started.IsZero() {
				return nil, nil
			}
			all = append(all, at{r, []string{result.SideA, result.SideB}[i]})
		}
	}
	slices.SortStableFunc(all, func(x, y at) int { return x.run.started.Compare(y.run.started) })
	for _, x := range all {
		runs, sides = append(runs, x.run), append(sides, x.side)
	}
	return runs, sides
}

func runOrder(a, b *Side) string {
	_, sides := inOrder(a, b)
	order := ""
	for _, s := range sides {
		order += s
	}
	return order
}

// interleaved says that the sides took turns: it isn't all of one side and then all of the other, and no side has half of its runs or more in
// one stretch of three or more.
func interleaved(order string) bool {
	total, longest, length, turns := map[byte]int{}, map[byte]int{}, 0, 0
	for i := range len(order) {
		total[order[i]]++
		length++
		if i > 0 && order[i] != order[i-1] {
			length = 1
			turns++
		}
		longest[order[i]] = max(longest[order[i]], length)
	}
	for side, n := range longest {
		if n >= 3 && 2*n >= total[side] {
			return false
		}
	}
	return turns > 1 || len(order) <= 2
}

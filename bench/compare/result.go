package compare

import (
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/result"
)

// Verdict is what a row comes to, of B against A.
type Verdict string

// The verdicts.
const (
	Less        Verdict = "less"
	Greater     Verdict = "greater"
	Equivalent  Verdict = "equivalent" // proved to differ by less than the margin
	Undecided   Verdict = "undecided"
	NotCompared Verdict = "not compared" // see Row.Why
)

// Reason is why a row has no test.
type Reason string

// The reasons.
const (
	Missing Reason = "not measured"
	Hidden  Reason = "hidden"  // by work that was dropped or aborted, which counts as slower than everything
	Few     Reason = "too few" // values in a run, for such a percentile
	Single  Reason = "one run a side"
	Other   Reason = "no test"
)

// Effect is an estimate of B against A with the interval that inverts its own test.
type Effect struct {
	Estimate float64 `json:"estimate"`
	Lo       float64 `json:"lo"`
	Hi       float64 `json:"hi"`
	// OpenLo and OpenHi: the bound itself is rejected.
	OpenLo bool `json:"open_lo,omitempty"`
	OpenHi bool `json:"open_hi,omitempty"`
	// Level is what the interval has, which is at least the one that was asked for, or else the most that so few runs can have: Attained is false then.
	Level    float64 `json:"level"`
	Attained bool    `json:"attained"`
	P        float64 `json:"p"`
}

// Row is one measure of both sides.
type Row struct {
	Measure Measure `json:"-"`
	Name    string  `json:"name"`
	Primary bool    `json:"primary"`
	A       []Value `json:"-"` // of the runs in their order; by block where there are blocks
	B       []Value `json:"-"`
	MedianA float64 `json:"median_a"` // of what is known; +Inf: most of it is hidden
	MedianB float64 `json:"median_b"`
	// Reason says why there is no test, and Why in full; empty: there is one.
	Reason Reason `json:"reason,omitempty"`
	Why    string `json:"why,omitempty"`
	// Shift is B-A, in milliseconds or as a difference of shares: Verdict is by its test. Nil: see Why.
	Shift *Effect `json:"shift,omitempty"`
	// Ratio is B/A of latencies, by the same test of logarithms; nil for shares, and where a value is 0.
	Ratio *Effect `json:"ratio,omitempty"`
	// Alpha is the level at which the row is tested: of the primary family that of its place in Holm's order.
	Alpha   float64 `json:"alpha,omitempty"`
	Verdict Verdict `json:"verdict"`
	// Within says that the row is proved to lie within the margin, whatever the verdict: less, but within the margin.
	Within bool `json:"within_margin,omitempty"`
	// Needs is how many runs a side (or blocks) it takes until the test can reject at all at Alpha; 0: there are enough.
	Needs int `json:"needs,omitempty"`
	// Findable is the smallest effect that such a design finds in 80%: of latencies a ratio less 1, of shares a difference. 0: not known.
	Findable float64 `json:"findable,omitempty"`
}

// Finding is something that a reader must know, by kind, with its text.
type Finding struct {
	Kind string `json:"kind"`
	Text string `json:"text"`
}

// The kinds of warnings.
const (
	WarnDesign    = "design"    // not interleaved, or nobody knows
	WarnDrift     = "drift"     // figures drifted over the run order
	WarnSeeds     = "seeds"     // all runs drew the same
	WarnDiffer    = "differ"    // the sides differ in more than what is meant
	WarnLoad      = "load"      // an open and a closed load
	WarnSaturated = "saturated" // generator or sink
	WarnDropped   = "dropped"   // work that was never done
	WarnUnpaired  = "unpaired"  // runs of incomplete blocks
	WarnSchema    = "schema"    // records of two versions
	WarnRun       = "run"       // what a single record carries
)

// ErrorShare is the share of one class of errors among the answers at its stage, as the mean over the runs of each side.
type ErrorShare struct {
	Class
	Kind Kind    `json:"kind"`
	A    float64 `json:"a"`
	B    float64 `json:"b"`
	// Part is what the class adds to the distance, of 1.
	Part float64 `json:"part"`
}

// Errors compares what went wrong, by stage and code.
type Errors struct {
	Classes []ErrorShare        `json:"classes"` // the largest part of the distance first
	Kinds   map[Kind][2]float64 `json:"kinds"`   // shares of the attempted messages, of A and B
	// Distance is the sum over the classes of (a-b)^2/(a+b).
	Distance float64 `json:"distance"`
	P        float64 `json:"p"` // of a permutation of whole runs; NaN: not tested
	Exact    bool    `json:"exact"`
	Draws    int     `json:"draws"` // permutations
	Alpha    float64 `json:"alpha"`
	Floor    float64 `json:"floor"` // the least p that so many runs can have
	Differs  bool    `json:"differs"`
}

// Acceptance compares the time to acceptance over all attempted messages: what was never accepted is later than everything.
type Acceptance struct {
	Rows []Row `json:"rows"`
	// Later is the chance that a message of B is accepted later than one of A, ties counting half, as the mean over pairs of runs.
	Later float64 `json:"later"`
	// ShareA and ShareB of the attempted messages were accepted.
	ShareA float64 `json:"accepted_a"`
	ShareB float64 `json:"accepted_b"`
}

// Decile is a point of the shift function.
type Decile struct {
	Q     float64 `json:"q"`
	A     float64 `json:"a"` // the median over the runs, ms
	B     float64 `json:"b"`
	Shift float64 `json:"shift"`
	Lo    float64 `json:"lo"`
	Hi    float64 `json:"hi"`
	// Differs: the band, which holds for all deciles at once, leaves out 0.
	Differs bool `json:"differs"`
}

// ShiftFunction says where in a distribution the two sides differ.
type ShiftFunction struct {
	Key     Key      `json:"key"`
	Deciles []Decile `json:"deciles"`
	Level   float64  `json:"level"` // of the whole band
	Exact   bool     `json:"exact"`
}

// Drift is whether a measure drifted over the run order, the sides' difference taken out.
type Drift struct {
	Name string  `json:"name"`
	Tau  float64 `json:"tau"` // rank correlation with the run order (Kendall)
	P    float64 `json:"p"`
}

// SideInfo describes a side.
type SideInfo struct {
	Name  string    `json:"name"`
	Label string    `json:"label"`
	Runs  []RunInfo `json:"runs"`
	Plan  string    `json:"plan,omitempty"`
	Load  []string  `json:"load,omitempty"`
	First *Run      `json:"-"`
	All   []*Run    `json:"-"`
}

// RunInfo names a run.
type RunInfo struct {
	Path    string    `json:"path"`
	Label   string    `json:"label,omitempty"`
	Started time.Time `json:"started,omitzero"`
	Seed    uint64    `json:"seed"`
	Block   int       `json:"block,omitempty"`
	Order   int       `json:"order,omitempty"`
	Tried   uint64    `json:"messages"`
}

// Result is a comparison.
type Result struct {
	A, B    SideInfo
	Design  Design
	Options Options
	// Headline is the verdict in words, one sentence each, the family's rows first.
	Headline   []string
	Rows       []Row // the primary family in its declared order, then the exploratory ones
	Errors     *Errors
	Acceptance *Acceptance
	Shifts     []ShiftFunction
	Drifts     []Drift
	Differ     []Differ
	Warnings   []Finding
	// NoWinner says why no side is called better although a row differs; empty: nothing keeps from it.
	NoWinner string
	// Gates are the criteria of --fail-on, decided.
	Gates []Gate
}

// Primary returns the rows of the family.
func (r *Result) Primary() []Row {
	for i := range r.Rows {
		if !r.Rows[i].Primary {
			return r.Rows[:i]
		}
	}
	return r.Rows
}

func info(s *Side) SideInfo {
	out := SideInfo{Name: s.Name, Label: s.Label, All: s.Runs}
	for i, r := range s.Runs {
		if i == 0 {
			out.First, out.Plan = r, r.Provenance.Plan.Name
		}
		ri := RunInfo{Path: r.Path, Label: r.Label, Started: r.started, Seed: r.Provenance.Seed, Tried: r.Attempts}
		if r.Design != nil {
			ri.Block, ri.Order = r.Design.Block, r.Design.Order
		}
		out.Runs = append(out.Runs, ri)
	}
	return out
}

var _ = result.SideA

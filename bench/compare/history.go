package compare

import (
	"fmt"
	"slices"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/stat"
)

// History is one measure over runs in the order of time, with the places where it began to be another.
type History struct {
	Measure Measure        `json:"-"`
	Name    string         `json:"name"`
	Unit    string         `json:"unit"` // ms or share
	Points  []HistoryPoint `json:"points"`
	Changes []Change       `json:"changes"`
	// Unusable runs have no value of it: too few messages, or hidden by work that was dropped.
	Unusable int `json:"unusable"`
}

// HistoryPoint is one run.
type HistoryPoint struct {
	Path    string    `json:"path"`
	Started time.Time `json:"started"`
	Commit  string    `json:"commit,omitempty"`
	Value   float64   `json:"value"`
}

// Change is a change point.
type Change struct {
	Index  int     `json:"index"`            // of the first point after it
	Commit string  `json:"commit,omitempty"` // of that point
	After  string  `json:"after,omitempty"`  // the commit of the point before it
	P      float64 `json:"p"`
	Before float64 `json:"before"` // the median from the change before to this one
	Now    float64 `json:"now"`    // and from here to the next
}

// Histories looks for change points (E-divisive, each by a permutation test at 5%) of measures over runs, which it orders by the time at which they began. All runs must be of
// one script, plan and load. An *InputError says why they can't be.
func Histories(runs []*Run, measures []Measure, seed uint64) ([]History, error) {
	s := &Side{Runs: slices.Clone(runs)}
	for _, r := range s.Runs {
		if r.started.IsZero() {
			return nil, inputErrorf("%s does not say when it began: it has no place in a history", r.Path)
		}
	}
	if err := check(s, nil); err != nil {
		return nil, err
	}
	for _, m := range measures {
		if err := (pairing{a: s, b: &Side{}}).knows(Criterion{Text: m.Name(), Measure: m}); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(s.Runs, func(x, y *Run) int { return x.started.Compare(y.started) })
	var out []History
	for _, m := range measures {
		h := History{Measure: m, Name: m.Name(), Unit: "ms", Changes: []Change{}}
		if m.IsShare() {
			h.Unit = "share"
		}
		var values []float64
		for _, r := range s.Runs {
			v := r.Value(m)
			if !v.Usable() {
				h.Unusable++
				continue
			}
			commit := r.Provenance.Commit
			if commit != "" && r.Provenance.Dirty {
				commit += "+changes"
			}
			h.Points = append(h.Points, HistoryPoint{r.Path, r.started, commit, v.V})
			values = append(values, v.V)
		}
		found, err := stat.EDivisive(values, stat.EDivisiveOptions{Seed: seed})
		if err != nil {
			return nil, inputErrorf("%s: %v", h.Name, err)
		}
		for i, c := range found {
			from, to := 0, len(values)
			if i > 0 {
				from = found[i-1].Index
			}
			if i+1 < len(found) {
				to = found[i+1].Index
			}
			h.Changes = append(h.Changes, Change{
				Index: c.Index, Commit: h.Points[c.Index].Commit, After: h.Points[c.Index-1].Commit, P: c.P,
				Before: median(values[from:c.Index]), Now: median(values[c.Index:to]),
			})
		}
		out = append(out, h)
	}
	return out, nil
}

// Words say what changed.
func (c *Change) Words(h *History) string {
	amount := func(v float64) string {
		if h.Unit == "share" {
			return fmt.Sprintf("%.2f%%", 100*v)
		}
		return fmt.Sprintf("%.3g ms", v)
	}
	s := fmt.Sprintf("%s went from %s to %s", h.Measure.Words(), amount(c.Before), amount(c.Now))
	if c.Commit != "" {
		s += " at commit " + short(c.Commit)
		if c.After != "" && c.After != c.Commit {
			s += ", after " + short(c.After)
		}
	}
	return s + fmt.Sprintf(" (run %d of %d, %s)", c.Index+1, len(h.Points), h.Points[c.Index].Path)
}

func short(commit string) string {
	const shown = 12
	if len(commit) > shown {
		dirty := ""
		if len(commit) > 8 && commit[len(commit)-8:] == "+changes" {
			dirty = "+changes"
		}
		return commit[:shown] + dirty
	}
	return commit
}

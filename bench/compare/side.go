package compare

import (
	"fmt"
	"slices"
	"strings"
)

// Side is one of the two groups.
type Side struct {
	Name  string // result.SideA or result.SideB
	Label string
	Runs  []*Run
}

// InputError says that runs can't be compared. Its text is one line that names the culprit.
type InputError struct{ text string }

// Error returns that line.
func (e *InputError) Error() string { return e.text }

func inputErrorf(format string, args ...any) error { return &InputError{fmt.Sprintf(format, args...)} }

// check refuses groups of which no comparison makes sense: a run twice, and a side that is not one thing. Without b, the runs of a are one series.
func check(a, b *Side) error {
	sides, who := []*Side{a, b}, func(s *Side) string { return "side " + s.Name + " mixes" }
	if b == nil {
		sides, who, b = sides[:1], func(*Side) string { return "the records mix" }, &Side{}
	}
	for _, s := range sides {
		if len(s.Runs) == 0 {
			return inputErrorf("side %s has no records", s.Name)
		}
	}
	all := append(slices.Clone(a.Runs), b.Runs...)
	for i, r := range all {
		for j, o := range all[:i] {
			if !r.same(o) {
				continue
			}
			where := "is given twice"
			if (i < len(a.Runs)) != (j < len(a.Runs)) {
				where = "is on both sides"
			}
			if r.Path == o.Path {
				return inputErrorf("%s %s", r.Path, where)
			}
			return inputErrorf("%s and %s are records of one run, which %s (it began at %s)", o.Path, r.Path, where, r.Provenance.Started.UTC().Format("2006-01-02 15:04:05.000"))
		}
	}
	for _, s := range sides {
		for _, f := range facets {
			if !f.must {
				continue
			}
			for _, r := range s.Runs[1:] {
				if x, y := f.of(s.Runs[0]), f.of(r); x != y {
					own := ownLines([]string{x, y})
					x, y = own[0], own[1]
					return inputErrorf("%s runs of different %s: %s in %s, %s in %s", who(s), f.name, quoted(x), s.Runs[0].Path, quoted(y), r.Path)
				}
			}
		}
	}
	return nil
}

func quoted(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// facet is what two runs may differ in.
type facet struct {
	name string // in the plural
	of   func(*Run) string
	must bool // all runs of a side must agree
}

const (
	agents         = "agents"
	configurations = "agents' configurations"
)

var facets = [...]facet{
	{"scripts", func(r *Run) string {
		if h := r.Load.ScriptSHA256; h != "" {
			return r.Load.Script + " " + h[:min(8, len(h))]
		}
		return r.Load.Script
	}, true},
	{"plans", (*Run).plan, true},
	{"loads", func(r *Run) string {
		l := r.Load
		var parts []string
		add := func(on bool, format string, args ...any) {
			if on {
				parts = append(parts, fmt.Sprintf(format, args...))
			}
		}
		add(l.Executor != "", "%s", l.Executor)
		add(l.RatePerSecond > 0, "%g/s", l.RatePerSecond)
		add(l.VUs > 0, "%d VUs", l.VUs)
		add(l.MessageSizeBytes > 0, "%d octets", l.MessageSizeBytes)
		add(l.RecipientsPerMessage > 0, "%d recipients", l.RecipientsPerMessage)
		return strings.Join(parts, ", ")
	}, true},
	{agents, func(r *Run) string {
		if m := r.Provenance.MTA; m != nil {
			return strings.TrimSpace(m.Name + " " + m.Version)
		}
		return ""
	}, true},
	{configurations, func(r *Run) string {
		if m := r.Provenance.MTA; m != nil {
			return m.Config
		}
		return ""
	}, true},
	{"commits", func(r *Run) string {
		c := r.Provenance.Commit
		if c != "" && r.Provenance.Dirty {
			return c[:min(12, len(c))] + " with changes"
		}
		return c[:min(12, len(c))]
	}, false},
	{"versions of k6", func(r *Run) string { return r.Provenance.Versions["k6"] }, false},
	{"versions of Go", func(r *Run) string { return r.Provenance.Versions["go"] }, false},
	{"machines", func(r *Run) string {
		p := r.Provenance
		return strings.TrimSpace(fmt.Sprintf("%s, %d cores, %d MiB", p.CPUModel, p.Cores, p.MemoryBytes>>20))
	}, false},
	{"kernels", func(r *Run) string { return r.Provenance.Kernel }, false},
	{"places of the sink", func(r *Run) string { return r.Provenance.SinkMode }, false},
	{"schemas", func(r *Run) string { return r.Schema }, false},
}

// Differ is a thing in which the sides differ, or one of them within itself.
type Differ struct {
	What   string   `json:"what"`
	A      []string `json:"a"` // its values, each once
	B      []string `json:"b"`
	Within bool     `json:"within,omitempty"` // a side differs within itself
}

// differences lists in what the runs differ.
func differences(a, b *Side) []Differ {
	values := func(s *Side, f facet) []string {
		var out []string
		for _, r := range s.Runs {
			if v := f.of(r); !slices.Contains(out, v) {
				out = append(out, v)
			}
		}
		return out
	}
	var out []Differ
	for _, f := range facets {
		d := Differ{What: f.name, A: values(a, f), B: values(b, f)}
		d.Within = len(d.A) > 1 || len(d.B) > 1
		if !d.Within && d.A[0] == d.B[0] {
			continue
		}
		if f.name == configurations && slices.ContainsFunc(out, func(o Differ) bool { return o.What == agents }) {
			continue // another agent has another configuration: that is one difference, not two
		}
		own := ownLines(slices.Concat(d.A, d.B))
		d.A, d.B = own[:len(d.A)], own[len(d.A):]
		out = append(out, d)
	}
	return out
}

// shownLines bounds how many lines of a text are shown in which it differs from others.
const shownLines = 5

// ownLines returns, of texts of several lines, the lines that are not in all of them, separated by semicolons; texts of one line are
// returned whole.
func ownLines(texts []string) []string {
	if !slices.ContainsFunc(texts, func(t string) bool { return strings.Contains(t, "\n") }) {
		return texts
	}
	in := map[string]int{} // in how many texts a line is
	for _, t := range texts {
		for _, line := range distinctLines(t) {
			in[line]++
		}
	}
	out := make([]string, len(texts))
	for i, t := range texts {
		own := slices.DeleteFunc(distinctLines(t), func(line string) bool { return in[line] == len(texts) })
		if more := len(own) - shownLines; more > 0 {
			own = append(own[:shownLines], fmt.Sprintf("and %d more lines", more))
		}
		out[i] = strings.Join(own, "; ")
	}
	return out
}

// distinctLines returns the lines of a text that are not empty, each once, without blanks around them.
func distinctLines(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !slices.Contains(out, line) {
			out = append(out, line)
		}
	}
	return out
}

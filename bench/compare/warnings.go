package compare

import (
	"fmt"
	"slices"
	"strings"

	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/sink/text"
)

// warn collects what a reader must know before believing a figure.
func (r *Result) warn(a, b *Side) {
	add := func(kind, format string, args ...any) {
		f := Finding{kind, fmt.Sprintf(format, args...)}
		if !slices.Contains(r.Warnings, f) {
			r.Warnings = append(r.Warnings, f)
		}
	}
	single := len(a.Runs) == 1 && len(b.Runs) == 1
	switch {
	case single:
	case r.Design.Kind == Separate:
		add(WarnDesign, "the runs were not interleaved (%s): whatever drifted meanwhile, such as the machine's load, looks like a difference; smtpbench run --runs makes blocks", r.Design.Order)
	case r.Design.Kind == Untimed:
		add(WarnDesign, "a record lacks the time at which it began: nobody knows whether the runs were interleaved")
	}
	if n := len(r.Design.Unpaired); n > 0 {
		add(WarnUnpaired, "%d %s of incomplete blocks left out: %s", n, text.Plural(n, "run"), strings.Join(r.Design.Unpaired, ", "))
	}
	for _, d := range r.Drifts {
		if d.P <= 0.05 {
			if r.Design.Kind == Blocks {
				add(WarnDrift, "%s drifted over the run order (tau %+.2f, p = %.3g); blocks take most of that out", d.Name, d.Tau, d.P)
			} else {
				add(WarnDrift, "%s drifted over the run order (tau %+.2f, p = %.3g): the tests take the runs for exchangeable, and they aren't", d.Name, d.Tau, d.P)
			}
		}
	}
	r.warnOfSeeds(a, b, add)
	r.warnOfDifferences(add)
	r.warnOfLoads(a, b, add)
	for _, s := range []*Side{a, b} {
		var first *Run
		n := 0
		for _, run := range s.Runs {
			if len(run.Saturated) > 0 {
				if n++; first == nil {
					first = run
				}
			}
		}
		if first != nil {
			add(WarnSaturated, "side %s: generator or sink were saturated in %d of %s, such as %s: %s", s.Name, n, text.Counted(len(s.Runs), "run"), first.Path, strings.Join(first.Saturated, "; "))
		}
	}
	r.warnOfRuns(a, b, add)
}

type adder func(kind, format string, args ...any)

func (r *Result) warnOfSeeds(a, b *Side, add adder) {
	seeds := map[uint64]bool{}
	draws := false // there is something that a seed decides
	for _, s := range []*Side{a, b} {
		for _, run := range s.Runs {
			seeds[run.Provenance.Seed] = true
			draws = draws || len(run.Errors) > 0
		}
	}
	if draws && len(seeds) == 1 && len(a.Runs)+len(b.Runs) > 2 {
		add(WarnSeeds, "all runs drew with one seed: shares of errors hardly vary between them, so that a test of these says nothing")
	}
	if r.Design.Kind != Blocks {
		return
	}
	for i := range a.Runs {
		if x, y := a.Runs[i], b.Runs[i]; x.Provenance.Seed != y.Provenance.Seed {
			add(WarnSeeds, "block %d: the sides drew with different seeds (%d and %d)", x.Design.Block, x.Provenance.Seed, y.Provenance.Seed)
		}
	}
}

func (r *Result) warnOfDifferences(add adder) {
	between := r.Between()
	for _, d := range r.Differ {
		switch {
		case d.What == "schemas":
			schemas := slices.Concat(d.A, d.B)
			slices.Sort(schemas)
			add(WarnSchema, "the records are of %s: figures that only the newer have are not compared", strings.Join(slices.Compact(schemas), " and "))
		case d.Within:
			add(WarnDiffer, "runs of one side differ in %s: A has %s; B has %s", d.What, list(d.A), list(d.B))
		case d.What == "machines":
			add(WarnDiffer, "the sides ran on different machines: a difference may be the machines'")
		case (d.What == "scripts" || d.What == "loads") && len(between) == 1:
			add(WarnDiffer, "the sides had different %s (%s; %s): a difference may be that of the work", d.What, quoted(d.A[0]), quoted(d.B[0]))
		}
	}
	if len(between) > 1 {
		add(WarnDiffer, "the sides differ in more than one thing, so that no difference can be laid to one of them: %s", strings.Join(between, ", "))
	}
}

// Between names each thing in which all runs of one side differ from all of the other, with what it is on either: plans (calm; storm).
func (r *Result) Between() []string {
	var out []string
	for _, d := range r.Differ {
		if !d.Within && d.What != "schemas" {
			out = append(out, fmt.Sprintf("%s (%s; %s)", d.What, quoted(d.A[0]), quoted(d.B[0])))
		}
	}
	return out
}

// list names a few values.
func list(values []string) string {
	const most = 4
	var out []string
	for i, v := range values {
		if i == most {
			out = append(out, fmt.Sprintf("%d more", len(values)-most))
			break
		}
		out = append(out, quoted(v))
	}
	return strings.Join(out, " and ")
}

// open says that iterations begin when they are due, whether or not earlier ones are over.
func open(l result.Load) bool { return strings.Contains(l.Executor, "arrival-rate") }

func (r *Result) warnOfLoads(a, b *Side, add adder) {
	kinds := map[bool]bool{}
	for _, s := range []*Side{a, b} {
		for _, run := range s.Runs {
			if run.Load.Executor != "" {
				kinds[open(run.Load)] = true
			}
		}
	}
	switch {
	case len(kinds) == 2:
		add(WarnLoad, "an open load (arrival rate) is compared with a closed one (a loop of virtual users): the closed one sends less while the server is slow, and understates p99")
	case kinds[false]:
		add(WarnLoad, "the load is closed (a loop of virtual users): it sends less while the server is slow, and p99 is understated on both sides")
	}
}

func (r *Result) warnOfRuns(a, b *Side, add adder) {
	for _, s := range []*Side{a, b} {
		var dropped, of uint64
		for _, run := range s.Runs {
			dropped += run.Load.IterationsDropped
			of += run.Load.IterationsDropped + run.Load.IterationsComplete
		}
		if dropped > 0 {
			add(WarnDropped, "side %s: %s of %s iterations were dropped; each counts as slower than everything that was measured", s.Name, text.Count(dropped), text.Count(of))
		}
		// What many records say is said once.
		said := map[string]int{}
		var order []string
		for _, run := range s.Runs {
			for _, w := range run.Warnings {
				if said[w] == 0 {
					order = append(order, w)
				}
				said[w]++
			}
		}
		for _, w := range order {
			where := fmt.Sprintf("%d of %d runs", said[w], len(s.Runs))
			if len(s.Runs) == 1 {
				where = "its run"
			}
			add(WarnRun, "side %s, %s: %s", s.Name, where, w)
		}
	}
}

func saturated(a, b *Side) bool {
	some := func(r *Run) bool { return len(r.Saturated) > 0 }
	return slices.ContainsFunc(a.Runs, some) || slices.ContainsFunc(b.Runs, some)
}

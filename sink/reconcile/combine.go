package reconcile

import "slices"

// Part is one of several judgements that Combine sums up: that of a leg of a run.
type Part struct {
	Name     string    // of the leg, for its evidence; empty: there is only one
	Result   *Result   // nil: nothing of it was judged
	Findings []Finding // of somebody else, such as harness-mismatch of who counted replies on both sides
	Replies  uint64    // of the sink that were compared with what clients observed
}

// Combine sums up what was found in several parts, and gives the one verdict on all of them. The parts stay as they are.
func Combine(o Options, parts ...Part) *Result {
	if o.FailOn == nil {
		o.FailOn = DefaultFailOn()
	}
	j := New(o)
	out := &j.result
	for i := range parts {
		p := &parts[i]
		out.Replies += p.Replies
		for k := range p.Findings {
			j.add(&p.Findings[k], p.Name)
		}
		r := p.Result
		if r == nil {
			continue
		}
		for k := range r.Findings {
			j.add(&r.Findings[k], p.Name)
		}
		for f, n := range r.Fates {
			out.Fates[f] += n
		}
		for _, what := range r.Lacking {
			if !slices.Contains(out.Lacking, what) {
				out.Lacking = append(out.Lacking, what)
			}
		}
		sums, adds := out.counts(), r.counts()
		for k := range sums {
			*sums[k].n += *adds[k].n
		}
		out.TornOctets += r.TornOctets
	}
	j.list()
	out.Verdict = out.verdict(&j.options)
	return out
}

// add adds a finding to those of its kind.
func (j *Judge) add(f *Finding, leg string) {
	have := j.finding(f.Kind)
	have.Units += f.Units
	for name, n := range f.Numbers {
		have.Numbers[name] += n
	}
	for _, e := range f.Evidence {
		if len(have.Evidence) < maxEvidence {
			e.Leg = leg
			have.Evidence = append(have.Evidence, e)
		}
	}
}

// list puts the findings into their order.
func (j *Judge) list() {
	for _, k := range Kinds() {
		if f := j.found[k]; f != nil && f.Units > 0 {
			if len(f.Numbers) == 0 {
				f.Numbers = nil
			}
			j.result.Findings = append(j.result.Findings, *f)
		}
	}
}

// count is one of a result's counts, by its name in JSON.
type count struct {
	name string
	n    *uint64
}

// counts returns all counts but those of fates.
func (r *Result) counts() []count {
	return []count{
		{"messages", &r.Messages}, {"units", &r.Units}, {"replies", &r.Replies}, {"runs", &r.Runs}, {"attempts", &r.Attempts}, {"deliveries", &r.Deliveries},
		{"returned_attempts", &r.Returned}, {"unattributed_attempts", &r.Unattributed}, {"foreign_attempts", &r.Foreign}, {"stray_attempts", &r.StrayAttempts}, {"early_attempts", &r.Early},
		{"unknown_notifications", &r.UnknownNotifications}, {"incidents", &r.Incidents}, {"missing_rows", &r.MissingRows}, {"torn_claims", &r.TornClaims}, {"killed_runs", &r.Killed},
	}
}

package result

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Merge makes one record of those that several generators wrote while they drove the same server at the same time: k6 on several
// machines, say. Counts add up, histograms merge without loss, windows that overlap become one. Tags that tell the generators apart, as those of
// k6-operator do (instance_id, testrun_name), are left out. What can't be added is the first
// record's (machine, versions, executor), and a warning says where the others differ. The thresholds are judged again, on the merged figures; one that can't be
// holds when it held in every process, and a warning says so. Gauges keep the range, and the last value of whoever ended last. Where every record has a sink's part, these
// add up, too; where some have, theirs stay out with a warning.
//
// No argument is changed, but parts of one are shared when it is alone. An error names what can't be of one run: a record without a
// client part, or a metric of two types or units.
func Merge(records ...*Record) (*Record, error) {
	if len(records) == 0 {
		return nil, fmt.Errorf("no records to merge")
	}
	for _, r := range records {
		if r.Client == nil {
			return nil, fmt.Errorf("record %q has no client part", r.Label)
		}
	}
	first := records[0]
	if len(records) == 1 {
		return first, nil
	}
	out := New(first.Label)
	out.Provenance, out.Load = first.Provenance, first.Load
	out.Load.Thresholds, out.Load.Segments = nil, slices.Clone(first.Load.Segments)
	out.Note("%d generators drove this run; machine and versions are those of the first", len(records))
	for i, r := range records {
		if i > 0 {
			out.addProvenance(&r.Provenance)
			out.addLoad(&r.Load)
		}
		out.addThresholds(r.Load.Thresholds)
		for _, n := range r.Notes {
			out.Note("%s", n)
		}
		for _, w := range r.Warnings {
			out.Warn("%s", w)
		}
	}
	if missing := missingSegment(out.Load.Segments); missing != "" && len(out.Load.Segments) > 0 && out.Load.Stopped == "" {
		out.Load.Stopped = fmt.Sprintf("execution segment %s has left no record", missing)
	}
	var err error
	if out.Client, err = mergeClients(records); err != nil {
		return nil, err
	}
	if p := out.Client.Process; p != nil {
		p.Share = busiest(records, func(r *Record) *Process { return r.Client.Process })
	}
	out.judgeThresholds()
	out.mergeSinks(records)
	return out, nil
}

// mergeSinks adds up what the sinks counted, one for each record.
func (r *Record) mergeSinks(records []*Record) {
	have := 0
	for _, m := range records {
		if m.Sink != nil {
			have++
		}
	}
	switch have {
	case 0:
		return
	case len(records):
	default:
		r.Warn("%d of %d records have a sink's part: it can't be told what the others' sinks counted, and none of it is kept", have, len(records))
		return
	}
	var sinks []*Sink
	for _, m := range records {
		sinks = append(sinks, m.Sink)
		if m.Provenance.Seed != records[0].Provenance.Seed || m.Provenance.Plan.SHA256 != records[0].Provenance.Plan.SHA256 {
			r.Warn("the sinks had different plans or seeds: %s with seed %d, %s with seed %d", orNone(records[0].Provenance.Plan.Name), records[0].Provenance.Seed,
				orNone(m.Provenance.Plan.Name), m.Provenance.Seed)
		}
	}
	r.Sink = SumSinks(sinks)
	if p := r.Sink.Process; p != nil {
		p.Share = busiest(records, func(r *Record) *Process { return r.Sink.Process })
	}
}

// busiest is the share of its CPUs that the processes of one machine used together, of the machine where it is largest. A record that doesn't say
// where it was written counts as one of a machine of its own.
func busiest(records []*Record, of func(*Record) *Process) float64 {
	machines, most := map[string]float64{}, 0.0
	for i, r := range records {
		machine := r.Provenance.Machine
		if machine == "" {
			machine = fmt.Sprint("record ", i)
		}
		machines[machine] += of(r).CPUShare(r.Provenance.Cores)
		most = max(most, machines[machine])
	}
	return most
}

// SumSinks adds up what several sinks of one run have counted, one at least. None of them is changed.
func SumSinks(sinks []*Sink) *Sink {
	sum := NewSink(&sinks[0].Counts, nil)
	for i, s := range sinks {
		if i > 0 {
			sum.Counts.Merge(&s.Counts)
		}
		sum.Process = addProcesses(sum.Process, s.Process)
	}
	sum.SelfCheck = sum.Check()
	return sum
}

func (r *Record) addProvenance(q *Provenance) {
	p := &r.Provenance
	if p.Started.IsZero() || q.Started.Before(p.Started) && !q.Started.IsZero() {
		p.Started = q.Started
	}
	if q.Ended.After(p.Ended) {
		p.Ended = q.Ended
	}
	p.Dirty = p.Dirty || q.Dirty
	if p.Machine != q.Machine {
		p.Machine = "" // of several
	}
	for name, version := range q.Versions {
		if p.Versions[name] != version {
			r.Warn("the generators differ in %s: %s and %s", name, orNone(p.Versions[name]), version)
		}
	}
	if p.CPUModel != q.CPUModel || p.Cores != q.Cores || p.MemoryBytes != q.MemoryBytes {
		r.Warn("the generators ran on machines of different kinds: their times are mixed")
	}
}

func (r *Record) addLoad(m *Load) {
	l := &r.Load
	if m.ScriptSHA256 != l.ScriptSHA256 {
		r.Warn("the generators ran different scripts: %s and %s", orNone(l.Script), orNone(m.Script))
	}
	l.VUs += m.VUs
	l.RatePerSecond += m.RatePerSecond
	l.DurationSeconds = max(l.DurationSeconds, m.DurationSeconds)
	l.ProbeRatePerSecond = 0 // of one generator alone
	l.IterationsPlanned += m.IterationsPlanned
	l.IterationsComplete += m.IterationsComplete
	l.IterationsDropped += m.IterationsDropped
	if m.MessageSizeBytes != l.MessageSizeBytes {
		l.MessageSizeBytes = 0
	}
	if m.RecipientsPerMessage != l.RecipientsPerMessage {
		l.RecipientsPerMessage = 0
	}
	l.Segments = append(l.Segments, m.Segments...)
	l.Interrupted = l.Interrupted || m.Interrupted
	l.Stopped = cmp.Or(l.Stopped, m.Stopped)
	switch {
	case m.ExitStatus == nil: // not waited for: nothing is known of it
	case l.ExitStatus == nil, *l.ExitStatus == 0, *l.ExitStatus == ThresholdsCrossed && *m.ExitStatus != 0:
		l.ExitStatus = m.ExitStatus
	}
}

func (r *Record) addThresholds(more []Threshold) {
	for _, t := range more {
		i := slices.IndexFunc(r.Load.Thresholds, func(have Threshold) bool { return have.Metric == t.Metric && have.Expression == t.Expression })
		if i < 0 {
			r.Load.Thresholds = append(r.Load.Thresholds, t)
			continue
		}
		r.Load.Thresholds[i].OK = r.Load.Thresholds[i].OK && t.OK
	}
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// merger collects the series of several clients.
type merger struct {
	out    Client
	index  map[string]int // by metric and tags
	ended  []time.Time    // per series: when the process ended whose last value it has
	start  time.Time      // of the first window
	length time.Duration  // of the longest
}

func mergeClients(records []*Record) (*Client, error) {
	m := merger{index: map[string]int{}}
	m.out.Tool = records[0].Client.Tool
	for _, r := range records {
		for i := range r.Client.Windows {
			w := &r.Client.Windows[i]
			if m.length == 0 || w.Start.Before(m.start) {
				m.start = w.Start
			}
			m.length = max(m.length, time.Duration(w.LengthSeconds*float64(time.Second)))
		}
	}
	for _, r := range records {
		at, err := m.addSeries(r)
		if err != nil {
			return nil, err
		}
		m.addWindows(r.Client.Windows, at)
		m.addProcess(r.Client.Process)
	}
	return &m.out, nil
}

// addSeries returns where each series of the record went.
func (m *merger) addSeries(r *Record) ([]int, error) {
	at := make([]int, len(r.Client.Series))
	for i := range r.Client.Series {
		s := &r.Client.Series[i]
		tags := withoutGenerator(s.Tags)
		key := s.Metric + "{" + tags.Key()
		j, ok := m.index[key]
		if !ok {
			j = len(m.out.Series)
			m.index[key] = j
			m.out.Series = append(m.out.Series, Series{Metric: s.Metric, Type: s.Type, Unit: s.Unit, Tags: tags})
			m.ended = append(m.ended, time.Time{})
		}
		at[i] = j
		have := &m.out.Series[j]
		if have.Type != s.Type || have.Unit != s.Unit {
			return nil, fmt.Errorf("metric %s is a %s in one record and a %s in another", s.Metric, kindOf(have), kindOf(s))
		}
		have.Stats, have.Histogram = addStats(have.Stats, s.Stats), addHistogram(have.Histogram, s.Histogram)
		have.Passes += s.Passes
		have.Fails += s.Fails
		if ended := r.Provenance.Ended; m.ended[j].IsZero() || ended.After(m.ended[j]) {
			m.ended[j], have.Last = ended, s.Last
		}
	}
	return at, nil
}

// generatorTags tell apart the k6 of one run, not what they saw: k6-operator gives each such tags.
var generatorTags = []string{"instance_id", "testrun_name"}

func withoutGenerator(tags Tags) Tags {
	if !slices.ContainsFunc(generatorTags, func(name string) bool { return tags[name] != "" }) {
		return tags
	}
	tags = maps.Clone(tags)
	for _, name := range generatorTags {
		delete(tags, name)
	}
	return tags
}

func kindOf(s *Series) string { return strings.TrimSpace(string(s.Type) + " " + s.Unit) }

// addStats and addHistogram never change what they add, which belongs to a record.
func addStats(have, more *Summary) *Summary {
	switch {
	case more == nil:
		return have
	case have == nil:
		have = new(Summary)
	}
	have.Merge(*more)
	return have
}

func addHistogram(have, more *Histogram) *Histogram {
	switch {
	case more == nil:
		return have
	case have == nil:
		return more.Clone()
	}
	have.Merge(more)
	return have
}

// addWindows puts each window into the one of a common grid in which its middle lies: the generators' clocks and starts differ.
func (m *merger) addWindows(windows []Window, at []int) {
	for i := range windows {
		w := &windows[i]
		slot := 0
		if m.length > 0 {
			middle := w.Start.Add(time.Duration(w.LengthSeconds * float64(time.Second) / 2))
			slot = int(middle.Sub(m.start) / m.length)
		}
		start := m.start.Add(time.Duration(slot) * m.length)
		j, found := slices.BinarySearchFunc(m.out.Windows, start, func(have Window, start time.Time) int { return have.Start.Compare(start) })
		if !found {
			m.out.Windows = slices.Insert(m.out.Windows, j, Window{Start: start})
		}
		into := &m.out.Windows[j]
		into.LengthSeconds = max(into.LengthSeconds, w.LengthSeconds)
		for k := range w.Series {
			into.add(&w.Series[k], at[w.Series[k].Index])
		}
	}
}

func (w *Window) add(s *WindowSeries, index int) {
	i, found := slices.BinarySearchFunc(w.Series, index, func(have WindowSeries, index int) int { return have.Index - index })
	if !found {
		w.Series = slices.Insert(w.Series, i, WindowSeries{Index: index})
	}
	have := &w.Series[i]
	have.Stats, have.Histogram = addStats(have.Stats, s.Stats), addHistogram(have.Histogram, s.Histogram)
	have.Passes += s.Passes
	have.Fails += s.Fails
	have.Last = s.Last
}

// addProcess adds up what the generators used.
func (m *merger) addProcess(p *Process) { m.out.Process = addProcesses(m.out.Process, p) }

// addProcesses adds up what processes used; the time is that of the longest. have is changed.
func addProcesses(have, p *Process) *Process {
	if p == nil {
		return have
	}
	if have == nil {
		have = new(Process)
	}
	have.CPUSeconds += p.CPUSeconds
	have.WallSeconds = max(have.WallSeconds, p.WallSeconds)
	have.MaxRSSBytes += p.MaxRSSBytes
	return have
}

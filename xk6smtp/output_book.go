package xk6smtp

import (
	"fmt"
	"sort"
	"time"

	"go.k6.io/k6/v2/metrics"

	"github.com/smtpstorm/xk6-smtp/bench/result"
)

const (
	windowLength = time.Second

	// maxTrends is how many trend series have a histogram of their own, and maxSeries how many series there are at all. What
	// goes beyond is counted in the metric's series without tags.
	maxTrends = 500
	maxSeries = 10000
	// maxLookups bounds the memory of which tag set belongs to which series.
	maxLookups = 100000
)

// book counts samples per metric and tag set: a total, and the window that is open.
type book struct {
	windowStart time.Time
	entries     []*entry
	byKey       map[string]*entry
	byTags      map[metrics.TimeSeries]place // what byKey would say
	trends      int
	folded      map[string]int // samples that lost their tags, by metric
}

// place is where the samples of one tag set go.
type place struct {
	*entry
	folded bool // without its tags
}

// entry is one series.
type entry struct {
	index  int
	total  result.Series
	window result.WindowSeries
	used   bool // in the open window; what window holds otherwise is the last one's
}

func newBook(started time.Time) *book {
	return &book{
		windowStart: started,
		byKey:       make(map[string]*entry),
		byTags:      make(map[metrics.TimeSeries]place),
		folded:      make(map[string]int),
	}
}

// closes reports whether a sample of that time belongs to a later window than the open one. A sample that comes late counts in
// the open window.
func (b *book) closes(t time.Time) bool {
	return t.Sub(b.windowStart) >= windowLength
}

// close ends the open window and opens the one that t falls into. What it returns is valid until the next add, and nil when
// nothing happened.
func (b *book) close(t time.Time) *result.Window {
	w := &result.Window{Start: b.windowStart, LengthSeconds: windowLength.Seconds()}
	for _, e := range b.entries {
		if !e.used {
			continue
		}
		e.add()
		e.used = false
		w.Series = append(w.Series, e.window)
	}
	if passed := t.Sub(b.windowStart); passed >= windowLength {
		b.windowStart = b.windowStart.Add(passed.Truncate(windowLength))
	}
	if w.Series == nil {
		return nil
	}
	return w
}

// add moves a window's figures into the total.
func (e *entry) add() {
	total, window := &e.total, &e.window
	if window.Histogram != nil {
		total.Histogram.Merge(window.Histogram)
	}
	if window.Stats != nil {
		total.Stats.Merge(*window.Stats)
	}
	total.Passes += window.Passes
	total.Fails += window.Fails
	total.Last = window.Last
}

// add counts a sample.
func (b *book) add(s *metrics.Sample) {
	at := b.place(s)
	if at.folded {
		b.folded[s.Metric.Name]++
	}
	e, w := at.entry, &at.window
	if !e.used {
		e.used = true
		e.clear()
	}
	switch e.total.Type {
	case result.Rate:
		if s.Value != 0 {
			w.Passes++
		} else {
			w.Fails++
		}
	case result.Gauge:
		w.Last = s.Value
	}
	if w.Histogram != nil {
		w.Histogram.Record(s.Value)
	} else {
		w.Stats.Add(s.Value)
	}
}

// clear starts a window, and keeps the storage of the one before.
func (e *entry) clear() {
	w := &e.window
	w.Passes, w.Fails, w.Last = 0, 0, 0
	if w.Histogram != nil {
		w.Histogram.Reset()
	} else {
		*w.Stats = result.Summary{}
	}
}

// place finds the series of a sample.
func (b *book) place(s *metrics.Sample) place {
	if at, ok := b.byTags[s.TimeSeries]; ok {
		return at
	}
	tags := seriesTags(s.Tags)
	key := seriesKey(s.Metric, tags)
	at := place{entry: b.byKey[key]}
	if at.entry == nil {
		full := len(b.entries) >= maxSeries || (isTime(s.Metric) && b.trends >= maxTrends)
		if at.folded = full && len(tags) > 0; at.folded {
			at.entry = b.untagged(s.Metric)
		} else {
			at.entry = b.newEntry(s.Metric, tags, key)
		}
	}
	if len(b.byTags) >= maxLookups {
		clear(b.byTags)
	}
	b.byTags[s.TimeSeries] = at
	return at
}

func seriesKey(m *metrics.Metric, tags result.Tags) string { return m.Name + "\x00" + tags.Key() }

func (b *book) untagged(m *metrics.Metric) *entry {
	key := seriesKey(m, nil)
	if e, ok := b.byKey[key]; ok {
		return e
	}
	return b.newEntry(m, nil, key)
}

func (b *book) newEntry(m *metrics.Metric, tags result.Tags, key string) *entry {
	e := &entry{index: len(b.entries), total: result.Series{Metric: m.Name, Type: seriesType(m.Type), Unit: unit(m.Contains), Tags: tags}}
	e.window.Index = e.index
	if isTime(m) {
		b.trends++
		e.total.Histogram, e.window.Histogram = &result.Histogram{}, &result.Histogram{}
	} else {
		e.total.Stats, e.window.Stats = &result.Summary{}, &result.Summary{}
	}
	b.entries = append(b.entries, e)
	b.byKey[key] = e
	return e
}

// series returns the totals, in the order in which windows refer to them.
func (b *book) series() []result.Series {
	all := make([]result.Series, len(b.entries))
	for i, e := range b.entries {
		all[i] = e.total
	}
	return all
}

// warnings say what the record doesn't tell.
func (b *book) warnings() []string {
	var list []string
	for metric, n := range b.folded {
		list = append(list, fmt.Sprintf("%s: %d samples lost their tags, since the run had more than %d trend series or %d series", metric, n, maxTrends, maxSeries))
	}
	sort.Strings(list)
	return list
}

// sum adds up a counter over all its series.
func (b *book) sum(metric string) float64 {
	var sum float64
	for _, e := range b.entries {
		if e.total.Metric == metric {
			sum += e.total.Summary().Sum
		}
	}
	return sum
}

// seriesTags are the tags that tell series apart: all but empty ones and those that differ from iteration to iteration.
func seriesTags(tags *metrics.TagSet) result.Tags {
	all := tags.Map()
	for name, value := range all {
		if value == "" || name == "vu" || name == "iter" {
			delete(all, name)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all
}

func isTime(m *metrics.Metric) bool { return m.Type == metrics.Trend && m.Contains == metrics.Time }

func seriesType(t metrics.MetricType) result.SeriesType {
	switch t {
	case metrics.Counter:
		return result.Counter
	case metrics.Rate:
		return result.Rate
	case metrics.Gauge:
		return result.Gauge
	}
	return result.Trend
}

func unit(v metrics.ValueType) string {
	switch v {
	case metrics.Time:
		return result.UnitMillis
	case metrics.Data:
		return "B"
	}
	return ""
}

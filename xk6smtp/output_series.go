package xk6smtp

import (
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"github.com/mstoykov/atlas"
	"go.k6.io/k6/v2/metrics"

	"github.com/smtpstorm/xk6-smtp/bench/result"
)

const (
	windowLength = time.Second

	// maxLookups bounds the memory of which tag set belongs to which series.
	maxLookups = 100000
)

// seriesSet counts samples per metric and tag set: a total, and the window that is open.
type seriesSet struct {
	windowStart time.Time
	entries     []*entry
	byKey       map[string]*entry
	byTags      map[metrics.TimeSeries]place // what byKey would say
	used        [numFolds]struct{ series, trends int }
	folded      map[foldedMetric]int // samples that lost tags

	tags, kept []tag // of the sample that is being placed
	key        []byte
}

// place is where the samples of one tag set go, and which of its tags they lost on the way.
type place struct {
	*entry
	fold fold
}

type foldedMetric struct {
	fold   fold
	metric string
}

// entry is one series.
type entry struct {
	index  int
	total  result.Series
	window result.WindowSeries
	used   bool // in the open window; what window holds otherwise is the last one's
}

func newSeriesSet(started time.Time) *seriesSet {
	return &seriesSet{
		windowStart: started,
		byKey:       make(map[string]*entry),
		byTags:      make(map[metrics.TimeSeries]place),
		folded:      make(map[foldedMetric]int),
	}
}

// closes reports whether a sample of that time belongs to a later window than the open one. A sample that comes late counts in
// the open window.
func (set *seriesSet) closes(t time.Time) bool {
	return t.Sub(set.windowStart) >= windowLength
}

// close ends the open window and opens the one that t falls into. What it returns is valid until the next add, and nil when
// nothing happened.
func (set *seriesSet) close(t time.Time) *result.Window {
	w := &result.Window{Start: set.windowStart, LengthSeconds: windowLength.Seconds()}
	for _, e := range set.entries {
		if !e.used {
			continue
		}
		e.add()
		e.used = false
		w.Series = append(w.Series, e.window)
	}
	if passed := t.Sub(set.windowStart); passed >= windowLength {
		set.windowStart = set.windowStart.Add(passed.Truncate(windowLength))
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
func (set *seriesSet) add(s *metrics.Sample) {
	at := set.place(s)
	if at.fold != foldNothing {
		set.folded[foldedMetric{at.fold, s.Metric.Name}]++
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
func (set *seriesSet) place(s *metrics.Sample) place {
	if at, ok := set.byTags[s.TimeSeries]; ok {
		return at
	}
	set.tags = appendSeriesTags(set.tags[:0], s.Tags)
	at := set.find(s.Metric, set.tags)
	if len(set.byTags) >= maxLookups {
		clear(set.byTags)
	}
	set.byTags[s.TimeSeries] = at
	return at
}

// find returns the series of these tags, or of as many of them as there is room for.
func (set *seriesSet) find(m *metrics.Metric, all []tag) place {
	for f := foldNothing; ; f++ {
		set.kept = f.of(set.kept[:0], all)
		set.key = appendSeriesKey(set.key[:0], m, set.kept)
		e := set.byKey[string(set.key)]
		if e == nil {
			if !set.room(f, m) {
				continue
			}
			e = set.newEntry(f, m, tagMap(set.kept), string(set.key))
		}
		if len(set.kept) == len(all) { // it went to the room that is kept for folded ones, and lost nothing
			f = foldNothing
		}
		return place{e, f}
	}
}

// room reports whether another series may be made of what a fold leaves. What it leaves of the last one is one series for each metric.
func (set *seriesSet) room(f fold, m *metrics.Metric) bool {
	used, limit := set.used[f], foldLimits[f]
	return f == foldAll || used.series < limit.series && (!isTime(m) || used.trends < limit.trends)
}

// appendSeriesKey appends what is equal exactly when metric and tags are.
func appendSeriesKey(dst []byte, m *metrics.Metric, tags []tag) []byte {
	dst = append(dst, m.Name...)
	for _, t := range tags {
		dst = binary.AppendUvarint(append(dst, 0), uint64(len(t.name)))
		dst = binary.AppendUvarint(append(dst, t.name...), uint64(len(t.value)))
		dst = append(dst, t.value...)
	}
	return dst
}

func (set *seriesSet) newEntry(f fold, m *metrics.Metric, tags result.Tags, key string) *entry {
	e := &entry{index: len(set.entries), total: result.Series{Metric: m.Name, Type: seriesType(m.Type), Unit: unit(m.Contains), Tags: tags}}
	e.window.Index = e.index
	set.used[f].series++
	if isTime(m) {
		set.used[f].trends++
		e.total.Histogram, e.window.Histogram = &result.Histogram{}, &result.Histogram{}
	} else {
		e.total.Stats, e.window.Stats = &result.Summary{}, &result.Summary{}
	}
	set.entries = append(set.entries, e)
	set.byKey[key] = e
	return e
}

// series returns the totals, in the order in which windows refer to them.
func (set *seriesSet) series() []result.Series {
	all := make([]result.Series, len(set.entries))
	for i, e := range set.entries {
		all[i] = e.total
	}
	return all
}

// sum adds up a counter over all its series.
func (set *seriesSet) sum(metric string) float64 {
	var sum float64
	for _, e := range set.entries {
		if e.total.Metric == metric {
			sum += e.total.Summary().Sum
		}
	}
	return sum
}

// tag is one of a sample's tags. A script may give each sample other ones, so that no map is made of them before there is a series.
type tag struct{ name, value string }

// appendSeriesTags appends the tags that tell series apart, by name: all but empty ones and those that differ from iteration to iteration.
func appendSeriesTags(dst []tag, tags *metrics.TagSet) []tag {
	start := len(dst)
	for node := (*atlas.Node)(tags); node != nil && !node.IsRoot(); {
		prev, name, value := node.Data()
		if value != "" && name != "vu" && name != "iter" {
			dst = append(dst, tag{name, value})
		}
		node = prev
	}
	slices.SortFunc(dst[start:], func(a, b tag) int { return strings.Compare(a.name, b.name) })
	return dst
}

// tagMap returns tags as a record has them; without any, nil.
func tagMap(tags []tag) result.Tags {
	if len(tags) == 0 {
		return nil
	}
	all := make(result.Tags, len(tags))
	for _, t := range tags {
		all[t.name] = result.CutUserInfo(t.value)
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

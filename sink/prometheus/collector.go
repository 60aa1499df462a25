package prometheus

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/smtpstorm/xk6-smtp/sink/count"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// MaxNames bounds the names of a label: of more listeners, phases or rules the others are counted together by Other.
const MaxNames = 256

// Other is the value of a label that stands for all values past its bound.
const Other = "other"

// collector makes metrics of counts, at each scrape.
type collector struct {
	source  Source
	version string
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, m := range metrics {
		out <- m.desc
	}
	out <- histogramDescs.lateness
	out <- histogramDescs.delays
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	counts := c.source.Totals()
	s := scrape{counts: counts, version: c.version, listeners: listenersOf(counts)}
	for _, m := range metrics {
		kind := prometheus.CounterValue
		if !strings.HasSuffix(m.name, "_total") {
			kind = prometheus.GaugeValue
		}
		series := map[string]*point{} // a second one of the same labels would be an error
		m.read(&s, func(value float64, labels ...string) {
			key := strings.Join(labels, "\x00")
			if p := series[key]; p != nil {
				p.value += value
				return
			}
			series[key] = &point{value, labels}
		})
		for _, p := range series {
			out <- prometheus.MustNewConstMetric(m.desc, kind, p.value, p.labels...)
		}
	}
	if d := counts.Lateness; d != nil {
		out <- newHistogram(histogramDescs.lateness, d)
	}
	if d := counts.Delays; d != nil {
		out <- newHistogram(histogramDescs.delays, d)
	}
}

type point struct {
	value  float64
	labels []string
}

// scrape is what one scrape reads.
type scrape struct {
	counts    *count.Counts
	version   string
	listeners map[string]bool // that have a name of their own
}

// listenersOf returns the listeners that are told apart.
func listenersOf(c *count.Counts) map[string]bool {
	var names []string
	for i := range c.Replies {
		names = append(names, c.Replies[i].Listener)
	}
	for i := range c.Destinations {
		names = append(names, c.Destinations[i].Listener)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	out := make(map[string]bool, len(names))
	for _, name := range names[:min(len(names), MaxNames)] {
		out[name] = name != count.Other
	}
	return out
}

func (s *scrape) listener(name string) string {
	if !s.listeners[name] {
		return Other
	}
	return label(name)
}

// label makes the value of a label of a name that a plan gives.
func label(name string) string { return strings.ToValidUTF8(name, "\uFFFD") }

// codeLabel returns the label of a code: a plan may make up others than there are.
func codeLabel(code smtp.Code) string {
	if _, known := smtp.Text(code); !known {
		return Other
	}
	return strconv.Itoa(int(code))
}

// causeLabel returns the kind of what decided, without its name.
func causeLabel(cause string) string {
	kind, _, _ := strings.Cut(cause, ":")
	return cmp.Or(kind, Other)
}

// rules calls f with each rule and the name that it has here: the last ones of MaxNames have their own.
func (s *scrape) rules(f func(name string, r *count.Rule)) {
	rules := s.counts.Rules
	for i := range rules {
		name := label(rules[i].Name)
		if i < len(rules)-MaxNames {
			name = Other
		}
		f(name, &rules[i])
	}
}

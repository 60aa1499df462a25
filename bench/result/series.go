package result

import (
	"sort"
	"strings"
	"time"
)

// SeriesType says how a metric aggregates, in k6's words.
type SeriesType string

// The four types of metric.
const (
	Trend   SeriesType = "trend"   // a distribution
	Counter SeriesType = "counter" // a sum; Stats.Sum is the counter's value
	Rate    SeriesType = "rate"    // Passes of Passes+Fails
	Gauge   SeriesType = "gauge"   // the last value, with the range it had
)

// UnitMillis is the unit of metrics that are times, the only ones that own a
// histogram. Other units are free text: "" for plain numbers, "B" for bytes.
const UnitMillis = "ms"

// Tags are the tag values of one series.
type Tags map[string]string

// Key writes the tags as name=value, sorted by name and separated by commas,
// with backslash, comma and equals sign escaped by a backslash: a map key that
// is equal exactly when the tags are.
func (t Tags) Key() string {
	names := make([]string, 0, len(t))
	for n := range t {
		names = append(names, n)
	}
	sort.Strings(names)
	var b strings.Builder
	for i, n := range names {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(tagEscaper.Replace(n))
		b.WriteByte('=')
		b.WriteString(tagEscaper.Replace(t[n]))
	}
	return b.String()
}

var tagEscaper = strings.NewReplacer(`\`, `\\`, `,`, `\,`, `=`, `\=`)

// Has reports whether t holds every tag of want with the same value.
func (t Tags) Has(want Tags) bool {
	for n, v := range want {
		if t[n] != v {
			return false
		}
	}
	return true
}

// Series is everything that was recorded for one metric and tag set.
type Series struct {
	Metric string     `json:"metric"`
	Type   SeriesType `json:"type"`
	Unit   string     `json:"unit,omitempty"`
	Tags   Tags       `json:"tags,omitempty"`

	// Stats is nil when Histogram is set, which keeps the same figures.
	Stats     *Summary   `json:"stats,omitempty"`
	Histogram *Histogram `json:"histogram,omitempty"` // trends of times only

	Passes uint64  `json:"passes,omitempty"` // rates: samples that were not zero
	Fails  uint64  `json:"fails,omitempty"`  // rates: samples that were zero
	Last   float64 `json:"last,omitempty"`   // gauges
}

// Summary returns count, sum, minimum and maximum, wherever they are kept.
func (s *Series) Summary() Summary { return summaryOf(s.Histogram, s.Stats) }

func summaryOf(h *Histogram, stats *Summary) Summary {
	switch {
	case h != nil:
		return h.Summary()
	case stats != nil:
		return *stats
	}
	return Summary{}
}

// Rate returns Passes/(Passes+Fails), and 0 for a rate without samples.
func (s *Series) Rate() float64 {
	n := s.Passes + s.Fails
	if n == 0 {
		return 0
	}
	return float64(s.Passes) / float64(n)
}

// Client is what the load generator measured.
type Client struct {
	// Tool names what generated the load: "k6".
	Tool string `json:"tool,omitempty"`
	// Series holds one entry per metric and tag set; windows refer to it by index.
	Series []Series `json:"series"`
	// Windows is the time series in ascending order of Start.
	Windows []Window `json:"windows,omitempty"`
	// Process is what the generator's process used.
	Process *Process `json:"process,omitempty"`
}

// Window is one slice of the run's time.
type Window struct {
	Start         time.Time      `json:"start"`
	LengthSeconds float64        `json:"length_s"`
	Series        []WindowSeries `json:"series,omitempty"`
}

// WindowSeries is what one series received within a window.
type WindowSeries struct {
	Index     int        `json:"i"` // index into Client.Series
	Stats     *Summary   `json:"stats,omitempty"`
	Histogram *Histogram `json:"histogram,omitempty"`
	Passes    uint64     `json:"passes,omitempty"`
	Fails     uint64     `json:"fails,omitempty"`
	Last      float64    `json:"last,omitempty"`
}

// Summary returns count, sum, minimum and maximum, wherever they are kept.
func (s *WindowSeries) Summary() Summary { return summaryOf(s.Histogram, s.Stats) }

// Process is what one process used over the run.
type Process struct {
	CPUSeconds  float64 `json:"cpu_s,omitempty"` // user and system
	WallSeconds float64 `json:"wall_s,omitempty"`
	MaxRSSBytes int64   `json:"max_rss_bytes,omitempty"`
	// Share of the CPUs that the processes of a merged record used of their machine, of the busiest one where they ran on several. 0: see CPUShare.
	Share float64 `json:"cpu_share,omitempty"`
}

// CPUShare is the share of a machine's CPUs that the process used; 0 where it is not known, as for nil. cores are those of its machine.
func (p *Process) CPUShare(cores int) float64 {
	switch {
	case p == nil:
		return 0
	case p.Share > 0:
		return p.Share
	case p.WallSeconds <= 0 || cores <= 0:
		return 0
	}
	return p.CPUSeconds / p.WallSeconds / float64(cores)
}

// Find returns the series of a metric whose tags include want, in order.
func (c *Client) Find(metric string, want Tags) []*Series {
	var out []*Series
	for i := range c.Series {
		if s := &c.Series[i]; s.Metric == metric && s.Tags.Has(want) {
			out = append(out, s)
		}
	}
	return out
}

// Total merges the histograms of a metric over all series whose tags include
// want. It returns an empty histogram when there is none.
func (c *Client) Total(metric string, want Tags) *Histogram {
	h := &Histogram{}
	for _, s := range c.Find(metric, want) {
		h.Merge(s.Histogram)
	}
	return h
}

// Sum adds the sums of a metric over all series whose tags include want: a
// counter's value.
func (c *Client) Sum(metric string, want Tags) float64 {
	var sum float64
	for _, s := range c.Find(metric, want) {
		sum += s.Summary().Sum
	}
	return sum
}

// Metrics lists the names of the metrics of a type, sorted, without repetition.
func (c *Client) Metrics(t SeriesType) []string {
	seen := map[string]bool{}
	var out []string
	for i := range c.Series {
		if s := &c.Series[i]; s.Type == t && !seen[s.Metric] {
			seen[s.Metric] = true
			out = append(out, s.Metric)
		}
	}
	sort.Strings(out)
	return out
}

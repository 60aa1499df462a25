package compare

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/result"
)

// Outcome is how the other side answered.
type Outcome string

// The outcomes. Any is that of phases that have none, such as a TCP connect.
const (
	Any         Outcome = ""
	Accepted    Outcome = "accepted" // 2yz, and 3yz after DATA
	Deferred    Outcome = "deferred" // 4yz
	Bounced     Outcome = "bounced"  // 5yz
	NotAccepted Outcome = "not accepted"
)

// Metrics of the k6 extension that are read by name.
const (
	MetricDuration = "smtp_msg_duration" // trend, first byte of MAIL to last byte of the final reply
	MetricFailed   = "smtp_msg_failed"   // rate: messages that lack an expected final reply
)

// Key names a distribution: a phase, and the outcome of the messages or replies in it.
type Key struct {
	Metric  string  `json:"metric"`
	Outcome Outcome `json:"outcome,omitempty"`
}

// String returns the key as tables write it.
func (k Key) String() string {
	if k.Outcome == Any {
		return k.Metric
	}
	return k.Metric + ", " + string(k.Outcome)
}

// outcomeOf reads the outcome off a series' tags.
func outcomeOf(t result.Tags) Outcome {
	if code := t["code"]; len(code) == 3 {
		switch code[0] {
		case '2', '3':
			return Accepted
		case '4':
			return Deferred
		case '5':
			return Bounced
		}
	}
	switch t["expected_response"] {
	case "true":
		return Accepted
	case "false":
		return NotAccepted
	}
	return Any
}

// Run is one record, reduced to what comparing takes: windows are summed up, so that many runs fit into memory.
type Run struct {
	Path       string // where it came from
	Label      string
	Provenance result.Provenance
	Load       result.Load
	Design     *result.Design
	Schema     string
	Notes      []string
	Warnings   []string // that the record carries

	Attempts   uint64 // messages that were tried
	Failed     uint64 // of them
	ByOutcome  map[Outcome]uint64
	Unanswered uint64 // messages for whose reply the client waited no longer
	Saturated  []string
	Replies    []result.Row // per stage and code: planned, injected, observed; nil where an MTA stood between
	Errors     map[Class]uint64
	Answers    map[string]uint64 // per stage: replies, and what came instead of one
	Slices     []Slice           // over time
	Begin      time.Time         // of the first window: Slices count from it
	Phases     []result.PhaseBegin
	// Record is the whole record; nil unless Reduce was asked to keep it.
	Record *result.Record

	series  map[Key]*result.Histogram
	unseen  map[string]float64 // per metric: values that are missing for certain, and slower than all that were measured
	started time.Time
}

// Reduce takes from a record what comparing takes. Windows that began before warmUp was over stay out; the whole record is kept for the
// comparison of single runs. The error names what makes it no record to compare.
func Reduce(path string, r *result.Record, warmUp time.Duration, keep bool) (*Run, error) {
	if r.Client == nil {
		return nil, fmt.Errorf("%s: it has no client part: nothing was measured", path)
	}
	out := &Run{
		Path: path, Label: r.Label, Provenance: r.Provenance, Load: r.Load, Design: r.Design, Schema: r.WrittenAs(),
		Notes: r.Notes, Warnings: slices.Clone(r.Warnings), Saturated: saturation(r), Phases: r.Phases,
		ByOutcome: map[Outcome]uint64{}, series: map[Key]*result.Histogram{}, unseen: map[string]float64{}, started: r.Provenance.Started,
	}
	if out.Slices = slicesOf(r); len(out.Slices) > 0 {
		out.Begin = r.Client.Windows[0].Start
	}
	if warmUp > 0 {
		var err error
		if r, err = withoutWarmUp(r, warmUp); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	if keep {
		out.Record = r
	}
	out.read(r)
	if len(out.series) == 0 && out.Attempts == 0 {
		return nil, fmt.Errorf("%s: it has no samples to compare", path)
	}
	return out, nil
}

func (r *Run) read(record *result.Record) {
	c := record.Client
	for i := range c.Series {
		s := &c.Series[i]
		if s.Histogram != nil && s.Histogram.Invalid() > 0 {
			r.Warnings = append(r.Warnings, fmt.Sprintf("%s has %d values that are no numbers: they are left out", s.Metric, s.Histogram.Invalid()))
		}
		if s.Metric == MetricFailed {
			r.Failed += s.Passes
			r.Attempts += s.Passes + s.Fails
		}
		if s.Histogram == nil || s.Histogram.Count() == 0 {
			continue
		}
		o := outcomeOf(s.Tags)
		switch s.Metric {
		case MetricUnanswered:
			r.Unanswered += s.Histogram.Count()
			continue
		case MetricDuration:
			r.ByOutcome[o] += s.Histogram.Count()
		}
		r.add(Key{s.Metric, o}, s.Histogram)
	}
	if d := record.Delivery; d != nil && d.Latency != nil && d.Latency.Count() > 0 {
		r.add(Key{MetricDelivery, Any}, d.Latency)
	}
	// An iteration that was dropped would have sent as many messages as the others.
	messages := 1.0
	if n := record.Load.IterationsComplete; n > 0 && r.Attempts > 0 {
		messages = float64(r.Attempts) / float64(n)
	}
	dropped := float64(record.Load.IterationsDropped)
	for key := range r.series {
		per := messages
		switch {
		case key.Metric == metricIteration:
			per = 1
		case strings.HasPrefix(key.Metric, "smtp_conn_"):
			per = 0 // a connection is a client's, not an iteration's
		}
		r.unseen[key.Metric] = math.Ceil(dropped*per) + float64(Unanswered(record, key.Metric))
	}
	r.Errors, r.Answers = classesOf(c)
	if record.Sink != nil && record.Provenance.MTA == nil {
		r.Replies = result.Reconcile(c, record.Sink).Rows
	}
}

func (r *Run) add(key Key, h *result.Histogram) {
	have := r.series[key]
	if have == nil {
		have = &result.Histogram{}
		r.series[key] = have
	}
	have.Merge(h)
}

// MetricDelivery names the time from the begin of sending to the acceptance at the sink, through an MTA; metricIteration is k6's own.
const (
	MetricDelivery  = "delivery"
	metricIteration = "iteration_duration"
)

// Histogram returns what the run measured under a key, or nil. It is not to be changed.
func (r *Run) Histogram(key Key) *result.Histogram { return r.series[key] }

// Unseen is how many values of a key are missing for certain, and slower than all that were measured.
func (r *Run) Unseen(key Key) uint64 { return uint64(r.unseen[key.Metric]) }

// SortedKeys lists what the run measured, the whole message first; metrics of other protocols stay out.
func (r *Run) SortedKeys() []Key {
	var out []Key
	for key := range r.series {
		if !foreign(key.Metric) {
			out = append(out, key)
		}
	}
	slices.SortFunc(out, compareKeys)
	return out
}

// withoutWarmUp returns the record of what came after the first while of the run.
func withoutWarmUp(r *result.Record, warmUp time.Duration) (*result.Record, error) {
	if len(r.Client.Windows) == 0 {
		return nil, fmt.Errorf("it has no time windows, so that a warm-up of %v can't be left out", warmUp)
	}
	begin := r.Client.Windows[0].Start
	if s := r.Provenance.Started; !s.IsZero() && s.Before(begin) {
		begin = s
	}
	out, client := *r, *r.Client
	client.Series = slices.Clone(client.Series)
	for i := range client.Series {
		s := &client.Series[i]
		s.Passes, s.Fails = 0, 0
		if s.Histogram != nil {
			s.Histogram = &result.Histogram{}
		}
		if s.Stats != nil {
			s.Stats = &result.Summary{}
		}
	}
	client.Windows = slices.DeleteFunc(slices.Clone(client.Windows), func(w result.Window) bool { return w.Start.Before(begin.Add(warmUp)) })
	for i := range client.Windows {
		for j := range client.Windows[i].Series {
			w := &client.Windows[i].Series[j]
			s := &client.Series[w.Index]
			if s.Histogram != nil && w.Histogram != nil {
				s.Histogram.Merge(w.Histogram)
			}
			if s.Stats != nil && w.Stats != nil {
				s.Stats.Merge(*w.Stats)
			}
			s.Passes += w.Passes
			s.Fails += w.Fails
		}
	}
	if len(client.Windows) == 0 {
		return nil, fmt.Errorf("all of it is within the warm-up of %v", warmUp)
	}
	out.Client, out.Sink = &client, nil // the sink counted the warm-up, too
	return &out, nil
}

// Class is one way in which a message's dialogue went wrong: a negative reply, or none.
type Class struct {
	Stage string `json:"stage"`
	Code  int    `json:"code"` // of a reply, or the client's error code, from 1000 on
}

// Kind groups classes for the headline.
type Kind string

// The kinds of error.
const (
	Temporary Kind = "temporary" // 4yz
	Permanent Kind = "permanent" // 5yz
	Network   Kind = "network"   // no reply: timeouts, connections that broke or never were
)

// Kind of the class.
func (c Class) Kind() Kind {
	switch {
	case c.Code >= 1000:
		return Network
	case c.Code/100 == 4:
		return Temporary
	}
	return Permanent
}

// String returns stage and code: "rcpt 450".
func (c Class) String() string { return c.Stage + " " + strconv.Itoa(c.Code) }

// classesOf counts negative replies and what came instead of one, and all answers per stage. What the client counts as an error beside a reply that it
// read (k6/http's 14xx and 15xx) is that reply.
func classesOf(c *result.Client) (classes map[Class]uint64, answers map[string]uint64) {
	classes, answers = map[Class]uint64{}, map[string]uint64{}
	add := func(class Class, n float64) {
		if n <= 0 {
			return
		}
		answers[class.Stage] += uint64(n)
		if class.Code >= 400 {
			classes[class] += uint64(n)
		}
	}
	for i := range c.Series {
		s := &c.Series[i]
		if class, ok := classOf(s); ok {
			add(class, s.Summary().Sum)
		}
	}
	return classes, answers
}

// classOf reads a class off a series of replies, or of errors that are no replies.
func classOf(s *result.Series) (Class, bool) {
	switch s.Metric {
	case result.MetricReplies:
		code, err := strconv.Atoi(s.Tags["code"])
		return Class{s.Tags["phase"], code}, err == nil && code < 1000
	case result.MetricErrors:
		code, err := strconv.Atoi(s.Tags["error_code"])
		return Class{s.Tags["phase"], code}, err == nil && code >= 1000 && (code < 1400 || code >= 1600)
	}
	return Class{}, false
}

// same reports whether two records are of one run.
func (r *Run) same(o *Run) bool {
	return r.Provenance.Started.Equal(o.Provenance.Started) && r.Provenance.Ended.Equal(o.Provenance.Ended) && r.Attempts == o.Attempts &&
		r.Label == o.Label && !r.Provenance.Started.IsZero()
}

// flagSeed is how the name of a plan that was made of flags ends: the seed is a block's own, and no other plan.
var flagSeed = regexp.MustCompile(` ?--seed \d+$`)

// plan names the plan, and its version.
func (r *Run) plan() string {
	p := r.Provenance.Plan
	if name := flagSeed.ReplaceAllString(p.Name, ""); name != p.Name {
		return name
	}
	if p.SHA256 == "" {
		return strings.TrimSpace(p.Name)
	}
	return strings.TrimSpace(p.Name + " " + p.SHA256[:min(8, len(p.SHA256))])
}

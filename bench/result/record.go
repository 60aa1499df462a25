package result

import (
	"fmt"
	"slices"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

// Schema is the version of the record that this package writes.
// Fields may be added within a version, and unknown ones are ignored; a change
// of meaning is a new version.
const Schema = SchemaPrefix + "2"

// SchemaPrefix is what the schemas of all records begin with.
const SchemaPrefix = "smtpstorm/run/"

// schema1 is the version before, whose sink's part package count still reads.
const schema1 = SchemaPrefix + "1"

const readable = schema1 + " and " + Schema

// Record is one run.
type Record struct {
	Schema string `json:"schema"`
	// Label names the run in tables: "calm", "bounce storm".
	Label      string     `json:"label,omitempty"`
	Provenance Provenance `json:"provenance"`
	Load       Load       `json:"load"`
	Client     *Client    `json:"client,omitempty"` // nil: this side was not recorded
	Sink       *Sink      `json:"sink,omitempty"`   // nil: this side was not recorded
	Delivery   *Delivery  `json:"delivery,omitempty"`
	// Design says where the run stands among several; nil: it was one by itself.
	Design *Design `json:"design,omitempty"`
	// Phases are when those of the storm began, in that order; none: it has no phases.
	Phases []PhaseBegin `json:"phases,omitempty"`
	// Recovery is what came after a storm; nil where none ended.
	Recovery *Recovery `json:"recovery,omitempty"`
	// Judgement is what became of the messages; nil: nobody judged them.
	Judgement *reconcile.Result `json:"books,omitempty"`
	// Notes say what a reader should know about the run.
	Notes []string `json:"notes,omitempty"`
	// Warnings say why a figure of the run deserves less trust.
	Warnings []string `json:"warnings,omitempty"`

	written string // the schema of the file that it was read from
}

// WrittenAs returns the schema in which the record was written, where it was read; else the current one.
func (r *Record) WrittenAs() string {
	if r.written == "" {
		return Schema
	}
	return r.written
}

// Design is where a run stands in an experiment: blocks, in each of which both sides ran once, one after the other, with the block's seed.
type Design struct {
	Experiment string `json:"experiment"` // the same in all of its runs, and in no others
	Seed       uint64 `json:"seed"`       // of which the order and the blocks' seeds were drawn
	Side       string `json:"side"`       // SideA or SideB
	Block      int    `json:"block"`      // from 1
	Order      int    `json:"order"`      // from 1, over all runs of the experiment
}

// The sides of an experiment: differences are B-A.
const (
	SideA = "A"
	SideB = "B"
)

// New returns an empty record of the current schema.
func New(label string) *Record { return &Record{Schema: Schema, Label: label} }

// Warn adds a warning, once.
func (r *Record) Warn(format string, args ...any) {
	r.Warnings = appendNew(r.Warnings, fmt.Sprintf(format, args...))
}

// Note adds a note, once.
func (r *Record) Note(format string, args ...any) {
	r.Notes = appendNew(r.Notes, fmt.Sprintf(format, args...))
}

// appendNew appends a line without what URLs in it tell of users and passwords.
func appendNew(list []string, s string) []string {
	s = CutUserInfo(s)
	if slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}

// Load is the work that was offered.
type Load struct {
	Script          string  `json:"script,omitempty"` // its name, without a directory
	ScriptSHA256    string  `json:"script_sha256,omitempty"`
	Scenario        string  `json:"scenario,omitempty"`
	Executor        string  `json:"executor,omitempty"` // k6's name: "constant-arrival-rate"
	VUs             int     `json:"vus,omitempty"`      // the most that may run at once
	RatePerSecond   float64 `json:"rate_per_s,omitempty"`
	DurationSeconds float64 `json:"duration_s,omitempty"`
	// ProbeRatePerSecond is the capacity that a short closed-loop probe measured
	// before the run, in messages per second; 0 when there was none.
	ProbeRatePerSecond float64 `json:"probe_rate_per_s,omitempty"`

	IterationsPlanned    uint64 `json:"iterations_planned,omitempty"`
	IterationsComplete   uint64 `json:"iterations_complete,omitempty"`
	IterationsDropped    uint64 `json:"iterations_dropped,omitempty"` // never started: no VU was free
	MessageSizeBytes     int64  `json:"message_size_bytes,omitempty"`
	RecipientsPerMessage int    `json:"recipients_per_message,omitempty"`

	// Interrupted says that the run was ended before its load was sent.
	Interrupted bool `json:"interrupted,omitempty"`
	// Stopped says why not all of the load was carried out; empty: it was, or nobody knows.
	Stopped string `json:"stopped,omitempty"`

	// Segments are the parts of the script's load that this is, where k6 was told so (--execution-segment): FROM:TO of 0 to 1. Merged records
	// have those of all.
	Segments []string `json:"segments,omitempty"`

	// ExitStatus is the generator's: k6 gives 99 when a threshold was crossed.
	// It is nil as long as the process was not waited for.
	ExitStatus *int        `json:"exit_status,omitempty"`
	Thresholds []Threshold `json:"thresholds,omitempty"`
}

// ThresholdsCrossed is k6's exit status for a run in which a threshold failed.
const ThresholdsCrossed = 99

// Threshold is one condition that the script set.
type Threshold struct {
	Metric     string `json:"metric"` // with its tag filter: "smtp_msg_waiting{code:250}"
	Expression string `json:"expression"`
	OK         bool   `json:"ok"`
}

// Join puts the two halves of one run together: load, client and provenance
// from the generator's record, the sink's counts, seed and plan from the
// sink's. Neither argument is changed; the parts are shared, not copied.
func Join(generator, sink *Record) (*Record, error) {
	if generator.Client == nil {
		return nil, fmt.Errorf("record %q has no client part", generator.Label)
	}
	if sink.Sink == nil {
		return nil, fmt.Errorf("record %q has no sink part", sink.Label)
	}
	out := *generator
	out.Sink = sink.Sink
	p := &out.Provenance
	q := sink.Provenance
	p.Seed, p.Plan, p.SinkMode = q.Seed, q.Plan, q.SinkMode
	p.Versions = mergeVersions(p.Versions, q.Versions)
	out.Notes = append(append([]string(nil), generator.Notes...), sink.Notes...)
	out.Warnings = append(append([]string(nil), generator.Warnings...), sink.Warnings...)
	if out.Delivery == nil {
		out.Delivery = sink.Delivery
	}
	return &out, nil
}

func mergeVersions(a, b map[string]string) map[string]string {
	out := make(map[string]string, len(a)+len(b))
	for k, v := range b {
		out[k] = v
	}
	for k, v := range a {
		out[k] = v
	}
	return out
}

// Duration is how long the run took; 0 while either time is unknown.
func (p *Provenance) Duration() time.Duration {
	if p.Started.IsZero() || p.Ended.IsZero() {
		return 0
	}
	return p.Ended.Sub(p.Started)
}

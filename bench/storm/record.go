package storm

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/input"
	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/bench/storm/measure"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

// Schema names the format of a record and its version.
const Schema = "smtpstorm/storm/1"

// RecordFile is the record's name among the results.
const RecordFile = "storm.json"

// Record is one MTA under one storm. Fields may be added within a version, and readers ignore those that they don't know.
type Record struct {
	Schema     string            `json:"schema"`
	Provenance result.Provenance `json:"provenance"` // with the plan, the seed, and the MTA and its configuration
	Storm      About             `json:"storm"`
	Policy     PolicyRead        `json:"policy"`
	Load       Offered           `json:"load"`

	// Judgement is what became of the messages, by the judge.
	Judgement *reconcile.Result `json:"books"`
	// Figures are what it took.
	Figures *measure.Figures `json:"figures"`
	Samples []measure.Sample `json:"samples,omitempty"`
	Log     *LogCheck        `json:"log,omitempty"` // nil: the MTA has no log that can be read
	// Notifications that came home, of failures.
	Notifications int `json:"notifications"`
	// Findings are what the benchmark found out about itself, such as figures that should agree and don't.
	Findings []string `json:"findings,omitempty"`

	// Grouped: a control group counted what the MTA used; else it is by its tree of processes, a lower bound.
	Grouped bool `json:"cgroup"`
	// Bench is what sink and source used together, in seconds of CPU.
	Bench float64 `json:"bench_cpu_s"`
	// Machine is what else the machine had to do; nil: not known.
	Machine *Machine `json:"machine,omitempty"`
	// Sampler is what looking at the queue used, likewise.
	Sampler float64 `json:"sampler_cpu_s"`
	// Incomplete says why not all was carried out; empty: it was.
	Incomplete string   `json:"incomplete,omitempty"`
	Notes      []string `json:"notes,omitempty"`
	Warnings   []string `json:"warnings,omitempty"`
}

// Machine says how busy the machine was from the first submission until watching ended.
type Machine struct {
	LoadBegin float64 `json:"load_begin"` // the kernel's average over the minute before
	LoadEnd   float64 `json:"load_end"`
	// Others is what processes that are none of this run used, in cores on average.
	Others float64 `json:"others_cores"`
}

// About is the storm and when it was.
type About struct {
	Number      string    `json:"number,omitempty"`
	Name        string    `json:"name"`
	Description string    `json:"description,omitempty"`
	Copies      string    `json:"copies,omitempty"`
	Look        string    `json:"look_for,omitempty"`
	Begin       time.Time `json:"begin"`
	End         time.Time `json:"end"`
	Cutoff      time.Time `json:"cutoff"`
	Watched     time.Time `json:"watched_until"`
	Drawn       float64   `json:"drawn_s"` // how much of its length the seed drew
	// Phases are when its phases began, as the ledger has it.
	Phases []result.PhaseBegin `json:"phases,omitempty"`
	// Incidents are what was done to sender and sink.
	Incidents []IncidentAt `json:"incidents,omitempty"`
}

// IncidentAt is what was done to whom, and when.
type IncidentAt struct {
	Time time.Time `json:"t"`
	What string    `json:"what"`
	Who  string    `json:"who"`
}

// PolicyRead is the retry policy, as it was asked for and as the MTA says it.
type PolicyRead struct {
	Asked    string   `json:"asked"`
	Says     string   `json:"says,omitempty"` // in the MTA's words; empty: it can't be asked
	Gaps     []string `json:"gaps,omitempty"` // the first ones
	ByAge    bool     `json:"by_age,omitempty"`
	Lifetime float64  `json:"lifetime_s"`
}

// Offered is what was submitted.
type Offered struct {
	Messages int       `json:"messages"`
	Rate     float64   `json:"rate_per_s"`
	Size     int       `json:"size_octets"`
	Source   string    `json:"source"` // go: this program's own client
	Begin    time.Time `json:"begin"`
	Refused  int64     `json:"refused"` // of them: not accepted
	Late     float64   `json:"late_s"`  // the longest time from an instant to the begin of its submission
}

// Label is how tables call the record.
func (r *Record) Label() string {
	name := r.Storm.Name
	if r.Storm.Number != "" {
		name = r.Storm.Number + " " + name
	}
	if r.Provenance.MTA == nil {
		return name
	}
	return r.Provenance.MTA.Name + ", " + name
}

// Write writes the record as indented JSON.
func (r *Record) Write(path string) error {
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644) // #nosec G306 -- results are for others to read
}

// Read reads the record of a directory of results, or a record's file.
func Read(path string) (*Record, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, RecordFile)
	}
	text, err := os.ReadFile(path) // #nosec G304 -- the user names it
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, input.Reason(err))
	}
	var r Record
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if r.Schema != Schema {
		return nil, fmt.Errorf("%s: schema %q is not %s", path, r.Schema, Schema)
	}
	if r.Judgement == nil || r.Figures == nil || r.Provenance.MTA == nil {
		return nil, fmt.Errorf("%s: it has no judgement, figures or MTA", path)
	}
	return &r, nil
}

package run

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/input"
	"github.com/smtpstorm/xk6-smtp/bench/pipeline"
	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/scripts"
)

// JoinOptions say which two halves of a run to put together.
type JoinOptions struct {
	// Files are the record that k6 wrote (-o smtpstorm=FILE), or those of several k6 that ran at the same time, and the counters that
	// smtpsink printed (--json), or those of several sinks that took the load together, in any order.
	Files []string
	Plan  string // plan file that the sink must have run; its text goes into the record. Empty: not checked
	MTA   string // what stood between clients and sink; their replies are then different ones, and are not compared
	Label string // of the run; empty: the plan's name, or "calm"
}

// maxHalfBytes bounds a file of the sink's counters; a day of windows stays below.
const maxHalfBytes = 512 << 20

// halves are what the files of a run hold.
type halves struct {
	generators     []*result.Record
	generatorFiles []string
	sinks          []*result.Sink
	sinkFiles      []string
}

// Join puts the two halves of a run of separate processes together. The error is an *input.Error when a file is at fault: it is
// missing, torn, of another kind, or of another run or plan.
func Join(o JoinOptions) (*Leg, error) {
	h, err := o.read()
	if err != nil {
		return nil, err
	}
	generator, err := h.generator()
	if err != nil {
		return nil, err
	}
	var source result.Plan
	for i, sink := range h.sinks {
		if source, err = o.plan(sink, h.sinkFiles[i]); err != nil {
			return nil, err
		}
	}
	stats := h.sinks[0]
	if len(h.sinks) > 1 {
		stats = result.SumSinks(h.sinks)
	}
	half := result.New(source.Name)
	half.Sink = stats
	half.Provenance.SinkMode = result.SinkExternal
	half.Provenance.Plan, half.Provenance.Seed = source, stats.Seed
	if half.Label = o.Label; half.Label == "" {
		half.Label = source.Name
	}
	record, err := result.Join(generator, half)
	if err != nil {
		return nil, err
	}
	record.Label = half.Label
	if stats.Open > 0 {
		record.Warn("the sink's counters are not its last ones: %d connections were open", stats.Open)
	}
	leg := &Leg{Name: "joined", Record: record, Wall: record.Provenance.Duration()}
	if o.MTA != "" {
		record.Provenance.MTA = &result.MTA{Name: o.MTA}
		return leg, nil
	}
	rec := result.Reconcile(record.Client, record.Sink)
	leg.Reconciliation = &rec
	return leg, nil
}

// read reads the files: one of them is the sink's half.
func (o *JoinOptions) read() (h halves, err error) {
	for _, file := range o.Files {
		if slices.Contains(h.generatorFiles, file) {
			return h, input.Errorf("%s is named twice", file)
		}
		record, counters, err := readHalf(file)
		switch {
		case err != nil:
			return h, err
		case record != nil:
			h.generators, h.generatorFiles = append(h.generators, record), append(h.generatorFiles, file)
		default:
			if err := h.addSink(counters, file); err != nil {
				return h, err
			}
		}
	}
	switch {
	case h.sinks == nil:
		return h, input.Errorf("%s are all records of k6: one of the files must be what smtpsink --json printed", strings.Join(h.generatorFiles, " and "))
	case h.generators == nil:
		return h, input.Errorf("%s: only the counters of smtpsink: the record of k6 run -o smtpstorm=FILE is needed, too", strings.Join(h.sinkFiles, " and "))
	}
	return h, nil
}

// addSink takes a sink's counters. Sinks of one run do alike, and none of them counts twice.
func (h *halves) addSink(counters *result.Sink, file string) error {
	for i, other := range h.sinks {
		switch name := h.sinkFiles[i]; {
		case name == file:
			return input.Errorf("%s is named twice", file)
		case !counters.Started.IsZero() && counters.Started.Equal(other.Started) && counters.Seconds == other.Seconds:
			return input.Errorf("%s and %s are the same counters", name, file)
		case counters.Hash != other.Hash || counters.Seed != other.Seed || counters.Plan != other.Plan:
			return input.Errorf("the sinks of %s and %s ran different plans, or had different seeds: what was planned can't be added up", name, file)
		}
	}
	h.sinks, h.sinkFiles = append(h.sinks, counters), append(h.sinkFiles, file)
	return nil
}

// generator makes one record of all generators'. Two that are the same record under two names would count everything twice.
func (h *halves) generator() (*result.Record, error) {
	for i, r := range h.generators {
		for k, sink := range h.sinks {
			if err := sameTime(r.Provenance, sink, h.generatorFiles[i], h.sinkFiles[k]); err != nil {
				return nil, err
			}
		}
		for j, other := range h.generators[:i] {
			if !r.Provenance.Started.IsZero() && r.Provenance.Started.Equal(other.Provenance.Started) && r.Provenance.Ended.Equal(other.Provenance.Ended) {
				return nil, input.Errorf("%s and %s are the same record", h.generatorFiles[j], h.generatorFiles[i])
			}
		}
	}
	merged, err := result.Merge(h.generators...)
	if err != nil {
		return nil, input.Errorf("%s: %v", strings.Join(h.generatorFiles, ", "), err)
	}
	return merged, nil
}

// plan returns what the sink ran, and refuses another plan than the one that the user names.
func (o *JoinOptions) plan(stats *result.Sink, file string) (result.Plan, error) {
	ran := result.Plan{Name: stats.Plan, SHA256: stats.Hash}
	if ran.Name == "" {
		ran.Name = "calm"
		if len(stats.Rules) > 0 {
			ran.Name = "storm from flags"
		}
	}
	if o.Plan == "" {
		return ran, nil
	}
	want, err := pipeline.FromFile(scripts.LoadPlan, o.Plan, (&Options{}).seed)
	if err != nil {
		return ran, err
	}
	switch {
	case len(stats.Rules) == 0 && stats.Plan == "" && stats.Hash == "":
		return ran, input.Errorf("%s: the sink ran no plan, and not %s", file, o.Plan)
	case ran.SHA256 != want.Source.SHA256:
		return ran, input.Errorf("%s: the sink ran another plan than %s: %q (SHA-256 %s), not %q (%s)", file, o.Plan, ran.Name, short(ran.SHA256), want.Source.Name, short(want.Source.SHA256))
	}
	return want.Source, nil
}

// short is the begin of a hash.
func short(hash string) string {
	if hash == "" {
		return "unknown"
	}
	return hash[:min(len(hash), 12)] + "..."
}

// sameTime refuses halves that can't be of one run, since one had ended before the other began.
func sameTime(generator result.Provenance, stats *result.Sink, generatorFile, sinkFile string) error {
	if generator.Started.IsZero() || generator.Ended.IsZero() || stats.Started.IsZero() {
		return nil
	}
	ended := stats.Started.Add(time.Duration(stats.Seconds * float64(time.Second)))
	if generator.Started.Before(ended) && stats.Started.Before(generator.Ended) {
		return nil
	}
	const format = "2006-01-02 15:04:05"
	return input.Errorf("%s and %s are not of one run: k6 ran from %s to %s, the sink from %s to %s (UTC)", generatorFile, sinkFile,
		generator.Started.UTC().Format(format), generator.Ended.UTC().Format(format), stats.Started.UTC().Format(format), ended.UTC().Format(format))
}

// readHalf reads a file that is either k6's half of a run or the sink's.
func readHalf(path string) (*result.Record, *result.Sink, error) {
	text, err := readBounded(path)
	if err != nil {
		return nil, nil, input.Errorf("%s can't be read: %v", path, input.Reason(err))
	}
	var head struct {
		Schema  string          `json:"schema"`
		Driver  string          `json:"driver"`
		Replies json.RawMessage `json:"replies"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, nil, input.Errorf("%s: %s", path, unlike(path, text, err))
	}
	switch {
	case strings.HasPrefix(head.Schema, result.SchemaPrefix):
		record, err := result.Decode(bytes.NewReader(text))
		switch {
		case err != nil:
			return nil, nil, input.Errorf("%s: %v", path, err)
		case record.Client == nil:
			return nil, nil, input.Errorf("%s: the record has no client part: it is not one of k6", path)
		case record.Sink != nil && record.Provenance.SinkMode == result.SinkInProcess:
			return nil, nil, input.Errorf("%s: its sink ran within k6, so that the record is complete: see smtpbench report", path)
		case record.Sink != nil:
			return nil, nil, input.Errorf("%s: the record holds a sink's part already: see smtpbench report", path)
		}
		return record, nil, nil
	case head.Schema == result.CountsSchema:
	case head.Schema != "":
		return nil, nil, input.Errorf("%s: schema %q is neither a record of k6 (%s) nor counters of smtpsink", path, head.Schema, result.Schema)
	case head.Driver == "" || head.Replies == nil: // their keys told them, before they had a schema
		return nil, nil, input.Errorf("%s: neither a record of k6 (-o smtpstorm=FILE) nor counters of smtpsink (--json)", path)
	}
	counts := new(result.Sink)
	if err := counts.UnmarshalJSON(text); err != nil {
		return nil, nil, input.Errorf("%s: counters of smtpsink that can't be right: %v", path, err)
	}
	return nil, counts, nil
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path) // #nosec G304 -- the records that the user names
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxHalfBytes+1))
	if err == nil && len(text) > maxHalfBytes {
		err = fmt.Errorf("it is larger than %d octets", maxHalfBytes)
	}
	return text, err
}

// unlike says what a file is instead of one JSON document.
func unlike(path string, text []byte, err error) string {
	var line struct {
		Kind string `json:"kind"` // a ledger's
		Type string `json:"type"` // k6's own
	}
	first, _, _ := bytes.Cut(text, []byte("\n"))
	isLine := json.Unmarshal(first, &line) == nil
	var syntax *json.SyntaxError
	switch {
	case len(bytes.TrimSpace(text)) == 0:
		return "the file is empty: k6 and smtpsink write theirs when they end in good order"
	case isLine && line.Kind != "":
		return "a ledger, and not counters of smtpsink (--json): see smtpsink ledger --help"
	case isLine && line.Type != "":
		return "k6's own JSON output, and not a record: run k6 with -o smtpstorm=FILE"
	case strings.HasSuffix(filepath.Base(path), ".partial"):
		return "k6 did not end in good order: the record is incomplete"
	case errors.As(err, &syntax) && syntax.Offset >= int64(len(bytes.TrimRight(text, "\n"))):
		return "the file is torn: it ends in the middle (was the process killed, or is it still running?)"
	}
	return fmt.Sprintf("neither a record of k6 (-o smtpstorm=FILE) nor counters of smtpsink (--json): %v", err)
}

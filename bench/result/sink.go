package result

import (
	"encoding/json"

	"github.com/smtpstorm/xk6-smtp/sink/count"
)

// CountsSchema names the document that smtpsink --json prints: counts by themselves.
const CountsSchema = count.Schema

// Sink is what the fault-injecting server counted, and what it used.
type Sink struct {
	count.Counts
	// Process is what the sink's process used; nil when it shares the generator's.
	Process *Process `json:"process,omitempty"`
}

// NewSink returns the sink's part of a record, with what the sink says of itself.
func NewSink(c *count.Counts, process *Process) *Sink {
	s := &Sink{Counts: *c, Process: process}
	if s.SelfCheck == nil {
		s.SelfCheck = c.Check()
	}
	return s
}

// UnmarshalJSON implements json.Unmarshaler; it reads counts of every version that package count does.
func (s *Sink) UnmarshalJSON(text []byte) error {
	c, err := count.Decode(text)
	if err != nil {
		return err
	}
	var own struct {
		Version int      `json:"version"`
		Process *Process `json:"process"`
	}
	if err := json.Unmarshal(text, &own); err != nil {
		return err
	}
	s.Counts, s.Process = *c, own.Process
	if own.Version > 0 || c.Lateness == nil {
		return nil
	}
	var old struct {
		Lateness Histogram `json:"lateness"` // as schema 1 has it
	}
	if err := json.Unmarshal(text, &old); err != nil {
		return err
	}
	us := func(q float64) uint64 { return uint64(max(old.Lateness.Quantile(q), 0) * 1000) }
	s.Lateness = &count.Distribution{Count: old.Lateness.Count(), P50Micros: us(0.5), P90Micros: us(0.9), P99Micros: us(0.99), MaxMicros: us(1)}
	return nil
}

package result

import "time"

// Delivery is how messages went through a mail transfer agent whose next hop is the sink. What became of them the record's Judgement says.
type Delivery struct {
	// CutoffSeconds is how long after the last send delivery was watched.
	CutoffSeconds float64 `json:"cutoff_s,omitempty"`
	// Attempts says how many (message, recipient) took how many attempts at the sink, 0 among them.
	Attempts []AttemptCount `json:"attempts,omitempty"`
	// Latency is from the begin of sending to the sink's first acceptance, in milliseconds.
	Latency *Histogram `json:"latency,omitempty"`
	// Gaps are between two attempts of a (message, recipient), in milliseconds.
	Gaps *Histogram `json:"gaps,omitempty"`
	// Backoff is how the pauses between attempts grow: an entry for the k-th of a (message, recipient), from 1 on, up to MaxBackoff.
	Backoff []Pause `json:"backoff,omitempty"`
	// Series is what happened over time, in ascending order of Time, a sample for each second in which something did.
	Series []DeliverySample `json:"series,omitempty"`
}

// MaxBackoff is how many pauses of a message Backoff tells of.
const MaxBackoff = 20

// Pause is the K-th one between two attempts, of Count (message, recipient), in milliseconds.
type Pause struct {
	K     int     `json:"k"`
	Count uint64  `json:"count"`
	P5    float64 `json:"p5"`
	P50   float64 `json:"p50"`
	P95   float64 `json:"p95"`
}

// PhaseBegin is when a phase of a storm began.
type PhaseBegin struct {
	Time  time.Time `json:"t"`
	Phase string    `json:"phase"` // empty: the last one was over
}

// Recovery is how soon the first message was delivered after the last change of a storm's phase, with which it ends.
type Recovery struct {
	Phase   string   `json:"phase"`             // that began then; empty: the last one was over
	Seconds *float64 `json:"seconds,omitempty"` // nil: none was delivered after it
}

// AttemptCount is how many messages took exactly Attempts attempts.
type AttemptCount struct {
	Attempts int    `json:"attempts"`
	Messages uint64 `json:"messages"`
}

// DeliverySample is what happened within a second from Time on.
type DeliverySample struct {
	Time      time.Time `json:"t"`
	Queued    *uint64   `json:"queued,omitempty"` // messages in the agent's queue, seen last; nil: it was not seen
	Sent      uint64    `json:"sent,omitempty"`
	Attempts  uint64    `json:"attempts,omitempty"`
	Delivered uint64    `json:"delivered,omitempty"` // first acceptances at the sink
	// Delay is the median time to the first acceptance of what was sent in this second, in milliseconds; nil: none of it was accepted.
	Delay *float64 `json:"delay,omitempty"`
}

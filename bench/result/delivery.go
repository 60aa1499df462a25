package result

import "time"

// Delivery is what became of messages that were sent through a mail transfer
// agent whose next hop is the sink. The unit is one message to one recipient.
type Delivery struct {
	Sent     uint64 `json:"sent"`     // handed to the agent by the client
	Accepted uint64 `json:"accepted"` // the agent took responsibility (2xx after the dot)

	// The classes of the accepted: they add up to Accepted.
	DeliveredOnce uint64 `json:"delivered_once"`
	Duplicated    uint64 `json:"duplicated"`  // accepted by the sink more than once
	Bounced       uint64 `json:"bounced"`     // given up, the sender was told
	Undelivered   uint64 `json:"undelivered"` // neither seen at the sink nor bounced at the cutoff: queued or lost

	// CutoffSeconds is how long after the last send delivery was watched.
	CutoffSeconds float64 `json:"cutoff_s,omitempty"`
	// Attempts says how many messages took how many attempts at the sink.
	Attempts []AttemptCount `json:"attempts,omitempty"`
	// Latency is from the begin of sending to the sink's first acceptance, in
	// milliseconds.
	Latency *Histogram `json:"latency,omitempty"`
	// Series is what was watched over time, in ascending order of Time.
	Series []DeliverySample `json:"series,omitempty"`
}

// AttemptCount is how many messages took exactly Attempts attempts.
type AttemptCount struct {
	Attempts int    `json:"attempts"`
	Messages uint64 `json:"messages"`
}

// DeliverySample is one look at the agent and the sink.
type DeliverySample struct {
	Time      time.Time `json:"t"`
	Queued    *uint64   `json:"queued,omitempty"` // messages in the agent's queue; nil: it was not seen
	Accepted  uint64    `json:"accepted"`         // so far
	Delivered uint64    `json:"delivered"`        // so far, first acceptances at the sink
}

// Depth returns how many messages were queued, 0 when that was not seen.
func (s DeliverySample) Depth() uint64 {
	if s.Queued == nil {
		return 0
	}
	return *s.Queued
}

package result

import "time"

// Causes of a reply, as written in ReplyCount.Cause. A rule or a limit adds its
// name after the colon.
const (
	CausePlain    = "plain"    // the stage's plain positive reply: nothing was injected
	CauseProtocol = "protocol" // the client broke the protocol's rules
	CauseRule     = "rule:"    // a rule of the plan drew it
	CauseLimit    = "limit:"   // a limit refused (rate, concurrency, greylist)
)

// Sink is what the fault-injecting server counted.
type Sink struct {
	// Replies counts every reply that was decided, in flight or not.
	Replies []ReplyCount `json:"replies"`
	// RepliesOnly: nothing but Replies and what follows from them is known; see SinkOfSamples.
	RepliesOnly bool `json:"replies_only,omitempty"`
	// Rules says how often each rule spoke and what it drew.
	Rules []RuleCount `json:"rules,omitempty"`
	// InFlight names the replies among Replies whose fate the sink can't vouch for.
	InFlight []InFlight `json:"in_flight,omitempty"`

	Connections  uint64 `json:"connections"`
	Transactions uint64 `json:"transactions"` // accepted MAIL commands
	Messages     uint64 `json:"messages"`     // messages accepted after the dot
	Recipients   uint64 `json:"recipients"`   // recipients accepted by RCPT
	BytesIn      uint64 `json:"bytes_in"`
	BytesOut     uint64 `json:"bytes_out"`

	// Driver is what carried the connections: "epoll" or "net"; empty when it is not known.
	Driver string `json:"driver,omitempty"`
	// Attempts are RCPT commands by their final result; nil when they are not known.
	Attempts *Attempts `json:"attempts,omitempty"`
	// Phases are those of the plan's storm, in their order; what happened outside of any is in Replies alone.
	Phases []PhaseCount `json:"phases,omitempty"`
	// SelfCheck is what the sink says of itself; nil when it said nothing.
	SelfCheck *SelfCheck `json:"self_check,omitempty"`

	// Lateness is last byte handed to the kernel minus due time, for delayed replies.
	Lateness *Histogram `json:"lateness,omitempty"`
	// Windows is the time series in ascending order of Start.
	Windows []SinkWindow `json:"windows,omitempty"`
	// Process is what the sink's process used; nil when it shares the generator's.
	Process *Process `json:"process,omitempty"`
}

// Attempts counts RCPT commands by their final result.
type Attempts struct {
	Delivered  uint64 `json:"delivered"`
	Deferred   uint64 `json:"deferred"`            // 4xx, at whatever stage
	Bounced    uint64 `json:"bounced"`             // 5xx, at whatever stage
	Unanswered uint64 `json:"unanswered"`          // the connection ended before the final reply
	Discarded  uint64 `json:"discarded,omitempty"` // told 2xx, and thrown away as planned
}

// PhaseCount is what was decided in one phase of a storm.
type PhaseCount struct {
	Name         string       `json:"name"`
	Transactions uint64       `json:"transactions"` // accepted MAIL commands
	Recipients   uint64       `json:"recipients"`   // accepted by RCPT
	Messages     uint64       `json:"messages"`     // accepted after the dot
	Replies      []ReplyCount `json:"replies"`
}

// SelfCheck is what a sink says of itself, so that nobody blames a client or a mail transfer agent for what the sink did.
type SelfCheck struct {
	OK bool `json:"ok"` // no rule's draws were rejected, and nothing was saturated
	// Saturation says, a line each, why figures may be the sink's fault.
	Saturation []string `json:"saturation,omitempty"`
}

// ReplyCount is how often one reply was decided at one stage for one cause.
type ReplyCount struct {
	Stage    string `json:"stage"`
	Code     int    `json:"code"`
	Enhanced string `json:"enhanced,omitempty"` // "" when the reply carried none
	Cause    string `json:"cause"`
	Count    uint64 `json:"count"`
}

// RuleCount is one rule's work.
type RuleCount struct {
	Name        string `json:"name"`
	Stage       string `json:"stage"`
	Phase       string `json:"phase,omitempty"` // of the storm, whose rule it is; empty for the plan's own
	Occurrences uint64 `json:"occurrences"`     // times the rule spoke
	// DistinctKeys is how many different draw keys it met, where it may have
	// met one more than once; goodness of fit counts those, never the repeats
	// of a sticky draw. 0 means that each draw had a key of its own.
	DistinctKeys uint64         `json:"distinct_keys,omitempty"`
	Outcomes     []OutcomeCount `json:"outcomes"`
}

// OutcomeCount is one outcome of a rule.
type OutcomeCount struct {
	// Code is 0 for an outcome without a reply: silence, a closed connection.
	Code        int     `json:"code"`
	Enhanced    string  `json:"enhanced,omitempty"`
	Fault       string  `json:"fault,omitempty"` // what is done besides the reply and its delay: "close", "silence"
	Probability float64 `json:"probability"`     // the normalised weight
	Injected    uint64  `json:"injected"`
	Distinct    uint64  `json:"distinct,omitempty"` // drawn by so many of RuleCount.DistinctKeys
}

// InFlight counts replies of one kind whose delivery to the client is not
// certain. Both are included in Sink.Replies.
type InFlight struct {
	Stage    string `json:"stage"`
	Code     int    `json:"code"`
	Enhanced string `json:"enhanced,omitempty"`
	// Unwritten replies were decided but not (wholly) handed to the kernel: no
	// client can have observed them.
	Unwritten uint64 `json:"unwritten,omitempty"`
	// Unacknowledged replies were written, but the connection then ended without
	// a sign that they were read (a reset, or an end of file where a command
	// was due): a client may or may not have observed them.
	Unacknowledged uint64 `json:"unacknowledged,omitempty"`
}

// SinkWindow is one slice of the sink's time.
type SinkWindow struct {
	Start         time.Time     `json:"start"`
	LengthSeconds float64       `json:"length_s"`
	Connections   uint64        `json:"connections,omitempty"` // opened
	Messages      uint64        `json:"messages,omitempty"`    // accepted after the dot
	Bytes         uint64        `json:"bytes,omitempty"`       // received
	Replies       []WindowReply `json:"replies,omitempty"`
}

// WindowReply is how often a code was given at a stage within a window.
type WindowReply struct {
	Stage string `json:"stage"`
	Code  int    `json:"code"`
	Count uint64 `json:"count"`
}

// Stages lists every stage at which the sink replied, in the order of first
// appearance.
func (s *Sink) Stages() []string {
	seen := map[string]bool{}
	var out []string
	for _, r := range s.Replies {
		if !seen[r.Stage] {
			seen[r.Stage] = true
			out = append(out, r.Stage)
		}
	}
	return out
}

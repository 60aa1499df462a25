package capacity

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/sink/text"
)

// The quality that holds up to the capacity, as SPECmail2001 asks for it (architecture white paper, section 6). The script knows which limit a step
// has: 5 s, and for the body 5 s and a second for each 3,000 octets.
const (
	MinInTime   = 0.95 // of each step, within its limit
	MinSeen     = 0.95 // of the accepted messages, at the sink within SeenSeconds
	SeenSeconds = 60
	MaxErrors   = 0.01 // of the messages, refused at any step or without a reply
)

// MetricInTime is the script's rate of steps within their limits, by tag step.
const MetricInTime = "step_in_time"

// maxDropped is the share of the slots that k6 may fail to start: with more, the rate was not what it is said to be.
const maxDropped = 0.01

// Verdict is what a trial says of its rate.
type Verdict string

// The verdicts.
const (
	Holds   Verdict = "holds"
	Fails   Verdict = "fails"
	Unclear Verdict = "unclear" // the generator could not offer the rate, though the messages that it did send went well
)

// Step is how often a step was within its limit.
type Step struct {
	Name   string `json:"step"`
	InTime uint64 `json:"in_time"`
	All    uint64 `json:"all"`
}

// Share in time; 1 where there was no such step.
func (s Step) Share() float64 { return share(s.InTime, s.All) }

// Quality is what a run of the workload came to.
type Quality struct {
	Messages uint64 `json:"messages"` // that were tried
	Failed   uint64 `json:"failed"`   // of them
	Steps    []Step `json:"steps"`
	Accepted uint64 `json:"accepted"` // messages, or recipients of messages where an MTA stands between
	Seen     uint64 `json:"seen"`     // of them, at the sink in time
	Planned  uint64 `json:"slots"`    // that k6 was to start
	Dropped  uint64 `json:"dropped"`  // of them

	Verdict Verdict  `json:"verdict"`
	Why     []string `json:"why,omitempty"` // it doesn't hold
}

func share(part, all uint64) float64 {
	if all == 0 {
		return 1
	}
	return float64(part) / float64(all)
}

// Errors is the share of the messages that failed.
func (q *Quality) Errors() float64 { return float64(q.Failed) / float64(max(q.Messages, 1)) }

// SeenShare is the share of the accepted messages that the sink saw in time.
func (q *Quality) SeenShare() float64 { return share(q.Seen, q.Accepted) }

// Slowest is the step that was within its limit least often.
func (q *Quality) Slowest() Step {
	if len(q.Steps) == 0 {
		return Step{}
	}
	return slices.MinFunc(q.Steps, func(a, b Step) int { return cmp.Compare(a.Share(), b.Share()) })
}

// Judge reads the quality off the record of a run of the workload. The error says that it is none.
func Judge(r *result.Record) (Quality, error) {
	if r.Client == nil {
		return Quality{}, fmt.Errorf("nothing was measured: %s", r.Load.Stopped)
	}
	q := Quality{Planned: r.Load.IterationsComplete + r.Load.IterationsDropped, Dropped: r.Load.IterationsDropped}
	steps := map[string]*Step{}
	for i := range r.Client.Series {
		switch s := &r.Client.Series[i]; s.Metric {
		case MetricInTime:
			name := s.Tags["step"]
			if steps[name] == nil {
				steps[name] = &Step{Name: name}
			}
			steps[name].InTime += s.Passes
			steps[name].All += s.Passes + s.Fails
		case "smtp_msg_failed", "smtp_conn_failed": // a connection is that of one message, which was not tried then
			q.Failed += s.Passes
			q.Messages += s.Passes
			if s.Metric == "smtp_msg_failed" {
				q.Messages += s.Fails
			}
		}
	}
	if q.Messages == 0 || len(steps) == 0 {
		return Quality{}, fmt.Errorf("no message was sent in %s slots", text.Count(q.Planned))
	}
	for _, step := range steps {
		q.Steps = append(q.Steps, *step)
	}
	slices.SortFunc(q.Steps, func(a, b Step) int { return strings.Compare(a.Name, b.Name) })
	if d := r.Delivery; d != nil {
		q.Accepted = uint64(r.Client.Sum("smtp_recipients", result.Tags{"expected_response": "true"}))
		q.Seen = withinSeen(d.Latency)
	} else {
		h := r.Client.Total("smtp_msg_duration", result.Tags{"expected_response": "true"})
		q.Accepted, q.Seen = h.Count(), withinSeen(h)
	}
	q.decide()
	return q, nil
}

func withinSeen(h *result.Histogram) (n uint64) {
	if h == nil {
		return 0
	}
	for b := range h.Buckets {
		if b.Millis <= SeenSeconds*1000 {
			n += b.Count
		}
	}
	return n
}

func (q *Quality) decide() {
	q.Verdict, q.Why = Holds, nil
	for _, s := range q.Steps {
		if s.Share() < MinInTime {
			q.Why = append(q.Why, fmt.Sprintf("%s: %s in time", s.Name, Percent(s.Share())))
		}
	}
	if q.Errors() > MaxErrors {
		q.Why = append(q.Why, Percent(q.Errors())+" errors")
	}
	if seen := q.SeenShare(); seen < MinSeen {
		q.Why = append(q.Why, fmt.Sprintf("%s seen at the sink within %d s", Percent(seen), SeenSeconds))
	}
	switch dropped := share(q.Dropped, q.Planned); {
	case len(q.Why) > 0:
		q.Verdict = Fails
	case q.Planned > 0 && dropped > maxDropped:
		q.Verdict = Unclear
		q.Why = append(q.Why, fmt.Sprintf("k6 could not start %s of the load: more --vus, or a faster machine", Percent(dropped)))
	}
}

// Percent writes a share so that 94.96 % is no 95 %.
func Percent(v float64) string {
	s := fmt.Sprintf("%.2f", 100*v)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".") + "%"
}

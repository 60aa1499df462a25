package run

import (
	"fmt"

	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/metrics"
)

// sinkRecord converts the sink's figures.
func sinkRecord(s *sink.Stats, process *result.Process) *result.Sink {
	out := &result.Sink{
		Connections: s.Connections, Transactions: s.Transactions, Messages: s.Messages, Recipients: s.Recipients,
		BytesIn: s.BytesIn, BytesOut: s.BytesOut,
		Driver:   s.Driver,
		Attempts: (*result.Attempts)(&s.Attempts),
		Replies:  replyCounts(s.Replies),
		Lateness: lateness(s.Lateness),
		Process:  process,
	}
	check := s.SelfCheck
	if check == nil {
		check = s.Check()
	}
	out.SelfCheck = &result.SelfCheck{OK: check.OK, Saturation: check.Saturation}
	for _, p := range s.Phases {
		out.Phases = append(out.Phases, result.PhaseCount{
			Name: p.Name, Transactions: p.Transactions, Recipients: p.Recipients, Messages: p.Messages, Replies: replyCounts(p.Replies),
		})
	}
	for _, r := range s.Rules {
		rule := result.RuleCount{Name: r.Name, Stage: r.Stage.String(), Phase: r.Phase, Occurrences: r.Occurrences, DistinctKeys: r.DistinctKeys}
		for _, o := range r.Outcomes {
			rule.Outcomes = append(rule.Outcomes, result.OutcomeCount{
				Code: int(o.Code), Enhanced: o.Enhanced.String(), Fault: o.Fault, Probability: o.Probability, Injected: o.Injected, Distinct: o.Distinct,
			})
		}
		out.Rules = append(out.Rules, rule)
	}
	for _, f := range s.InFlight {
		out.InFlight = append(out.InFlight, result.InFlight{
			Stage: f.Stage.String(), Code: int(f.Code), Enhanced: f.Enhanced.String(), Unwritten: f.Unwritten, Unacknowledged: f.Unread,
		})
	}
	for _, w := range s.Windows {
		window := result.SinkWindow{
			Start: w.Start, LengthSeconds: w.LengthSeconds, Connections: w.Connections, Messages: w.Messages, Bytes: w.Bytes,
		}
		for _, r := range w.Replies {
			window.Replies = append(window.Replies, result.WindowReply{Stage: r.Stage.String(), Code: int(r.Code), Count: r.Count})
		}
		out.Windows = append(out.Windows, window)
	}
	return out
}

func replyCounts(replies []metrics.ReplyCount) []result.ReplyCount {
	var out []result.ReplyCount
	for _, r := range replies {
		out = append(out, result.ReplyCount{
			Stage: r.Stage.String(), Code: int(r.Code), Enhanced: r.Enhanced.String(), Cause: r.Cause, Count: r.Count,
		})
	}
	return out
}

// lateness converts the sink's buckets, each to its upper end: at most 3% too much.
func lateness(d *metrics.Distribution) *result.Histogram {
	if d == nil || d.Count == 0 {
		return nil
	}
	h := &result.Histogram{}
	for _, b := range d.Buckets {
		h.RecordN(float64(min(b.Micros, d.MaxMicros))/1000, b.Count)
	}
	return h
}

// plausible refuses counters from a file that no sink can have counted.
func plausible(s *sink.Stats) error {
	counts := []uint64{s.Connections, s.Transactions, s.Messages, s.Recipients, s.BytesIn, s.BytesOut}
	for _, r := range s.Replies {
		counts = append(counts, r.Count)
	}
	for _, r := range s.Rules {
		counts = append(counts, r.Occurrences, r.DistinctKeys)
		for _, o := range r.Outcomes {
			counts = append(counts, o.Injected, o.Distinct)
		}
	}
	for _, f := range s.InFlight {
		counts = append(counts, f.Unwritten, f.Unread)
	}
	for _, w := range s.Windows {
		for _, r := range w.Replies {
			counts = append(counts, r.Count)
		}
	}
	var late uint64
	if s.Lateness != nil {
		counts = append(counts, s.Lateness.Count)
		for _, b := range s.Lateness.Buckets {
			counts = append(counts, b.Count)
			late += b.Count
		}
	}
	for _, n := range counts {
		if n > result.MaxCount {
			return fmt.Errorf("the count %d is more than any sink counts", n)
		}
	}
	if s.Lateness != nil && late != s.Lateness.Count {
		return fmt.Errorf("the lateness of %d replies is in buckets that hold %d", s.Lateness.Count, late)
	}
	return nil
}

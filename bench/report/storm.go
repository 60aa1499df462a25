package report

import (
	"fmt"
	"strings"

	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
	"github.com/smtpstorm/xk6-smtp/sink/text"
)

// Storm is what the sink did in a run, and what clients and messages felt of it, in a few figures. What was not measured is nil.
type Storm struct {
	Attempts uint64   `json:"attempts"`           // to deliver to a recipient, at the sink
	Refused  *float64 `json:"refused,omitempty"`  // share of them that were told 5xx
	Deferred *float64 `json:"deferred,omitempty"` // share of them that were told 4xx
	Failed   *float64 `json:"failed,omitempty"`   // share of the clients' messages that did not get the reply that they expect
	// P50 and P95 are of a message, in milliseconds: of its dialogue, or, through an MTA, of its way to the sink.
	P50 *Moved `json:"p50,omitempty"`
	P95 *Moved `json:"p95,omitempty"`
	// Recovery is how soon after the storm the first message was delivered.
	Recovery *result.Recovery `json:"recovery,omitempty"`
}

// Moved is a figure of a run beside that of the first.
type Moved struct {
	Before *float64 `json:"before,omitempty"` // nil: the first run has none that it could be compared with
	After  float64  `json:"after"`
}

// storms are the figures of all runs.
func storms(legs []Leg) {
	for i := range legs {
		leg := &legs[i]
		r, s := leg.record, &leg.Storm
		s.Recovery = r.Recovery
		if r.Sink != nil {
			a := &r.Sink.Attempts
			s.Attempts = a.Total()
			s.Refused, s.Deferred = shareOf(a.Bounced, s.Attempts), shareOf(a.Deferred, s.Attempts)
		}
		s.Failed = shareOf(leg.Failed.Failed, leg.Failed.Messages)
		took := messageTimes(r)
		if took == nil {
			continue
		}
		s.P50, s.P95 = &Moved{After: took.Quantile(0.5)}, &Moved{After: took.Quantile(0.95)}
		if first := messageTimes(legs[0].record); i > 0 && first != nil && alike(legs[0].record, r) {
			before50, before95 := first.Quantile(0.5), first.Quantile(0.95)
			s.P50.Before, s.P95.Before = &before50, &before95
		}
	}
}

// messageTimes is how long messages took.
func messageTimes(r *result.Record) *result.Histogram {
	if r.Delivery != nil {
		return r.Delivery.Latency
	}
	if r.Client == nil {
		return nil
	}
	if h := r.Client.Total("smtp_msg_duration", nil); h != nil && h.Count() > 0 {
		return h
	}
	return nil
}

func shareOf(n, all uint64) *float64 {
	if all == 0 {
		return nil
	}
	v := float64(n) / float64(all)
	return &v
}

// stormCard is one of the three figures with which a page opens: a line for each run.
type stormCard struct {
	Title string
	Facts []fact
}

// stormCards say what the storm did.
func stormCards(s *Summary) []stormCard {
	refused, moved, first := stormCard{Title: "The sink refused, deferred; messages failed"}, stormCard{Title: "A message took, in the median and at p95"}, stormCard{Title: "First delivery after the storm's end"}
	for i := range s.Legs {
		leg := &s.Legs[i]
		for _, c := range []struct {
			card *stormCard
			says string
		}{{&refused, leg.Storm.refusals()}, {&moved, leg.Storm.moved()}, {&first, leg.Storm.recovered()}} {
			if c.says != "" {
				c.card.Facts = append(c.card.Facts, fact{leg.Label, c.says})
			}
		}
	}
	if len(first.Facts) == 0 {
		first.Facts = append(first.Facts, fact{"not measured", "no storm ended before its load did"})
	}
	return []stormCard{refused, moved, first}
}

// refusals says what became of the attempts.
func (s *Storm) refusals() string {
	says := "no attempt was seen at a sink"
	if s.Refused != nil && s.Deferred != nil {
		says = fmt.Sprintf("%s refused, %s deferred of %s attempts", share(*s.Refused), share(*s.Deferred), count(s.Attempts))
	}
	if s.Failed != nil {
		says += fmt.Sprintf("; %s of the clients' messages failed", share(*s.Failed))
	}
	return says
}

func (s *Storm) moved() string {
	if s.P50 == nil || s.P95 == nil {
		return "not measured"
	}
	one := func(m *Moved) string {
		if m.Before == nil {
			return millis(m.After)
		}
		return millis(*m.Before) + " → " + millis(m.After)
	}
	return fmt.Sprintf("p50 %s ms, p95 %s ms", one(s.P50), one(s.P95))
}

func (s *Storm) recovered() string {
	switch r := s.Recovery; {
	case r == nil:
		return ""
	case r.Seconds == nil:
		return "none after " + ending(r.Phase)
	default:
		return fmt.Sprintf("%.1f s after %s", *r.Seconds, ending(r.Phase))
	}
}

func ending(phase string) string {
	if phase == "" {
		return "its last phase was over"
	}
	return "the phase " + phase + " began"
}

// StormText says what the storm did, a line for each run and figure.
func (s *Summary) StormText() string {
	var b strings.Builder
	for _, card := range stormCards(s) {
		b.WriteString(card.Title + "\n")
		for _, f := range card.Facts {
			b.WriteString(smtp.VisibleLines(text.Wrap("  "+f.Name+": "+f.Value, text.Columns, "    ") + "\n"))
		}
	}
	return b.String()
}

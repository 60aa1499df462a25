package prometheus

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/smtpstorm/xk6-smtp/sink/count"
)

// metric is a family of series, and how it is read: set is called once for each series, or several times where they are added up.
type metric struct {
	name, help string
	labels     []string
	read       func(s *scrape, set func(value float64, labels ...string))
	desc       *prometheus.Desc
}

const namespace = "smtpsink_"

// number reads one figure without labels.
func number[T uint64 | int64 | int](get func(*count.Counts) T) func(*scrape, func(float64, ...string)) {
	return func(s *scrape, set func(float64, ...string)) { set(float64(get(s.counts))) }
}

// metrics are all families but the histograms. Counters end in _total.
var metrics = described([]metric{
	{name: "build_info", help: "Always 1: the version of the program, and its driver.", labels: []string{"version", "driver"}, read: func(s *scrape, set func(float64, ...string)) {
		set(1, label(s.version), s.counts.Driver)
	}},
	{name: "start_time_seconds", help: "When the sink started, in seconds since 1970.", read: func(s *scrape, set func(float64, ...string)) {
		if !s.counts.Started.IsZero() {
			set(float64(s.counts.Started.UnixMilli()) / 1000)
		}
	}},
	{name: "connections_total", help: "Connections that were accepted.", read: number(func(c *count.Counts) uint64 { return c.Connections })},
	{name: "connections_open", help: "Connections now.", read: number(func(c *count.Counts) int64 { return c.Open })},
	{name: "connections_closed_total", help: "Connections that have ended.", read: number(func(c *count.Counts) uint64 { return c.Net.Closed })},
	{name: "connections_failed_total", help: "Of those, the ones that an error has ended, such as a reset.", read: number(func(c *count.Counts) uint64 { return c.Net.Failed })},
	{name: "connections_ungreeted_total", help: "Connections that a listener's fault kept from their greeting.", read: number(func(c *count.Counts) uint64 { return c.Ungreeted })},
	{name: "received_bytes_total", help: "Octets that clients sent.", read: number(func(c *count.Counts) uint64 { return c.BytesIn })},
	{name: "sent_bytes_total", help: "Octets that clients were sent.", read: number(func(c *count.Counts) uint64 { return c.BytesOut })},
	{name: "transactions_total", help: "Positive replies to MAIL.", read: number(func(c *count.Counts) uint64 { return c.Transactions })},
	{name: "recipients_total", help: "Positive replies to RCPT.", read: number(func(c *count.Counts) uint64 { return c.Recipients })},
	{name: "messages_total", help: "Positive replies after a body; in LMTP one per recipient.", read: number(func(c *count.Counts) uint64 { return c.Messages })},
	{name: "replies_decided_total", help: "Replies that were decided, whatever became of them.", labels: replyLabels, read: replies(func(r *count.Reply) uint64 { return r.Decided })},
	{name: "replies_sent_total", help: "Replies that were handed over for writing.", labels: replyLabels, read: replies(func(r *count.Reply) uint64 { return r.Sent })},
	{name: "attempts_total", help: "RCPT commands by their final result: delivered, deferred (4xx), bounced (5xx), unanswered, or discarded as planned.",
		labels: []string{"listener", "result"}, read: attempts},
	{name: "rule_outcomes_total", help: "Outcomes that the rules of plans have drawn. A code of none is a reply that is never sent.",
		labels: []string{"rule", "stage", "code"}, read: drawn},
	{name: "rule_outcomes_planned", help: "How many of them the weights let one expect, given how often each rule spoke.",
		labels: []string{"rule", "stage", "code"}, read: outcomes(func(r *count.Rule, o *count.Outcome) float64 { return o.Probability * float64(r.Occurrences) })},
	{name: "storm_phase", help: "1 for the phase of the storm that is in force.", labels: []string{"phase"}, read: phases},
	{name: "clients_not_smtp_total", help: "Connections whose client spoke another protocol.", read: clients(func(c *count.Clients) uint64 { return c.NotSMTP })},
	{name: "clients_authenticated_total", help: "Connections whose client logged in.", read: clients(func(c *count.Clients) uint64 { return c.Authenticated })},
	{name: "folded_total", help: "Replies and attempts that were counted together, since clients or plans have made up too many kinds.",
		read: number(func(c *count.Counts) uint64 { return c.Folded.Replies + c.Folded.Attempts })},
	{name: "standings_begun_total", help: "Standings that the reactions of the plan in force have begun.", labels: reactionLabels, read: reactions(func(r *count.Reaction) uint64 { return r.Begun })},
	{name: "standing_returns_total", help: "Occurrences that came while a standing held, where it matters.", labels: reactionLabels, read: reactions(func(r *count.Reaction) uint64 { return r.Returns })},
	{name: "standing_keys", help: "Clients, senders and so on of which reactions know something now.", read: number(func(c *count.Counts) uint64 { return c.StandingKeys })},
	{name: "standing_evictions_total", help: "Keys that reactions have forgotten for want of room.", labels: reactionLabels, read: reactions(func(r *count.Reaction) uint64 { return r.Evictions })},
	{name: "state_entries", help: "Attempt counters, token buckets, windows of quotas and greylisted triples now.", labels: []string{"of"}, read: func(s *scrape, set func(float64, ...string)) {
		o, l := &s.counts.Ordinals, &s.counts.Limits
		set(float64(o.Connections+o.Mails+o.Recipients), "attempts")
		set(float64(l.Buckets), "buckets")
		set(float64(l.Quotas), "quotas")
		set(float64(l.Greylist), "greylist")
	}},
	{name: "state_capacity", help: "How many of them there is room for.", read: number(func(c *count.Counts) uint64 { return c.StateCapacity })},
	{name: "state_evictions_total", help: "Of them, those that were forgotten for want of room: plans were not kept to the letter.",
		read: number(func(c *count.Counts) uint64 { return c.Ordinals.Evictions + c.Limits.Evictions })},
	{name: "pending_bytes", help: "Octets of output that wait for clients now (epoll).", read: number(func(c *count.Counts) int64 { return c.Net.Pending })},
	{name: "loop_lag_p99_seconds", help: "How long an event loop was busy between two waits, since the start: the 99th percentile (epoll).",
		read: func(s *scrape, set func(float64, ...string)) { set(float64(s.counts.Net.LagP99Micros) / 1e6) }},
	{name: "loop_lag_max_seconds", help: "The longest of these times.",
		read: func(s *scrape, set func(float64, ...string)) { set(float64(s.counts.Net.LagMaxMicros) / 1e6) }},
	{name: "system_calls_total", help: "System calls of the driver.", labels: []string{"call"}, read: func(s *scrape, set func(float64, ...string)) {
		set(float64(s.counts.Net.Reads), "read")
		set(float64(s.counts.Net.Writes), "write")
		set(float64(s.counts.Net.Waits), "wait")
	}},
	{name: "accept_pauses_total", help: "Times that accepting stopped for want of descriptors or memory.", read: number(func(c *count.Counts) uint64 { return c.Net.AcceptPauses })},
	{name: "accepts_held_total", help: "Times that accepting stopped since there were as many connections as there may be.", read: number(func(c *count.Counts) uint64 { return c.Net.AcceptsHeld })},
	{name: "accept_errors_total", help: "Other failures of accept.", read: number(func(c *count.Counts) uint64 { return c.Net.AcceptErrors })},
	{name: "listen_overflows_total", help: "Connections that met a full accept queue, on the whole system.", read: number(func(c *count.Counts) uint64 { return c.ListenOverflows })},
	{name: "reopen_failures_total", help: "Times that a listener could not be opened again after a fault.", read: number(func(c *count.Counts) uint64 { return c.ReopenFailures })},
	{name: "ledger_rows_total", help: "Rows that the ledger has got.", read: ledgers(func(l *count.Ledger) uint64 { return l.Rows })},
	{name: "ledger_rows_lost_total", help: "Rows that could not be written.", read: ledgers(func(l *count.Ledger) uint64 { return l.Lost })},
	{name: "notifications_total", help: "Delivery status notifications that were kept.", read: notifications(func(n *count.Notifications) uint64 { return n.Notifications })},
	{name: "notifications_failed_total", help: "Those that could not be.", read: notifications(func(n *count.Notifications) uint64 { return n.Failed })},
	{name: "captured_messages_total", help: "Messages that were captured.", read: captures(func(c *count.Captures) uint64 { return c.Messages })},
	{name: "captured_messages_failed_total", help: "Those that could not be written.", read: captures(func(c *count.Captures) uint64 { return c.Failed })},
	{name: "captured_bytes", help: "Octets that captured messages take now.", read: captures(func(c *count.Captures) uint64 { return c.Octets })},
})

func described(all []metric) []metric {
	for i := range all {
		m := &all[i]
		m.desc = prometheus.NewDesc(namespace+m.name, m.help, m.labels, nil)
	}
	return all
}

var replyLabels = []string{"listener", "stage", "code", "cause"}

func replies(get func(*count.Reply) uint64) func(*scrape, func(float64, ...string)) {
	return func(s *scrape, set func(float64, ...string)) {
		for i := range s.counts.Replies {
			r := &s.counts.Replies[i]
			set(float64(get(r)), s.listener(r.Listener), r.Stage.String(), codeLabel(r.Code), causeLabel(r.Cause))
		}
	}
}

func attempts(s *scrape, set func(float64, ...string)) {
	for i := range s.counts.Destinations {
		d := &s.counts.Destinations[i]
		listener := s.listener(d.Listener)
		set(float64(d.Attempts.Delivered), listener, "delivered")
		set(float64(d.Attempts.Deferred), listener, "deferred")
		set(float64(d.Attempts.Bounced), listener, "bounced")
		set(float64(d.Attempts.Unanswered), listener, "unanswered")
		set(float64(d.Attempts.Discarded), listener, "discarded")
	}
}

// drawn has the outcomes of the rules that the sink has forgotten, too, as replies of nobody: a counter does not go back.
func drawn(s *scrape, set func(float64, ...string)) {
	outcomes(func(_ *count.Rule, o *count.Outcome) float64 { return float64(o.Injected) })(s, set)
	for i := range s.counts.Replies {
		if r := &s.counts.Replies[i]; r.Cause == forgotten {
			set(float64(r.Decided), Other, r.Stage.String(), codeLabel(r.Code))
		}
	}
}

// forgotten is the cause of replies by rules of which the sink knows no more.
const forgotten = "rule:" + count.Other

func outcomes(get func(*count.Rule, *count.Outcome) float64) func(*scrape, func(float64, ...string)) {
	return func(s *scrape, set func(float64, ...string)) {
		s.rules(func(name string, r *count.Rule) {
			for i := range r.Outcomes {
				o := &r.Outcomes[i]
				code := "none"
				if o.Code != 0 {
					code = codeLabel(o.Code)
				}
				set(get(r, o), name, r.Stage.String(), code)
			}
		})
	}
}

var reactionLabels = []string{"reaction"}

func reactions(get func(*count.Reaction) uint64) func(*scrape, func(float64, ...string)) {
	return func(s *scrape, set func(float64, ...string)) {
		for i := range s.counts.Reactions {
			set(float64(get(&s.counts.Reactions[i])), label(s.counts.Reactions[i].Name))
		}
	}
}

func phases(s *scrape, set func(float64, ...string)) {
	all := s.counts.Phases
	for _, phase := range all[max(0, len(all)-MaxNames):] {
		value := 0.0
		if phase == s.counts.Phase {
			value = 1
		}
		set(value, label(phase))
	}
}

// The rest is zero where there is none of it, so that an alert on it finds a series.

func clients(get func(*count.Clients) uint64) func(*scrape, func(float64, ...string)) {
	return part(func(c *count.Counts) *count.Clients { return c.Clients }, get)
}

func ledgers(get func(*count.Ledger) uint64) func(*scrape, func(float64, ...string)) {
	return part(func(c *count.Counts) *count.Ledger { return c.Ledger }, get)
}

func notifications(get func(*count.Notifications) uint64) func(*scrape, func(float64, ...string)) {
	return part(func(c *count.Counts) *count.Notifications { return c.DSN }, get)
}

func captures(get func(*count.Captures) uint64) func(*scrape, func(float64, ...string)) {
	return part(func(c *count.Counts) *count.Captures { return c.Captures }, get)
}

func part[T any](of func(*count.Counts) *T, get func(*T) uint64) func(*scrape, func(float64, ...string)) {
	return func(s *scrape, set func(float64, ...string)) {
		if p := of(s.counts); p != nil {
			set(float64(get(p)))
			return
		}
		set(0)
	}
}

package compare

import (
	"cmp"
	"slices"
	"strings"
)

// shortMetric is a metric of ours without its prefix.
func shortMetric(metric string) string { return strings.TrimPrefix(metric, "smtp_") }

// order of the phases, the whole message first; others follow by name.
var order = [...]string{MetricDuration, "smtp_msg_blocked", "smtp_conn_resolving", "smtp_conn_connecting", "smtp_conn_tls_handshaking", "smtp_conn_banner", "smtp_conn_ehlo", "smtp_conn_auth",
	"smtp_msg_mail", "smtp_msg_rcpt", "smtp_msg_data", "smtp_msg_sending", "smtp_msg_waiting", "smtp_delivery_duration", MetricDelivery}

var outcomes = [...]Outcome{Any, Accepted, Deferred, Bounced, NotAccepted}

func compareKeys(a, b Key) int {
	rank := func(k Key) int {
		if i := slices.Index(order[:], k.Metric); i >= 0 {
			return i
		}
		return len(order)
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a.Metric, b.Metric),
		cmp.Compare(slices.Index(outcomes[:], a.Outcome), slices.Index(outcomes[:], b.Outcome)))
}

// foreign metrics are those of other protocols.
func foreign(metric string) bool {
	return slices.ContainsFunc([]string{"http_", "ws_", "grpc_", "browser_", "group_duration"}, func(p string) bool { return strings.HasPrefix(metric, p) })
}

// sharedKeys lists the distributions that every run of both sides has.
func sharedKeys(a, b *Side) []Key {
	count := map[Key]int{}
	for _, s := range []*Side{a, b} {
		for _, r := range s.Runs {
			for key := range r.series {
				count[key]++
			}
		}
	}
	var out []Key
	for key, n := range count {
		if n == len(a.Runs)+len(b.Runs) && !foreign(key.Metric) {
			out = append(out, key)
		}
	}
	slices.SortFunc(out, compareKeys)
	return out
}

// exploratory lists what is compared beside the family.
func exploratory(a, b *Side, family []Measure) []Measure {
	var out []Measure
	add := func(m Measure) {
		if !slices.Contains(family, m) {
			out = append(out, m)
		}
	}
	for _, s := range []Share{ShareFailed, ShareDeferred, ShareBounced, ShareUnanswered} {
		add(Measure{Share: s})
	}
	for _, key := range sharedKeys(a, b) {
		for _, s := range []Statistic{P50, P90, P95, P99, P999, Mean} {
			add(Measure{Key: key, Statistic: s})
		}
	}
	return out
}

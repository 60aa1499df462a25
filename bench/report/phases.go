package report

import (
	"slices"
	"strings"

	"github.com/smtpstorm/xk6-smtp/bench/result"
)

// phase is one trend of the k6 extension, in words.
type phase struct{ metric, name, meaning string }

// phases are in the dialogue's order; the whole message comes first.
var phases = [...]phase{
	{"smtp_msg_duration", "whole message", "first byte of MAIL to last byte of the final reply"},
	{"smtp_msg_blocked", "before MAIL", "send() called to first byte of MAIL: queueing and a lazy connect"},
	{"smtp_conn_resolving", "resolve", "name lookup"},
	{"smtp_conn_connecting", "connect", "TCP connect"},
	{"smtp_conn_tls_handshaking", "TLS handshake", "TLS handshake"},
	{"smtp_conn_banner", "greeting", "connected to last byte of the greeting"},
	{"smtp_conn_ehlo", "EHLO", "first byte of the command to last byte of its last reply"},
	{"smtp_conn_auth", "AUTH", "first byte of the command to last byte of its last reply"},
	{"smtp_msg_mail", "MAIL", "first byte of the command to last byte of its reply"},
	{"smtp_msg_rcpt", "RCPT", "first byte of the first command to last byte of the last reply"},
	{"smtp_msg_data", "DATA", "first byte of the command to last byte of its reply"},
	{"smtp_msg_sending", "sending the body", "first byte of the body to last byte of the final dot written"},
	{"smtp_msg_waiting", "waiting for the verdict", "final dot written to last byte of the final reply"},
	{"smtp_msg_unanswered", "given up waiting", "first byte of MAIL to when the client waited no longer: the message's duration is more"},
	{"smtp_delivery_duration", "delivery", "sent by the script to accepted at the sink"},
}

// phasesOf lists what any leg recorded as a distribution: the known phases in
// order, then the script's own trends of times by name. k6's own trends about
// other protocols stay out.
func phasesOf(legs []*result.Record) []phase {
	have := map[string]bool{}
	var others []string
	for _, leg := range legs {
		if leg.Client == nil {
			continue
		}
		for i := range leg.Client.Series {
			s := &leg.Client.Series[i]
			if s.Histogram == nil || s.Histogram.Count() == 0 || have[s.Metric] {
				continue
			}
			have[s.Metric] = true
			if !slices.ContainsFunc(phases[:], func(p phase) bool { return p.metric == s.Metric }) && !foreign(s.Metric) {
				others = append(others, s.Metric)
			}
		}
	}
	var out []phase
	for _, p := range phases {
		if have["smtp_msg_data"] && pipelined(legs) {
			switch p.metric {
			case "smtp_msg_mail", "smtp_msg_rcpt":
				continue
			case "smtp_msg_data":
				p.name, p.meaning = "MAIL, RCPT and DATA", "pipelined, and not to be told apart: the commands leave at once; to last byte of the reply to DATA"
			}
		}
		if have[p.metric] {
			out = append(out, p)
		}
	}
	slices.Sort(others)
	for _, m := range others {
		p := phase{metric: m, name: m, meaning: "a trend of the script"}
		if m == "iteration_duration" {
			p.name, p.meaning = "iteration", "one iteration of the script, with its checks and pauses"
		}
		out = append(out, p)
	}
	return out
}

// pipelined reports whether all clients sent MAIL, RCPT and DATA at once.
func pipelined(legs []*result.Record) bool {
	for _, leg := range legs {
		if leg.Client == nil {
			continue
		}
		for _, s := range leg.Client.Find("smtp_msg_data", nil) {
			if s.Histogram != nil && s.Histogram.Count() > 0 && s.Tags["pipelined"] != "true" {
				return false
			}
		}
	}
	return true
}

func foreign(metric string) bool {
	for _, prefix := range []string{"http_", "ws_", "grpc_", "browser_", "group_duration"} {
		if strings.HasPrefix(metric, prefix) {
			return true
		}
	}
	return false
}

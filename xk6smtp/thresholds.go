package xk6smtp

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.k6.io/k6/v2/lib"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// carried are the tags that this module gives to its metrics, by metric.
var carried = map[string]string{
	"smtp_conn_resolving": "", "smtp_conn_connecting": "", "smtp_conn_tls_handshaking": "", "smtp_conn_banner": "", "smtp_conn_ehlo": "", "smtp_conn_auth": "",
	"smtp_msg_blocked": "expected_response", "smtp_msg_mail": "code expected_response pipelined", "smtp_msg_rcpt": "code expected_response pipelined",
	"smtp_msg_data": "code expected_response pipelined", "smtp_msg_sending": "expected_response", "smtp_msg_waiting": "code expected_response",
	"smtp_msg_duration": "code expected_response", "smtp_msg_unanswered": "error_code phase", "smtp_sessions": "", "smtp_messages": "expected_response", "smtp_recipients": "expected_response",
	"smtp_replies": "code enhanced phase", "smtp_errors": "error_code phase", "smtp_msg_failed": "", "smtp_conn_failed": "",
	"smtp_sink_replies": "cause code enhanced phase", "smtp_delivery_duration": "",
}

// ownTagNames are all of them.
var ownTagNames = strings.Fields("cause code enhanced error_code expected_response phase pipelined")

// warnOfThresholds tells once of thresholds that can't be met, or can't fail: k6 takes them.
func (r *RootModule) warnOfThresholds(state *lib.State) {
	if r.thresholdsSeen.Load() || !r.thresholdsSeen.CompareAndSwap(false, true) || state.Logger == nil {
		return
	}
	for _, warning := range hopeless(&state.Options) {
		state.Logger.Warn(smtp.Visible(warning))
	}
}

// hopeless says which thresholds look at a series that never has a sample, since no metric is tagged so.
func hopeless(options *lib.Options) []string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(options.Thresholds)) {
		metric, selector, ok := strings.Cut(strings.TrimSuffix(name, "}"), "{")
		tags, ours := carried[metric]
		if !ok || !ours {
			continue
		}
		for pair := range strings.SplitSeq(selector, ",") {
			key, value, _ := strings.Cut(pair, ":")
			key, value = unquoted(key), unquoted(value)
			if _, given := options.RunTags[key]; given || !slices.Contains(ownTagNames, key) {
				continue
			}
			switch {
			case !slices.Contains(strings.Fields(tags), key):
				list = append(list, fmt.Sprintf("the threshold on %s looks at nothing: %s has no tag %s (it has: %s)", name, metric, key, cmp.Or(tags, "none")))
			case key == "error_code" && len(value) == 4 && (value[1] == '4' || value[1] == '5') && value[0] == '1':
				list = append(list, fmt.Sprintf("the threshold on %s looks at nothing: smtp_errors counts replies that never came; negative replies are smtp_replies{code:%s}",
					name, value[1:]))
			case key == "phase" && !isPhase(value):
				list = append(list, fmt.Sprintf("the threshold on %s looks at nothing: %q is no phase", name, value))
			}
		}
	}
	return list
}

// unquoted is a key or a value as k6 reads those of a threshold's name.
func unquoted(s string) string { return strings.Trim(strings.TrimSpace(s), `"'`) }

func isPhase(name string) bool {
	_, err := smtp.ParseStage(name)
	return err == nil
}

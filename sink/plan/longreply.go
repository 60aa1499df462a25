package plan

import (
	"fmt"
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// longReplies warns of lines that clients need not take (RFC 5321 section 4.5.3.1.5). Templates are cut to what they must.
func (e *explainer) longReplies() (lines []string) {
	warn := func(what string, r *smtp.Reply) {
		if r == nil || r.Template {
			return
		}
		for _, line := range strings.SplitAfter(string(r.Append(nil, true)), "\n") {
			if len(line) > smtp.MaxReplyLine {
				lines = append(lines, fmt.Sprintf("%s: a line of the reply has %d octets, and clients must take no more than %d", what, len(line), smtp.MaxReplyLine))
				return
			}
		}
	}
	for s := range smtp.NumStages {
		warn(fmt.Sprintf("plain reply at %v", smtp.Stage(s)), e.plan.PlainReply(smtp.Stage(s)))
	}
	for _, r := range e.plan.Rules() {
		for i := range r.Outcomes {
			warn(fmt.Sprintf("rule %q", r.Name), r.Outcomes[i].Reply)
		}
	}
	for _, l := range e.plan.AllLimits() {
		warn(fmt.Sprintf("limit %q", l.Name), l.Reply)
	}
	return lines
}

package plan

import (
	"strconv"
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
)

// keeps returns what a sink has to remember for the plan, an entry for each of these: its memory is bounded, and what is beyond it
// forgotten.
func keeps(p *fault.Plan) (lines []string) {
	needs := p.Needs()
	for _, c := range []struct {
		needed bool
		what   string
	}{
		{needs.Connections, "how often each client has connected"},
		{needs.Mails, "how often each sender has said MAIL"},
		{needs.Recipients, "how often each (sender, recipient) pair has met RCPT"},
	} {
		if c.needed {
			lines = append(lines, c.what)
		}
	}
	for _, l := range p.AllLimits() {
		switch {
		case l.Kind == fault.LimitGreylist:
			lines = append(lines, "limit "+strconv.Quote(l.Name)+": each "+l.Scope.Each())
		case l.Scope == fault.ScopeConnection || l.Scope == fault.ScopeAll:
		case l.Kind == fault.LimitRate:
			lines = append(lines, "limit "+strconv.Quote(l.Name)+": a token bucket for each "+l.Scope.Each())
		case l.Kind == fault.LimitQuota:
			lines = append(lines, "limit "+strconv.Quote(l.Name)+": a window for each "+l.Scope.Each())
		}
	}
	for _, g := range p.KeyGroups() {
		names := make([]string, len(g.Reactions))
		for i, r := range g.Reactions {
			names[i] = strconv.Quote(r.Name)
		}
		lines = append(lines, "reactions "+strings.Join(names, " ")+": the standings of "+eachWords(g.Of))
	}
	return lines
}

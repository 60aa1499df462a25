package cmd

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/count"
	"github.com/smtpstorm/xk6-smtp/sink/text"
)

// counterTable renders the final counters for people.
func counterTable(s *sink.Stats) string {
	var b strings.Builder
	a := s.Attempts
	say := func(format string, args ...any) {
		b.WriteString(text.Wrap(fmt.Sprintf(format, args...), text.Columns, "  ") + "\n")
	}
	say("%d %s, %d %s, %d %s accepted in %.1f s; %d octets in, %d out", s.Connections, text.Plural(s.Connections, "connection"),
		s.Transactions, text.Plural(s.Transactions, "transaction"), s.Messages, text.Plural(s.Messages, "message"), s.Seconds, s.BytesIn, s.BytesOut)
	say("recipients: %d delivered, %d deferred, %d bounced, %d unanswered", a.Delivered, a.Deferred, a.Bounced, a.Unanswered)
	if a.Discarded > 0 {
		say("and %d told 2xx and thrown away as planned", a.Discarded)
	}
	if s.Ledger != nil {
		say("ledger: %d %s, %d octets", s.Ledger.Rows, text.Plural(s.Ledger.Rows, "row"), s.Ledger.Octets)
		if n := s.Ledger.Lost; n > 0 {
			say("warning: %d %s missing in it: %s", n, text.Plural(n, "row")+map[bool]string{true: " is", false: " are"}[n == 1], s.Ledger.Error)
		}
	}
	if d := s.DSN; d != nil {
		say("notifications: %d kept, with %d %s about recipients", d.Notifications, d.Recipients, text.Plural(d.Recipients, "row"))
		for _, line := range [...]struct {
			n    uint64
			what string
		}{{d.Malformed, "rows of what could not be read, or not in full"}, {d.Cut, "notifications of more than 1 MiB, of which the rest is not kept"}} {
			if line.n > 0 {
				say("  %d %s", line.n, line.what)
			}
		}
		if d.Failed > 0 {
			say("warning: %d could not be kept: %s", d.Failed, d.Error)
		}
	}
	if c := s.Captures; c != nil {
		say("captured: %d %s, of which %d had to make room", c.Messages, text.Plural(c.Messages, "message"), c.Dropped)
		if c.Cut > 0 {
			say("  %d kept in part, for want of room", c.Cut)
		}
		if c.Failed > 0 {
			say("warning: %d could not be written: %s", c.Failed, c.Error)
		}
	}
	if d := s.Lateness; d != nil {
		say("delayed replies: %d, later than planned by %d us (p50), %d us (p99), %d us (max)", d.Count, d.P50Micros, d.P99Micros, d.MaxMicros)
	}
	if f := s.Folded; f.Replies > 0 || f.Attempts > 0 {
		fmt.Fprintf(&b, "counted together as %s, since too many kinds were met: %d replies, %d recipients by domain\n", count.Other, f.Replies, f.Attempts)
	}
	sayClients(say, s.Clients)
	b.WriteString(selfCheck(s.SelfCheck))
	for _, table := range []*text.Table{repliesTable(s), rulesTable(s), reactionsTable(s), destinationsTable(s.Destinations), phasesTable(s), inFlightTable(s)} {
		if table != nil {
			b.WriteString("\n" + table.String())
		}
	}
	return b.String()
}

// headed returns a table with titles of its columns; those at right are numbers.
func headed(right []int, titles ...any) *text.Table {
	t := &text.Table{Right: right}
	t.Row(titles...)
	return t
}

func reactionsTable(s *sink.Stats) *text.Table {
	if len(s.Reactions) == 0 {
		return nil
	}
	t := headed([]int{2, 3, 4, 5, 6}, "reaction", "of each", "begun", "keys", "highest level", "came back", "so often")
	for i := range s.Reactions {
		r := &s.Reactions[i]
		t.Row(r.Name, r.Key, r.Begun, r.Keys, r.Highest, r.Returned, r.Returns)
	}
	return t
}

func repliesTable(s *sink.Stats) *text.Table {
	if len(s.Replies) == 0 {
		return nil
	}
	t := headed([]int{4}, "stage", "code", "enhanced", "cause", "count")
	for _, r := range s.Caused() {
		t.Row(r.Stage, r.Code, r.Enhanced, printable(r.Cause), r.Decided)
	}
	return t
}

func rulesTable(s *sink.Stats) *text.Table {
	if len(s.Rules) == 0 {
		return nil
	}
	t := headed([]int{3, 4}, "rule", "stage", "code", "planned", "injected")
	for _, r := range s.Rules {
		for _, o := range r.Outcomes {
			t.Row(printable(r.Name), r.Stage, outcomeName(o), fmt.Sprintf("%.1f", o.Probability*float64(r.Occurrences)), o.Injected)
		}
	}
	return t
}

func phasesTable(s *sink.Stats) *text.Table {
	var t *text.Table // nil as long as the storm has not begun
	for _, phase := range s.Phases {
		for _, r := range count.Caused(s.InPhase(phase)) {
			if t == nil {
				t = headed([]int{4}, "phase", "stage", "code", "cause", "count")
			}
			t.Row(printable(phase), r.Stage, r.Code, printable(r.Cause), r.Decided)
		}
	}
	return t
}

func inFlightTable(s *sink.Stats) *text.Table {
	rows := s.InFlight()
	if len(rows) == 0 {
		return nil
	}
	t := headed([]int{2, 3}, "in flight", "code", "never written", "written, perhaps unread")
	for _, r := range rows {
		t.Row(r.Stage, r.Code, r.Unsent(), r.Unread)
	}
	return t
}

// sayClients says what clients did that no reply's count tells.
func sayClients(say func(format string, args ...any), c *count.Clients) {
	if c == nil {
		return
	}
	for _, line := range [...]struct {
		n         uint64
		one, many string
	}{
		{c.NotSMTP, "connection closed: the client spoke another protocol than SMTP", "connections closed: the clients spoke another protocol than SMTP"},
		{c.Injections, "STARTTLS command with plaintext behind it, which was thrown away", "STARTTLS commands with plaintext behind them, which was thrown away"},
		{c.Pregreets, "client talked before its greeting, which was held back", "clients talked before their greetings, which were held back"},
		{c.Authenticated, "connection authenticated by AUTH", "connections authenticated by AUTH"},
		{c.LongHeaders, "message with a header of more than 64 KiB, whose end was not looked at", "messages with a header of more than 64 KiB, whose end was not looked at"},
		{c.BadSwitches, "address trigger or header switch that could not be read and was ignored", "address triggers or header switches that could not be read and were ignored"},
	} {
		switch line.n {
		case 0:
		case 1:
			say("1 %s", line.one)
		default:
			say("%d %s", line.n, line.many)
		}
	}
	for _, example := range c.BadSwitchExamples {
		say("  such as %q", example)
	}
}

// mostDestinations is how many destinations the table shows; --json has all.
const mostDestinations = 20

// destinationsTable says what came for each destination, the busiest first; for a single one there is nothing to tell apart.
func destinationsTable(all []count.Destination) *text.Table {
	if len(all) < 2 {
		return nil
	}
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b count.Destination) int { return cmp.Compare(b.Attempts.Total(), a.Attempts.Total()) })
	t := headed([]int{2, 3, 4, 5}, "listener", "recipient domain", "delivered", "deferred", "bounced", "unanswered")
	for _, d := range all[:min(len(all), mostDestinations)] {
		a := d.Attempts
		t.Row(d.Listener, printable(d.Domain), a.Delivered, a.Deferred, a.Bounced, a.Unanswered)
	}
	if n := len(all) - mostDestinations; n > 0 {
		t.Row(fmt.Sprintf("and %d more", n))
	}
	return t
}

// printable quotes what a plan's author or a peer wrote if it would break a line.
func printable(s string) string {
	for _, r := range s {
		if !strconv.IsPrint(r) || r == 0xfffd {
			return strconv.Quote(s)
		}
	}
	return s
}

// selfCheck says what the sink finds of itself.
func selfCheck(c *count.SelfCheck) string {
	if c == nil {
		return ""
	}
	var b strings.Builder
	tested := 0
	for _, f := range c.Fits {
		if f.Tested {
			tested++
		}
		if !f.Rejected {
			continue
		}
		line := fmt.Sprintf("warning: rule %q has not drawn as planned (p = %.2g):", f.Rule, f.AdjustedP)
		for _, o := range f.Cells {
			line += fmt.Sprintf(" %s planned %.4g%%, drawn %.4g%% (95%%: %.4g%% to %.4g%%);", o.Label, 100*o.Probability, 100*o.Share, 100*o.Bounds.Lo, 100*o.Bounds.Hi)
		}
		b.WriteString(text.Wrap(line, text.Columns, "  ") + "\n")
	}
	for _, line := range c.Saturation {
		b.WriteString(text.Wrap("warning: "+line, text.Columns, "  ") + "\n")
	}
	switch {
	case c.OK && tested == 0:
		b.WriteString("self-check: not saturated; no rule has drawn often enough to be tested\n")
	case c.OK:
		fmt.Fprintf(&b, "self-check: not saturated; %d %s drew as planned\n", tested, text.Plural(tested, "rule"))
	}
	return b.String()
}

// outcomeName says what an outcome is: its code, and what is done besides.
func outcomeName(o count.Outcome) string {
	name := "none"
	if o.Code != 0 {
		name = fmt.Sprint(uint16(o.Code))
	}
	if o.Fault != "" {
		name += " " + o.Fault
	}
	return name
}

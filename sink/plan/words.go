package plan

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// matchWords says a match's conditions.
func matchWords(m *fault.Match) string {
	var words []string
	list := func(name string, values []string) {
		if len(values) > 0 {
			words = append(words, name+" "+strings.Join(values, " or "))
		}
	}
	list("listener", m.Listeners)
	list("client", texts(m.Clients, netip.Prefix.String))
	list("helo", m.Helos)
	list("sender", m.Senders)
	list("recipient", m.Recipients)
	for _, r := range [...]struct {
		name string
		r    fault.Range
	}{{"attempt", m.Attempts}, {"message", m.Messages}, {"connection", m.Connections}} {
		if !r.r.IsZero() {
			words = append(words, r.name+" "+r.r.String())
		}
	}
	list("mechanism", m.Mechanisms)
	if !m.Steps.IsZero() {
		words = append(words, "step "+m.Steps.String()+" of AUTH")
	}
	if !m.Turns.IsZero() {
		words = append(words, "reply "+m.Turns.String()+" of the connection")
	}
	if !m.Rcpts.IsZero() {
		words = append(words, "RCPT "+m.Rcpts.String()+" of the transaction")
	}
	list("parameter", m.Parameters)
	switch m.TLS {
	case fault.TLSYes:
		words = append(words, "with TLS")
	case fault.TLSNo:
		words = append(words, "without TLS")
	}
	if v := m.TLSVersions; v != (fault.TLSVersions{}) {
		words = append(words, "with TLS "+v.String())
	}
	if m.Size != (fault.SizeRange{}) {
		words = append(words, "size "+sizesText(m.Size))
	}
	list("time", texts(m.Times, fault.DayTime.String))
	for _, r := range m.Repeats {
		words = append(words, "header "+r.Name+" "+r.Times()+" times")
	}
	for _, h := range m.Headers {
		list("header "+h.Name+":", h.Globs)
	}
	list("a standing", texts(m.Standings, strconv.Quote))
	if !m.Levels.IsZero() {
		words = append(words, "level "+m.Levels.String())
	}
	if m.OutOfOrder {
		words = append(words, "commands out of order")
	}
	if len(m.Errors) > 0 {
		words = append(words, "commands refused by "+strings.Join(texts(m.Errors, fault.ErrorPattern.String), " or "))
	}
	return strings.Join(words, ", ")
}

func texts[T any](values []T, text func(T) string) []string {
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = text(v)
	}
	return words
}

// delayWords says how long a delay is.
func delayWords(d *fault.Delay) string {
	switch d.Kind {
	case fault.DelayDoubling:
		return fmt.Sprintf("%s at level 1 and twice as much at each above, at most %s", durationText(d.A), durationText(d.B))
	case fault.DelayHalving:
		return fmt.Sprintf("%s at level 1 and half as much at each above, at least %s", durationText(d.A), durationText(d.B))
	case fault.DelayPerLevel:
		return fmt.Sprintf("%s for each level, at most %s", durationText(d.A), durationText(d.B))
	}
	return d.String()
}

// outcomeWords says what an outcome does, without its probability and without a delay that all of the rule's outcomes share.
func outcomeWords(s smtp.Stage, o *fault.Outcome, shared bool) string {
	words := []string{replyWords(s, o)}
	if !o.Delay.IsZero() && !shared {
		words = append(words, "late by "+delayWords(&o.Delay))
	}
	for _, k := range outcomeFaults {
		if k.write(&o.Faults) == nil {
			continue
		}
		if said := k.words(&o.Faults); said != "" {
			words = append(words, said)
		}
	}
	return strings.Join(words, ", ")
}

func replyWords(s smtp.Stage, o *fault.Outcome) string {
	switch {
	case o.Silence:
		return "silence"
	case o.Unsent():
		return "no reply"
	case o.Reply == nil && o.Code == fault.OutOfOrderCode:
		return fmt.Sprintf("the usual %d", o.Code)
	case o.Reply == nil && s == smtp.StagePregreet && !o.Faulty && !o.Written && o.Delay.IsZero():
		return "the greeting when it is due"
	case o.Reply == nil:
		return fmt.Sprintf("plain %d", o.Code)
	}
	return codeWords(o.Reply)
}

// namesWords says what a reply's text names.
func namesWords(r *smtp.Reply) string {
	fields, err := smtp.TextFields(r.Lines)
	if err != nil || !r.Template || len(fields) == 0 {
		return ""
	}
	return " that names " + strings.Join(texts(fields, smtp.Field.String), ", ")
}

func codeWords(r *smtp.Reply) string {
	if r.Enhanced.IsZero() {
		return fmt.Sprint(uint16(r.Code)) + namesWords(r)
	}
	return fmt.Sprintf("%d %v", r.Code, r.Enhanced) + namesWords(r)
}

// limitWords says what a limit allows.
func limitWords(l *fault.Limit) string {
	var what string
	switch l.Kind {
	case fault.LimitRate:
		what = fmt.Sprintf("%s a second, at most %s at once, at %v", number(l.Rate), number(l.Burst), l.Stage)
	case fault.LimitConcurrency:
		what = fmt.Sprintf("%d open connections", l.Max)
		if l.Stage != smtp.StageConnect {
			what = fmt.Sprintf("%d transactions at once, at %v", l.Max, l.Stage)
		}
	case fault.LimitMessages:
		what = fmt.Sprintf("%d messages", l.Max)
	case fault.LimitRecipients:
		what = fmt.Sprintf("%d recipients in a transaction", l.Max)
	case fault.LimitSize:
		what = fmt.Sprintf("%d octets in a message, at %v", l.Max, l.Stage)
	case fault.LimitGreylist:
		return fmt.Sprintf("each %s waits %v, and is known for %v", l.Scope.Each(), l.Delay, l.Window)
	case fault.LimitQuota:
		begins := "a window begins with the first"
		if l.From == fault.QuotaClock {
			begins = "windows by the clock, UTC"
		}
		return fmt.Sprintf("%d in %s %s, at %v (%s)", l.Max, durationText(l.Per), l.Scope.Words(), l.Stage, begins)
	}
	if l.Kind == fault.LimitRecipients || l.Kind == fault.LimitSize {
		return what
	}
	return what + " " + l.Scope.Words()
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', 4, 64) }

// percent writes a probability with four digits. It rounds to certainty only what floating point can hardly tell from it.
func percent(p float64) string {
	switch v := 100 * p; {
	case p <= 0:
		return "0%"
	case v < 0.0001:
		return "<0.0001%"
	case p < 1 && v > 99.99 && 1-p > 1e-12:
		return ">99.99%"
	default:
		digits := max(0, 3-int(math.Floor(math.Log10(v)+1e-9)))
		scale := math.Pow(10, float64(digits))
		return strconv.FormatFloat(math.Round(v*scale)/scale, 'f', -1, 64) + "%"
	}
}

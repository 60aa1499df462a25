package result

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/count"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Metrics of the k6 extension that reconciliation reads. Their tags use the
// sink's stage names as phases.
const (
	MetricReplies = "smtp_replies" // counter {phase, code, enhanced}
	MetricErrors  = "smtp_errors"  // counter {phase, error_code}
)

// Row reconciles one kind of reply, as it stands on the wire.
type Row struct {
	count.Kind
	// Planned is what the rules that can draw this reply let one expect
	// (count.Reply.Planned), plus the replies that no rule drew (plain, protocol, limit).
	Planned float64 `json:"planned"`
	// Drawn is how many of Injected a rule drew: where it is 0, Planned says
	// nothing that Injected doesn't.
	Drawn    uint64 `json:"drawn"`
	Injected uint64 `json:"injected"`
	Observed uint64 `json:"observed"`
	// InFlight is how much of Injected-Observed unfinished replies account for.
	InFlight uint64 `json:"in_flight"`
	// Difference is Injected-Observed-InFlight; anything but 0 has no explanation.
	Difference int64 `json:"difference"`
}

// SumRows sums the rows of several runs up, reply by reply.
func SumRows(runs ...[]Row) (sum []Row) {
	for _, rows := range runs {
		for _, row := range rows {
			i, known := slices.BinarySearchFunc(sum, row.Kind, func(r Row, k count.Kind) int { return r.Compare(k) })
			if !known {
				sum = slices.Insert(sum, i, row)
				continue
			}
			have := &sum[i]
			have.Planned += row.Planned
			have.Drawn += row.Drawn
			have.Injected += row.Injected
			have.Observed += row.Observed
			have.InFlight += row.InFlight
			have.Difference += row.Difference
		}
	}
	return sum
}

// Reconciliation is the sink's replies against the client's.
type Reconciliation struct {
	Rows []Row `json:"rows"` // in the dialogue's order, then by code
	Totals
}

// Totals sums the rows up.
type Totals struct {
	// Balanced: each injected reply was observed, or was in flight.
	Balanced bool   `json:"balanced"`
	Injected uint64 `json:"injected"`
	Observed uint64 `json:"observed"`
	InFlight uint64 `json:"in_flight"`
	// Problems name every difference, one line each; none when Balanced.
	Problems []string `json:"problems,omitempty"`
}

// Reconcile compares what the sink injected with what the client observed, per
// stage, code and enhanced status code as they stand on the wire.
//
// In-flight replies are the only excuse for a difference, and a narrow one:
//   - A reply that was injected and not observed is excused only by a reply
//     that a side knew to be unfinished at that stage. For the sink these are
//     those of the very same code that it never sent, or doesn't know to be read; for the client its errors at
//     that stage which cut the wait for a reply short (see WaitCutShort), each
//     of which excuses one reply of any code there.
//   - A reply that was observed and not injected is never excused.
//   - Of the replies that the sink never wrote, all must be missing: one that
//     was observed nevertheless is a contradiction.
//
// The sink's own counts are checked as well: what a rule's outcomes add up to
// must equal the replies counted under that rule's name.
func Reconcile(client *Client, sink *Sink) Reconciliation {
	l := newLedger(client, sink)
	var out Reconciliation
	out.Problems = append(out.Problems, l.malformed...)
	for _, reply := range l.replies() {
		row, problems := l.compare(reply)
		out.Rows = append(out.Rows, row)
		out.Problems = append(out.Problems, problems...)
		out.Injected += row.Injected
		out.Observed += row.Observed
		out.InFlight += row.InFlight
	}
	out.Problems = append(out.Problems, checkRules(sink)...)
	out.Balanced = len(out.Problems) == 0
	return out
}

// WaitCutShort says whether an error code of the client (k6/http's ranges, with
// the extension's own 1030, 1060, 1070 and 1230) means that a reply was awaited
// and didn't come: timeouts, aborts, broken connections. Name lookup (11xx),
// dialling (1210-1219) and TLS errors (13xx) come before there is a reply to wait
// for; an unexpected reply (1030) and a negative one (14xx, 15xx) did arrive. So
// did a malformed one (1070): it was read, and never excuses anything.
func WaitCutShort(errorCode int) bool {
	switch errorCode {
	case 1000, // unknown cause
		1050, // timeout
		1060: // the iteration ended, or the client was closed
		return true
	}
	return errorCode >= 1200 && errorCode < 1210 || errorCode >= 1220 && errorCode < 1300
}

// ledger holds both sides' counts while they are compared.
type ledger struct {
	planned  map[count.Kind]float64
	drawn    map[count.Kind]uint64
	injected map[count.Kind]uint64
	observed map[count.Kind]uint64
	unsent   map[count.Kind]uint64 // of injected
	unread   map[count.Kind]uint64 // of injected
	// cutShort is what is left of the client's unfinished replies per stage.
	cutShort  map[smtp.Stage]uint64
	malformed []string
}

func newLedger(client *Client, sink *Sink) *ledger {
	l := &ledger{
		planned: map[count.Kind]float64{}, drawn: map[count.Kind]uint64{},
		injected: map[count.Kind]uint64{}, observed: map[count.Kind]uint64{},
		unsent: map[count.Kind]uint64{}, unread: map[count.Kind]uint64{}, cutShort: map[smtp.Stage]uint64{},
	}
	for i := range sink.Replies {
		r := &sink.Replies[i]
		reply := r.OnTheWire()
		l.injected[reply] += r.Decided
		l.unsent[reply] += r.Unsent()
		l.unread[reply] += r.Unread
		if r.Planned > 0 {
			l.planned[reply] += r.Planned
			l.drawn[reply] += r.Decided
		} else {
			l.planned[reply] += float64(r.Decided)
		}
	}
	for _, s := range client.Find(MetricReplies, nil) {
		reply, err := kindOnTheWire(s.Tags)
		if err != nil {
			l.malformed = append(l.malformed, fmt.Sprintf("client: %s: %v", MetricReplies, err))
			continue
		}
		l.observed[reply] += uint64(s.Summary().Sum)
	}
	for _, s := range client.Find(MetricErrors, nil) {
		code, err := strconv.Atoi(s.Tags["error_code"])
		if err != nil || !WaitCutShort(code) {
			continue
		}
		if stage, err := smtp.ParseStage(s.Tags["phase"]); err == nil {
			l.cutShort[stage] += uint64(s.Summary().Sum)
		}
	}
	return l
}

// kindOnTheWire reads the tags of MetricReplies.
func kindOnTheWire(tags Tags) (reply count.Kind, err error) {
	if reply.Stage, err = smtp.ParseStage(tags["phase"]); err != nil {
		return reply, err
	}
	code, err := strconv.ParseUint(tags["code"], 10, 16)
	if err != nil {
		return reply, fmt.Errorf("the code tag %q is no number", tags["code"])
	}
	reply.Code = smtp.Code(code)
	return reply, reply.Enhanced.UnmarshalText([]byte(tags["enhanced"]))
}

// replies lists every reply that either side mentions.
func (l *ledger) replies() []count.Kind {
	var all []count.Kind
	for r := range l.injected {
		all = append(all, r)
	}
	for r := range l.observed {
		all = append(all, r)
	}
	slices.SortFunc(all, count.Kind.Compare)
	return slices.Compact(all)
}

func (l *ledger) compare(reply count.Kind) (Row, []string) {
	row := Row{
		Kind:     reply,
		Planned:  l.planned[reply],
		Drawn:    l.drawn[reply],
		Injected: l.injected[reply],
		Observed: l.observed[reply],
	}
	var problems []string
	if row.Observed > row.Injected {
		row.Difference = -int64(row.Observed - row.Injected) // #nosec G115 -- replies never get near 2^63
		return row, append(problems, fmt.Sprintf("%s: observed %d but injected only %d", reply, row.Observed, row.Injected))
	}
	missing := row.Injected - row.Observed
	if unsent := l.unsent[reply]; unsent > missing {
		problems = append(problems, fmt.Sprintf("%s: %d replies never left the sink, yet only %d are missing at the client", reply, unsent, missing))
	}
	row.InFlight = min(missing, l.unsent[reply]+l.unread[reply])
	byClient := min(missing-row.InFlight, l.cutShort[reply.Stage])
	l.cutShort[reply.Stage] -= byClient
	row.InFlight += byClient
	if left := missing - row.InFlight; left > 0 {
		row.Difference = int64(left) // #nosec G115 -- replies never get near 2^63
		problems = append(problems, fmt.Sprintf("%s: injected %d, observed %d, in flight %d: %d unexplained", reply, row.Injected, row.Observed, row.InFlight, left))
	}
	return row, problems
}

// checkRules compares what each rule has drawn with the replies that carry its name.
func checkRules(sink *Sink) (problems []string) {
	carried, drew := map[string]uint64{}, map[string]uint64{}
	for _, r := range sink.Replies {
		if name, ok := strings.CutPrefix(r.Cause, count.CauseRule); ok {
			carried[name] += r.Decided
		}
	}
	for _, rule := range sink.Rules {
		var sum uint64
		for _, o := range rule.Outcomes {
			sum += o.Injected
		}
		drew[rule.Name] += sum
		if sum != rule.Occurrences {
			problems = append(problems, fmt.Sprintf("sink: rule %q spoke %d times but its outcomes add up to %d", rule.Name, rule.Occurrences, sum))
		}
	}
	for name, n := range drew {
		if carried[name] != n {
			problems = append(problems, fmt.Sprintf("sink: rule %q drew %d times but %d replies carry its name", name, n, carried[name]))
		}
	}
	slices.Sort(problems)
	return problems
}

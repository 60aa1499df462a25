package report

import (
	"slices"
	"strings"

	"github.com/smtpstorm/xk6-smtp/bench/result"
)

// Verdict is what all runs of a report come to. Console, page, summary and exit status say this one.
type Verdict struct {
	// Name is "sound", "faults" or "undetermined".
	Name string `json:"verdict"`
	// Exit is the exit status that goes with it: 0 sound, 1 faults, 3 undetermined (docs/books.md).
	Exit int `json:"exit_status"`
	// Sentence says it to a reader.
	Sentence string `json:"sentence"`
}

// The verdicts and their exit statuses.
const (
	verdictSound        = "sound"
	verdictFaults       = "faults"
	verdictUndetermined = "undetermined"

	exitSound        = 0
	exitFaults       = 1
	exitUndetermined = 3
)

// judge says what the runs come to. Thresholds of a script are not judged: k6 has its own exit status for them.
func judge(legs []Leg) Verdict {
	var failed, open []string
	for i := range legs {
		leg := &legs[i]
		for _, c := range leg.Checks {
			if c.Status == Fail {
				failed = append(failed, leg.Label+": "+c.Name+": "+c.Text)
			}
		}
		if d := leg.record.Delivery; d != nil && unexplained(d) != "" {
			open = append(open, leg.Label+": "+unexplained(d))
		}
	}
	switch {
	case len(failed) > 0:
		return Verdict{verdictFaults, exitFaults, "FAILED: " + strings.Join(append(failed, open...), "\n")}
	case len(open) > 0:
		return Verdict{verdictUndetermined, exitUndetermined, "UNDETERMINED: " + strings.Join(open, "\n")}
	}
	return Verdict{verdictSound, exitSound, sound(legs)}
}

// unexplained says what is not known of messages that an MTA accepted; empty: nothing is open.
func unexplained(d *result.Delivery) string {
	var parts []string
	if d.Undelivered > 0 {
		parts = append(parts, count(d.Undelivered)+" of the "+count(d.Accepted)+" messages that the MTA accepted did not reach the sink: still queued, or lost")
	}
	if d.Duplicated > 0 {
		parts = append(parts, count(d.Duplicated)+" of the "+count(d.Accepted)+" messages reached the sink more than once: a reply that was lost may excuse it, or not")
	}
	return strings.Join(parts, "; ")
}

// sound says what was proved, and no more.
func sound(legs []Leg) string {
	var sentences, crossed []string
	has := func(of func(Leg) bool) bool { return slices.ContainsFunc(legs, of) }
	if has(func(l Leg) bool { return l.Reconciliation != nil }) {
		sentences = append(sentences, "The books balance: every reply that the sink injected was observed by the client, or was in flight when the run stopped.")
	}
	if has(func(l Leg) bool { return l.record.Delivery != nil }) {
		sentences = append(sentences, "Every message that the MTA accepted was delivered once, or refused for good.")
	}
	if has(func(l Leg) bool { return l.Reconciliation == nil && l.record.Delivery == nil }) {
		sentences = append(sentences, "No check failed, but not every run recorded both sides.")
	}
	for _, leg := range legs {
		for _, c := range leg.Checks {
			if c.Status == Note && c.Name == "thresholds" {
				crossed = append(crossed, leg.Label)
			}
		}
	}
	if len(crossed) > 0 {
		sentences = append(sentences, "Thresholds of the script were crossed in: "+strings.Join(crossed, ", ")+".")
	}
	return strings.Join(sentences, " ")
}

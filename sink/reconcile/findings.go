package reconcile

import "fmt"

// Severity says what a finding means for the verdict.
type Severity uint8

// The severities.
const (
	Fault       Severity = iota // the pipeline did what it must not
	Warning                     // worth a look
	Information                 // how mail went
)

// String returns "fault", "warning" or "information".
func (s Severity) String() string {
	if s > Information {
		return fmt.Sprintf("severity(%d)", uint8(s))
	}
	return [...]string{"fault", "warning", "information"}[s]
}

// MarshalText implements encoding.TextMarshaler.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Severity) UnmarshalText(text []byte) error {
	for v := Fault; v <= Information; v++ {
		if v.String() == string(text) {
			*s = v
			return nil
		}
	}
	return fmt.Errorf("unknown severity %q (valid: fault warning information)", text)
}

// Kind names what was found, as files write it.
type Kind string

// The kinds of findings; docs/reconciliation.md says what each means.
const (
	KindLost             Kind = "lost"
	KindDuplicated       Kind = "duplicated"
	KindAltered          Kind = "delivered-altered"
	KindMisdelivered     Kind = "misdelivered"
	KindMisrouted        Kind = "misrouted"
	KindSwapped          Kind = "bodies-swapped"
	KindHeaderLost       Kind = "header-lost"
	KindAlthoughRefused  Kind = "delivered-although-refused"
	KindRetriedRefusal   Kind = "retried-after-refusal"
	KindRetriedTooSoon   Kind = "retried-too-soon"
	KindWithoutPause     Kind = "retried-without-pause"
	KindDSNMissing       Kind = "dsn-missing"
	KindDSNForged        Kind = "dsn-forged"
	KindDSNRepeated      Kind = "dsn-repeated"
	KindHarness          Kind = "harness-mismatch"
	KindForeign          Kind = "foreign"
	KindOverlapped       Kind = "overlapped"
	KindRewritten        Kind = "message-id-rewritten"
	KindDSNEarly         Kind = "dsn-early"
	KindDSNMalformed     Kind = "dsn-malformed"
	KindQueuedDelivered  Kind = "queued-although-delivered"
	KindSplit            Kind = "split"
	KindReEncoded        Kind = "re-encoded"
	KindNotCompared      Kind = "body-not-compared"
	KindRcptRewritten    Kind = "recipient-rewritten"
	KindCaseChanged      Kind = "local-part-case-changed"
	KindExpiredPermanent Kind = "expired-with-5xx-status"
	KindDSNAfterUntold   Kind = "dsn-after-untold"
	KindIncident         Kind = "explained-by-incident"
	KindReturned         Kind = "returned-too-soon"
	KindForeignOther     Kind = "foreign-of-another-run"
)

// kinds lists the kinds in the order in which they are shown.
var kinds = [...]struct {
	kind     Kind
	severity Severity
	means    string
}{
	{KindLost, Fault, "acknowledged, and nowhere to be found"},
	{KindDuplicated, Fault, "delivered again although the sender had been told of the delivery before"},
	{KindAltered, Fault, "delivered with a body that is another's or changed"},
	{KindMisdelivered, Fault, "delivered to another recipient instead"},
	{KindMisrouted, Fault, "a copy was delivered to a stranger"},
	{KindSwapped, Fault, "delivered with the content of another message in the right envelope"},
	{KindHeaderLost, Fault, "delivered without the X-Storm-Id or Message-ID that it was sent with"},
	{KindAlthoughRefused, Fault, "delivered although the sender of the message was told a refusal"},
	{KindRetriedRefusal, Fault, "tried again after a permanent refusal was told"},
	{KindRetriedTooSoon, Fault, "tried again sooner than the retry policy allows"},
	{KindWithoutPause, Fault, "tried again and again without a pause"},
	{KindDSNMissing, Fault, "not delivered, and the sender was not notified"},
	{KindDSNForged, Fault, "notified as failed although the delivery was acknowledged"},
	{KindDSNRepeated, Fault, "notified as failed more than once"},
	{KindHarness, Fault, "what the sink injected and what was observed differ"},
	{KindForeign, Fault, "seen at the sink with this run's id, and never claimed"},
	{KindOverlapped, Warning, "a second copy was sent while the first was still under way"},
	{KindRewritten, Warning, "delivered with another Message-ID"},
	{KindDSNEarly, Warning, "notified as failed before the refusal"},
	{KindDSNMalformed, Warning, "a notification that could not be read in full"},
	{KindQueuedDelivered, Warning, "delivered, and still in the queue"},
	{KindSplit, Information, "recipients of one message that were delivered in different transactions"},
	{KindReEncoded, Information, "an 8-bit body that was re-encoded for a session without 8BITMIME"},
	{KindNotCompared, Information, "an 8-bit body that was delivered in a session without 8BITMIME, where re-encoding is allowed"},
	{KindRcptRewritten, Information, "delivered to another address than the claimed one, which ORCPT names"},
	{KindCaseChanged, Information, "delivered to a local part that differs in case alone"},
	{KindExpiredPermanent, Information, "given up with a status of 5.x.x although the sink told no permanent refusal"},
	{KindDSNAfterUntold, Information, "notified as failed although the refusal was never received"},
	{KindIncident, Information, "delivered again after an incident that excuses it"},
	{KindReturned, Information, "a sender that a reaction of the plan had refused, and that came back while its standing held"},
	{KindForeignOther, Information, "seen at the sink, never claimed, without this run's id"},
}

// Counts returns what a finding of the kind has so many of, in the singular, and whether units.jsonl names them all.
func (k Kind) Counts() (noun string, units bool) {
	switch k {
	case KindHarness:
		return "difference", false
	case KindReturned:
		return "sender", false
	}
	return "unit", true
}

// Severity returns the kind's severity.
func (k Kind) Severity() Severity {
	for i := range kinds {
		if kinds[i].kind == k {
			return kinds[i].severity
		}
	}
	return Warning
}

// Kinds returns all kinds, in the order in which they are shown.
func Kinds() []Kind {
	out := make([]Kind, len(kinds))
	for i := range kinds {
		out[i] = kinds[i].kind
	}
	return out
}

// Finding is one thing that was found, with all its numbers: a renderer computes nothing.
type Finding struct {
	Kind     Kind              `json:"kind"`
	Severity Severity          `json:"severity"`
	Units    uint64            `json:"units"` // how many units it concerns, or strangers that no unit is known of, or what Kind.Counts says
	Means    string            `json:"means"`
	Numbers  map[string]uint64 `json:"numbers,omitempty"`
	Evidence []Evidence        `json:"evidence,omitempty"` // the first 20
}

// Evidence names one unit of a finding, or, without token and recipient, says in Note what else was found.
type Evidence struct {
	Leg       string `json:"leg,omitempty"` // of a run that has several
	Token     string `json:"token,omitempty"`
	Recipient string `json:"recipient,omitempty"`
	Note      string `json:"note,omitempty"`
}

// maxEvidence bounds the units that a finding names; all are in units.jsonl.
const maxEvidence = 20

// flags are what was noted of a unit or a delivery. Most stand for a finding.
type flags uint32

const (
	recipientRewritten flags = 1 << iota
	caseChanged
	stormIDLost
	messageIDLost
	messageIDRewritten
	bodyNotCompared
	reEncoded
	altered
	swapped
	refusedUntold
	refusedUnknown
	acceptedTold
	gaveUp
	notifiedEarly
	overlappedCopies
	incidentExcused
	strayed // a copy went to a stranger
	wasSplit
	retriedRefusal
	retriedSoon
	withoutPause
	seenEarly     // an attempt before the first claim may have been its
	unreadRefused // a 5xx was told to a RCPT of its transaction that could not be read
)

// flagKinds are the findings that flags alone decide.
var flagKinds = [...]struct {
	flag flags
	kind Kind
}{
	{altered, KindAltered}, {swapped, KindSwapped}, {stormIDLost | messageIDLost, KindHeaderLost}, {messageIDRewritten, KindRewritten},
	{bodyNotCompared, KindNotCompared}, {reEncoded, KindReEncoded}, {recipientRewritten, KindRcptRewritten}, {caseChanged, KindCaseChanged},
	{overlappedCopies, KindOverlapped}, {incidentExcused, KindIncident}, {notifiedEarly, KindDSNEarly}, {retriedRefusal, KindRetriedRefusal},
	{retriedSoon, KindRetriedTooSoon}, {withoutPause, KindWithoutPause}, {wasSplit, KindSplit},
}

// find counts a unit, or a stranger, under a kind.
func (j *Judge) find(k Kind, token, recipient, note string) {
	f := j.finding(k)
	f.Units++
	if len(f.Evidence) < maxEvidence {
		f.Evidence = append(f.Evidence, Evidence{Token: token, Recipient: recipient, Note: note})
	}
}

func (j *Judge) finding(k Kind) *Finding {
	f := j.found[k]
	if f == nil {
		made := NewFinding(k)
		f = &made
		f.Numbers = map[string]uint64{}
		j.found[k] = f
	}
	return f
}

// NewFinding returns a finding of that kind that concerns nothing yet.
func NewFinding(k Kind) Finding {
	f := Finding{Kind: k, Severity: k.Severity()}
	for i := range kinds {
		if kinds[i].kind == k {
			f.Means = kinds[i].means
		}
	}
	return f
}

package reconcile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/text"
)

// Exit statuses (docs/reconciliation.md, Verdict). A usage error is 2 and comes before any judgement.
const (
	ExitSound        = 0
	ExitFaults       = 1
	ExitUndetermined = 3
	ExitThresholds   = 99
)

// Verdict is the one sentence about a run, and its exit status.
type Verdict struct {
	Verdict  string `json:"verdict"` // sound, faults, undetermined or thresholds
	Exit     int    `json:"exit_status"`
	Sentence string `json:"sentence"`
}

// FailOn is what changes the exit status: names of kinds of findings, and of undetermined, queued, expired and thresholds.
type FailOn map[string]bool

// failAliases are short names for several kinds.
var failAliases = map[string][]Kind{
	"altered": {KindAltered, KindSwapped, KindHeaderLost},
	"dsn":     {KindDSNMissing, KindDSNForged, KindDSNRepeated},
	"retried": {KindRetriedRefusal, KindRetriedTooSoon, KindWithoutPause},
}

const failOthers = "queued expired undetermined thresholds"

// DefaultFailOn returns all faults, undetermined and thresholds.
func DefaultFailOn() FailOn {
	f := FailOn{"undetermined": true, "thresholds": true}
	for i := range kinds {
		if kinds[i].severity == Fault {
			f[string(kinds[i].kind)] = true
		}
	}
	return f
}

// ParseFailOn reads names that commas separate: kinds of findings, "altered", "dsn" or "retried" for all of theirs, "queued",
// "expired", "undetermined", "thresholds", "faults" for all faults, or "none".
func ParseFailOn(list string) (FailOn, error) {
	f := FailOn{}
	for name := range strings.SplitSeq(list, ",") {
		name = strings.TrimSpace(name)
		switch {
		case name == "none":
		case name == "faults":
			for i := range kinds {
				if kinds[i].severity == Fault {
					f[string(kinds[i].kind)] = true
				}
			}
		case failAliases[name] != nil:
			for _, k := range failAliases[name] {
				f[string(k)] = true
			}
		case slices.Contains(strings.Fields(failOthers), name), slices.Contains(Kinds(), Kind(name)):
			f[name] = true
		default:
			return nil, fmt.Errorf("unknown name %q (valid: %s)", name, strings.Join(failNames(), " "))
		}
	}
	return f, nil
}

func failNames() []string {
	names := []string{"faults", "altered", "dsn", "retried", "queued", "expired", "undetermined", "thresholds", "none"}
	for _, k := range Kinds() {
		names = append(names, string(k))
	}
	return names
}

// Result is what came out. A renderer computes nothing.
type Result struct {
	Verdict  Verdict
	Messages uint64
	Units    uint64
	Fates    [NumFates]uint64
	Findings []Finding
	Lacking  []string // what would have to be known to call a unit lost

	Phases []event.Phase // when the phases of a storm began, as far as the ledgers tell; the last maxPhases. Not in JSON

	Replies              uint64 // of the sink that were compared with what clients observed
	Runs                 uint64 // of sinks
	Killed               uint64 // of these, those that ended without a stop row, and another went on with the ledger
	Attempts             uint64
	Deliveries           uint64
	Returned             uint64 // attempts of notifications on their way to a claimed sender
	Unattributed         uint64 // attempts outside any transaction, or of one of several units that nothing tells apart
	Early                uint64 // attempts that fit a claim and ended before the first one: of another run, or a clock is wrong; else not counted
	Foreign              uint64 // attempts that nothing ties to a claim
	StrayAttempts        uint64 // attempts of a claimed message to somebody else that were not delivered
	UnknownNotifications uint64
	Incidents            uint64
	MissingRows          uint64
	TornClaims           uint64 // lists of claims that end in a row that is not whole: one may be missing
	TornOctets           int64
}

const (
	tornClaims = "the list of what was sent ends in a row that is not whole"
	noClaims   = "nothing is claimed to have been sent, so that there is nothing to judge"
)

// verdict applies docs/reconciliation.md, Verdict. The sentence names all that was found, whatever fails.
func (r *Result) verdict(o *Options) Verdict {
	undetermined := r.Fates[Undetermined]
	var v Verdict
	var also []string
	switch faults := r.named(Fault); {
	case len(faults) > 0:
		v.Verdict = "faults"
		v.Sentence = "FAULTS: " + strings.Join(faults, ", ")
		if r.Units > 0 {
			v.Sentence = fmt.Sprintf("FAULTS in %s: %s", text.Counted(r.Units, "unit"), strings.Join(faults, ", "))
		}
		if undetermined > 0 {
			also = append(also, fmt.Sprintf("%s more undetermined", text.Count(undetermined)))
		}
	case undetermined > 0:
		v.Verdict = "undetermined"
		v.Sentence = fmt.Sprintf("UNDETERMINED: %s of %s may be lost or still on their way: not enough is known", text.Count(undetermined), text.Counted(r.Units, "unit"))
	case o.Stopped != "":
		v.Verdict = "undetermined"
		v.Sentence = fmt.Sprintf("UNDETERMINED: not all of the load was carried out (%s)", o.Stopped)
		if r.Units > 0 {
			also = append(also, r.soFar())
		}
	case r.TornClaims > 0:
		v.Verdict = "undetermined"
		v.Sentence = fmt.Sprintf("UNDETERMINED: %s; %s", tornClaims, r.soFar())
	case r.claimless():
		v.Verdict = "undetermined"
		v.Sentence = "UNDETERMINED: " + noClaims
	case o.Crossed != "":
		v.Verdict = "thresholds"
		v.Sentence = fmt.Sprintf("THRESHOLDS crossed (%s); the verdict on the messages is sound: %s", o.Crossed, r.proved())
	default:
		v.Verdict = "sound"
		v.Sentence = "SOUND: " + r.proved()
	}
	if n := r.Fates[Queued]; n > 0 {
		also = append(also, fmt.Sprintf("%s still queued", text.Count(n)))
	}
	if o.Stopped != "" && !strings.Contains(v.Sentence, o.Stopped) {
		also = append(also, fmt.Sprintf("not all of the load was carried out (%s)", o.Stopped))
	}
	if r.TornClaims > 0 && !strings.Contains(v.Sentence, tornClaims) {
		also = append(also, tornClaims)
	}
	if o.Crossed != "" && v.Verdict != "thresholds" {
		also = append(also, fmt.Sprintf("thresholds crossed (%s)", o.Crossed))
	}
	for _, what := range also {
		v.Sentence += "; " + what
	}
	v.Exit = r.exit(o)
	return v
}

// claimless reports that a sink saw messages that no claim names, and that nothing else was compared.
func (r *Result) claimless() bool { return r.Units == 0 && r.Attempts > 0 && r.Replies == 0 }

// soFar says what holds of the part of the load that was carried out.
func (r *Result) soFar() string {
	return fmt.Sprintf("of the %s that were sent, none is lost and none is duplicated without cause", text.Counted(r.Units, "unit"))
}

// proved says what was found to be right, and no more.
func (r *Result) proved() string {
	var parts []string
	if r.Units > 0 || r.Attempts > 0 {
		parts = append(parts, fmt.Sprintf("all %s accounted for, nothing lost, nothing duplicated without cause", text.Counted(r.Units, "unit")))
	}
	if r.Replies > 0 {
		parts = append(parts, fmt.Sprintf("each of the %s replies that the sink injected was observed, or in flight when the run stopped", text.Count(r.Replies)))
	}
	if len(parts) == 0 {
		return "nothing contradicts, but nothing was recorded on both sides that could"
	}
	return strings.Join(parts, "; ")
}

// exit returns the exit status: what FailOn leaves out fails nothing.
func (r *Result) exit(o *Options) int {
	for i := range r.Findings {
		if o.FailOn[string(r.Findings[i].Kind)] {
			return ExitFaults
		}
	}
	switch {
	case o.FailOn["queued"] && r.Fates[Queued] > 0, o.FailOn["expired"] && r.Fates[Expired] > 0:
		return ExitFaults
	case o.FailOn["undetermined"] && (r.Fates[Undetermined] > 0 || o.Stopped != "" || r.TornClaims > 0 || r.claimless()):
		return ExitUndetermined
	case o.FailOn["thresholds"] && o.Crossed != "":
		return ExitThresholds
	}
	return ExitSound
}

// named lists the findings of a severity with their numbers.
func (r *Result) named(s Severity) (out []string) {
	for i := range r.Findings {
		if f := &r.Findings[i]; f.Severity == s {
			what := text.Count(f.Units) + " " + string(f.Kind)
			if f.Kind == KindHarness && len(f.Evidence) > 0 { // no fate tells more of it
				what += fmt.Sprintf(" (%s)", f.Evidence[0])
			}
			out = append(out, what)
		}
	}
	return out
}

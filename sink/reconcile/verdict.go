package reconcile

import (
	"fmt"
	"slices"
	"strings"
)

// Exit statuses (docs/books.md, Verdict). A usage error is 2 and comes before any judgement.
const (
	ExitSound        = 0
	ExitFaults       = 1
	ExitUndetermined = 3
	ExitThresholds   = 99
)

// Verdict is the one sentence about a run, and its exit status.
type Verdict struct {
	Verdict  string `json:"verdict"` // sound, faults or undetermined
	Exit     int    `json:"exit"`
	Sentence string `json:"sentence"`
}

// FailOn is what changes the exit status: names of kinds of findings, and of undetermined, queued and thresholds.
type FailOn map[string]bool

// failAliases are short names for several kinds.
var failAliases = map[string][]Kind{
	"altered": {KindAltered, KindSwapped, KindHeaderLost},
	"dsn":     {KindDSNMissing, KindDSNForged, KindDSNRepeated},
	"retried": {KindRetriedRefusal, KindRetriedTooSoon},
}

const failOthers = "queued undetermined thresholds"

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
// "undetermined", "thresholds", "faults" for all faults, or "none".
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
	names := []string{"faults", "altered", "dsn", "retried", "queued", "undetermined", "thresholds", "none"}
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

	Runs                 uint64 // of sinks
	Attempts             uint64
	Deliveries           uint64
	Returned             uint64 // attempts of notifications on their way to a claimed sender
	Unattributed         uint64 // attempts outside any transaction
	Foreign              uint64 // attempts that nothing ties to a claim
	StrayAttempts        uint64 // attempts of a claimed message to somebody else that were not delivered
	UnknownNotifications uint64
	Incidents            uint64
	MissingRows          uint64
	TornOctets           int64
}

// verdict applies docs/books.md, Verdict.
func (r *Result) verdict(o *Options) Verdict {
	faults := r.named(Fault)
	queued := ""
	if n := r.Fates[Queued]; n > 0 {
		queued = fmt.Sprintf("; %d still queued", n)
	}
	v := Verdict{}
	switch undetermined := r.Fates[Undetermined]; {
	case len(faults) > 0:
		v.Verdict = "faults"
		v.Sentence = fmt.Sprintf("FAULTS in %d %s: %s", r.Units, plural(r.Units, "unit"), strings.Join(faults, ", "))
		if undetermined > 0 {
			v.Sentence += fmt.Sprintf("; %d more undetermined", undetermined)
		}
		v.Sentence += queued
	case undetermined > 0:
		v.Verdict = "undetermined"
		v.Sentence = fmt.Sprintf("UNDETERMINED: %d of %d %s may be lost or still on their way: not enough is known%s", undetermined, r.Units, plural(r.Units, "unit"), queued)
	case o.Stopped != "":
		v.Verdict = "undetermined"
		v.Sentence = fmt.Sprintf("UNDETERMINED: the run ended early (%s); of %d %s nothing is lost or duplicated so far%s", o.Stopped, r.Units, plural(r.Units, "unit"), queued)
	default:
		v.Verdict = "sound"
		v.Sentence = fmt.Sprintf("SOUND: all %d %s accounted for, nothing lost, nothing duplicated without cause%s", r.Units, plural(r.Units, "unit"), queued)
	}
	v.Exit = r.exit(o)
	return v
}

// exit returns the exit status: what FailOn leaves out fails nothing, though the sentence still names it.
func (r *Result) exit(o *Options) int {
	for i := range r.Findings {
		if o.FailOn[string(r.Findings[i].Kind)] {
			return ExitFaults
		}
	}
	if o.FailOn["queued"] && r.Fates[Queued] > 0 {
		return ExitFaults
	}
	if o.FailOn["undetermined"] && (r.Fates[Undetermined] > 0 || o.Stopped != "") {
		return ExitUndetermined
	}
	return ExitSound
}

// named lists the findings of a severity with their numbers.
func (r *Result) named(s Severity) (out []string) {
	for i := range r.Findings {
		if f := &r.Findings[i]; f.Severity == s {
			out = append(out, fmt.Sprintf("%d %s", f.Units, f.Kind))
		}
	}
	return out
}

func plural(n uint64, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

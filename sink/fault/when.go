package fault

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// CodePattern is a reply that a WhenSpec asks for.
type CodePattern struct {
	Class    uint8     // 2 to 5: every code with that first digit; 0: Code
	Code     smtp.Code // exactly this
	Enhanced smtp.Enhanced
}

// String returns the pattern as plans write it: "4xx", "550" or "550/5.1.1".
func (p CodePattern) String() string {
	switch {
	case p.Class != 0:
		return fmt.Sprintf("%dxx", p.Class)
	case p.Enhanced.IsZero():
		return fmt.Sprint(uint16(p.Code))
	}
	return fmt.Sprintf("%d/%v", uint16(p.Code), p.Enhanced)
}

// ParseCodePattern parses what String writes.
func ParseCodePattern(text string) (CodePattern, error) {
	if len(text) == 3 && text[0] >= '2' && text[0] <= '5' && strings.EqualFold(text[1:], "xx") {
		return CodePattern{Class: text[0] - '0'}, nil
	}
	o, err := ParseReply(text)
	if err != nil || o.Code == 0 {
		return CodePattern{}, fmt.Errorf("invalid code %q (want a code such as 550, with an enhanced status code such as 550/5.1.1, or all with a first digit such as 5xx)", text)
	}
	return CodePattern{Code: o.Code, Enhanced: o.Enhanced}, nil
}

// Matches reports whether the pattern is for the reply.
func (p CodePattern) Matches(code smtp.Code, enhanced smtp.Enhanced) bool {
	if p.Class != 0 {
		return code.Class() == p.Class
	}
	return p.Code == code && (p.Enhanced.IsZero() || p.Enhanced == enhanced)
}

// WhenSpec says which occurrences, and what was decided of them, a reaction counts: all that is given must hold. At least one of its
// fields must be given.
type WhenSpec struct {
	Stages []smtp.Stage  // any of these; none: every stage
	Codes  []CodePattern // any of these; none: whatever the reply, sent or not
	Rule   string        // a rule of this name has decided
	Limit  string        // a limit of this name has refused
	React  string        // the treatment of the reaction of this name has decided
	Early  string        // it came back to the greylist of this name before its delay was over
	Match
}

// IsZero reports whether nothing is asked for.
func (w *WhenSpec) IsZero() bool {
	return len(w.Stages) == 0 && len(w.Codes) == 0 && w.Rule == "" && w.Limit == "" && w.React == "" && w.Early == "" && w.Match.IsZero()
}

// CountSpec is a number of occurrences.
type CountSpec struct {
	WhenSpec
	After  int           // so many of them, 1 to MaxAfter
	Within time.Duration // in a window that starts with the first of them; 0: without end
}

// When is a validated WhenSpec. It is immutable and shared.
type When struct {
	WhenSpec
	After  uint32
	Within time.Duration

	stages   [smtp.NumStages]bool
	matcher  matcher
	matches  bool   // there are conditions of match
	envelope bool   // of them or of the key: some are about a transaction, which a command that is an error may not have
	early    uint64 // a bit of Occurrence.Early
}

// At reports whether occurrences of the stage may count.
func (w *When) At(s smtp.Stage) bool { return w != nil && w.stages[s] }

// Counts reports whether a decision at the stage counts, as far as it alone tells: what is known of the occurrence is not looked at.
func (w *When) Counts(s smtp.Stage, d *Decision) bool { return w.mayCount(s, d) }

// mayCount reports whether the decision alone doesn't tell that the occurrence does not count.
func (w *When) mayCount(s smtp.Stage, d *Decision) bool {
	switch {
	case w == nil || !w.stages[s]:
		return false
	case w.Rule != "" && (d.Rule == nil || d.Rule.Name != w.Rule):
		return false
	case w.Limit != "" && (d.Limit == nil || d.Limit.Name != w.Limit):
		return false
	case w.React != "" && (d.Reaction == nil || d.Reaction.Name != w.React):
		return false
	case w.envelope && d.Cause == CauseProtocol:
		return false
	}
	return len(w.Codes) == 0 || w.replies(s, d)
}

// replies reports whether the reply that was decided is one of those that are asked for. One that is never sent is none of them.
func (w *When) replies(s smtp.Stage, d *Decision) bool {
	if d.Chosen != nil && d.Chosen.Unsent() {
		return false
	}
	reply := d.Reply
	if reply == nil {
		reply = Plain(s)
	}
	code, enhanced := PlainCode(s), smtp.Enhanced{}
	if reply != nil {
		code, enhanced = reply.Code, reply.Enhanced
	}
	for _, p := range w.Codes {
		if p.Matches(code, enhanced) {
			return true
		}
	}
	return false
}

// counts reports whether the occurrence counts, of which mayCount holds.
func (w *When) counts(o *Occurrence) bool {
	return (w.early == 0 || o.Early&w.early != 0) && (!w.matches || w.matcher.holdsAll(o))
}

// whenOf validates a spec; the error has no position yet. of is whose occurrences are counted together.
func (c *planCompiler) whenOf(spec *WhenSpec, of Scope) (w *When, field string, err error) {
	w = &When{WhenSpec: *spec, After: 1}
	if spec.IsZero() {
		return nil, "", fmt.Errorf("no condition (want at least one, such as stage or code)")
	}
	stages := spec.Stages
	if len(stages) == 0 && spec.Early != "" {
		stages = []smtp.Stage{smtp.StageRcpt}
	}
	any := len(stages) == 0
	if any {
		for s := range smtp.Stage(smtp.NumStages) {
			stages = append(stages, s)
		}
	}
	if !spec.Levels.IsZero() {
		return nil, "level", errLevel
	}
	if spec.Wrong() {
		return nil, spec.wrongKey(), fmt.Errorf("not known to reactions (503 in code is what most commands out of order are answered)")
	}
	var first error
	firstField := ""
	for _, s := range stages {
		field, err := "", error(nil)
		switch {
		case int(s) >= smtp.NumStages:
			field, err = "stage", fmt.Errorf("unknown stage %v", s)
		case of.KnownAt(s) != nil:
			field, err = "stage", of.KnownAt(s)
		default:
			field, err = spec.Match.validate(s)
			field = strings.TrimPrefix(field, "match.")
		}
		if err == nil {
			w.stages[s] = true
			continue
		}
		if !any {
			return nil, field, err
		}
		if first == nil {
			first, firstField = err, field
		}
	}
	if w.stages == [smtp.NumStages]bool{} {
		return nil, firstField, first
	}
	w.matches = !spec.Match.IsZero()
	w.matcher = newMatcher(&spec.Match)
	w.envelope = of.Meets(scopeEnvelope) || len(spec.Senders) > 0 || len(spec.Recipients) > 0
	if field, err := c.checkMatches(&spec.Match, nil); err != nil {
		return nil, strings.TrimPrefix(field, "match."), err
	}
	return w, "", nil
}

// scopeEnvelope are the identities that a transaction has.
const scopeEnvelope = ScopeSender | ScopeSenderDomain | ScopeRecipient | ScopeRecipientDomain

// resolve checks the names that the condition has, once all of the plan are known.
func (c *planCompiler) resolveWhen(w *When) (field string, err error) {
	if w == nil {
		return "", nil
	}
	switch {
	case w.Rule != "" && !slices.Contains(c.plan.ruleNames(), w.Rule):
		return "rule", unknownName("rule", w.Rule, c.plan.ruleNames())
	case w.Limit != "" && c.limits[w.Limit] == "":
		return "limit", unknownName("limit", w.Limit, sortedKeys(c.limits))
	case w.React != "" && c.reactions[w.React] == nil:
		return "react", unknownName("reaction", w.React, c.plan.reactionNames())
	case w.Early != "":
		greylists := c.plan.greylists()
		i := slices.IndexFunc(greylists, func(l *Limit) bool { return l.Name == w.Early })
		if i < 0 {
			names := make([]string, len(greylists))
			for j, l := range greylists {
				names[j] = l.Name
			}
			return "early", unknownName("greylist", w.Early, names)
		}
		if !w.stages[smtp.StageRcpt] {
			return "stage", fmt.Errorf("greylists are asked at rcpt only")
		}
		bit, err := c.earlyBit(greylists[i])
		if err != nil {
			return "early", err
		}
		w.early = bit
	}
	for s := range smtp.Stage(smtp.NumStages) {
		if w.stages[s] {
			if err := c.resolveStandings(&w.matcher, &w.Match, s); err != nil {
				return "standing", err
			}
		}
	}
	return "", nil
}

func unknownName(what, name string, valid []string) error {
	if len(valid) == 0 {
		return fmt.Errorf("unknown %s %q (the plan has none)", what, name)
	}
	quoted := make([]string, len(valid))
	for i, v := range valid {
		quoted[i] = fmt.Sprintf("%q", v)
	}
	return fmt.Errorf("unknown %s %q (valid: %s)", what, name, strings.Join(quoted, " "))
}

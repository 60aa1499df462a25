package fault

import (
	"fmt"
	"slices"
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Dialogue are the conditions of a Match on what a client said in its command.
type Dialogue struct {
	Mechanisms []string // of AUTH (RFC 4954), without regard to case; known ones or others
	Steps      Range    // n-th reply of that AUTH: 1 answers the command, 2 the first response
	Turns      Range    // n-th reply of the connection; 1 is the greeting
	Rcpts      Range    // at rcpt: n-th RCPT of the transaction
	Parameters []string // of MAIL, such as PRDR, BODY=8BITMIME or AUTH=*: globs without regard to case; any of them holds, from mail on
}

// isZero reports whether there is no condition.
func (d *Dialogue) isZero() bool {
	return len(d.Mechanisms) == 0 && d.Steps.IsZero() && len(d.Parameters) == 0 && d.Turns.IsZero() && d.Rcpts.IsZero()
}

func (d *Dialogue) needs() Needs {
	return Needs{Auth: len(d.Mechanisms) > 0 || !d.Steps.IsZero(), Parameters: len(d.Parameters) > 0, Turns: !d.Turns.IsZero()}
}

func (d *Dialogue) validate(s smtp.Stage) (field string, err error) {
	for _, c := range [...]struct {
		field   string
		present bool
	}{{"match.mechanism", len(d.Mechanisms) > 0}, {"match.step", !d.Steps.IsZero()}} {
		if c.present && s != smtp.StageAuth {
			return c.field, fmt.Errorf("not known at stage %v (known at: auth)", s)
		}
	}
	if len(d.Parameters) > 0 && !knowsSender(s) {
		return "match.parameter", fmt.Errorf("not known yet at stage %v (known at: mail rcpt data bdat message)", s)
	}
	if !d.Rcpts.IsZero() && s != smtp.StageRcpt {
		return "match.rcpt", fmt.Errorf("not known at stage %v (known at: rcpt)", s)
	}
	for _, r := range [...]struct {
		field string
		r     Range
	}{{"match.step", d.Steps}, {"match.turn", d.Turns}, {"match.rcpt", d.Rcpts}} {
		if r.r.To != 0 && r.r.To < r.r.From {
			return r.field, fmt.Errorf("empty range %d-%d (want the lower bound first)", r.r.From, r.r.To)
		}
	}
	for _, name := range d.Mechanisms {
		if !validMechanism(name) {
			return "match.mechanism", fmt.Errorf("invalid mechanism %q (want 1 to 20 letters, digits, - and _, such as NTLM)", name)
		}
	}
	for _, p := range d.Parameters {
		if keyword(p) == "" || len(p) > maxGlob {
			return "match.parameter", fmt.Errorf("invalid parameter %q (want a keyword, with = and its value where it has one, such as PRDR or AUTH=*)", p)
		}
	}
	return "", nil
}

// validMechanism reports whether a name is one of RFC 4422 section 3.1, in any case.
func validMechanism(name string) bool {
	return len(name) >= 1 && len(name) <= 20 && strings.IndexFunc(name, func(c rune) bool {
		return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_')
	}) < 0
}

// keyword returns the keyword that a pattern of parameters begins with, in lower case; empty: it is none (RFC 5321 section 4.1.2).
func keyword(pattern string) string {
	name, _, _ := strings.Cut(pattern, "=")
	for i, c := range []byte(name) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' && i > 0) {
			return ""
		}
	}
	return strings.ToLower(name)
}

// dialogueMatcher is a Dialogue in the form that matching compares.
type dialogueMatcher struct {
	mechanisms, parameters []string // lowered
	steps, turns, rcpts    Range
	present                bool
}

func newDialogueMatcher(d *Dialogue) dialogueMatcher {
	m := dialogueMatcher{steps: d.Steps, turns: d.Turns, rcpts: d.Rcpts, present: !d.isZero()}
	for _, name := range d.Mechanisms {
		m.mechanisms = append(m.mechanisms, strings.ToLower(name))
	}
	for _, p := range d.Parameters {
		m.parameters = append(m.parameters, string(lowerASCII([]byte(p))))
	}
	return m
}

// holds reports whether every condition holds.
func (m *dialogueMatcher) holds(o *Occurrence) bool {
	return !m.present || (m.steps.IsZero() || m.steps.Contains(o.AuthStep)) &&
		(m.turns.IsZero() || m.turns.Contains(o.Turn)) && (m.rcpts.IsZero() || m.rcpts.Contains(o.NthRcpt)) &&
		(m.mechanisms == nil || slices.ContainsFunc(m.mechanisms, func(name string) bool { return globMatches(name, o.Mechanism) })) &&
		(m.parameters == nil || m.holdsParameter(o.Parameters))
}

func (m *dialogueMatcher) holdsParameter(args []byte) bool {
	for {
		p, rest, ok, _ := smtp.NextParam(args)
		if !ok {
			return false
		}
		text := p.Key
		if p.HasValue {
			text = p.Key[:len(p.Key)+1+len(p.Value)]
		}
		if anyGlob(m.parameters, text) {
			return true
		}
		args = rest
	}
}

// KnowsParameter reports whether any rule asks for a parameter of MAIL with this keyword: then it is no unknown one.
func (v *View) KnowsParameter(name []byte) bool {
	return v != nil && v.plan != nil && v.plan.parameters[strings.ToLower(string(name))]
}

// knowParameters adds those that a match asks for.
func (p *Plan) knowParameters(m *Match) {
	for _, pattern := range m.Parameters {
		if p.parameters == nil {
			p.parameters = map[string]bool{}
		}
		p.parameters[keyword(pattern)] = true
	}
}

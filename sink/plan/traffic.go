package plan

import (
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/decide"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// path are the stages that a message without TLS and AUTH passes, once each but for rcpt, and in LMTP message.
var path = [...]smtp.Stage{smtp.StageConnect, smtp.StageEhlo, smtp.StageMail, smtp.StageRcpt, smtp.StageData, smtp.StageMessage}

// traffic is one kind of mail in one phase: an example of it is what package decide is asked about.
type traffic struct {
	view        *fault.View
	class                        // zero: mail that no condition names
	example     fault.Occurrence // its first attempt
	lmtp        bool
	implicitTLS bool
	apart       bool   // its protocol is told, since the plan's listeners have several
	when        string // in a phase with a ramp: at its beginning, or at its end
	down        bool   // its listener does not serve
}

// spread returns what may be decided at a stage, and how probably; at rcpt after so many RCPTs that no limit has refused, of which so many
// were accepted.
func (t *traffic) spread(s smtp.Stage, before, accepted int) []decide.Share {
	if t.view.Silent(s) && !t.view.Reactions(s).Asks() {
		return plain
	}
	return decide.Spread(t.view, decide.Point{Stage: s}, &visit{traffic: t, before: before, accepted: accepted})
}

// plain is the spread of a stage at which nothing but the plain reply can be decided.
var plain = []decide.Share{{Probability: 1}}

// visit is the connection of an example, as package decide asks about it.
type visit struct {
	*traffic
	before, accepted int
	occurrence       fault.Occurrence
	levels           fault.Levels
}

// Describe implements decide.Connection.
func (v *visit) Describe(s smtp.Stage, _ bool) *fault.Occurrence {
	v.occurrence = v.example
	v.occurrence.Stage, v.occurrence.Recipients = s, v.accepted
	return &v.occurrence
}

// Admit implements decide.Connection: buckets are full, nobody else is connected, and no triple of a greylist was seen before.
func (v *visit) Next(*fault.Occurrence) (d fault.Decision, ok bool) { return d, false }

func (v *visit) Admit(l *fault.Limit, o *fault.Occurrence) bool {
	switch l.Kind {
	case fault.LimitRate, fault.LimitQuota:
		return !sharedByRecipients(l) || v.before < tokensOf(l)
	case fault.LimitConcurrency:
		return true
	case fault.LimitRecipients:
		return int64(v.accepted) < l.Max
	case fault.LimitGreylist:
		return false
	}
	return l.Fits(o)
}

// Stand implements decide.Connection: nobody has come before, so that only what begins at first sight holds.
func (v *visit) Stand(x *fault.StageReactions, o *fault.Occurrence) {
	v.levels = fault.Levels{}
	o.Levels = &v.levels
	for _, g := range x.Groups {
		for _, r := range g.Reactions {
			if r.FirstSight && r.KnowsKey(o) && !r.Exempts(o) {
				v.levels[r.Index] = 1
			}
		}
	}
}

// Count implements decide.Connection.
func (v *visit) Count(*fault.StageReactions, *fault.Occurrence, fault.Counts) {}

// Return implements decide.Connection.
func (v *visit) Return(*fault.Limit, *fault.Occurrence) {}

// sharedByRecipients reports whether the recipients of a message, who are of one domain, take from one count.
func sharedByRecipients(l *fault.Limit) bool {
	return l.Stage == smtp.StageRcpt && !l.Scope.Has(fault.ScopeRecipient)
}

// tokensOf returns how many tokens a full bucket has, or how many places a new window.
func tokensOf(l *fault.Limit) int {
	if l.Kind == fault.LimitQuota {
		return int(min(l.Max, math.MaxInt32))
	}
	return int(math.Floor(l.Burst))
}

// rcptRoom returns how many RCPTs at once the limits let pass, and how many recipients a transaction may have.
func (t *traffic) rcptRoom() (tokens, places int) {
	tokens, places = math.MaxInt, math.MaxInt
	o := t.example
	o.Stage = smtp.StageRcpt
	limits := t.view.Limits(smtp.StageRcpt)
	for _, r := range t.view.Plan().Reactions() {
		if r.FirstSight && !r.Exempts(&o) {
			limits = slices.Concat(limits, r.Limits)
		}
	}
	for _, l := range limits {
		switch {
		case l.Stage != smtp.StageRcpt || !l.Applies(&o):
		case (l.Kind == fault.LimitRate || l.Kind == fault.LimitQuota) && sharedByRecipients(l):
			tokens = min(tokens, tokensOf(l))
		case l.Kind == fault.LimitRecipients:
			places = min(places, int(l.Max))
		}
	}
	return tokens, places
}

// Serving says how listeners serve that a plan does not declare.
type Serving struct{ LMTP, ImplicitTLS bool }

// service is a way in which a plan's listeners serve.
type service struct {
	Serving
	listener string // one that no condition names
}

// servicesOf returns the ways in which the plan's listeners serve mail that no condition names.
func servicesOf(p *fault.Plan, undeclared Serving) (all []service) {
	named := map[string]bool{}
	for _, r := range p.Rules() {
		for _, m := range matchesOf(r) {
			for _, name := range m.Listeners {
				named[name] = true
			}
		}
	}
	for i := range p.Listeners() {
		l := &p.Listeners()[i]
		known := slices.ContainsFunc(all, func(s service) bool { return s.LMTP == l.LMTP && s.ImplicitTLS == l.ImplicitTLS })
		if !known && !named[l.Name] {
			all = append(all, service{Serving{l.LMTP, l.ImplicitTLS}, l.Name})
		}
	}
	if len(all) == 0 {
		all = []service{{Serving: undeclared}}
	}
	return all
}

// exampleOf returns the first attempt of mail that no condition names, if there is such mail.
func exampleOf(p *fault.Plan) fault.Occurrence {
	recipient := []byte("any@recipient.invalid")
	return fault.Occurrence{
		Client: unnamedClient(p), ConnN: 1, Helo: []byte("client.invalid"), Sender: []byte("any@sender.invalid"), MailN: 1, MessageN: 1,
		Recipient: recipient, AcceptedRecipients: [][]byte{recipient}, RcptN: 1, MaxRcptN: 1, Nth: 1,
		Size: unnamedSize(p), Time: unnamedTime(p), Headers: unnamedHeader(p),
	}
}

// unnamedHeader has the fields whose absence some rule names; it is nil when no rule asks for headers.
func unnamedHeader(p *fault.Plan) fault.Headers {
	if !p.Needs().Headers {
		return nil
	}
	header := fault.ExampleHeader{}
	for _, r := range p.Rules() {
		for _, m := range matchesOf(r) {
			for _, n := range m.Repeats {
				for have := n.From; n.From == 0 && have <= n.To; have++ { // one more than the rule is for
					header = append(header, fault.ExampleField{Name: n.Name, Value: "x"})
				}
			}
		}
	}
	return header
}

// unnamedSize returns a size that no rule names, if any does; otherwise none, which is within all limits of size.
func unnamedSize(p *fault.Plan) int64 {
	var named []fault.SizeRange
	for _, r := range p.Rules() {
		for _, m := range matchesOf(r) {
			if m.Size != (fault.SizeRange{}) {
				named = append(named, m.Size)
			}
		}
	}
	if named == nil {
		return 0
	}
	for _, size := range []int64{2 << 10, 1, 64 << 10, 1 << 20, 32 << 20, 1 << 30} {
		if !slices.ContainsFunc(named, func(r fault.SizeRange) bool { return size >= r.From && (r.To == 0 || size <= r.To) }) {
			return size
		}
	}
	return 2 << 10
}

// exampleDay is the day of all examples.
var exampleDay = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// unnamedTime returns a time of day that no rule names, or any: there are windows that have them all.
func unnamedTime(p *fault.Plan) time.Time {
	for at := exampleDay; at.Before(exampleDay.Add(day)); at = at.Add(time.Minute) {
		if !slices.ContainsFunc(p.Rules(), func(r *fault.Rule) bool {
			return slices.ContainsFunc(matchesOf(r), func(m *fault.Match) bool {
				return slices.ContainsFunc(m.Times, func(d fault.DayTime) bool { return d.Holds(at) })
			})
		}) {
			return at
		}
	}
	return exampleDay
}

// unnamedClient returns an address that no rule names, or any: there are networks that have them all.
func unnamedClient(p *fault.Plan) netip.Addr {
	candidates := []netip.Addr{netip.AddrFrom4([4]byte{198, 51, 100, 1}), netip.AddrFrom4([4]byte{203, 0, 113, 1}), netip.AddrFrom4([4]byte{192, 0, 2, 1})}
	for _, a := range candidates {
		if !slices.ContainsFunc(p.Rules(), func(r *fault.Rule) bool {
			return slices.ContainsFunc(matchesOf(r), func(m *fault.Match) bool {
				return slices.ContainsFunc(m.Clients, func(n netip.Prefix) bool { return n.Contains(a) })
			})
		}) {
			return a
		}
	}
	return candidates[0]
}

// allTraffic returns the kinds of mail that are told apart in a phase, or outside of phases; in a phase with a ramp each at its beginning
// and at its end.
func allTraffic(p *fault.Plan, undeclared Serving, phase *fault.Phase) (all []*traffic) {
	rules := p.OwnRules()
	views := []traffic{{view: p.View(zeroTime, zeroTime)}}
	if phase != nil {
		rules = slices.Concat(rules, phase.Rules)
		views = []traffic{{view: phase.View(0)}}
		if ramp := phase.Ramp; ramp != nil {
			views = []traffic{{view: phase.Reaching(ramp.From), when: "beginning"}, {view: phase.Reaching(ramp.To), when: "end"}}
		}
	}
	services := servicesOf(p, undeclared)
	example := exampleOf(p)
	for _, c := range classes(rules, &example) {
		match := &c.match
		for _, s := range services {
			t := traffic{class: c, example: example, lmtp: s.LMTP, implicitTLS: s.ImplicitTLS, apart: s.LMTP || s.ImplicitTLS || len(services) > 1}
			t.example.Listener, t.example.TLS = s.listener, s.ImplicitTLS
			match.Example(&t.example, c.except)
			if len(match.Listeners) > 0 {
				t.serveAs(p, match.Listeners[0])
			}
			t.down = views[0].view.ListenerFault(t.example.Listener) != fault.ListenerUp
			for _, v := range views {
				one := t
				one.view, one.when = v.view, v.when
				all = append(all, &one)
			}
			if len(match.Listeners) > 0 {
				break
			}
		}
	}
	return all
}

// serveAs makes it mail at a listener of the plan.
func (t *traffic) serveAs(p *fault.Plan, name string) {
	for i := range p.Listeners() {
		if l := &p.Listeners()[i]; l.Name == name {
			t.lmtp, t.implicitTLS, t.apart = l.LMTP, l.ImplicitTLS, false
			t.example.TLS = t.example.TLS || l.ImplicitTLS
		}
	}
}

// class is a kind of mail: what a rule's match is for, but for its exceptions.
type class struct {
	match  fault.Match
	except []fault.Match
}

// classes returns the kinds of mail that are told apart: without any condition, one for each condition of a rule that does
// something else than letting mail pass, unless all mail fulfils it at its first attempt, and one for each exception of such a rule.
func classes(rules []*fault.Rule, example *fault.Occurrence) []class {
	list := []class{{}}
	known := map[string]bool{keyOf(&class{}): true}
	add := func(c class) {
		if key := keyOf(&c); !known[key] {
			known[key] = true
			list = append(list, c)
		}
	}
	for _, r := range rules {
		exempts := len(r.Outcomes) == 1 && r.Outcomes[0].Reply == nil && !r.Outcomes[0].Faulty
		if exempts || r.Match.Wrong() || !slices.Contains(path[:], r.Stage) {
			continue
		}
		if !r.Matches(example) && !r.Match.IsZero() {
			add(class{r.Match, r.Except})
		}
		for i := range r.Except {
			add(class{match: r.Except[i]})
		}
	}
	return list
}

// keyOf returns the same for the same conditions, in the same words and order.
func keyOf(c *class) string {
	text, err := json.Marshal([2]any{c.match, c.except})
	if err != nil { // nothing in a match has no JSON form
		text = fmt.Appendf(nil, "%+v", *c)
	}
	return string(text)
}

// matchesOf returns the conditions of a rule, and its exceptions.
func matchesOf(r *fault.Rule) []*fault.Match {
	all := []*fault.Match{&r.Match}
	for i := range r.Except {
		all = append(all, &r.Except[i])
	}
	return all
}

// mail says in words whose mail it is.
func (t *traffic) mail() string {
	words := "mail that no condition names"
	if !t.match.IsZero() {
		words = "mail with " + matchWords(&t.match)
		for i := range t.except {
			words += ", but not with " + matchWords(&t.except[i])
		}
	}
	if t.apart {
		words += map[bool]string{true: ", by LMTP", false: ", by SMTP"}[t.lmtp]
		if t.implicitTLS {
			words += " within TLS"
		}
	}
	return words
}

// odds returns the probability of each reply code at a stage, and of "no reply"; nil when neither a rule nor a limit speaks.
func (t *traffic) odds(s smtp.Stage) map[string]float64 {
	shares := t.spread(s, 0, 0)
	if len(shares) == 1 && shares[0].Cause == fault.CausePlain || s == smtp.StagePregreet { // whoever sends mail waits for the greeting
		return nil
	}
	odds := map[string]float64{}
	for i := range shares {
		x := &shares[i]
		code := fault.PlainCode(s)
		if x.Reply != nil {
			code = x.Reply.Code
		}
		name := fmt.Sprint(uint16(code))
		if x.Chosen != nil && x.Chosen.Unsent() {
			name = "no reply"
		}
		odds[name] += x.Probability
	}
	return odds
}

package fault

import (
	"net/netip"
	"slices"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// ruleIndex holds the rules of each stage: those for commands that are in order, and those for the others. Neither ever speaks for the
// other.
type ruleIndex struct {
	inOrder, outOfOrder [smtp.NumStages]stageIndex
}

func (x *ruleIndex) of(s smtp.Stage, outOfOrder bool) *stageIndex {
	if outOfOrder {
		return &x.outOfOrder[s]
	}
	return &x.inOrder[s]
}

// stageIndex finds the first rule of a stage that matches, without asking each: rules lie under the most telling condition that
// they have (recipient, else sender, else helo, else client, else listener), and only those whose condition holds are asked for the
// rest. Every list is in file order.
type stageIndex struct {
	rules       []*Rule
	unindexed   []int32 // positions in rules
	byListener  map[string][]int32
	byClient    networkIndex
	byHelo      patternIndex
	bySender    patternIndex
	byRecipient patternIndex
	sender      bool // some rule has a condition on the sender
	helo        bool
	errors      bool // some rule is for errors whatever they are
}

// patternIndex leads from addresses to the rules that have a pattern for them.
type patternIndex struct {
	lists [3]map[string][]int32
	globs []globEntry // in file order
}

// globEntry is a glob of the rule at a position. Globs are asked one after the other: no hash finds them.
type globEntry struct {
	glob
	position int32
}

func (x *patternIndex) add(set *patternSet, position int32) {
	for kind, names := range set.sets {
		for name := range names {
			if x.lists[kind] == nil {
				x.lists[kind] = map[string][]int32{}
			}
			x.lists[kind][name] = append(x.lists[kind][name], position)
		}
	}
	for _, g := range set.globs {
		x.globs = append(x.globs, globEntry{g, position})
	}
}

func (x *patternIndex) empty() bool {
	return x.lists[0] == nil && x.lists[1] == nil && x.lists[2] == nil && x.globs == nil
}

// networkIndex leads from addresses to the rules that have a network for them.
type networkIndex struct {
	lists map[netip.Prefix][]int32
	bits4 []int // the lengths of the prefixes, in no order
	bits6 []int
}

func (x *networkIndex) add(network netip.Prefix, position int32) {
	if x.lists == nil {
		x.lists = map[netip.Prefix][]int32{}
	}
	if list := x.lists[network]; len(list) > 0 && list[len(list)-1] == position {
		return
	}
	x.lists[network] = append(x.lists[network], position)
	bits := &x.bits6
	if network.Addr().Is4() {
		bits = &x.bits4
	}
	if !slices.Contains(*bits, network.Bits()) {
		*bits = append(*bits, network.Bits())
	}
}

// add appends a rule, the next in file order.
func (x *stageIndex) add(r *Rule) {
	position := int32(len(x.rules)) // #nosec G115 -- a plan of at most plan.MaxSize octets has fewer than 2^31 rules
	x.rules = append(x.rules, r)
	x.errors = x.errors || r.matcher.errors != nil
	x.sender = x.sender || !r.matcher.sender.empty()
	x.helo = x.helo || !r.matcher.helo.empty()
	switch {
	case !r.matcher.recipient.empty():
		x.byRecipient.add(&r.matcher.recipient, position)
	case !r.matcher.sender.empty():
		x.bySender.add(&r.matcher.sender, position)
	case !r.matcher.helo.empty():
		x.byHelo.add(&r.matcher.helo, position)
	case r.matcher.clients != nil:
		for _, network := range r.matcher.clients {
			x.byClient.add(network, position)
		}
	case r.matcher.listeners != nil:
		if x.byListener == nil {
			x.byListener = map[string][]int32{}
		}
		for name := range r.matcher.listeners {
			x.byListener[name] = append(x.byListener[name], position)
		}
	default:
		x.unindexed = append(x.unindexed, position)
	}
}

// find returns the first rule that matches, or nil. It does not allocate for addresses of up to 320 octets.
func (x *stageIndex) find(o *Occurrence) *Rule {
	var senderSpace, heloSpace, recipientSpace [320]byte
	s := subject{Occurrence: o}
	if x.sender {
		s.sender = smtp.AppendAddress(senderSpace[:0], o.Sender)
	}
	if x.helo {
		s.helo = smtp.AppendDomain(heloSpace[:0], o.Helo)
	}
	best := x.first(x.unindexed, &s, int32(len(x.rules))) // #nosec G115 -- as in add
	if x.byListener != nil {
		best = x.first(x.byListener[o.Listener], &s, best)
	}
	if x.byClient.lists != nil {
		best = x.firstOfClient(&s, best)
	}
	if !x.byHelo.empty() {
		best = x.firstOfHost(&x.byHelo, s.helo, &s, best)
	}
	if !x.bySender.empty() {
		best = x.firstOf(&x.bySender, s.sender, &s, best)
	}
	if !x.byRecipient.empty() {
		if len(o.Recipient) > 0 {
			best = x.firstOf(&x.byRecipient, smtp.AppendAddress(recipientSpace[:0], o.Recipient), &s, best)
		} else {
			for _, recipient := range o.AcceptedRecipients {
				best = x.firstOf(&x.byRecipient, smtp.AppendAddress(recipientSpace[:0], recipient), &s, best)
			}
		}
	}
	o.Asked += s.asked
	if int(best) == len(x.rules) {
		return nil
	}
	return x.rules[best]
}

// firstOfClient returns the first position before best whose rule has a network of the client's address and matches, or best.
func (x *stageIndex) firstOfClient(s *subject, best int32) int32 {
	client := s.Client.Unmap()
	bits := x.byClient.bits6
	if client.Is4() {
		bits = x.byClient.bits4
	}
	for _, n := range bits {
		if network, err := client.Prefix(n); err == nil {
			best = x.first(x.byClient.lists[network], s, best)
		}
	}
	return best
}

// firstOfHost returns the first position before best whose rule has a pattern for the host name and matches, or best.
func (x *stageIndex) firstOfHost(index *patternIndex, name []byte, s *subject, best int32) int32 {
	best = x.first(index.lists[patternExact][string(name)], s, best)
	return x.firstBelow(index, name, s, best)
}

// firstOf returns the first position before best whose rule has a pattern for address and matches, or best.
func (x *stageIndex) firstOf(index *patternIndex, address []byte, s *subject, best int32) int32 {
	best = x.first(index.lists[patternExact][string(address)], s, best)
	if len(address) == 0 { // see patternSet.contains
		return best
	}
	domain := smtp.DomainOf(address)
	best = x.first(index.lists[patternDomain][string(domain)], s, best)
	if index.globs != nil {
		best = x.firstOfGlobs(index.globs, address, domain, s, best)
	}
	return x.firstBelow(index, domain, s, best)
}

func (x *stageIndex) firstBelow(index *patternIndex, domain []byte, s *subject, best int32) int32 {
	if index.lists[patternBelow] == nil {
		return best
	}
	for parent := parentDomain(domain); parent != nil; parent = parentDomain(parent) {
		best = x.first(index.lists[patternBelow][string(parent)], s, best)
	}
	return best
}

// first returns the first position in list, before best, whose rule matches but for what led to the list, or best.
func (x *stageIndex) first(list []int32, s *subject, best int32) int32 {
	for _, position := range list {
		if position >= best {
			return best
		}
		s.asked++
		if r := x.rules[position]; r.matcher.holds(s) && (r.excepted == nil || !x.exempt(r, s)) {
			return position
		}
	}
	return best
}

// exempt asks the rule's exceptions, each of which counts as a rule that was asked.
func (x *stageIndex) exempt(r *Rule, s *subject) bool {
	s.asked += len(r.excepted)
	return r.excepted.hold(s.Occurrence)
}

// firstOfGlobs returns the first position before best whose rule has a glob for the address and matches, or best.
func (x *stageIndex) firstOfGlobs(globs []globEntry, address, domain []byte, s *subject, best int32) int32 {
	for i := range globs {
		g := &globs[i]
		if g.position >= best {
			return best
		}
		if s.asked++; g.holds(address, domain) && x.first([]int32{g.position}, s, best) < best {
			return g.position
		}
	}
	return best
}

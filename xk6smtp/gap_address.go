package xk6smtp

import "strings"

// gapAddress is an address whose parts may have gaps. What fills a gap can't leave its part: in a name it is escaped or encoded, in a local
// part quoted.
type gapAddress struct {
	name gaps
	// local and domain are the mailbox's, if it has an "@" outside of the gaps; quoted says that the local part had quotes.
	local, domain gaps
	quoted        bool
	// whole is the mailbox, or with alone the whole address, if the values bring the "@".
	whole gaps
	alone bool
	// fixed is the address if nothing has a gap.
	fixed address
}

// cutAddress reads an address of an option; markers are the fields'.
func cutAddress(s string, markers []string) (*gapAddress, error) {
	text := cutGaps(s, markers)
	if !text.open() {
		a, err := parseAddress(s)
		return &gapAddress{fixed: a, whole: text}, err
	}
	words := standIns(len(markers), s)
	a, err := parseAddress(text.join(func(field int) string { return words[field] }))
	if err != nil {
		return nil, err
	}
	g := &gapAddress{name: cutGaps(a.name, words)}
	local, domain, quoted, hasDomain := splitMailbox(a.mailbox)
	switch {
	case hasDomain || quoted:
		g.local, g.domain, g.quoted = cutGaps(local, words), cutGaps(domain, words), quoted
	case strings.Contains(s, "<"):
		g.whole = cutGaps(a.mailbox, words)
	default:
		g.whole, g.alone = text, true
	}
	if g.count() != len(text.parts)-1 || holdsWord(a.name, words) {
		return nil, errNoGap
	}
	return g, nil
}

// count is the number of gaps.
func (g *gapAddress) count() int {
	n := 0
	for _, part := range []gaps{g.name, g.local, g.domain, g.whole} {
		n += max(len(part.parts)-1, 0)
	}
	return n
}

// open reports whether there is any gap.
func (g *gapAddress) open() bool {
	return g.name.open() || g.local.open() || g.domain.open() || g.whole.open()
}

func (g *gapAddress) uses(field int) bool {
	return g.name.uses(field) || g.local.uses(field) || g.domain.uses(field) || g.whole.uses(field)
}

// check says why an address that has no gap can't be a recipient's, or stand in a header.
func (g *gapAddress) check(inHeader bool) error {
	switch {
	case g.open():
	case g.fixed.mailbox == "":
		return errEmpty
	case inHeader && len(g.fixed.mailbox) > maxHeaderWord:
		return errTooLong
	}
	return nil
}

// fill returns the address with values in its gaps.
func (g *gapAddress) fill(values []string) (address, error) {
	switch {
	case !g.open():
		return g.fixed, nil
	case g.alone:
		return parseAddress(g.whole.fill(values))
	}
	a := address{name: g.name.fill(values)}
	if strings.ContainsFunc(a.name, isControl) {
		return a, errControl
	}
	if len(g.whole.parts) > 0 {
		a.mailbox = strings.Trim(g.whole.fill(values), " \t")
	} else {
		local, domain := g.local.fill(values), g.domain.fill(values)
		if local == "" && !g.quoted || domain == "" && g.domain.open() {
			return a, errHalf
		}
		a.mailbox = joinMailbox(local, domain, g.quoted)
	}
	return a, checkMailbox(a.mailbox)
}

package fault

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// patternKind is the shape of a pattern.
type patternKind uint8

const (
	patternExact  patternKind = iota // an address or a host name
	patternDomain                    // *@domain
	patternBelow                     // *.domain
	patternGlob                      // bounce+*@domain: see glob
)

// parsePattern takes a pattern of addresses apart; name is as smtp.AppendAddress writes it, the domain alone for wildcards.
func parsePattern(text string, sender bool) (kind patternKind, name string, err error) {
	trimmed := text
	if strings.HasPrefix(text, "<") && strings.HasSuffix(text, ">") && len(text) > 1 {
		trimmed = text[1 : len(text)-1]
	}
	lowered := string(canonicalPattern([]byte(trimmed)))
	local, domain, hasAt := cutAddress(lowered)
	switch {
	case trimmed == "" && trimmed != text && sender:
		return patternExact, "", nil
	case !hasAt && validLocalPart(lowered) && (trimmed != text || !strings.Contains(lowered, ".")): // a.b is rather a forgotten *@
		return patternExact, lowered, nil
	case lowered == "*@":
		return patternDomain, "", nil
	case strings.HasPrefix(lowered, "*.") && !hasAt && validHost(lowered[2:]):
		return patternBelow, lowered[2:], nil
	case local == "*" && hasAt && strings.HasPrefix(domain, "*.") && validHost(domain[2:]):
		return patternBelow, domain[2:], nil
	case local == "*" && hasAt && validHost(domain):
		return patternDomain, domain, nil
	case hasAt && local != "" && !strings.Contains(local, "*") && validHost(domain):
		return patternExact, lowered, nil
	case hasAt && local != "*" && validGlob(lowered):
		return patternGlob, lowered, nil
	}
	forms := "user@example.com, *@example.com, *.example.com, bounce+*@example.com or bounce+*@; without a domain postmaster, <first.last> or *@"
	if sender {
		forms = "<>, " + forms
	}
	return 0, "", fmt.Errorf("invalid pattern %q (want %s)", text, forms)
}

// canonicalPattern returns a pattern as smtp.AppendAddress writes the addresses that it is for.
func canonicalPattern(pattern []byte) []byte {
	if bytes.HasPrefix(pattern, anyBelow) && bytes.IndexByte(pattern, '@') < 0 {
		return appendDomainPattern(nil, pattern)
	}
	canonical := smtp.AppendAddress(nil, pattern)
	if domain := smtp.DomainOf(pattern); bytes.HasPrefix(domain, anyBelow) {
		return appendDomainPattern(canonical[:bytes.LastIndexByte(canonical, '@')+1], domain)
	}
	return canonical
}

// appendDomainPattern appends a domain, or *. and a domain.
func appendDomainPattern(dst, pattern []byte) []byte {
	if domain, ok := bytes.CutPrefix(pattern, anyBelow); ok {
		return smtp.AppendDomain(append(dst, anyBelow...), domain)
	}
	return smtp.AppendDomain(dst, pattern)
}

var anyBelow = []byte("*.")

// parseHostPattern takes a pattern of host names apart.
func parseHostPattern(text string) (kind patternKind, name string, err error) {
	lowered := string(appendDomainPattern(nil, []byte(text)))
	if below, ok := strings.CutPrefix(lowered, "*."); ok && validHost(below) {
		return patternBelow, below, nil
	}
	if validHost(lowered) {
		return patternExact, lowered, nil
	}
	return 0, "", fmt.Errorf("invalid pattern %q (want host.example.com or *.example.com)", text)
}

// validHost reports whether name can stand for a domain, a host name or an address literal.
func validHost(name string) bool { return name != "" && !strings.ContainsAny(name, "*@<> \t\r\n\x00") }

// validLocalPart reports whether a recipient without a domain can be called that: a quoted string, or none of what would end a path.
func validLocalPart(name string) bool {
	if len(name) > 2 && name[0] == '"' {
		return name[len(name)-1] == '"' && !strings.ContainsAny(name, "\r\n\x00")
	}
	return name != "" && !strings.ContainsAny(name, "*@<>()[]:;,\\\" \t\r\n\x00")
}

func cutAddress(address string) (local, domain string, hasAt bool) {
	i := strings.LastIndexByte(address, '@')
	if i < 0 || strings.HasSuffix(address, `"`) { // see smtp.DomainOf
		return address, "", false
	}
	return address[:i], address[i+1:], true
}

// patternSet is a set of patterns of addresses or host names, looked up in constant time per label of the domain.
type patternSet struct {
	sets  [3]map[string]bool
	globs []glob
}

func (p *patternSet) add(kind patternKind, name string) {
	if kind == patternGlob {
		p.globs = append(p.globs, newGlob(name))
		return
	}
	if p.sets[kind] == nil {
		p.sets[kind] = map[string]bool{}
	}
	p.sets[kind][name] = true
}

func (p *patternSet) empty() bool {
	return p.sets[0] == nil && p.sets[1] == nil && p.sets[2] == nil && p.globs == nil
}

// contains reports whether the set holds address, which is as smtp.AppendAddress writes it.
func (p *patternSet) contains(address []byte) bool {
	if p.sets[patternExact][string(address)] {
		return true
	}
	if len(address) == 0 { // the null sender has no local part that *@ could mean
		return false
	}
	domain := smtp.DomainOf(address)
	return p.sets[patternDomain][string(domain)] || p.containsBelow(domain) || p.globs != nil && anyGlobHolds(p.globs, address, domain)
}

func (p *patternSet) containsHost(name []byte) bool {
	return p.sets[patternExact][string(name)] || p.containsBelow(name)
}

func (p *patternSet) containsBelow(domain []byte) bool {
	if p.sets[patternBelow] == nil {
		return false
	}
	for parent := parentDomain(domain); parent != nil; parent = parentDomain(parent) {
		if p.sets[patternBelow][string(parent)] {
			return true
		}
	}
	return false
}

// parentDomain returns what follows the first dot of domain, or nil. It aliases domain.
func parentDomain(domain []byte) []byte {
	i := bytes.IndexByte(domain, '.')
	if i < 0 || i+1 == len(domain) {
		return nil
	}
	return domain[i+1:]
}

package fault

import (
	"bytes"
	"strings"
)

// glob is a pattern of addresses whose local part has a *, or whose domain is any: bounce+*@example.com, bounce+*@*.example.com,
// bounce+*@ and abuse@*. A * is any text; letters of local parts compare exactly, as those of other addresses do.
type glob struct {
	local  string
	where  patternKind // patternExact: domain; patternBelow: below it; patternDomain: any domain, or none
	domain string
}

// validGlob reports whether an address, as smtp.AppendAddress writes it, is such a pattern.
func validGlob(address string) bool {
	local, domain, _ := cutAddress(address)
	if strings.ContainsAny(local, "<> \t\r\n\x00") || local == "" {
		return false
	}
	switch {
	case domain == "": // without a * in the local part it is rather a forgotten domain
		return strings.Contains(local, "*")
	case domain == "*":
		return true
	}
	return validHost(strings.TrimPrefix(domain, "*."))
}

func newGlob(address string) glob {
	local, domain, _ := cutAddress(address)
	local = string(unquoted([]byte(local)))
	if below, ok := strings.CutPrefix(domain, "*."); ok {
		return glob{local, patternBelow, below}
	}
	if domain == "" || domain == "*" {
		return glob{local, patternDomain, ""}
	}
	return glob{local, patternExact, domain}
}

// holds reports whether the glob is for an address, which is not empty and as smtp.AppendAddress writes it, and has this domain.
func (g *glob) holds(address, domain []byte) bool {
	switch g.where {
	case patternExact:
		if string(domain) != g.domain {
			return false
		}
	case patternBelow:
		if n := len(domain) - len(g.domain); n < 2 || domain[n-1] != '.' || string(domain[n:]) != g.domain {
			return false
		}
	}
	return starMatches(g.local, unquoted(localPart(address, domain)))
}

// localPart returns what comes before @domain.
func localPart(address, domain []byte) []byte {
	if n := len(address) - len(domain) - 1; n >= 0 && address[n] == '@' {
		return address[:n]
	}
	return address
}

// unquoted returns a local part without the quotes that it needs: a pattern is about what stands between them.
func unquoted(local []byte) []byte {
	if n := len(local); n >= 2 && local[0] == '"' && local[n-1] == '"' {
		return local[1 : n-1]
	}
	return local
}

func anyGlobHolds(globs []glob, address, domain []byte) bool {
	for i := range globs {
		if globs[i].holds(address, domain) {
			return true
		}
	}
	return false
}

// starMatches matches text against a pattern with any number of *.
func starMatches(pattern string, text []byte) bool {
	head, rest, star := strings.Cut(pattern, "*")
	if !star {
		return string(text) == pattern
	}
	if len(text) < len(head) || string(text[:len(head)]) != head {
		return false
	}
	text = text[len(head):]
	for {
		part, next, more := strings.Cut(rest, "*")
		if !more {
			return len(text) >= len(part) && string(text[len(text)-len(part):]) == part
		}
		i := indexOf(text, part)
		if i < 0 {
			return false
		}
		text, rest = text[i+len(part):], next
	}
}

// indexOf is bytes.Index without a copy of part.
func indexOf(text []byte, part string) int {
	if part == "" {
		return 0
	}
	for i := 0; i+len(part) <= len(text); i++ {
		n := bytes.IndexByte(text[i:len(text)-len(part)+1], part[0])
		if n < 0 {
			return -1
		}
		if i += n; string(text[i:i+len(part)]) == part {
			return i
		}
	}
	return -1
}

package fault

import (
	"fmt"
	"strings"
)

// Headers gives access to the header fields of the message under way, without allocating. A session that captures headers
// (Needs.Headers) sets Occurrence.Headers at message.
type Headers interface {
	// Header returns the body of the next field of that name, which is in lower case: unfolded (RFC 5322 section 2.2.3: line ends that a
	// blank follows are gone, the blank is not) and without the blanks around it. It looks from where next of the call before says, at
	// first from 0. ok is false when there is no further field of that name. The value is valid until the next call.
	Header(name string, from int) (value []byte, next int, ok bool)
}

// HeaderPattern is a condition on one header field: it holds when the value of any field of that name matches any of the globs.
type HeaderPattern struct {
	Name  string   // compared without regard to ASCII case
	Globs []string // * is any text, ? any one octet, everything else itself, without regard to ASCII case; at least one
}

// maxGlob is the longest glob in octets.
const maxGlob = 256

func (p *HeaderPattern) validate() error {
	for _, c := range []byte(p.Name) {
		if c <= ' ' || c >= 0x7f || c == ':' { // RFC 5322 section 2.2
			return fmt.Errorf("invalid header field name %q (want for example x-priority)", p.Name)
		}
	}
	if p.Name == "" {
		return fmt.Errorf("empty header field name (want for example x-priority)")
	}
	if len(p.Globs) == 0 {
		return fmt.Errorf("no pattern for %s (want at least one, such as *)", p.Name)
	}
	for _, g := range p.Globs {
		if g == "" || len(g) > maxGlob {
			return fmt.Errorf("pattern of %d octets for %s (want 1 to %d)", len(g), p.Name, maxGlob)
		}
	}
	return nil
}

// lowered returns the pattern in the form that matching compares.
func (p *HeaderPattern) lowered() HeaderPattern {
	l := HeaderPattern{Name: strings.ToLower(p.Name)}
	for _, g := range p.Globs {
		l.Globs = append(l.Globs, string(lowerASCII([]byte(g))))
	}
	return l
}

// holdsHeaders reports whether every pattern, lowered, holds.
func holdsHeaders(patterns []HeaderPattern, headers Headers) bool {
	if headers == nil {
		return false
	}
	for i := range patterns {
		if !holdsHeader(&patterns[i], headers) {
			return false
		}
	}
	return true
}

func holdsHeader(p *HeaderPattern, headers Headers) bool {
	value, next, ok := headers.Header(p.Name, 0)
	for ; ok; value, next, ok = headers.Header(p.Name, next) {
		if anyGlob(p.Globs, value) {
			return true
		}
	}
	return false
}

func anyGlob(globs []string, value []byte) bool {
	for _, g := range globs {
		if globMatches(g, value) {
			return true
		}
	}
	return false
}

// globMatches matches a lowered glob. It needs at most len(glob) times len(value) steps: only the last * is ever tried again.
func globMatches(glob string, value []byte) bool {
	g, v, star, retry := 0, 0, -1, 0
	for v < len(value) {
		switch {
		case g < len(glob) && glob[g] == '*':
			star, retry = g, v
			g++
		case g < len(glob) && (glob[g] == '?' || glob[g] == lowerOctet(value[v])):
			g++
			v++
		case star >= 0:
			retry++
			g, v = star+1, retry
		default:
			return false
		}
	}
	for g < len(glob) && glob[g] == '*' {
		g++
	}
	return g == len(glob)
}

func lowerOctet(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}

// lowerASCII lowers b in place and returns it.
func lowerASCII(b []byte) []byte {
	for i, c := range b {
		b[i] = lowerOctet(c)
	}
	return b
}

// HeaderRepeats is a condition on how often a header field occurs.
type HeaderRepeats struct {
	Name string // compared without regard to ASCII case
	From int    // at least so often
	To   int    // at most so often; -1: without end
}

// MaxRepeats bounds HeaderRepeats: more fields than a header has room for that is captured.
const MaxRepeats = 10_000

// ParseRepeats parses how often: "0", "3", "1-3" or "30-".
func ParseRepeats(text string) (from, to int, err error) {
	low, high, span := strings.Cut(text, "-")
	from, ok := parseTimes(low)
	to = from
	if span {
		to = -1
		if high != "" {
			var known bool
			to, known = parseTimes(high)
			ok = ok && known && to >= from
		}
	}
	if !ok || from == 0 && to < 0 {
		return 0, 0, fmt.Errorf("invalid number of fields %q (want 0, 3, 1-3 or 30-, at most %d)", text, MaxRepeats)
	}
	return from, to, nil
}

func parseTimes(text string) (n int, ok bool) {
	for _, c := range []byte(text) {
		if c < '0' || c > '9' || n > MaxRepeats {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, text != "" && n <= MaxRepeats
}

// Times returns how often as ParseRepeats reads it.
func (r HeaderRepeats) Times() string {
	switch {
	case r.To < 0:
		return fmt.Sprintf("%d-", r.From)
	case r.From == r.To:
		return fmt.Sprint(r.From)
	}
	return fmt.Sprintf("%d-%d", r.From, r.To)
}

func (r *HeaderRepeats) validate() error {
	if r.From < 0 || r.From > MaxRepeats || r.To > MaxRepeats || r.To < -1 || r.To >= 0 && r.To < r.From || r.From == 0 && r.To < 0 {
		return fmt.Errorf("%s fields %s are out of range (want 0 to %d, the lower bound first)", r.Times(), r.Name, MaxRepeats)
	}
	p := HeaderPattern{Name: r.Name, Globs: []string{"*"}}
	return p.validate()
}

// holds reports whether the field, whose name is lowered, occurs so often in a header. It looks no further than it must.
func (r *HeaderRepeats) holds(headers Headers) bool {
	if headers == nil {
		return false
	}
	enough := r.From
	if r.To >= 0 {
		enough = r.To + 1
	}
	n := 0
	for _, next, ok := headers.Header(r.Name, 0); ok; _, next, ok = headers.Header(r.Name, next) {
		if n++; n >= enough {
			break
		}
	}
	return n >= r.From && (r.To < 0 || n <= r.To)
}

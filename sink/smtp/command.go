package smtp

import (
	"bytes"
	"math"
)

// The longest command lines in octets, CRLF included.
const (
	MaxCommandLine  = 512   // any command (RFC 5321 section 4.5.3.1.4)
	MaxEnvelopeLine = 2048  // MAIL and RCPT with the parameters of all extensions
	MaxAuthLine     = 12288 // AUTH and its continuations (RFC 4954 section 4)
)

// Command is one command line, cut into its verb and the rest.
type Command struct {
	Verb Verb
	Args []byte // what follows the verb, without blanks at either end; aliases the line
}

// ParseCommand cuts a line that came without its CRLF. Blanks are space and tab; those in front of the verb are skipped, as
// Postfix does. It accepts any octets: whether a line may hold NUL, CR or LF, and how long it may be, is its caller's to judge.
// It does not allocate.
func ParseCommand(line []byte) Command {
	line = trimBlanks(line)
	end := 0
	for end < len(line) && !isBlank(line[end]) {
		end++
	}
	return Command{Verb: parseVerb(line[:end]), Args: trimLeft(line[end:])}
}

// ParseBdat parses the arguments of BDAT: the chunk's size in octets, and LAST if it ends the message (RFC 3030 section 2).
// The size saturates at math.MaxInt64: such a chunk never ends. The error is a *SyntaxError.
func ParseBdat(args []byte) (size int64, last bool, err error) {
	digits, rest := cutWord(args)
	size, ok := saturatingNumber(digits)
	if !ok {
		return 0, false, errBdatSyntax
	}
	if len(rest) == 0 {
		return size, false, nil
	}
	if !equalFold(rest, "LAST") {
		return 0, false, errBdatSyntax
	}
	return size, true, nil
}

// parseSize parses one to 20 digits (RFC 1870 section 3) and saturates at math.MaxInt64.
func parseSize(digits []byte) (n int64, ok bool) {
	if len(digits) > 20 {
		return 0, false
	}
	return saturatingNumber(digits)
}

// saturatingNumber parses digits, at least one, and saturates at math.MaxInt64.
func saturatingNumber(digits []byte) (n int64, ok bool) {
	if len(digits) == 0 {
		return 0, false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		d := int64(c - '0')
		if n > (math.MaxInt64-d)/10 {
			n = math.MaxInt64 // and it stays there
			continue
		}
		n = n*10 + d
	}
	return n, true
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

func trimLeft(b []byte) []byte {
	for len(b) > 0 && isBlank(b[0]) {
		b = b[1:]
	}
	return b
}

func trimBlanks(b []byte) []byte {
	b = trimLeft(b)
	for len(b) > 0 && isBlank(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

// cutWord returns the octets up to the first blank, and what follows the blanks.
func cutWord(b []byte) (word, rest []byte) {
	for i, c := range b {
		if isBlank(c) {
			return b[:i], trimLeft(b[i:])
		}
	}
	return b, b[len(b):]
}

// equalFold reports whether b is the ASCII word in capitals, in any mixture of cases.
func equalFold(b []byte, word string) bool {
	if len(b) != len(word) {
		return false
	}
	for i := range len(word) {
		c := b[i]
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		if c != word[i] {
			return false
		}
	}
	return true
}

// DomainOf returns what follows the last "@" of a path, as it was written; it is empty when there is none. An "@" in a quoted local
// part without a domain, "a@b", is none: no domain ends in a quote. It aliases path.
func DomainOf(path []byte) []byte {
	at := bytes.LastIndexByte(path, '@')
	if at < 0 || path[len(path)-1] == '"' {
		return path[len(path):]
	}
	return path[at+1:]
}

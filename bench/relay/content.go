package relay

import (
	"bytes"
	"strings"
)

// split returns the header of a message and the rest, which begins with the empty line between them.
func split(content []byte) (header, rest []byte) {
	if bytes.HasPrefix(content, crlf) {
		return nil, content
	}
	if i := bytes.Index(content, []byte("\r\n\r\n")); i >= 0 {
		return content[:i+2], content[i+2:]
	}
	return content, nil
}

var crlf = []byte("\r\n")

// join returns header and rest in memory of their own.
func join(header, rest []byte) []byte { return append(bytes.Clone(header), rest...) }

// field returns the value of the first header field of that name, and where the field stands with its continuation lines.
func field(header []byte, name string) (value string, from, to int) {
	at := 0
	found := false
	for line := range bytes.Lines(header) {
		folded := line[0] == ' ' || line[0] == '\t'
		switch {
		case found && folded:
			value += " " + strings.TrimSpace(string(line))
			to = at + len(line)
		case found:
			return value, from, to
		case !folded && len(line) > len(name) && line[len(name)] == ':' && strings.EqualFold(string(line[:len(name)]), name):
			value, from, to, found = strings.TrimSpace(string(line[len(name)+1:])), at, at+len(line), true
		}
		at += len(line)
	}
	return value, from, to
}

// without returns the content with another text in the place of a header field, if it has it.
func without(content []byte, name, instead string) []byte {
	header, rest := split(content)
	_, from, to := field(header, name)
	if to == 0 {
		return content
	}
	out := append(bytes.Clone(header[:from]), instead...)
	return append(append(out, header[to:]...), rest...)
}

// exchange swaps the contents of two messages, or their bodies alone.
func exchange(a, b *message, whole bool) {
	if whole {
		a.content, b.content = b.content, a.content
		return
	}
	headerA, restA := split(a.content)
	headerB, restB := split(b.content)
	a.content, b.content = join(headerA, restB), join(headerB, restA)
}

// quote writes an address with the quotes that its local part needs (RFC 5321 section 4.1.2), which the server took away.
func quote(address string) string {
	at := strings.LastIndexByte(address, '@')
	if at < 0 {
		return address
	}
	local := address[:at]
	plain := local != "" && local[0] != '.' && local[len(local)-1] != '.' && !strings.Contains(local, "..")
	if plain && !strings.ContainsAny(local, " \t\"\\()<>[]:;,@") {
		return address
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(local) + `"` + address[at:]
}

package learn

import (
	"net/netip"
	"strings"
)

// What stands in texts in the place of what is somebody's, or is never the same twice.
const (
	anAddress = "ADDRESS"
	aDomain   = "DOMAIN"
	anIP      = "IP"
	aNumber   = "N"
	anID      = "ID"
	// Templates of plans say whose a reply names.
	theRecipient = "{{recipient}}"
	theLocalPart = "{{local_part}}"
	theSender    = "{{sender}}"
)

// marks stand for templates until all else is replaced: no text has them.
var marks = [...][2]string{{"\x01", theRecipient}, {"\x02", theLocalPart}, {"\x03", theSender}}

// normaliser takes out of a reply's text what belongs to one message: addresses and their parts, IP addresses, numbers and ids.
type normaliser struct {
	own    [][2]string // addresses and local parts of the message in small letters, longer ones first, and what takes their place
	domain string      // of the sender
}

// newNormaliser returns one for the replies to a message.
func newNormaliser(sender, recipient string) *normaliser {
	n := &normaliser{}
	for i, address := range [...]string{recipient, sender} {
		local, domain := split(strings.ToLower(address))
		if local == "" {
			continue
		}
		if i == 0 {
			n.own = append(n.own, [2]string{strings.ToLower(address), marks[0][0]}, [2]string{local, marks[1][0]})
		} else {
			n.own = append(n.own, [2]string{strings.ToLower(address), marks[2][0]}, [2]string{local, anAddress})
		}
		for _, mark := range [...]string{"+", "=", "-"} { // user+folder, and the addresses in which mailing lists hide another
			if user, rest, found := strings.Cut(local, mark); found {
				n.own = append(n.own, [2]string{user, anAddress}, [2]string{rest, anAddress})
			}
		}
		n.domain = domain // the sender's is last
	}
	if sender == "" {
		n.domain = ""
	}
	return n
}

// split parts an address at its last @; all of one without is its local part. Quotes around the local part are left out.
func split(address string) (local, domain string) {
	local = address
	if i := strings.LastIndexByte(address, '@'); i >= 0 {
		local, domain = address[:i], address[i+1:]
	}
	return strings.Trim(local, `"`), domain
}

// shortName is how short a part of an address may be that is looked for only where a reply quotes: "a" and "me" are words.
const shortName = 3

// line returns a line's text without what is one message's.
func (n *normaliser) line(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r > 0x7e { // replies are ASCII (RFC 5321 section 4.2)
			return ' '
		}
		return r
	}, text)
	for _, own := range n.own {
		text = replaceWord(text, own[0], own[1])
	}
	if n.domain != "" {
		text = replaceWord(text, n.domain, aDomain)
	}
	words := strings.Fields(text)
	for i, word := range words {
		words[i] = normaliseWord(word)
	}
	text = strings.NewReplacer("{", "(", "}", ")").Replace(strings.Join(words, " ")) // a log's braces are no template
	if len(text) > maxText {
		text = strings.TrimSpace(text[:maxText])
	}
	for _, mark := range marks {
		text = strings.ReplaceAll(text, mark[0], mark[1])
	}
	return text
}

// maxText is how many octets of a line are kept.
const maxText = 300

// replaceWord replaces a text where no letter or digit stands around it. Short ones only within quotes or brackets.
func replaceWord(text, own, by string) string {
	if own == "" {
		return text
	}
	low := strings.ToLower(text)
	if !strings.Contains(low, own) {
		return text
	}
	var b strings.Builder
	for {
		i := strings.Index(low, own)
		if i < 0 {
			b.WriteString(text)
			return b.String()
		}
		end := i + len(own)
		before, after := byte(' '), byte(' ')
		if i > 0 {
			before = low[i-1]
		} else if b.Len() > 0 {
			before = b.String()[b.Len()-1]
		}
		if end < len(low) {
			after = low[end]
		}
		if wordly(before) || wordly(after) || len(own) < shortName && !(strings.IndexByte(`<"'([`, before) >= 0 && strings.IndexByte(`>"')]@`, after) >= 0) {
			b.WriteString(text[:i+1])
			text, low = text[i+1:], low[i+1:]
			continue
		}
		b.WriteString(text[:i] + by)
		text, low = text[end:], low[end:]
	}
}

func wordly(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || digit(c) }

func digit(c byte) bool { return '0' <= c && c <= '9' }

// around stands around words and is none of them.
const around = `()<>[]{}",;:!?'` + "`"

// normaliseWord replaces a word that is an address or an id, and numbers.
func normaliseWord(word string) string {
	core := strings.TrimLeft(word, around)
	head := word[:len(word)-len(core)]
	core = strings.TrimRight(core, around+".")
	tail := word[len(head)+len(core):]
	switch {
	case core == "" || core == anAddress || core == aDomain || strings.ContainsAny(core, "\x01\x02\x03"):
		return head + unmarked(core) + tail
	case strings.Contains(core, "://"):
		return head + normaliseURL(core) + tail
	case strings.ContainsRune(core, '@'), strings.HasSuffix(head, "<") && strings.HasPrefix(tail, ">"):
		return head + anAddress + tail
	}
	if _, err := netip.ParseAddr(core); err == nil {
		return head + anIP + tail
	}
	if i := strings.IndexAny(core, `=()<>[]{}",;:!?'|`); i >= 0 { // such as ip=192.0.2.1, or client[192.0.2.1]
		return head + normaliseWord(core[:i]) + core[i:i+1] + normaliseWord(core[i+1:]) + tail
	}
	return head + normaliseID(core) + tail
}

// unmarked leaves a mark that is a word of its own, and of one within a longer word no more than that an address was there.
func unmarked(core string) string {
	if len(core) > 1 && strings.ContainsAny(core, "\x01\x02\x03") {
		return anAddress
	}
	return core
}

// normaliseID replaces what has digits, but for codes that providers give their replies, such as TSS04, S3150, OFR005_104 and #4.16.1.
func normaliseID(word string) string {
	if !strings.ContainsAny(word, "0123456789") {
		if len(word) >= 25 && !strings.ContainsAny(word, "./-_") {
			return anID
		}
		return word
	}
	bare := strings.TrimPrefix(word, "#")
	switch {
	case all(bare, func(c byte) bool { return digit(c) }) && bare == word:
		return aNumber
	case bare != word && all(bare, func(c byte) bool { return digit(c) || c == '.' }) && len(bare) <= 8, isEnhanced(bare), isCode(bare):
		return word
	}
	trimmed := strings.TrimRight(word, "abcdefghijklmnopqrstuvwxyz%")
	if len(trimmed) < len(word) && len(word)-len(trimmed) <= 3 && all(trimmed, func(c byte) bool { return digit(c) || c == '.' || c == ',' }) {
		return aNumber + word[len(trimmed):] // such as 300s
	}
	if all(word, func(c byte) bool { return digit(c) || strings.IndexByte(".,:/-+", c) >= 0 }) {
		return aNumber
	}
	return anID
}

// isEnhanced reports whether a word is an enhanced status code.
func isEnhanced(word string) bool {
	parts := strings.Split(word, ".")
	return len(parts) == 3 && len(parts[0]) == 1 && strings.Contains("245", parts[0]) && len(parts[1]) <= 3 && len(parts[2]) <= 3 &&
		all(parts[1], digit) && all(parts[2], digit)
}

// isCode reports whether a word is capital letters, then digits, then perhaps more digits behind a line.
func isCode(word string) bool {
	if len(word) > 12 {
		return false
	}
	letters := strings.TrimLeft(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
	n := len(word) - len(letters)
	first, second, _ := strings.Cut(strings.TrimLeft(letters, "_"), "_")
	return n >= 1 && n <= 5 && all(first, digit) && (second == "" || all(second, digit))
}

func all(s string, is func(byte) bool) bool {
	for i := range len(s) {
		if !is(s[i]) {
			return false
		}
	}
	return s != ""
}

// normaliseURL keeps the scheme, the host and those parts of the path that look like words or numbers of pages.
func normaliseURL(url string) string {
	scheme, rest, _ := strings.Cut(url, "://")
	if strings.ContainsRune(rest, '@') {
		return scheme + "://" + anAddress
	}
	path, query, hasQuery := strings.Cut(rest, "?")
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if i > 0 && part != "" && !(len(part) <= 6 && all(part, digit)) {
			parts[i] = normaliseWord(part)
		}
	}
	if host := normaliseWord(parts[0]); host == anIP {
		parts[0] = host
	}
	out := scheme + "://" + strings.Join(parts, "/")
	if hasQuery {
		values := strings.Split(query, "&")
		for i, value := range values {
			values[i] = normaliseWord(value)
		}
		out += "?" + strings.Join(values, "&")
	}
	return out
}

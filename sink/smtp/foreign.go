package smtp

import "bytes"

// foreignPrefixes are what other protocols begin a line with and SMTP never does: HTTP's methods and its replies, SIP, SSH (RFC 4253
// section 4.2), AMQP, VNC and XMPP. In capitals, though they are found in any mixture of cases.
var foreignPrefixes = [...]string{
	"GET ", "HEAD ", "POST ", "PUT ", "DELETE ", "CONNECT ", "OPTIONS ", "TRACE ", "PATCH ", "PRI * HTTP/", "HTTP/",
	"INVITE ", "REGISTER ", "SIP/", "SSH-", "AMQP", "RFB 0", "<?XML", "<STREAM:",
}

// MaxForeign is how many octets of a line Foreign looks at.
const MaxForeign = 16

// foreignStarts has the first octets of all that Foreign finds, so that most lines are never compared with anything.
var foreignStarts = func() (starts [256]bool) {
	for _, p := range foreignPrefixes {
		starts[p[0]], starts[p[0]|0x20] = true, true
	}
	for c := range starts {
		starts[c] = starts[c] || isBinaryStart(byte(c)) // #nosec G115 -- an index of 256
	}
	return starts
}()

// isBinaryStart reports whether no client that speaks SMTP, however badly, sends the octet first: a control character, the length of an
// SSL 2 hello, or telnet's IAC.
func isBinaryStart(c byte) bool {
	return c < ' ' && c != '\t' && c != '\r' && c != '\n' || c == 0x7f || c == 0x80 || c == 0xff
}

// binaryWithin is how many octets of a connection's first line may show a binary protocol that begins with a printable one.
const binaryWithin = 8

// binaryInside returns after how many octets a line that doesn't begin with a letter, as all commands do, holds a control character: LDAP
// and SNMP begin with '0' (a SEQUENCE of ASN.1), other protocols with a length.
func binaryInside(line []byte) int {
	if c := line[0] | 0x20; 'a' <= c && c <= 'z' {
		return 0
	}
	for i, c := range line[:min(len(line), binaryWithin)] {
		if c < ' ' && isBinaryStart(c) {
			return i + 1
		}
	}
	return 0
}

// Foreign tells another protocol by how a line begins, which need not have come as a whole: it returns after how many octets the line
// can't be SMTP's, and 0 while it can. first says that the line is the connection's first: then any octet counts that only binary
// protocols begin with, or a control character near the start of what can't be a command, later only the record of a TLS handshake (RFC 8446 section 5.1). It does not allocate.
func Foreign(line []byte, first bool) int {
	switch {
	case len(line) == 0:
		return 0
	case foreignStarts[line[0]]:
	case first:
		return binaryInside(line)
	default:
		return 0
	}
	if isBinaryStart(line[0]) {
		switch {
		case first:
			return 1
		case len(line) >= 2 && line[0] == 0x16 && line[1] == 3:
			return 2
		}
		return 0
	}
	for _, p := range foreignPrefixes {
		if line[0]|0x20 == p[0]|0x20 && len(line) >= len(p) && equalFold(line[:len(p)], p) {
			return len(p)
		}
	}
	return 0
}

// ForeignRequest reports whether a whole line without its end is a request of HTTP or one of its relatives, whatever its method:
// the last word is a name and a version, such as "RTSP/1.0".
func ForeignRequest(line []byte) bool {
	line = trimBlanks(bytes.TrimSuffix(line, cr))
	word := line[bytes.LastIndexByte(line, ' ')+1:]
	name, version, ok := bytes.Cut(word, slash)
	if !ok || len(word) == len(line) || len(version) != 3 || !isDigit(version[0]) || version[1] != '.' || !isDigit(version[2]) {
		return false
	}
	for _, known := range [...]string{"HTTP", "SIP", "RTSP", "ICAP"} {
		if equalFold(name, known) {
			return true
		}
	}
	return false
}

var slash = []byte{'/'}

package client

import (
	"strconv"
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Capabilities is what a server announced in its EHLO reply (RFC 5321 section 4.1.1.1); the zero value is a server that knows
// HELO only.
type Capabilities struct {
	lines []string

	pipelining, eightBitMIME, smtpUTF8, size, chunking, dsn bool
}

// newCapabilities reads the text of an EHLO reply, whose first line is the server's name and greeting.
func newCapabilities(text string) Capabilities {
	_, rest, _ := strings.Cut(text, "\n")
	if rest == "" {
		return Capabilities{}
	}
	c := Capabilities{lines: strings.Split(rest, "\n")}
	_, c.pipelining = c.Find("PIPELINING")
	_, c.eightBitMIME = c.Find("8BITMIME")
	_, c.smtpUTF8 = c.Find("SMTPUTF8")
	_, c.size = c.Find("SIZE")
	_, c.chunking = c.Find("CHUNKING")
	_, c.dsn = c.Find("DSN")
	return c
}

// Lines returns the announced lines as they came, such as "SIZE 52428800". The caller must not change them.
func (c *Capabilities) Lines() []string { return c.lines }

// Find returns the parameters of an extension, and whether it was announced. Keywords are case-insensitive.
func (c *Capabilities) Find(keyword string) (params string, ok bool) {
	for _, line := range c.lines {
		name, params := cutKeyword(line)
		if strings.EqualFold(name, keyword) {
			return params, true
		}
	}
	return "", false
}

// cutKeyword takes an announcement apart. RFC 5321 wants one space behind the keyword; servers also send several, and tabs.
func cutKeyword(line string) (keyword, params string) {
	line = strings.Trim(line, " \t")
	end := strings.IndexAny(line, " \t")
	if end < 0 {
		return line, ""
	}
	return line[:end], strings.TrimLeft(line[end:], " \t")
}

// mechanisms are all that the server announced for AUTH. Servers say it twice for the sake of clients that knew a draft of RFC 2554
// only, "AUTH PLAIN LOGIN" and "AUTH=PLAIN LOGIN", or just in the latter way, or on a line for each mechanism.
func (c *Capabilities) mechanisms() (names []string) {
	for _, line := range c.lines {
		keyword, params := cutKeyword(line)
		if head, first, ok := strings.Cut(keyword, "="); ok {
			keyword, params = head, first+" "+params
		}
		if strings.EqualFold(keyword, "AUTH") {
			names = append(names, strings.Fields(params)...)
		}
	}
	return names
}

// appendMail appends the MAIL command with the parameters that the message needs and the server takes: SIZE (RFC 1870),
// BODY=8BITMIME (RFC 6152), SMTPUTF8 (RFC 6531), RET and ENVID (RFC 3461).
func (c *Capabilities) appendMail(dst []byte, m *Message, needsUTF8 bool) []byte {
	dst = append(dst, "MAIL FROM:<"...)
	dst = append(dst, m.From...)
	dst = append(dst, '>')
	if c.size {
		dst = append(dst, " SIZE="...)
		dst = strconv.AppendInt(dst, int64(len(m.Header)+m.Body.Size()), 10)
	}
	if c.eightBitMIME && m.Body.EightBit() {
		dst = append(dst, " BODY=8BITMIME"...)
	}
	if c.smtpUTF8 && needsUTF8 {
		dst = append(dst, " SMTPUTF8"...)
	}
	if c.dsn && m.DSN != nil {
		if m.DSN.Ret != "" {
			dst = append(append(dst, " RET="...), m.DSN.Ret...)
		}
		if m.DSN.EnvID != "" {
			dst = smtp.AppendXText(append(dst, " ENVID="...), []byte(m.DSN.EnvID))
		}
	}
	return append(dst, '\r', '\n')
}

// appendRcpt appends the RCPT command with the parameters that the message needs and the server takes: NOTIFY and ORCPT
// (RFC 3461).
func (c *Capabilities) appendRcpt(dst []byte, recipient string, dsn *DSN) []byte {
	dst = append(dst, "RCPT TO:<"...)
	dst = append(dst, recipient...)
	dst = append(dst, '>')
	if c.dsn && dsn != nil {
		if dsn.Notify != "" {
			dst = append(append(dst, " NOTIFY="...), dsn.Notify...)
		}
		kind, original, _ := strings.Cut(dsn.ORcpt, ";")
		if dsn.ORcptSelf && isASCII(recipient) { // RFC 6533 has a type of its own for other addresses
			kind, original = "rfc822", recipient
		}
		if original != "" {
			dst = append(append(append(dst, " ORCPT="...), kind...), ';')
			dst = smtp.AppendXText(dst, []byte(original))
		}
	}
	return append(dst, '\r', '\n')
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// maxCommandLine is the longest MAIL or RCPT line that is sent; servers take 512 octets plus what extensions add (RFC 5321
// section 4.5.3.1.4).
const maxCommandLine = 2048

// Validate refuses what would break the command line with an *EnvelopeError; whether an address makes sense is the server's
// business.
func (m *Message) Validate() error {
	if _, err := m.check(); err != nil {
		return err
	}
	return nil
}

// check is Validate, and reports whether the message needs SMTPUTF8 (RFC 6531): an address or the header is not ASCII.
func (m *Message) check() (needsUTF8 bool, wrong *EnvelopeError) {
	if m.Body == nil {
		return false, &EnvelopeError{Field: "body", Problem: "a message needs a body"}
	}
	ascii, problem := addressProblem(m.From)
	if problem != "" {
		return false, &EnvelopeError{Field: "from", Address: m.From, Problem: problem}
	}
	if len(m.To) == 0 {
		return false, &EnvelopeError{Field: "to", Problem: "a message needs a recipient"}
	}
	for _, to := range m.To {
		asciiToo, problem := addressProblem(to)
		if to == "" {
			problem = "must not hold an empty recipient"
		}
		if problem != "" {
			return false, &EnvelopeError{Field: "to", Address: to, Problem: problem}
		}
		ascii = ascii && asciiToo
	}
	return !ascii || m.UTF8, nil
}

// missing says what the server would have to offer for the message, and doesn't, or returns nil. A client that knows that a server can't
// take what it has must not send it (RFC 6531 section 3.2, RFC 6152 section 3).
func (c *Capabilities) missing(m *Message, needsUTF8 bool) error {
	switch {
	case needsUTF8 && !c.smtpUTF8:
		return &MissingExtensionError{Extension: "SMTPUTF8", Need: "an address that is not ASCII"}
	case m.Body.EightBit() && !c.eightBitMIME:
		return &MissingExtensionError{Extension: "8BITMIME", Need: "a message with octets above 127"}
	}
	return nil
}

// addressProblem says why an address can't stand between angle brackets, or returns the empty string. Blanks and brackets are
// allowed within a quoted local part only (RFC 5321 section 4.1.2).
func addressProblem(address string) (ascii bool, problem string) {
	ascii = true
	if len(address) > maxCommandLine-len("MAIL FROM:<> SIZE=18446744073709551615 BODY=8BITMIME SMTPUTF8\r\n") {
		return ascii, "too long"
	}
	quoted, escaped := false, false
	for i := 0; i < len(address); i++ {
		ascii = ascii && address[i] < 0x80
		switch c := address[i]; {
		case c < ' ' || c == 0x7f:
			return ascii, "holds a control character"
		case escaped:
			escaped = false
		case quoted && c == '\\':
			escaped = true
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ' ' || c == '<' || c == '>'):
			return ascii, "holds a blank or an angle bracket"
		}
	}
	if quoted || escaped {
		return ascii, "ends within a quoted string"
	}
	return ascii, ""
}

// withoutEnhanced are the phases whose replies carry no enhanced status code (RFC 2034 section 4: neither the greeting nor the
// replies to HELO and EHLO).
func withoutEnhanced(phase smtp.Stage) bool {
	return phase == smtp.StageConnect || phase == smtp.StageHelo || phase == smtp.StageEhlo
}

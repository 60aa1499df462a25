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
		name, params, _ := strings.Cut(line, " ")
		if strings.EqualFold(name, keyword) {
			return params, true
		}
	}
	return "", false
}

// appendMail appends the MAIL command with the parameters that the message needs and the server takes: SIZE (RFC 1870),
// BODY=8BITMIME (RFC 6152), SMTPUTF8 (RFC 6531), RET and ENVID (RFC 3461).
func (c *Capabilities) appendMail(dst []byte, m *Message) []byte {
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
	if c.smtpUTF8 && m.needsUTF8() {
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

func (m *Message) needsUTF8() bool {
	if !isASCII(m.From) {
		return true
	}
	for _, to := range m.To {
		if !isASCII(to) {
			return true
		}
	}
	return false
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
	if m.Body == nil {
		return &EnvelopeError{Field: "body", Problem: "a message needs a body"}
	}
	if problem := addressProblem(m.From); problem != "" {
		return &EnvelopeError{Field: "from", Address: m.From, Problem: problem}
	}
	if len(m.To) == 0 {
		return &EnvelopeError{Field: "to", Problem: "a message needs a recipient"}
	}
	for _, to := range m.To {
		problem := addressProblem(to)
		if to == "" {
			problem = "a recipient must not be empty"
		}
		if problem != "" {
			return &EnvelopeError{Field: "to", Address: to, Problem: problem}
		}
	}
	return nil
}

// addressProblem says why an address can't stand between angle brackets, or returns the empty string. Blanks and brackets are
// allowed within a quoted local part only (RFC 5321 section 4.1.2).
func addressProblem(address string) string {
	if len(address) > maxCommandLine-len("MAIL FROM:<> SIZE=18446744073709551615 BODY=8BITMIME SMTPUTF8\r\n") {
		return "too long"
	}
	quoted, escaped := false, false
	for i := 0; i < len(address); i++ {
		switch c := address[i]; {
		case c < ' ' || c == 0x7f:
			return "holds a control character"
		case escaped:
			escaped = false
		case quoted && c == '\\':
			escaped = true
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ' ' || c == '<' || c == '>'):
			return "holds a blank or an angle bracket"
		}
	}
	if quoted || escaped {
		return "ends within a quoted string"
	}
	return ""
}

// withoutEnhanced are the phases whose replies carry no enhanced status code (RFC 2034 section 4: neither the greeting nor the
// replies to HELO and EHLO).
func withoutEnhanced(phase smtp.Stage) bool {
	return phase == smtp.StageConnect || phase == smtp.StageHelo || phase == smtp.StageEhlo
}

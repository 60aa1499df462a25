package xk6smtp

import (
	"bytes"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/xk6smtp/client"
)

// tokenHeader carries the token that is unique to each sending, so that what a server got can be told from its duplicates.
const tokenHeader = "X-Storm-Id"

// ownStormID is the value of a body's X-Storm-Id, empty without one.
func ownStormID(body *client.Body) string { return ownValue(body, tokenHeader) }

// ownValue is the value of a field of a body's header without folding and the blanks around it (RFC 5322 section 2.2.3), empty without one.
func ownValue(body *client.Body, name string) string {
	start, end, ok := field(body.Wire(), name)
	if !ok {
		return ""
	}
	value := body.Wire()[start+len(name)+1 : end]
	value = bytes.ReplaceAll(bytes.ReplaceAll(value, []byte("\r"), nil), []byte("\n"), nil)
	return string(bytes.TrimSpace(value))
}

// appendHeader appends the lines that belong to one sending: Date and Message-ID unless the message has its own (RFC 5322
// section 3.6 wants both), and the token, if it is fresh. It comes before a field of that name that is empty.
func (m *message) appendHeader(dst []byte, idDomain, token string, isFresh bool, date []byte) []byte {
	if !m.date {
		dst = append(dst, date...)
	}
	if !m.messageID {
		dst = append(dst, "Message-ID: <"...)
		dst = append(dst, token...)
		dst = append(dst, '@')
		dst = append(dst, idDomain...)
		dst = append(dst, ">\r\n"...)
	}
	if isFresh {
		dst = append(dst, tokenHeader+": "...)
		dst = append(dst, token...)
		dst = append(dst, '\r', '\n')
	}
	return dst
}

// dateLine is a Date field for the second in which it was last asked for: formatting costs more than all else that a message gets
// for itself.
type dateLine struct {
	second int64
	line   []byte
}

// at returns the field with its CRLF; it belongs to d.
func (d *dateLine) at(now time.Time) []byte {
	if second := now.Unix(); second != d.second || d.line == nil {
		d.second = second
		d.line = now.AppendFormat(d.line[:0], "Date: Mon, 02 Jan 2006 15:04:05 -0700\r\n")
	}
	return d.line
}

// field finds a header field with its folded lines.
func field(message []byte, name string) (start, end int, ok bool) {
	for start < len(message) {
		end = start
		for {
			next := bytes.IndexByte(message[end:], '\n')
			if next < 0 {
				return 0, 0, false
			}
			end += next + 1
			if end == len(message) || (message[end] != ' ' && message[end] != '\t') {
				break
			}
		}
		line := message[start:end]
		if len(bytes.TrimRight(line, "\r\n")) == 0 {
			return 0, 0, false
		}
		if len(line) > len(name) && line[len(name)] == ':' && strings.EqualFold(string(line[:len(name)]), name) {
			return start, end, true
		}
		start = end
	}
	return 0, 0, false
}

func hasField(message []byte, name string) bool {
	_, _, ok := field(message, name)
	return ok
}

func cutField(message []byte, name string) []byte {
	start, end, ok := field(message, name)
	if !ok {
		return message
	}
	return append(message[:start:start], message[end:]...)
}

// headerLength is how long the header is, with the empty line behind it; a message without one is all header.
func headerLength(message []byte) int {
	if bytes.HasPrefix(message, []byte("\r\n")) {
		return len("\r\n")
	}
	if i := bytes.Index(message, []byte("\r\n\r\n")); i >= 0 {
		return i + len("\r\n\r\n")
	}
	return len(message)
}

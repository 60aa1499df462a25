package reconcile

import (
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// uncomment drops the comments of a structured header field (RFC 5322 section 3.2.2) and the space around what is left.
func uncomment(s string) string {
	if strings.IndexByte(s, '(') < 0 {
		return strings.TrimSpace(s)
	}
	var out strings.Builder
	depth, quoted := 0, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s):
			if depth == 0 {
				out.WriteString(s[i : i+2])
			}
			i++
		case c == '"' && depth == 0:
			quoted = !quoted
			out.WriteByte(c)
		case c == '(' && !quoted:
			depth++
		case c == ')' && depth > 0:
			depth--
		case depth == 0:
			out.WriteByte(c)
		}
	}
	return strings.TrimSpace(out.String())
}

// parseStatus reads a Status field (RFC 3464 section 2.3.4), which may have a comment.
func parseStatus(s string) (string, error) {
	s = uncomment(s)
	if s == "" {
		return "", nil
	}
	if _, err := smtp.ParseEnhanced(s); err != nil {
		return "", err
	}
	return s, nil
}

// typedAddress reads a recipient field (RFC 3464 section 2.3.2): "rfc822; address", or the address alone.
func typedAddress(s string) string {
	s = uncomment(s)
	if kind, address, ok := strings.Cut(s, ";"); ok && (strings.EqualFold(strings.TrimSpace(kind), "rfc822") || strings.EqualFold(strings.TrimSpace(kind), "utf-8")) {
		s = strings.TrimSpace(address)
	}
	return strings.TrimSuffix(strings.TrimPrefix(s, "<"), ">")
}

// RecipientFields makes a notification of the fields of one recipient in a message/delivery-status (RFC 3464 section 2.3), which get
// returns by their names, empty when absent. base has what is known of the message.
func RecipientFields(get func(name string) string, base Notification) Notification {
	n := base
	n.Recipient, n.Original = typedAddress(get("Final-Recipient")), typedAddress(get("Original-Recipient"))
	n.Action = strings.ToLower(uncomment(get("Action")))
	var err error
	if n.Status, err = parseStatus(get("Status")); err != nil {
		n.Malformed = err.Error()
	}
	if n.Recipient == "" {
		n.Recipient, n.Malformed = n.Original, "no Final-Recipient"
	}
	if n.Action == "" {
		n.Malformed = "no Action"
		if strings.HasPrefix(n.Status, "5.") {
			n.Action = "failed"
		}
	}
	return n
}

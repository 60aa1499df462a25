package event

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Notification is what a sender was told of a recipient by a delivery status notification (RFC 3464): one line of dsn.jsonl, or one
// recipient of an .eml. What it does not say is empty; Recipient and Action are, too, only where Malformed says so.
type Notification struct {
	ID        string    `json:"notification_id,omitempty"` // Message-ID of the notification itself: one that comes again has the same
	Token     string    `json:"token,omitempty"`
	Sender    string    `json:"sender,omitempty"`
	StormID   string    `json:"storm_id,omitempty"`
	MessageID string    `json:"message_id,omitempty"`
	Recipient string    `json:"recipient,omitempty"`
	Original  string    `json:"original_recipient,omitempty"` // the recipient as the sender gave it (RFC 3464 section 2.3.1)
	Action    string    `json:"action,omitempty"`             // failed, delayed, delivered, relayed or expanded (section 2.3.3)
	Status    string    `json:"status,omitempty"`             // enhanced status code such as 5.1.1
	Time      time.Time `json:"time,omitzero"`
	Malformed string    `json:"malformed,omitempty"` // what of it could not be read; empty: nothing
}

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

// ParseDSNStatus reads a Status field (RFC 3464 section 2.3.4), which may have a comment.
func ParseDSNStatus(s string) (string, error) {
	s = uncomment(s)
	if s == "" {
		return "", nil
	}
	if _, err := smtp.ParseEnhanced(s); err != nil {
		return "", err
	}
	return s, nil
}

// ParseDSNAddress reads a recipient field (RFC 3464 section 2.3.2): "rfc822; address", or the address alone.
func ParseDSNAddress(s string) string {
	s = uncomment(s)
	if kind, address, ok := strings.Cut(s, ";"); ok && (strings.EqualFold(strings.TrimSpace(kind), "rfc822") || strings.EqualFold(strings.TrimSpace(kind), "utf-8")) {
		s = strings.TrimSpace(address)
	}
	return strings.TrimSuffix(strings.TrimPrefix(s, "<"), ">")
}

// ParseDSNAction reads an Action field (RFC 3464 section 2.3.3), which may have a comment; empty stays empty. The error names the valid ones.
func ParseDSNAction(s string) (string, error) {
	s = strings.ToLower(uncomment(s))
	if s != "" && !slices.Contains(strings.Fields(actions), s) {
		return "", fmt.Errorf("unknown action %.40q (valid: %s)", s, actions)
	}
	return s, nil
}

const actions = "failed delayed delivered relayed expanded"

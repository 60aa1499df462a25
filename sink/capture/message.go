package capture

import (
	"bytes"
	"net/mail"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Message is what is known of a message beside its octets: one whose body came to its end, whatever it was answered.
type Message struct {
	ID       string         `json:"id"`   // RUN-CONN-MESSAGE: by these three, the ledger's rows are found
	Run      string         `json:"run"`  // of the sink
	Conn     uint64         `json:"conn"` // its connection
	Message  uint64         `json:"message"`
	Time     time.Time      `json:"time"` // when its last reply was decided
	Listener string         `json:"listener,omitempty"`
	Client   netip.AddrPort `json:"client,omitzero"` // not valid for a unix socket
	Phase    string         `json:"phase,omitempty"` // of the storm, at MAIL

	Sender     string      `json:"sender"` // reverse-path without <>; empty for the null sender
	Token      string      `json:"token"`  // ENVID of the MAIL command, else the sender
	StormID    string      `json:"storm_id,omitempty"`
	MessageID  string      `json:"message_id,omitempty"`
	Recipients []Recipient `json:"recipients"` // those that were accepted at RCPT

	Size int64 `json:"size"`          // octets of the message, dots unstuffed, without the final dot
	Kept int64 `json:"kept"`          // octets of its beginning that are kept
	Cut  bool  `json:"cut,omitempty"` // these are not all
}

// Recipient is a recipient of a message, and what the client was told for it after the body: the same for all, but in LMTP.
type Recipient struct {
	Address   string        `json:"address"` // forward-path without <>
	ORCPT     string        `json:"orcpt,omitempty"`
	N         uint64        `json:"attempt,omitempty"` // the pair's n-th RCPT, from 1; 0 when nobody counted
	Code      smtp.Code     `json:"code,omitempty"`    // of the reply that decided, also of one that was not sent; 0: there was none
	Enhanced  smtp.Enhanced `json:"enhanced,omitzero"` // of the same reply
	Text      string        `json:"text,omitempty"`    // its words, lines with a line feed in between
	ReplySent bool          `json:"reply_sent,omitempty"`
	Delivered bool          `json:"delivered,omitempty"` // the message counts as delivered, whatever the client was told
	Cause     string        `json:"cause,omitempty"`     // who decided, such as "plain", "rule:NAME", "next:ID"
	Fault     string        `json:"fault,omitempty"`     // what was done besides reply and delay
}

// ID returns the identity of a message.
func ID(run string, conn, message uint64) string {
	return run + "-" + strconv.FormatUint(conn, 10) + "-" + strconv.FormatUint(message, 10)
}

// Delivered reports whether it counts as delivered for any recipient.
func (m *Message) Delivered() bool {
	for i := range m.Recipients {
		if m.Recipients[i].Delivered {
			return true
		}
	}
	return false
}

// overhead is about how much memory is taken by what is known of a message, in octets.
func (m *Message) overhead() int64 {
	n := 512 + len(m.Sender) + len(m.Token) + len(m.StormID) + len(m.MessageID)
	for i := range m.Recipients {
		r := &m.Recipients[i]
		n += 192 + len(r.Address) + len(r.ORCPT) + len(r.Cause) + len(r.Fault)
	}
	return int64(n)
}

// ParseHeader parses the header of a message.
func ParseHeader(octets []byte) (mail.Header, error) {
	m, err := mail.ReadMessage(bytes.NewReader(octets))
	if err != nil {
		return nil, err
	}
	return m.Header, nil
}

// Query says which messages are meant. What is empty means all.
type Query struct {
	Recipient string // any of whom; the domain's case doesn't matter
	Sender    string
	Token     string
	StormID   string
	MessageID string // with or without <>
	Code      string // what any recipient was told: "450", or a class such as "4xx"
	Outcome   Outcome
	After     string // those after the message of this ID; all when it isn't there any more
	Limit     int    // at most so many, the oldest first; 0: all
}

// Outcome says what became of messages.
type Outcome uint8

// The outcomes.
const (
	Any       Outcome = iota
	Delivered         // for a recipient or more
	Refused           // for all of them
)

// matches reports whether the message is meant, After and Limit aside.
func (q *Query) matches(m *Message) bool {
	trim := func(id string) string { return strings.TrimSuffix(strings.TrimPrefix(id, "<"), ">") }
	switch {
	case q.Sender != "" && !smtp.SameAddress([]byte(q.Sender), []byte(m.Sender)),
		q.Token != "" && q.Token != m.Token,
		q.StormID != "" && q.StormID != m.StormID,
		q.MessageID != "" && trim(q.MessageID) != trim(m.MessageID),
		q.Outcome == Delivered && !m.Delivered(),
		q.Outcome == Refused && m.Delivered():
		return false
	case q.Recipient == "" && q.Code == "":
		return true
	}
	for i := range m.Recipients {
		r := &m.Recipients[i]
		if (q.Recipient == "" || smtp.SameAddress([]byte(q.Recipient), []byte(r.Address))) && (q.Code == "" || codeMatches(q.Code, r.Code)) {
			return true
		}
	}
	return false
}

func codeMatches(pattern string, code smtp.Code) bool {
	text := strconv.Itoa(int(code))
	if class, ok := strings.CutSuffix(strings.ToLower(pattern), "xx"); ok {
		return code != 0 && strings.HasPrefix(text, class)
	}
	return text == pattern
}

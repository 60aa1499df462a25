// Package dsn reads delivery status notifications as they come (RFC 3464): multipart/report messages, or of another multipart type, with a part that tells of each
// recipient, and a part that quotes the message. It takes them apart, and keeps them in a directory; package reconcile judges.
//
// It leaves out notifications that are no multipart messages, and taking them by SMTP (package sink).
package dsn

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"net/textproto"
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/event"
)

// ErrNoReport says that a message is no delivery status notification.
var ErrNoReport = errors.New("no multipart message with a message/delivery-status part (RFC 3464)")

// ErrOtherReport says that a message is a report of another kind, such as that it was read (RFC 8098): it says nothing of its delivery.
var ErrOtherReport = errors.New("a report of another kind, not of delivery status")

// maxPart bounds what is read of one part of a notification.
const maxPart = 1 << 20

// Parse reads a notification and returns one event.Notification for each recipient that it tells about. The identities are those
// that it names: ENVID, the addressee as the sender of the message, X-Storm-Id and Message-ID of what it quotes. An error wraps
// ErrNoReport or ErrOtherReport, or says why it is no message.
func Parse(r io.Reader) ([]event.Notification, error) {
	m, err := mail.ReadMessage(r)
	if err != nil {
		return nil, fmt.Errorf("not a message: %w", err)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || !strings.HasPrefix(kind, "multipart/") || params["boundary"] == "" {
		return nil, ErrNoReport
	}
	var base event.Notification
	if kind != "multipart/report" { // as OpenSMTPD's
		base.Malformed = kind + " instead of multipart/report"
	}
	if to, err := mail.ParseAddress(m.Header.Get("To")); err == nil {
		base.Sender = to.Address
	}
	base.ID = m.Header.Get("Message-Id")
	base.Time, _ = m.Header.Date() // the zero time when there is none
	var out []event.Notification
	for parts := multipart.NewReader(m.Body, params["boundary"]); ; {
		p, err := parts.NextRawPart()
		if err != nil {
			break
		}
		text, _ := io.ReadAll(io.LimitReader(p, maxPart))               // of a torn one, what was read counts
		kind, _, _ := mime.ParseMediaType(p.Header.Get("Content-Type")) // empty when it can't be read
		switch kind {
		case "message/delivery-status", "message/global-delivery-status":
			out = append(out, groups(text, base)...)
		case "message/rfc822", "text/rfc822-headers", "message/global", "message/global-headers":
			h := fields(text)
			base.StormID, base.MessageID = h.Get("X-Storm-Id"), h.Get("Message-Id")
		}
	}
	if len(out) == 0 {
		switch strings.ToLower(params["report-type"]) {
		case "disposition-notification", "feedback-report": // RFC 8098, RFC 5965
			return nil, ErrOtherReport
		}
		return nil, ErrNoReport
	}
	for i := range out {
		out[i].StormID, out[i].MessageID = base.StormID, base.MessageID
	}
	return out, nil
}

// groups reads a message/delivery-status: fields about the message, then a group of fields for each recipient (RFC 3464 section 2.1).
func groups(text []byte, base event.Notification) (out []event.Notification) {
	text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
	for i, group := range bytes.Split(bytes.TrimSpace(text), []byte("\n\n")) {
		h := fields(bytes.TrimLeft(group, "\n"))
		if i == 0 {
			base.Token = h.Get("Original-Envelope-Id")
		}
		if h.Get("Final-Recipient") != "" || h.Get("Action") != "" {
			out = append(out, recipientFields(h.Get, base))
		}
	}
	return out
}

// fields reads header fields up to the first empty line, or to the end.
func fields(text []byte) textproto.MIMEHeader {
	r := io.MultiReader(bytes.NewReader(text), bytes.NewReader([]byte("\r\n\r\n")))
	h, _ := textproto.NewReader(bufio.NewReader(r)).ReadMIMEHeader() // what could be read counts
	return h
}

// recipientFields makes a notification of the fields of one recipient in a message/delivery-status (RFC 3464 section 2.3), which get
// returns by their names, empty when absent. base has what is known of the message.
func recipientFields(get func(name string) string, base event.Notification) event.Notification {
	n := base
	n.Recipient, n.Original = event.ParseDSNAddress(get("Final-Recipient")), event.ParseDSNAddress(get("Original-Recipient"))
	var err error
	if n.Status, err = event.ParseDSNStatus(get("Status")); err != nil {
		n.Malformed = err.Error()
	}
	if n.Action, err = event.ParseDSNAction(get("Action")); err != nil {
		n.Malformed = err.Error()
	} else if n.Action == "" {
		n.Malformed = "no Action"
	}
	if n.Action == "" && strings.HasPrefix(n.Status, "5.") {
		n.Action = "failed"
	}
	if n.Recipient == "" {
		n.Recipient, n.Malformed = n.Original, "no Final-Recipient"
	}
	return n
}

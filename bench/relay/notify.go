package relay

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// notify sends the sender of a message a notification of what became of recipients, as far as it wants one (RFC 3461 sections 4.1 and
// 5.2): "failed" unless NOTIFY leaves FAILURE out, "relayed" only where it asks for SUCCESS and the next hop, which does not offer DSN,
// can't be asked for a notification. Nobody is notified of a notification (RFC 5321 section 4.5.5).
func (r *Relay) notify(m *message, action string, results []result) {
	var told []result
	for i := range results {
		one := &results[i]
		switch {
		case action == "relayed" && strings.Contains(one.notify, "SUCCESS") && !one.passedOn,
			action == "failed" && (one.notify == "" || strings.Contains(one.notify, "FAILURE")):
			told = append(told, *one)
		}
	}
	if m.sender == "" || len(told) == 0 {
		return
	}
	n := &message{
		arrived: time.Now(), recipients: []recipient{{address: m.sender, notify: "NEVER"}}, hop: r.cfg.ReturnPath, notification: true,
	}
	r.spool.add(n)
	n.content = r.notification(n, m, action, told)
	r.logEvent(n, "accepted", &result{recipient: n.recipients[0]})
	r.enqueue(n, n.arrived)
}

// notification writes a multipart/report (RFC 6522, RFC 3464).
func (r *Relay) notification(n, m *message, action string, told []result) []byte {
	var b bytes.Buffer
	host, boundary := r.cfg.Hostname, n.name()+"/"+r.cfg.Hostname
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	part := func(kind string) { line("\r\n--%s\r\nContent-Type: %s\r\n", boundary, kind) }
	line("From: Mail Delivery System <MAILER-DAEMON@%s>", host)
	line("To: <%s>", m.sender)
	line("Subject: Delivery Status Notification (%s)", action)
	line("Date: %s", n.arrived.Format(time.RFC1123Z))
	line("Message-ID: <%s@%s>", n.name(), host)
	line("Auto-Submitted: auto-replied")
	line("MIME-Version: 1.0")
	line("Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=%q", boundary)
	part("text/plain; charset=us-ascii")
	line("This is the relay %s. Your message %s:\r\n", host, action)
	for i := range told {
		line("<%s>: %s", told[i].address, told[i].text())
	}
	part("message/delivery-status")
	line("Reporting-MTA: dns; %s", host)
	if m.envid != "" {
		line("Original-Envelope-Id: %s", m.envid)
	}
	line("Arrival-Date: %s", m.arrived.Format(time.RFC1123Z))
	for i := range told {
		one := &told[i]
		b.WriteString("\r\n")
		if one.original != "" {
			line("Original-Recipient: %s", one.original)
		}
		line("Final-Recipient: rfc822; %s", one.address)
		line("Action: %s", action)
		line("Status: %s", one.status(action))
		line("Remote-MTA: dns; %s", m.hop)
		if one.Code != 0 {
			line("Diagnostic-Code: smtp; %s", one.text())
		}
	}
	if m.ret == "HDRS" {
		part("text/rfc822-headers")
		header, _ := split(m.content)
		b.Write(header)
	} else {
		part("message/rfc822")
		b.Write(m.content)
	}
	line("\r\n--%s--", boundary)
	return b.Bytes()
}

// text returns the reply in one line, or what happened instead.
func (o *outcome) text() string {
	text := o.broken
	if o.Code != 0 {
		r := smtp.Reply{Code: o.Code, Enhanced: o.Enhanced, Lines: strings.Split(o.Text, "\n")}
		text = r.String()
	}
	return smtp.Visible(strings.ReplaceAll(text, "\n", " "))
}

// status returns the status of a recipient (RFC 3463): that of the reply, if it has one.
func (r *result) status(action string) string {
	switch {
	case r.expired:
		return "4.4.7" // delivery time expired
	case action == "relayed":
		return "2.0.0"
	case r.Enhanced.Class == 5:
		return r.Enhanced.String()
	}
	return "5.0.0"
}

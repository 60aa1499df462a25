package mtalog

import (
	"strconv"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// TestAttempts: what the events of logs tell of the next hop. The texts are those that MTAs have logged.
func TestAttempts(t *testing.T) {
	for _, test := range []struct {
		event, text string
		want        string // failure stage code enhanced lines; "none" when it is no attempt, and a ? behind a stage that was not told
	}{
		{Deferred, "host mx[192.0.2.1] said: 450 4.2.1 Mailbox disabled (in reply to RCPT TO command)", "answered rcpt 450 4.2.1 Mailbox disabled"},
		{Bounced, "host mx[192.0.2.1] said: 550-5.1.1 The email account does not exist. 550-5.1.1 Please try 550 5.1.1 again (in reply to RCPT TO command)",
			"answered rcpt 550 5.1.1 The email account does not exist.|Please try|again"},
		{Deferred, "host mx[192.0.2.1] refused to talk to me: 421 4.7.0 Try again later", "answered connect 421 4.7.0 Try again later"},
		{Deferred, "host mx[192.0.2.1] said: 421-4.7.0 unusual rate 421 4.7.0 of mail - gsmtp (in reply to end of DATA command)", "answered message 421 4.7.0 unusual rate|of mail - gsmtp"},
		{Bounced, "host mx[192.0.2.1] said: 554 no words of its own (in reply to MAIL FROM command)", "answered mail 554 no words of its own"},
		{Deferred, "connect to mx[192.0.2.1]:25: Connection refused", "refused connect"},
		{Deferred, "connect to mx[192.0.2.1]:25: Connection timed out", "timed-out connect"},
		{Deferred, "lost connection with mx[192.0.2.1] while receiving the initial server greeting", "lost connect"},
		{Deferred, "lost connection with mx[192.0.2.1] while sending end of data -- message may be sent more than once", "lost message"},
		{Deferred, "conversation with mx[192.0.2.1] timed out while sending RCPT TO", "timed-out rcpt"},
		{Deferred, "Cannot start TLS: handshake failure", "tls-failed starttls"},
		{Deferred, "Host or domain name not found. Name service error for name=x.test type=MX: Host not found, try again", "none"},
		{Bounced, "mail for x.test loops back to myself", "none"},
		{Deferred, "SMTP error from remote mail server after RCPT TO:<r@x.test>: 451 4.3.0 come again", "answered rcpt 451 4.3.0 come again"},
		{Bounced, `SMTP error from remote mail server after pipelined MAIL FROM:<s@x.test> SIZE=1: 552-5.3.4 too\n552 5.3.4 big`, "answered mail 552 5.3.4 too|big"},
		{Deferred, "SMTP error from remote mail server after end of data: 421 4.3.2 closing", "answered message 421 4.3.2 closing"},
		{Deferred, "SMTP error from remote mail server after initial connection: 421 busy", "answered connect 421 busy"},
		{Deferred, "SMTP timeout after initial connection", "timed-out connect"},
		{Deferred, "Remote host closed connection in response to end of data", "lost message"},
		{Deferred, "Connection refused", "refused connect"},
		{Deferred, "Deferred: Connection timed out with mx.x.test.", "timed-out rcpt?"},
		{Deferred, "Deferred", "unclear rcpt?"},
		{Deferred, "450 4.2.1 not yet", "answered rcpt? 450 4.2.1 not yet"},
		{Deferred, "Upstream error: 421 4.3.2 Service not available", "answered rcpt? 421 4.3.2 Service not available"},
		{Deferred, "Tried all MXs", "unclear rcpt?"},
		{Deferred, "Connection closed unexpectedly", "lost rcpt?"},
		{Suspended, "delivery temporarily suspended: connect to mx[192.0.2.1]:25: Connection refused", "none"},
		{Suspended, "retry time not reached for any host for 'x.test'", "none"},
		{Expired, "returned to sender", "none"},
		{Accepted, "", "none"},
		{Sent, "250 2.0.0 Ok: queued as 4711", "answered message 250 2.0.0 Ok: queued as 4711"},
	} {
		e := newEvent(newYear.Until, "1")
		e.Event, e.Text, e.Code, e.Connection = test.event, test.text, reply(test.text), "mx[192.0.2.1]:25"
		a, ok := e.Attempt()
		got := "none"
		if ok {
			got = a.Failure.String() + " " + a.Stage.String()
			if !a.Told {
				got += "?"
			}
			if a.Failure == Answered {
				got += " " + strconv.Itoa(int(a.Code))
			}
			if !a.Enhanced.IsZero() {
				got += " " + a.Enhanced.String()
			}
			got = strings.TrimSpace(got + " " + strings.Join(a.Lines, "|"))
		}
		if got != test.want {
			t.Errorf("%s %q\nis   %s\nwant %s", test.event, test.text, got, test.want)
		}
	}
	local := Event{LogEvent: reconcile.LogEvent{Event: Sent, Connection: "local", Text: "delivered to mailbox"}}
	if _, ok := local.Attempt(); ok {
		t.Error("a local delivery is an attempt")
	}
	failed := Event{LogEvent: reconcile.LogEvent{Event: Bounced, Code: 550, Text: "User unknown"}, Said: "550-5.1.1 The account does not exist."}
	if a, ok := failed.Attempt(); !ok || a.Enhanced != (smtp.Enhanced{Class: 5, Subject: 1, Detail: 1}) || strings.Join(a.Lines, "|") != "The account does not exist." {
		t.Errorf("sendmail's reply is %+v", a)
	}
}

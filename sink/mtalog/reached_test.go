package mtalog

import (
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

// TestReachedEnvelope: texts that MTAs have logged in storms.
func TestReachedEnvelope(t *testing.T) {
	for _, test := range []struct {
		event string
		code  int
		text  string
		want  Reached
	}{
		{Sent, 250, "250 2.0.0 OK", DidReach},
		{Suspended, 0, "delivery temporarily suspended: host 127.0.0.1[127.0.0.1] refused to talk to me: 421 4.3.2 Service not available", NotReached},
		{Deferred, 421, "host 127.0.0.1[127.0.0.1] refused to talk to me: 421 4.3.2 Service not available, closing transmission channel", NotReached},
		{Deferred, 450, "host 127.0.0.1[127.0.0.1] said: 450 4.2.1 Mailbox disabled, not accepting messages (in reply to RCPT TO command)", DidReach},
		{Deferred, 0, "connect to 127.0.0.1[127.0.0.1]:26722: Connection refused", NotReached},
		{Deferred, 0, "lost connection with 127.0.0.1[127.0.0.1] while receiving the initial server greeting", NotReached},
		{Deferred, 0, "lost connection with 127.0.0.1[127.0.0.1] while sending end of data -- message may be sent more than once", DidReach},
		{Deferred, 0, "conversation with 127.0.0.1[127.0.0.1] timed out while sending end of data -- message may be sent more than once", DidReach},
		{Deferred, 421, "SMTP error from remote mail server after initial connection: 421 4.3.2 Service not available, closing transmission channel", NotReached},
		{Deferred, 450, "SMTP error from remote mail server after RCPT TO:<r1@d0.bench.test>: 450 4.2.1 Mailbox disabled", DidReach},
		{Deferred, 0, "Remote host closed connection in response to end of data", DidReach},
		{Deferred, 0, "Connection timed out H=127.0.0.1 [127.0.0.1]:22602: SMTP timeout after end of data (2221 bytes written)", DidReach},
		{Deferred, 0, "Deferred", MaybeReached},
		{Deferred, 0, "Deferred: Connection refused by [127.0.0.1]", NotReached},
		{Deferred, 0, "Connection refused", NotReached},
		{Deferred, 421, "Upstream error: 421 4.3.2 Service not available, closing transmission channel", MaybeReached},
		{Deferred, 450, "450 4.2.1 Mailbox disabled, not accepting messages", DidReach},
		{Deferred, 0, "Tried all MXs", MaybeReached},
		{Deferred, 0, "Connection closed unexpectedly", MaybeReached},                  // OpenSMTPD
		{Deferred, 0, "Deferred: Connection timed out with [127.0.0.1]", MaybeReached}, // sendmail
		{Deferred, 421, "421 4.3.2 Service not available, closing transmission channel", MaybeReached},
		{Deferred, 421, "host 127.0.0.1[127.0.0.1] said: 421 4.3.2 Service shutting down (in reply to RCPT TO command)", DidReach},
		{Deferred, 0, "message: EOF", DidReach},
		{Deferred, 0, "connect: dial: connection refused", NotReached},
		{Deferred, 0, "Connection unexpectedly closed: timed out", MaybeReached}, // smtplib
		{Deferred, 0, "SMTP Error: data not accepted.", MaybeReached},            // PHPMailer
		{Deferred, 0, "Timeout", MaybeReached},                                   // nodemailer
		{Deferred, 0, "EOF", MaybeReached},                                       // smtppool
		{Deferred, 0, "send failed: closing SMTP DATA writer: EOF, affected message ID: <1@x.test>", DidReach},
		{Bounced, 550, "550 5.1.1 No such user here", DidReach},
		{Expired, 0, "returned to sender", NotReached},
	} {
		if got := ReachedEnvelope(&reconcile.LogEvent{Event: test.event, Code: test.code, Text: test.text}); got != test.want {
			t.Errorf("%s %q: %d, want %d", test.event, test.text, got, test.want)
		}
	}
}

func TestPostponed(t *testing.T) {
	for _, test := range []struct {
		event, text string
		want        Reached
	}{
		{"suspended", "delivery temporarily suspended: host h[1.2.3.4] refused to talk to me: 421", NotReached},
		{"suspended", "retry time not reached for any host for 'x.test'", DidReach},
		{"deferred", "connect to h[1.2.3.4]:25: Connection refused", NotReached},
		{"deferred", "Upstream error: 421 4.7.0 later", MaybeReached},
		{"deferred", "host h[1.2.3.4] said: 450 4.2.0 later (in reply to RCPT TO command)", DidReach},
		{"sent", "250 ok", DidReach},
	} {
		if got := Postponed(&reconcile.LogEvent{Event: test.event, Text: test.text}); got != test.want {
			t.Errorf("%s %q: got %v, want %v", test.event, test.text, got, test.want)
		}
	}
}

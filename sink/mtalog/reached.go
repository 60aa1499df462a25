package mtalog

import (
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

// Reached says whether the next hop saw an envelope.
type Reached uint8

// The values of Reached.
const (
	NotReached   Reached = iota // nobody took the connection, or it was turned away before MAIL
	MaybeReached                // the log doesn't tell
	DidReach                    // a reply to MAIL, RCPT, DATA or the body, or a connection that broke there
)

// ReachedEnvelope says of an event of a log whether the attempt that it tells of came so far that the next hop saw the message's envelope.
func ReachedEnvelope(e *reconcile.LogEvent) Reached {
	switch e.Event {
	case Sent:
		return DidReach
	case Deferred, Bounced:
	default:
		return NotReached
	}
	text := strings.ToLower(e.Text)
	for _, in := range [...]string{"end of data", "in reply to mail from", "in reply to rcpt to"} { // whatever else the text has, such as a time-out
		if strings.Contains(text, in) {
			return DidReach
		}
	}
	// sendmail says so of a wait within a session, too.
	if strings.Contains(text, "connection timed out with") {
		return MaybeReached
	}
	for _, before := range [...]string{
		"refused to talk to me", "connect to ", "connection refused", "connection timed out", "initial server greeting", "initial connection", // Postfix, Exim
		"error creating client: ", "error saying hello: ", "could not dial: ", "could not find mail server: ", // chasquid
		" failed after connect: ", "ehlo failed: ", "could not perform server greeting", // dma
		"performing the ehlo", "performing the helo", "reply to ehlo", "reply to helo", "retry timeout exceeded",
	} {
		if strings.Contains(text, before) {
			return NotReached
		}
	}
	// Haraka says the first when a port is closed, and when the connection broke after the final dot; sendmail and OpenSMTPD the others wherever a
	// connection broke.
	if strings.HasPrefix(text, "tried all mxs") || text == "deferred" || text == "connection closed unexpectedly" {
		return MaybeReached
	}
	// Libraries of applications (smtplib, PHPMailer, smtppool, nodemailer) and nullmailer don't say where a connection broke, or their patience did.
	for _, anywhere := range [...]string{"connection unexpectedly closed", "smtp error: data not accepted.", "timed out", "timeout", "eof", "protocol error"} {
		if e.Code == 0 && strings.HasPrefix(text, anywhere) {
			return MaybeReached
		}
	}
	if strings.Contains(text, "closing smtp data writer") { // go-mail
		return DidReach
	}
	// Haraka writes the same of a greeting and of a reply to MAIL.
	if strings.HasPrefix(text, "upstream error: ") {
		return MaybeReached
	}
	if e.Code == 421 && !strings.Contains(text, "in reply to") && !strings.Contains(text, "error from remote mail server") {
		return MaybeReached // sendmail and Haraka don't say to which command, or whether in the greeting
	}
	if e.Code != 0 {
		return DidReach
	}
	for _, in := range [...]string{"while sending mail from", "while sending rcpt to", "while sending data", "while sending message body", " after "} {
		if strings.Contains(text, in) {
			return DidReach
		}
	}
	for _, phase := range [...]string{"mail: ", "rcpt: ", "data: ", "message: ", "mail+rcpt ", "data "} { // this project's own client; chasquid
		if strings.HasPrefix(text, phase) {
			return DidReach
		}
	}
	return NotReached
}

// Postponed says of an event of a log whether it is a failure without an envelope after which the MTA reckons the message's next pause anew:
// DidReach that it is none. Exim's remark that the time to retry hasn't come yet is none.
func Postponed(e *reconcile.LogEvent) Reached {
	switch {
	case e.Event == Suspended && !strings.Contains(strings.ToLower(e.Text), "retry time not reached"):
		return NotReached
	case e.Event == Deferred:
		return ReachedEnvelope(e)
	}
	return DidReach
}

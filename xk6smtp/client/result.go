package client

import (
	"errors"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// NotMeasured is the duration of a phase that did not take place or was not completed.
const NotMeasured time.Duration = -1

// Reply is a reply that was read.
type Reply struct {
	Phase    smtp.Stage
	Code     smtp.Code
	Enhanced smtp.Enhanced
	Text     string // without codes, lines separated by "\n"
}

// Greeting is what Connect learned.
type Greeting struct {
	// Banner is the greeting's text.
	Banner string
	// Reply is the last reply that was read: that of EHLO or HELO when the connection stands, the refusal otherwise. Its Code is
	// 0 when the dialogue broke instead.
	Reply Reply
	// Capabilities is what the server announced.
	Capabilities Capabilities

	// Timings is how long each step took.
	Timings ConnectTimings
}

func (g *Greeting) reset() {
	*g = Greeting{Timings: ConnectTimings{NotMeasured, NotMeasured, NotMeasured, NotMeasured, NotMeasured, NotMeasured, NotMeasured}}
}

// ConnectTimings is a connection's clocks, NotMeasured where a step was not completed.
type ConnectTimings struct {
	// Resolving is the lookup, Connecting the dialling.
	Resolving, Connecting time.Duration
	// Banner runs from connected to the last byte of the greeting.
	Banner time.Duration
	// Ehlo runs from the first byte of EHLO to the last byte of its reply, or of HELO's after a refused EHLO.
	Ehlo time.Duration
	// TLS is the handshake: from its start, after the reply to STARTTLS, to its end.
	TLS time.Duration
	// EhloTLS is the second EHLO, which follows STARTTLS.
	EhloTLS time.Duration
	// Auth runs from the first byte of AUTH to the last byte of its last reply.
	Auth time.Duration
}

// Message is what Send sends. Nothing of it is kept or changed.
type Message struct {
	// From is the sender without angle brackets and with the quotes that it needs, empty for the null sender.
	From string
	// To is one or more recipients in the same form.
	To []string
	// Header holds header lines of this one sending, put before the body. Every line ends with CRLF, and none starts with a dot.
	Header []byte
	// Body is the rest.
	Body *Body
	// UTF8 says that header fields hold addresses that are not ASCII, which needs SMTPUTF8 whatever the envelope is (RFC 6532).
	UTF8 bool
	// DSN are the wishes about delivery reports, sent to servers that offer DSN; nil: none.
	DSN *DSN
}

// DSN is what a sender wants to know of a message's fate (RFC 3461). Empty fields are not sent.
type DSN struct {
	// Ret is "FULL" or "HDRS": how much of the message a report returns.
	Ret string
	// EnvID names the sending in reports, in plain text: it is sent as xtext.
	EnvID string
	// Notify is "NEVER", or some of SUCCESS, FAILURE and DELAY with commas between.
	Notify string
	// ORcpt is the original recipient as "type;address", in plain text.
	ORcpt string
	// ORcptSelf has every recipient's own address stand as its original one.
	ORcptSelf bool
}

// Recipient is what became of one recipient.
type Recipient struct {
	// Reply is the recipient's final reply: that of RCPT when it was refused, of MAIL or DATA when they were, of the message
	// otherwise. Its Code is 0, and Phase that of the Error, when the dialogue broke before.
	Reply    Reply
	accepted bool
}

// Timings is a message's clocks, NotMeasured where a phase was not completed.
type Timings struct {
	// Mail, Rcpt and Data run from the first byte of the command (RCPT: of the first one) to the last byte of the reply (of the
	// last one). Pipelined commands share the instant at which they were written.
	Mail, Rcpt, Data time.Duration
	// Sending runs from the first byte of the body until the final dot was handed to the kernel, Waiting from there to the last
	// byte of the reply.
	Sending, Waiting time.Duration
	// Duration runs from the first byte of MAIL to the last byte of the reply that ended the message.
	Duration time.Duration
}

// Result is what became of one message. It can be reused: Send overwrites it, and keeps its storage.
type Result struct {
	Timings
	// Started is when MAIL was about to be written; zero if it never was.
	Started time.Time
	// Pipelined reports whether commands were pipelined.
	Pipelined bool
	// Recipients holds one entry per recipient in the order of Message.To.
	Recipients []Recipient
	// Accepted is how many recipients RCPT accepted.
	Accepted int
	// Octets is the size of what was handed to the kernel after DATA, dots and final dot included.
	Octets int
}

func (r *Result) reset(recipients int) {
	kept := r.Recipients[:0]
	*r = Result{Timings: Timings{NotMeasured, NotMeasured, NotMeasured, NotMeasured, NotMeasured, NotMeasured}}
	for range recipients {
		kept = append(kept, Recipient{})
	}
	r.Recipients = kept
}

// Abandon fills in the result of a message that was never begun because of err: its reply, if it has one, becomes every
// recipient's.
func (r *Result) Abandon(recipients int, err error) {
	r.reset(recipients)
	var e *Error
	if errors.As(err, &e) {
		r.finish(Reply{Phase: e.Phase, Code: e.Code, Enhanced: e.Enhanced, Text: e.Text}, false)
	}
}

// finish gives reply to every recipient that has no final reply yet: only to the accepted ones when acceptedOnly is set.
func (r *Result) finish(reply Reply, acceptedOnly bool) {
	for i := range r.Recipients {
		rcpt := &r.Recipients[i]
		if rcpt.Reply.Code == 0 && (rcpt.accepted || !acceptedOnly) {
			rcpt.Reply = reply
		}
	}
}

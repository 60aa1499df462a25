package mtalog

import (
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Failure is why an attempt has no reply.
type Failure uint8

// The failures.
const (
	Answered  Failure = iota // there was a reply
	Refused                  // nobody took the connection: refused, reset, no route
	TimedOut                 // nobody answered in time
	Lost                     // the connection broke
	TLSFailed                // TLS was wanted, and couldn't be had
	Unclear                  // the log doesn't tell which of these
)

var failureNames = [...]string{"answered", "refused", "timed-out", "lost", "tls-failed", "unclear"}

// String returns the failure's name as summaries write it.
func (f Failure) String() string { return failureNames[f] }

// Attempt is what one event tells of the next hop's part.
type Attempt struct {
	Failure Failure
	Stage   smtp.Stage // of the reply that decided, or at which there was none
	Told    bool       // the log tells the stage; else Stage is the most usual one, rcpt
	// Of a reply: its code, 0 when the log has only words (sendmail, of a success), the enhanced status code if it has one, and its lines
	// without either. They name whom the reply named.
	Code     smtp.Code
	Enhanced smtp.Enhanced
	Lines    []string
	Quoted   bool // the log has the reply as it was said: without an enhanced status code here it had none
}

// Attempt says what the event tells of an attempt at the next hop. ok is false when it tells of none: nobody was asked, or the MTA decided or
// delivered by itself.
func (e *Event) Attempt() (a Attempt, ok bool) {
	switch e.Event {
	case Sent:
		if !remote(e.Connection) {
			return a, false
		}
		a.Stage, a.Told, a.Code = smtp.StageMessage, true, smtp.Code(e.Code) // #nosec G115 -- three digits
		a.read(e)
		return a, true
	case Deferred, Bounced:
	default:
		return a, false
	}
	text := strings.ToLower(e.Text)
	a.Stage, a.Told = stageOf(text)
	if e.Code >= 400 {
		a.Code = smtp.Code(e.Code) // #nosec G115 -- three digits
		a.read(e)
		return a, true
	}
	if a.Failure, ok = failureOf(text); !ok {
		return a, false
	}
	// sendmail writes "timed out with" of a wait within a session, too.
	if !a.Told && (a.Failure == Refused || a.Failure == TimedOut && strings.Contains(text, "connect") && !strings.Contains(text, "timed out with")) {
		a.Stage, a.Told = smtp.StageConnect, true
	}
	return a, true
}

// remote reports whether a connection is one to a host: its address stands in it. Postfix calls others after their transport, such as local.
func remote(connection string) bool { return strings.ContainsAny(connection, "[:(") }

// at has what MTAs write of the stage, in the order in which it is looked for.
var at = [...]struct {
	text  string
	stage smtp.Stage
}{
	{"end of data", smtp.StageMessage}, {"message body", smtp.StageMessage}, {"sending data block", smtp.StageMessage},
	{"in reply to rcpt to", smtp.StageRcpt}, {"in reply to mail from", smtp.StageMail}, {"in reply to data", smtp.StageData},
	{"in reply to ehlo", smtp.StageEhlo}, {"in reply to helo", smtp.StageEhlo}, {"in reply to starttls", smtp.StageStartTLS}, {"in reply to auth", smtp.StageAuth},
	{"refused to talk to me", smtp.StageConnect}, {"initial server greeting", smtp.StageConnect}, {"initial connection", smtp.StageConnect}, {"initial protocol", smtp.StageConnect},
	{"while sending rcpt to", smtp.StageRcpt}, {"while sending mail from", smtp.StageMail}, {"while sending data", smtp.StageData},
	{"performing the ehlo", smtp.StageEhlo}, {"performing the helo", smtp.StageEhlo},
	{"cannot start tls", smtp.StageStartTLS}, {"tls is required", smtp.StageStartTLS}, {"tls session", smtp.StageStartTLS},
	{"after rcpt to", smtp.StageRcpt}, {"after pipelined rcpt to", smtp.StageRcpt}, {"after mail from", smtp.StageMail}, {"after pipelined mail from", smtp.StageMail},
	{"after data", smtp.StageData}, {"after pipelined data", smtp.StageData}, {"after ehlo", smtp.StageEhlo}, {"after helo", smtp.StageEhlo}, {"after starttls", smtp.StageStartTLS},
	{"in response to rcpt to", smtp.StageRcpt}, {"in response to pipelined rcpt to", smtp.StageRcpt}, {"in response to mail from", smtp.StageMail},
	{"in response to pipelined mail from", smtp.StageMail}, {"in response to data", smtp.StageData}, {"in response to initial", smtp.StageConnect},
	{"in response to ehlo", smtp.StageEhlo}, {"in response to helo", smtp.StageEhlo},
	{"connect to ", smtp.StageConnect},
}

// stageOf finds the stage in a text in small letters.
func stageOf(text string) (stage smtp.Stage, told bool) {
	for _, t := range at {
		if strings.Contains(text, t.text) {
			return t.stage, true
		}
	}
	return smtp.StageRcpt, false
}

// failureOf says what a text without a reply tells of. ok is false when the MTA decided by itself: no host was found, say.
func failureOf(text string) (f Failure, ok bool) {
	for _, own := range [...]string{"host not found", "host or domain name not found", "name service error", "loops back", "unrouteable", "no route found", "no mx",
		"lookup", "message size exceeds", "loop detected", "too many hops", "address rejected"} {
		if strings.Contains(text, own) {
			return Unclear, false
		}
	}
	for _, t := range [...]struct {
		text string
		f    Failure
	}{
		{"tls", TLSFailed}, {"certificate", TLSFailed},
		{"lost connection", Lost}, {"closed connection", Lost}, {"connection closed", Lost}, {"connection reset", Lost}, {"broken pipe", Lost}, {"dropped connection", Lost},
		{"timed out", TimedOut}, {"timeout", TimedOut},
		{"refused", Refused}, {"no route to host", Refused}, {"unreachable", Refused}, {"could not connect", Refused}, {"network error", Refused},
		{"tried all mx", Unclear}, {"connection", Unclear}, {"connect to", Unclear},
	} {
		if strings.Contains(text, t.text) {
			return t.f, true
		}
	}
	return Unclear, text == "deferred" // sendmail's word for a connection that broke
}

// read takes the reply out of an event's text. The lines of a longer reply stand in one line of the log.
func (a *Attempt) read(e *Event) {
	said := e.Said
	if said == "" {
		start := replyAt(e.Text)
		if start < 0 {
			said = e.Text
		} else {
			said = e.Text[start:]
		}
		for _, tail := range [...]string{" (in reply to", " (delivery attempts:"} {
			said, _, _ = strings.Cut(said, tail)
		}
	}
	if replyAt(said) != 0 {
		a.line(said)
		return
	}
	a.Quoted = true
	code, more := said[:3], said[:min(4, len(said))] == said[:3]+"-"
	said = strings.TrimLeft(said[3:], " -")
	for more {
		// Postfix puts a blank in the place of a line's end, Exim \n.
		next, skip := -1, 0
		for _, end := range [...]string{" " + code + "-", `\n` + code + "-", " " + code + " ", `\n` + code + " "} {
			if i := strings.Index(said, end); i >= 0 && (next < 0 || i < next) {
				next, skip, more = i, len(end), end[len(end)-1] == '-'
			}
		}
		if next < 0 {
			break
		}
		a.line(said[:next])
		said = said[next+skip:]
	}
	a.line(said)
}

// line appends one line of a reply, of which the first has the enhanced status code, or all have.
func (a *Attempt) line(text string) {
	if enhanced, rest, ok := smtp.CutEnhanced([]byte(text)); ok && (len(a.Lines) == 0 || enhanced == a.Enhanced) {
		a.Enhanced, text = enhanced, string(rest)
	}
	a.Lines = append(a.Lines, strings.TrimSpace(text))
}

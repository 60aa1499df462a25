package conn

import (
	"fmt"
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/session"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// What sessions tell, as rows for the ledger and for the observer. The cause of a row is still to come: see causes.

func attemptRow(a *session.Attempt) event.Attempt {
	row := event.Attempt{
		Conn: a.Conn, Listener: a.Listener, Client: a.Client, Time: a.Time, End: a.End, Mail: a.Mail, Handed: a.Handed,
		Message: a.Message, Phase: a.Phase, Sender: a.Sender, Recipient: a.Recipient, N: a.N,
		Token: a.Token, ORCPT: a.ORCPT,
		Ending: endings[a.Ending], Stage: a.Stage, Code: a.Code, Enhanced: a.Enhanced, Text: a.Text, Fault: a.Fault,
		Delivered: a.Delivered, ReplySent: a.ReplySent, Size: a.Size,
		Ambiguous: a.Cut || a.Unclear && a.Code.Class() == 2 || a.ReplySent && unreliable(a.Fault), // a refusal after the body stands for itself
		Amends:    a.Commit == session.CommitAmended,
	}
	if !a.Whole { // else the message row has them
		row.StormID, row.MessageID = a.StormID, a.MessageID
	}
	return row
}

func transactionRow(t *session.Transaction) event.Transaction {
	return event.Transaction{
		Conn: t.Conn, Listener: t.Listener, Client: t.Client, Time: t.Time, End: t.End, Handed: t.Handed,
		Message: t.Message, Phase: t.Phase, Sender: t.Sender, N: t.N, Token: t.Token,
		Ending: endings[t.Ending], Stage: t.Stage, Code: t.Code, Enhanced: t.Enhanced, Text: t.Text, Fault: t.Fault, ReplySent: t.ReplySent,
		Ambiguous: t.Cut || t.ReplySent && unreliable(t.Fault),
	}
}

func connectionRow(c *session.Connection) event.Connection {
	row := event.Connection{
		Conn: c.Conn, Listener: c.Listener, Client: c.Client, Via: c.Via, Time: c.Time, End: c.End, Phase: c.Phase, Helo: c.Helo, Extended: c.Extended,
		TLS: c.TLSInfo.Version, Messages: c.Messages, Attempts: c.Attempts, Delivered: c.Delivered,
		OctetsIn: c.OctetsIn, OctetsOut: c.OctetsOut, Undeclared8Bit: c.Undeclared8Bit,
		Pregreet: c.Pregreet, User: c.User, Injections: c.Injections, BadSwitches: c.BadSwitches, BadSwitch: c.BadSwitch, LongHeaders: c.LongHeaders,
		Stage: c.Stage, Code: c.Code, Enhanced: c.Enhanced, Text: c.Text, Fault: c.Fault, Reason: c.Reason.String(),
		Told: c.Told,
	}
	if c.Err != nil {
		row.Error = c.Err.Error()
	}
	return row
}

// causes are what rows say of who decided, each made once.
type causes map[session.Origin]string

// maxCauses is how many causes are remembered as text: more than most plans have, and no more however many plans come.
const maxCauses = 4096

// of returns the cause as rows write it, empty when no reply was decided.
func (c causes) of(code smtp.Code, v session.Origin) string {
	if code == 0 {
		return ""
	}
	return c.text(v)
}

// text returns who decided as rows write it.
func (c causes) text(v session.Origin) string {
	v.Fault = ""
	if v.By == "" {
		return v.Cause.String()
	}
	text, known := c[v]
	if !known {
		if len(c) == maxCauses {
			clear(c)
		}
		text = fmt.Sprintf("%v:%s", v.Cause, v.By)
		c[v] = text
	}
	return text
}

// ofConnection gives the row of a connection its causes: who ended it, or did what it has as its fault, and who refused what it tells of.
func (c causes) ofConnection(from *session.Connection, row *event.Connection) {
	if from.Cause != fault.CausePlain {
		row.Cause = c.text(session.Origin{Cause: from.Cause, By: from.By})
	}
	if r := &from.Refusal; r.Code != 0 {
		row.Refusal = event.Refusal{Stage: r.Stage, Code: r.Code, Enhanced: r.Enhanced, Cause: c.of(r.Code, r.By)}
	}
}

var endings = [...]event.Ending{
	session.EndReply: event.EndReply, session.EndAbandoned: event.EndAbandoned,
	session.EndLost: event.EndLost, session.EndTimeout: event.EndTimeout,
}

// unreliable reports whether a client that was sent a reply with these faults may not have understood it.
func unreliable(faults string) bool {
	return strings.Contains(faults, "malformed-") || strings.Contains(faults, fault.CloseRST.String()+"-"+fault.CloseAfter.String())
}

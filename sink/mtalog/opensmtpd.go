package mtalog

import (
	"regexp"
	"strings"
)

var (
	opensmtpdLine  = regexp.MustCompile(syslogHead + `smtpd\[\d+\]: (.*)$`)
	opensmtpdField = regexp.MustCompile(`(\w+)=(<[^>]*>|"(?:[^"\\]|\\.)*"|\S+)`)
)

// newOpensmtpdParser reads what it says to syslog at its usual level. Its queue id is that of an envelope: one recipient of a message.
func newOpensmtpdParser() parser {
	return func(line string, o *Options, emit func(Event)) bool {
		head, at, ok := syslogFields(opensmtpdLine, line, o)
		if !ok {
			return false
		}
		fields := map[string]string{}
		for _, field := range opensmtpdField.FindAllStringSubmatch(head[2], -1) {
			fields[field[1]] = strings.Trim(field[2], `<>"`)
		}
		e := newEvent(at, fields["evpid"])
		e.Sender, e.Recipient, e.Text, e.Connection = fields["from"], fields["to"], fields["stat"], fields["relay"]
		_, told := fields["from"]
		e.NullSender = told && e.Sender == ""
		if gone, found := Between(head[2], ": Expire for ", ": "); found {
			e.QueueID, e.Event = gone, Expired
			_, e.Text, _ = strings.Cut(head[2], ", stat=")
		}
		switch {
		case e.QueueID == "":
			return true
		case strings.Contains(head[2], " smtp envelope "):
			e.Event, e.Recipient = Accepted, ""
		case fields["result"] == "Ok":
			e.Event = Sent
		case fields["result"] == "PermFail":
			e.Event = Bounced
		case fields["result"] == "TempFail" && fields["source"] == "-": // no connection to the next hop, which failed a moment ago
			e.Event = Suspended
		case fields["result"] == "TempFail":
			e.Event = Deferred
		case e.Event == "":
			return true
		}
		e.Code = reply(e.Text)
		emit(e)
		return true
	}
}

package mtalog

import (
	"regexp"
	"strings"
	"time"
)

var (
	// postfixLine is a line of Postfix's own log or of syslog: the daemon stands behind the syslog_name.
	postfixLine = regexp.MustCompile(syslogHead + `\S+/([a-z-]+)\[\d+\]: (.*)$`)
	// postfixTo is what a delivery agent says of a recipient.
	postfixTo = regexp.MustCompile(`^to=<(.*?)>, (?:orig_to=<.*?>, )?relay=(.*?), .*?\bstatus=(\w+)(?: \((.*)\))?$`)
)

// newPostfixParser reads what qmgr(8) and the delivery agents log.
func newPostfixParser() parser {
	messages := openMessages{}
	return func(line string, o *Options, emit func(Event)) bool {
		head, at, ok := syslogFields(postfixLine, line, o)
		if !ok {
			return false
		}
		id, rest, found := strings.Cut(head[3], ": ")
		if !found || id == "" || strings.ContainsAny(id, " =") {
			return true
		}
		e := newEvent(at, id)
		if head[2] == "qmgr" {
			sender, named := Between(rest, "from=<", ">, ")
			switch {
			case rest == "removed":
				delete(messages, id)
			case named && strings.HasSuffix(rest, "(queue active)"):
				if _, again := messages[id]; again {
					messages.of(id).from(sender)
					return true
				}
				m := messages.of(id)
				m.from(sender)
				m.fill(&e)
				e.Event = Accepted
				if arrived, ok := postfixArrival(id); ok {
					e.Time = arrived
				}
				emit(e)
			case named && strings.Contains(rest, "status=expired"):
				m := messages.of(id)
				m.from(sender)
				m.fill(&e)
				m.expire(e, "returned to sender", emit)
			}
			return true
		}
		to := postfixTo.FindStringSubmatch(rest)
		if to == nil {
			return true
		}
		m := messages.of(id)
		m.fill(&e)
		e.Recipient, e.Text, e.Code = to[1], to[4], reply(to[4])
		e.Connecting, e.Took = postfixDelays(rest)
		if to[2] != "none" {
			e.Connection = to[2]
		}
		switch e.Event = to[3]; e.Event {
		case Deferred:
			m.wait(e.Recipient)
			if strings.HasPrefix(e.Text, "delivery temporarily suspended") {
				e.Event = Suspended
			}
		case Sent, Bounced:
			delete(m.open, e.Recipient)
		default: // of verify(8), or one that says nothing of a delivery
			return true
		}
		emit(e)
		return true
	}
}

// postfixDelays reads delays=a/b/c/d: before the queue manager, within it, setting up the connection (with DNS, EHLO and STARTTLS), and the rest.
func postfixDelays(rest string) (connecting, took time.Duration) {
	delays, found := Between(rest, ", delays=", ",")
	if !found {
		return -1, -1
	}
	parts := strings.Split(delays, "/")
	if len(parts) != 4 {
		return -1, -1
	}
	return seconds(parts[2]), seconds(parts[3])
}

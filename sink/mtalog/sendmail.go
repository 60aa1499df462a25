package mtalog

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

var (
	sendmailLine = regexp.MustCompile(syslogHead + `(?:sendmail|sm-[a-z]+)\S*\[\d+\]: (?:([0-9A-Za-z]{14,}): )?(.*)$`)
	sendmailFrom = regexp.MustCompile(`^from=(.*?), size=\d+, class=-?\d+, nrcpts=(\d+)`)
	sendmailTo   = regexp.MustCompile(`^to=(.*?), (?:ctladdr=.*?, )?delay=\S+, (?:.*?, )?stat=(.*)$`)
	// sendmailRelay is the host that was meant and, when it was reached, the address that was.
	sendmailRelay = regexp.MustCompile(`, relay=(\S+ \[\S+?\]), `)
	sendmailDSN   = regexp.MustCompile(`, dsn=(\d)\.`)
	sendmailReply = regexp.MustCompile(`, reply=(\d{3})[ -]`) // of several lines the first is logged
)

// newSendmailParser reads what the daemon says to syslog at its usual level, 9.
func newSendmailParser() parser {
	messages := openMessages{}
	return func(line string, o *Options, emit func(Event)) bool {
		head, at, ok := syslogFields(sendmailLine, line, o)
		if !ok {
			return false
		}
		e := newEvent(at, head[2])
		if e.QueueID == "" {
			return true
		}
		if from := sendmailFrom.FindStringSubmatch(head[3]); from != nil && from[2] != "0" {
			e.Event = Accepted
			m := messages.of(e.QueueID)
			m.from(strings.Trim(from[1], "<>"))
			m.fill(&e)
			emit(e)
			return true
		}
		m := messages.of(e.QueueID)
		m.fill(&e)
		if id, _, found := strings.Cut(head[3], ": DSN: "); found && !strings.Contains(id, " ") {
			messages.of(id).from("") // the notification, of which no line says from whom it is
		}
		if _, text, found := strings.Cut(head[3], ": DSN: Cannot send "); found {
			m.expire(e, "Cannot send "+text, emit)
			return true
		}
		to := sendmailTo.FindStringSubmatch(head[3])
		if to == nil {
			return true
		}
		e.Text = to[2]
		if relay := sendmailRelay.FindStringSubmatch(head[3]); relay != nil {
			e.Connection = relay[1]
		}
		if xdelay, found := Between(head[3], ", xdelay=", ","); found {
			e.Took = sendmailTime(xdelay)
		}
		class := sendmailDSN.FindStringSubmatch(head[3])
		switch {
		case strings.HasPrefix(e.Text, "Sent"):
			e.Event = Sent
		case e.Text == "queued":
			return true
		case class != nil && class[1] == "5":
			e.Event = Bounced
		case e.Connection == "": // the failure of a connection a moment ago still counts
			e.Event = Suspended
		default:
			e.Event = Deferred
		}
		e.Said, _ = Between(head[3], ", reply=", ", stat=")
		if reply := sendmailReply.FindStringSubmatch(head[3]); reply != nil {
			e.Code = int(reply[1][0]-'0')*100 + int(reply[1][1]-'0')*10 + int(reply[1][2]-'0')
		}
		for address := range strings.SplitSeq(to[1], ">,<") {
			e.Recipient = strings.Trim(address, "<>")
			delete(m.open, e.Recipient)
			if e.Event == Deferred || e.Event == Suspended {
				m.wait(e.Recipient)
			}
			emit(e)
		}
		return true
	}
}

// sendmailTime reads xdelay, how long the attempt took with its connection: [days+]hours:minutes:seconds.
func sendmailTime(text string) time.Duration {
	days, clock, found := strings.Cut(text, "+")
	if !found {
		days, clock = "0", text
	}
	var sum time.Duration
	for i, part := range append([]string{days}, strings.Split(clock, ":")...) {
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 || n > 100_000 || i > 3 {
			return -1
		}
		sum += time.Duration(n) * [...]time.Duration{24 * time.Hour, time.Hour, time.Minute, time.Second}[i]
	}
	return sum
}

package mtalog

import (
	"regexp"
	"strings"
	"time"
)

var (
	// eximLine is a line of the main log: a time, perhaps with a fraction and a zone; perhaps a process; what of.
	eximLine = regexp.MustCompile(`^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?)( [+-]\d{4})? (?:\[\d+\] )?(.*)$`)
	// eximEvent is a message and what became of it (Exim's specification, chapter 52.3).
	eximEvent = regexp.MustCompile(`^([0-9A-Za-z]{6}-[0-9A-Za-z]{6,11}-[0-9A-Za-z]{2,4}) (<=|=>|->|>>|==|\*\*|Completed)(?: (.*))?$`)
	// eximAddress is a recipient, in angle brackets after what it became if that is another, and what follows.
	eximAddress = regexp.MustCompile(`^(?:(?:"[^"]*"\S*|\S+) <((?:"[^"]*"|[^ >"]*)@[^>]*)>|(.+?))((?: [A-Z]+=|: | (?:routing|[a-z]+) defer).*)?$`)
	eximHost    = regexp.MustCompile(` H=(\S+ \[[^\]]*\](?::\d+)?)`)
	eximDefer   = regexp.MustCompile(` defer \((-?\d+)\)(.*)$`)
	eximTook    = regexp.MustCompile(` (?:DT|QT)=[0-9.smhd]+`)
	// eximTime is how long the delivery took (log selector deliver_time), to the millisecond with millisec.
	eximTime = regexp.MustCompile(` DT=([0-9.smhd]+)`)
)

// newEximParser reads the main log.
func newEximParser() parser {
	senders := map[string]string{} // the null sender is there, and empty
	return func(line string, o *Options, emit func(Event)) bool {
		head := eximLine.FindStringSubmatch(line)
		if head == nil {
			return false
		}
		layout := "2006-01-02 15:04:05"
		if head[2] != "" {
			layout += " -0700"
		}
		at, err := time.ParseInLocation(layout, head[1]+head[2], o.Location)
		if err != nil {
			return false
		}
		event := eximEvent.FindStringSubmatch(head[3])
		if event == nil {
			return true
		}
		e := newEvent(at, event[1])
		sender, known := senders[event[1]]
		e.Sender, e.NullSender = sender, known && sender == ""
		rest := eximTook.ReplaceAllString(event[3], "")
		switch event[2] {
		case "Completed":
			delete(senders, e.QueueID)
			return true
		case "<=":
			e.Event = Accepted
			if e.Sender, _, _ = strings.Cut(rest, " "); e.Sender == "<>" {
				e.Sender, e.NullSender = "", true
			}
			if len(senders) >= maxOpen {
				clear(senders)
			}
			senders[e.QueueID] = e.Sender
			emit(e)
			return true
		}
		if took := eximTime.FindStringSubmatch(event[3]); took != nil {
			if d, err := time.ParseDuration(took[1]); err == nil && d >= 0 {
				e.Took = d
			}
		}
		address := eximAddress.FindStringSubmatch(rest)
		if address == nil {
			return true
		}
		e.Recipient = address[1] + address[2]
		rest = address[3]
		if host := eximHost.FindStringSubmatch(rest); host != nil {
			e.Connection = host[1]
		}
		_, e.Text, _ = strings.Cut(rest, ": ")
		switch event[2] {
		case "==":
			e.Event = Deferred
			// -51 to -53: a retry time is not reached (ERRNO_LRETRY, _RRETRY, _HRETRY); no process may begin another delivery now.
			if d := eximDefer.FindStringSubmatch(rest); d != nil && (d[1] == "-51" || d[1] == "-52" || d[1] == "-53") || strings.Contains(e.Text, "concurrency limit reached") ||
				strings.HasPrefix(e.Text, "retry time not reached") {
				e.Event = Suspended
			}
		case "**":
			e.Event = Bounced
			if strings.Contains(e.Text, "retry timeout exceeded") {
				e.Event = Expired
			}
		default:
			e.Event = Sent
			e.Text, _ = Between(rest, ` C="`, `"`)
		}
		e.Code = reply(e.Text)
		emit(e)
		return true
	}
}

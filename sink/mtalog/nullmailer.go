package mtalog

import (
	"regexp"
	"strings"
)

var (
	nullmailerLine = regexp.MustCompile(syslogHead + `nullmailer(?:-send)?\[\d+\]: (.*)$`)
	nullmailerFile = regexp.MustCompile(`^Starting delivery: .*\bfile: (\S+)`)
	nullmailerFrom = regexp.MustCompile(`^From: <(.*?)> to: (.*)$`)
	nullmailerSaid = regexp.MustCompile(`^[a-z]+: (?:Failed|Succeeded): (.*)$`)
)

// newNullmailerParser reads what nullmailer-send prints, with the heads of syslog. It sends one message after the other, and logs nothing when it
// takes one: its first attempt stands for that.
func newNullmailerParser() parser {
	var id, sender, said string
	var recipients []string
	deferred := false // the last attempt was
	known := map[string]struct{}{}
	return func(line string, o *Options, emit func(Event)) bool {
		head, at, ok := syslogFields(nullmailerLine, line, o)
		if !ok {
			return false
		}
		text := head[2]
		each := func(event, what string) {
			for _, recipient := range recipients {
				e := newEvent(at, id)
				e.Event, e.Sender, e.NullSender, e.Recipient, e.Text, e.Code = event, sender, sender == "", recipient, what, reply(what)
				emit(e)
			}
		}
		if file := nullmailerFile.FindStringSubmatch(text); file != nil {
			id, sender, said, recipients = file[1], "", "", nil
			return true
		}
		if id == "" {
			return true // of a message whose beginning we haven't seen
		}
		if from := nullmailerFrom.FindStringSubmatch(text); from != nil {
			sender = from[1]
			for to := range strings.SplitSeq(from[2], ", ") {
				recipients = append(recipients, strings.Trim(to, "<>"))
			}
			if _, again := known[id]; !again {
				if len(known) >= maxOpen {
					clear(known)
				}
				known[id] = struct{}{}
				e := newEvent(at, id)
				e.Event, e.Sender, e.NullSender = Accepted, sender, sender == ""
				emit(e)
			}
			return true
		}
		if reply := nullmailerSaid.FindStringSubmatch(text); reply != nil {
			said = reply[1]
			return true
		}
		reason, failed := strings.CutPrefix(text, "Sending failed: ")
		switch {
		case text == "Sent file.":
			each(Sent, said)
			delete(known, id)
		case failed:
			deferred = !strings.HasPrefix(reason, "Permanent")
			if said == "" {
				said = reason
			}
			if deferred {
				each(Deferred, said)
			} else {
				each(Bounced, said)
			}
		case text == "Moving message "+id+" into failed":
			if deferred {
				each(Expired, said)
			}
			delete(known, id)
		}
		return true
	}
}

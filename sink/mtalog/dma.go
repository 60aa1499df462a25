package mtalog

import (
	"regexp"
	"strings"
)

var (
	dmaLine   = regexp.MustCompile(syslogHead + `dma\[([^\]]+)\](?:\[\d+\])?: (.*)$`)
	dmaNew    = regexp.MustCompile(`^new mail from user=.* envelope_from=<(.*)>$`)
	dmaTry    = regexp.MustCompile(`^<(.*)> trying delivery$`)
	dmaFailed = regexp.MustCompile(`^remote delivery (?:to \S+ \[\S+\] (failed) after|deferred:|(failed):) ?(.*)$`)
)

// newDmaParser reads what dma says to syslog. Its messages have an id, and their recipients one each that begins with it: ID.RECIPIENT.
func newDmaParser() parser {
	type recipient struct {
		address  string
		deferred bool // by the last attempt
	}
	senders, recipients := map[string]string{}, map[string]*recipient{}
	return func(line string, o *Options, emit func(Event)) bool {
		head, at, ok := syslogFields(dmaLine, line, o)
		if !ok {
			return false
		}
		id, text := head[2], head[3]
		message, _, _ := strings.Cut(id, ".")
		sender, known := senders[message]
		tell := func(event, to, said string) {
			e := newEvent(at, id)
			e.Event, e.Sender, e.NullSender, e.Recipient, e.Text, e.Code = event, sender, known && sender == "", to, said, reply(said)
			emit(e)
		}
		if from := dmaNew.FindStringSubmatch(text); from != nil {
			if len(senders) >= maxOpen {
				clear(senders)
			}
			senders[message] = from[1]
			sender, known = from[1], true
			tell(Accepted, "", "")
			return true
		}
		if try := dmaTry.FindStringSubmatch(text); try != nil {
			if len(recipients) >= maxOpen {
				clear(recipients)
			}
			recipients[id] = &recipient{address: try[1]}
			return true
		}
		r := recipients[id]
		if r == nil {
			return true // its beginning we haven't seen
		}
		switch failed := dmaFailed.FindStringSubmatch(text); {
		case text == "<"+r.address+"> delivery successful":
			tell(Sent, r.address, "")
			delete(recipients, id)
		case failed != nil:
			said := strings.TrimSpace(failed[3])
			r.deferred = failed[1] == "" && failed[2] == ""
			if r.deferred {
				tell(Deferred, r.address, said)
			} else {
				tell(Bounced, r.address, said)
			}
		case strings.HasPrefix(text, "connect to "):
			r.deferred = true
			tell(Deferred, r.address, text)
		case strings.HasPrefix(text, "delivery failed, bouncing as "):
			if r.deferred {
				tell(Expired, r.address, "")
			}
			delete(recipients, id)
		}
		return true
	}
}

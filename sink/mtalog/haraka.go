package mtalog

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

var (
	// harakaLine is a line of the format "default" with timestamps: time, level, connection or message, part of the program.
	harakaLine      = regexp.MustCompile(`^(\d{4}-\d\d-\d\dT[0-9:.]+Z) \[[A-Z]+\] \[([^\]]+)\] \[([^\]]+)\] +(.*)$`)
	harakaRecipient = regexp.MustCompile(`^recipient <(.*?)> (rejected|deferred): (.*)$`)
	harakaDeferred  = regexp.MustCompile(`^Temp failing \S+ for \S+ seconds: (.*)$`)
	harakaCounts    = regexp.MustCompile(` rcpts=(\d+)/(\d+)/(\d+)`)
)

// harakaMessage is a message as it was taken.
type harakaMessage struct {
	sender     string
	recipients []string
	open       int // recipients whose end was not told so far
}

// newHarakaParser reads what the core and the outbound queue log at level info. The outbound queue names a message by the one that was
// taken and a number: of the recipient, where messages are split by recipients (always_split), as here. To whom notifications go isn't
// logged.
func newHarakaParser() parser {
	messages := map[string]*harakaMessage{}
	return func(line string, o *Options, emit func(Event)) bool {
		head := harakaLine.FindStringSubmatch(line)
		if head == nil {
			return false
		}
		at, err := time.Parse(time.RFC3339Nano, head[1])
		if err != nil {
			return false
		}
		id, rest := head[2], head[4]
		if head[3] == "core" {
			harakaTakes(messages, newEvent(at, id), rest, emit)
			return true
		}
		if head[3] != "outbound" {
			return true
		}
		if created, ok := strings.CutPrefix(rest, "Created transaction: "); ok { // a notification
			if created != "" {
				notification := newEvent(at, created)
				notification.Event, notification.NullSender = Accepted, true
				emit(notification)
			}
			return true
		}
		taken, part := id, 0
		if dot := strings.LastIndexByte(id, '.'); dot > 0 {
			taken = id[:dot]
			part, _ = strconv.Atoi(id[dot+1:])
		}
		m := messages[taken]
		e := newEvent(at, taken)
		whose := []string{""} // not known
		if m != nil {
			e.Sender, e.NullSender = m.sender, m.sender == ""
			if part >= 1 && part <= len(m.recipients) {
				whose = m.recipients[part-1 : part]
			}
		}
		switch named := harakaRecipient.FindStringSubmatch(rest); {
		case named != nil:
			whose, e.Event, e.Text = []string{named[1]}, Deferred, named[3]
			if named[2] == "rejected" {
				e.Event = Bounced
			}
		case strings.HasPrefix(rest, "delivered file="):
			e.Event = Sent
			host, _ := Between(rest, " ip=", " ")
			port, _ := Between(rest, " port=", " ")
			e.Connection = host + ":" + port
			e.Text, _ = Between(rest, " response=", " delay=")
			e.Text = strings.Trim(e.Text, `"`)
			if counts := harakaCounts.FindStringSubmatch(rest); m != nil && counts != nil && counts[1] != "1" {
				domain, _ := Between(rest, " domain=", " ") // not split
				whose = slices.DeleteFunc(slices.Clone(m.recipients), func(r string) bool { return !strings.HasSuffix(r, "@"+domain) })
			}
		case strings.HasPrefix(rest, "bouncing mail: Some recipients failed"):
			return true // they were named
		case strings.HasPrefix(rest, "bouncing mail: "):
			e.Event, e.Text = Bounced, strings.TrimPrefix(rest, "bouncing mail: ")
			if strings.HasPrefix(e.Text, "Too many failures") {
				e.Event = Expired
			}
		default:
			failing := harakaDeferred.FindStringSubmatch(rest)
			if failing == nil || strings.HasPrefix(failing[1], "Some recipients temp failed") {
				return true
			}
			e.Event, e.Text = Deferred, failing[1]
		}
		e.Code = reply(e.Text)
		for _, e.Recipient = range whose {
			emit(e)
			if m != nil && e.Event != Deferred {
				if m.open--; m.open <= 0 {
					delete(messages, taken)
				}
			}
		}
		return true
	}
}

// harakaTakes follows how the core takes a message.
func harakaTakes(messages map[string]*harakaMessage, e Event, rest string, emit func(Event)) {
	verb, _, _ := strings.Cut(rest, " ")
	switch {
	case verb == "sender":
		if len(messages) >= maxOpen {
			clear(messages)
		}
		sender, _ := Between(rest, "<", "> code=")
		messages[e.QueueID] = &harakaMessage{sender: sender}
	case verb == "recipient" && strings.Contains(rest, "> code=OK "):
		if m := messages[e.QueueID]; m != nil {
			recipient, _ := Between(rest, "<", "> code=")
			m.recipients = append(m.recipients, recipient)
			m.open++
		}
	case strings.HasPrefix(rest, "queue code=OK "):
		e.Event = Accepted
		if m := messages[e.QueueID]; m != nil {
			e.Sender, e.NullSender = m.sender, m.sender == ""
		}
		emit(e)
	}
}

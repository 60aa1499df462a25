package mtalog

import (
	"regexp"
	"slices"
	"strings"
	"time"
)

var (
	chasquidLine    = regexp.MustCompile(`^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}|[A-Z][a-z]{2} .*? chasquid(?:\[\d+\])?:|\d{4}-\d\d-\d\dT.*? chasquid(?:\[\d+\])?:)\s+(?:(\S+) from=(\S+) (.*)|.*)$`)
	chasquidAttempt = regexp.MustCompile(`^to=(.*) (?:(sent)|failed \((temporary|permanent)\): (.*))$`)
)

// chasquidMessage is one whose end the log hasn't told yet.
type chasquidMessage struct {
	sender string
	open   []string // recipients
}

// newChasquidParser reads chasquid's mail log, a file of its own or syslog's. Of a message that is given up it says no more than that all is
// done: those recipients are expired of which it has told neither success nor a refusal.
func newChasquidParser() parser {
	messages := map[string]*chasquidMessage{}
	return func(line string, o *Options, emit func(Event)) bool {
		fields := chasquidLine.FindStringSubmatch(line)
		if fields == nil {
			return false
		}
		at, ok := chasquidTime(fields[1], o)
		if !ok {
			return false
		}
		id, said := fields[2], fields[4]
		if id == "" {
			return true
		}
		sender := strings.Trim(fields[3], "<>")
		tell := func(event, recipient, text string) {
			e := newEvent(at, id)
			e.Event, e.Sender, e.NullSender, e.Recipient, e.Text, e.Code = event, sender, sender == "", recipient, text, reply(text)
			emit(e)
		}
		if rest, queued := strings.CutPrefix(said, "queued "); queued {
			_, to, _ := strings.Cut(rest, "to=[")
			if len(messages) >= maxOpen {
				clear(messages)
			}
			messages[id] = &chasquidMessage{sender, strings.Fields(strings.TrimSuffix(to, "]"))}
			tell(Accepted, "", "")
			return true
		}
		m := messages[id]
		if said == "all done" {
			if m != nil {
				for _, recipient := range m.open {
					tell(Expired, recipient, "")
				}
			}
			delete(messages, id)
			return true
		}
		attempt := chasquidAttempt.FindStringSubmatch(said)
		if attempt == nil {
			return true
		}
		recipient, text := attempt[1], attempt[4]
		if last, wrapped := strings.CutPrefix(text, "all MXs returned transient failures (last: "); wrapped {
			text = strings.TrimSuffix(last, ")")
		}
		if attempt[3] == "temporary" {
			tell(Deferred, recipient, text)
			return true
		}
		if m != nil {
			m.open = slices.DeleteFunc(m.open, func(r string) bool { return r == recipient })
		}
		if attempt[2] != "" {
			tell(Sent, recipient, "")
		} else {
			tell(Bounced, recipient, text)
		}
		return true
	}
}

// chasquidTime reads the head of a line, with the time of the file's own or of syslogd.
func chasquidTime(head string, o *Options) (time.Time, bool) {
	if at, err := time.ParseInLocation("2006-01-02 15:04:05", head, o.Location); err == nil {
		return at, true
	}
	word, _, _ := strings.Cut(head, " ")
	if head[0] < '0' || head[0] > '9' {
		const stamp = len("Nov 27 03:25:30")
		if len(head) < stamp {
			return time.Time{}, false
		}
		word = head[:stamp]
	}
	at, err := syslogTime(word, o)
	return at, err == nil
}

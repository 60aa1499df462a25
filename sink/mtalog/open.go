package mtalog

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// openMessages is what a parser remembers of the messages in a queue, by their ids.
type openMessages map[string]*openMessage

type openMessage struct {
	sender string
	known  bool                // the log told the sender: an empty one is the null sender
	open   map[string]struct{} // recipients that were deferred
}

// maxOpen bounds the messages that a parser remembers, since logs begin and end in the middle.
const maxOpen = 1 << 18

// of returns the message of an id, a new one if it isn't known.
func (all openMessages) of(id string) *openMessage {
	m := all[id]
	if m == nil {
		if len(all) >= maxOpen {
			clear(all)
		}
		m = &openMessage{}
		all[id] = m
	}
	return m
}

// from says who sent the message.
func (m *openMessage) from(sender string) { m.sender, m.known = sender, true }

// fill puts into an event what is known of its message.
func (m *openMessage) fill(e *Event) { e.Sender, e.NullSender = m.sender, m.known && m.sender == "" }

// wait says that a recipient was deferred.
func (m *openMessage) wait(recipient string) {
	if m.open == nil {
		m.open = map[string]struct{}{}
	}
	m.open[recipient] = struct{}{}
}

// expire tells of each recipient that was deferred last that the MTA gave up. e has the rest of the event.
func (m *openMessage) expire(e Event, text string, emit func(Event)) {
	for _, e.Recipient = range slices.Sorted(maps.Keys(m.open)) {
		e.Event, e.Text = Expired, text
		emit(e)
	}
	clear(m.open)
}

// reply finds the first reply code in what an MTA says that a server said: three digits that begin with 2 to 5, and after them a blank,
// a hyphen or nothing.
func reply(text string) int {
	i := replyAt(text)
	if i < 0 {
		return 0
	}
	code, _ := strconv.Atoi(text[i : i+3])
	return code
}

// replyAt returns where that code stands, or a negative number.
func replyAt(text string) int {
	for i := 0; i+3 <= len(text); i++ {
		if rest := text[i:]; rest[0] < '2' || rest[0] > '5' || !digits(rest[:3]) || len(rest) > 3 && rest[3] != ' ' && rest[3] != '-' {
			continue
		}
		if i > 0 && !strings.ContainsRune(" :(\"", rune(text[i-1])) {
			continue
		}
		return i
	}
	return -1
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// Between returns what stands between the first occurrence of one text and the next of another: in a line of a log, or in what else an MTA
// writes.
func Between(s, from, to string) (string, bool) {
	_, rest, found := strings.Cut(s, from)
	if !found {
		return "", false
	}
	inner, _, found := strings.Cut(rest, to)
	return inner, found
}

// seconds reads a number of seconds, such as 0.03; negative: it is none.
func seconds(text string) time.Duration {
	s, err := strconv.ParseFloat(text, 64)
	if err != nil || !(s >= 0 && s < 1e6) {
		return -1
	}
	return time.Duration(s * float64(time.Second))
}

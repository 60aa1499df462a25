package mta

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/jsonl"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

// LogOptions say what the lines of a log leave unsaid.
type LogOptions struct {
	Until    time.Time      // no line is newer than a day after: the year of times that have none follows
	Location *time.Location // of times without a zone
}

// What an event is, as mta.jsonl writes it: accepted tells of a message, the others of a recipient.
const (
	accepted  = "accepted"  // the MTA has taken responsibility
	deferred  = "deferred"  // the next hop said 4xx, or could not be reached
	suspended = "suspended" // nobody was asked: an earlier failure of the destination, or the retry time is not reached
	sent      = "sent"      // the next hop said 2xx
	bounced   = "bounced"   // the next hop said 5xx
	expired   = "expired"   // the MTA gave up
)

// lineParser takes a line of a log, without its line feed, and tells the events that it stands for. It reports whether the line is one of
// the format at all; most lines of a log are, and tell nothing.
type lineParser func(line string, emit func(reconcile.LogEvent)) bool

// LogFormats are the formats that ReadLog knows: the names of the registry.
func LogFormats() []string { return strings.Fields(names()) }

// ReadLog reads the log of an MTA and passes its events on, in the order of the log, to f, whose error ends it. Lines that tell nothing,
// also those of other programs, are left out. The error is a *jsonl.InputError that calls the file name when a text has lines, and none
// of them is of the format.
func ReadLog(format string, r io.Reader, name string, o LogOptions, f func(*reconcile.LogEvent) error) error {
	for _, a := range registry() {
		if a.name == format {
			return readLog(a.parser(o), r, name, f)
		}
	}
	return fmt.Errorf("unknown format %q (valid: %s)", format, names())
}

func readLog(parse lineParser, r io.Reader, name string, f func(*reconcile.LogEvent) error) error {
	lines := jsonl.NewLines(r)
	known := false
	var told error
	emit := func(e reconcile.LogEvent) {
		if told == nil {
			told = f(&e)
		}
	}
	for told == nil {
		line, err := lines.Next()
		if errors.Is(err, jsonl.ErrTooLong) {
			continue // no MTA writes one: it tells nothing
		}
		if errors.Is(err, io.EOF) {
			break // a last line without its line feed is still being written
		}
		if err != nil {
			return jsonl.At(name, lines.Number, err)
		}
		if parse(strings.TrimSuffix(string(line), "\r"), emit) {
			known = true
		}
	}
	if told == nil && !known && lines.Number > 0 {
		return jsonl.At(name, lines.Number, errors.New("no line up to here is one of this format"))
	}
	return told
}

// openMessages is what a parser remembers of the messages in a queue, by their ids.
type openMessages map[string]*openMessage

type openMessage struct {
	sender string
	open   map[string]struct{} // recipients that were deferred
}

// maxOpen bounds the messages that a parser remembers, since logs begin and end in the middle.
const maxOpen = 1 << 20

// of returns the message of an id, a new one if it isn't known.
func (all openMessages) of(id string) *openMessage {
	m := all[id]
	if m == nil {
		if len(all) >= maxOpen {
			clear(all)
		}
		m = &openMessage{open: map[string]struct{}{}}
		all[id] = m
	}
	return m
}

// expire tells of each recipient that was deferred last that the MTA gave up. e has the rest of the event.
func (m *openMessage) expire(e reconcile.LogEvent, text string, emit func(reconcile.LogEvent)) {
	for _, e.Recipient = range slices.Sorted(maps.Keys(m.open)) {
		e.Event, e.Text = expired, text
		emit(e)
	}
	clear(m.open)
}

// reply finds the first reply code in what an MTA says that a server said: three digits that begin with 2 to 5, and after them a blank,
// a hyphen or nothing.
func reply(text string) int {
	for rest := text; len(rest) >= 3; rest = rest[1:] {
		if rest[0] < '2' || rest[0] > '5' || !digits(rest[:3]) || len(rest) > 3 && rest[3] != ' ' && rest[3] != '-' {
			continue
		}
		if before := len(text) - len(rest); before > 0 && !strings.ContainsRune(" :(\"", rune(text[before-1])) {
			continue
		}
		code, _ := strconv.Atoi(rest[:3])
		return code
	}
	return 0
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// between returns what stands between the first occurrence of one text and the next of another.
func between(s, from, to string) (string, bool) {
	_, rest, found := strings.Cut(s, from)
	if !found {
		return "", false
	}
	inner, _, found := strings.Cut(rest, to)
	return inner, found
}

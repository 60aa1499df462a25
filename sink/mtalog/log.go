package mtalog

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/jsonl"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

// Options say what the lines of a log leave unsaid.
type Options struct {
	Until    time.Time      // no line is newer than a day after: the year of times that have none follows
	Location *time.Location // of times without a zone
}

// Event is one event of a log, and what only some MTAs tell of it.
type Event struct {
	reconcile.LogEvent
	Said       string // the reply as the next hop said it, when Text has only words for it (sendmail)
	NullSender bool   // the message has the null sender; an empty Sender alone is an unknown one
	// Connecting is how long it took until MAIL could be sent, from DNS to the reply to EHLO; Took is how long the rest took, to the reply that
	// decided. Both are negative when the log doesn't tell, and 0 when it says so: a reused connection takes no time to make.
	Connecting, Took time.Duration
}

// newEvent returns one of which the log has told no more than when it happened and to which message.
func newEvent(at time.Time, id string) Event {
	return Event{LogEvent: reconcile.LogEvent{Time: at, QueueID: id}, Connecting: -1, Took: -1}
}

// The values of Event.Event, as mta.jsonl writes them: Accepted tells of a message, the others of a recipient.
const (
	Accepted  = "accepted"  // the MTA has taken responsibility
	Deferred  = "deferred"  // the next hop said 4xx, or could not be reached
	Suspended = "suspended" // nobody was asked: an earlier failure of the destination, or the retry time is not reached
	Sent      = "sent"      // the next hop said 2xx
	Bounced   = "bounced"   // the next hop said 5xx
	Expired   = "expired"   // the MTA gave up
)

// parser takes a line of a log, without its line feed, and tells the events that it stands for. It reports whether the line is one of
// the format at all; most lines of a log are, and tell nothing.
type parser func(line string, o *Options, emit func(Event)) bool

// formats has every format, in the order in which they are listed and guessed.
var formats = [...]struct {
	name string
	new  func() parser
}{{"postfix", newPostfixParser}, {"exim", newEximParser}, {"haraka", newHarakaParser}, {"sendmail", newSendmailParser}, {"opensmtpd", newOpensmtpdParser}, {"nullmailer", newNullmailerParser}, {"chasquid", newChasquidParser}, {"dma", newDmaParser}}

// Formats are the formats that a Reader knows, by the names of their MTAs.
func Formats() []string {
	var names []string
	for _, f := range formats {
		names = append(names, f.name)
	}
	return names
}

// Reader reads the logs of one MTA, and remembers from one to the next which messages are in its queue: rotated logs are read in the order of
// their times. It is used by one goroutine at a time.
type Reader struct {
	parse parser
	Lines int // that were read so far
}

// NewReader returns a reader of a format; the error of an unknown one names those there are.
func NewReader(format string) (*Reader, error) {
	for _, f := range formats {
		if f.name == format {
			return &Reader{parse: f.new()}, nil
		}
	}
	return nil, fmt.Errorf("unknown format %q (valid: %s)", format, strings.Join(Formats(), " "))
}

// Read reads one log of a format, see Reader.Read.
func Read(format string, in io.Reader, name string, o Options, f func(*Event) error) error {
	r, err := NewReader(format)
	if err != nil {
		return err
	}
	return r.Read(in, name, o, f)
}

// Read reads a log and passes its events on, in the order of the log, to f, whose error ends it. Lines that tell nothing, also those of other
// programs, are left out. The error is a *jsonl.InputError that calls the file name when a text has lines, and none of them is of the
// format.
func (r *Reader) Read(in io.Reader, name string, o Options, f func(*Event) error) error {
	lines := jsonl.NewLines(in)
	defer func() { r.Lines += lines.Number }()
	known := false
	var told error
	emit := func(e Event) {
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
		if r.parse(strings.TrimSuffix(string(line), "\r"), &o, emit) {
			known = true
		}
	}
	if told == nil && !known && lines.Number > 0 {
		return jsonl.At(name, lines.Number, errors.New("no line up to here is one of this format"))
	}
	return told
}

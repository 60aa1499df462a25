package mtalog

import (
	"strings"
	"time"
)

// Guess returns the format of which most of a text's lines tell something; empty when there is none.
func Guess(text string) string {
	best, most := "", 0
	for _, f := range formats {
		parse, value := f.new(), 0
		for line := range strings.Lines(text) {
			o := Options{Until: time.Now(), Location: time.UTC}
			line = strings.TrimRight(line, "\r\n")
			if parse(line, &o, func(Event) { value += 10 }) {
				value++
			}
		}
		if value > most {
			best, most = f.name, value
		}
	}
	return best
}

// firstTime returns the time of the first line that begins with one.
func firstTime(text string, o *Options) (time.Time, bool) {
	for line := range strings.Lines(text) {
		if at, ok := timeOf(line, o); ok {
			return at, true
		}
	}
	return time.Time{}, false
}

// timeOf reads the time that a line begins with, in any of the formats.
func timeOf(line string, o *Options) (time.Time, bool) {
	const dateTime, syslog = "2006-01-02 15:04:05", "Jan _2 15:04:05"
	if len(line) < len(syslog) {
		return time.Time{}, false
	}
	if line[0] < '0' || line[0] > '9' {
		at, err := syslogTime(line[:len(syslog)], o)
		return at, err == nil
	}
	word, _, _ := strings.Cut(line, " ")
	if at, err := time.Parse(time.RFC3339Nano, word); err == nil {
		return at, true
	}
	if len(line) < len(dateTime) {
		return time.Time{}, false
	}
	at, err := time.ParseInLocation(dateTime, line[:len(dateTime)], o.Location) // a zone behind it moves it by hours at most
	return at, err == nil
}

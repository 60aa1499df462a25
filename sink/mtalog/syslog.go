package mtalog

import (
	"regexp"
	"strconv"
	"time"
)

// syslogHead is how a line of a log begins that syslogd wrote: a time without a year, or one of RFC 3339; the host.
const syslogHead = `^([A-Z][a-z]{2} [ 0-9]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT\S+) \S+ `

// syslogFields takes a line apart by an expression that begins with syslogHead. The field with number 1 is the time. ok is false for a line of another kind.
func syslogFields(expression *regexp.Regexp, line string, o *Options) (fields []string, at time.Time, ok bool) {
	fields = expression.FindStringSubmatch(line)
	if fields == nil {
		return nil, at, false
	}
	at, err := syslogTime(fields[1], o)
	return fields, at, err == nil
}

// syslogTime reads a time with or without a year.
func syslogTime(text string, o *Options) (time.Time, error) {
	if text[0] >= '0' && text[0] <= '9' {
		return time.Parse(time.RFC3339Nano, text)
	}
	until := o.Until.In(o.Location)
	for year := until.Year() + 1; ; year-- { // on New Year's Eve a line may be of the next year
		at, err := time.ParseInLocation("2006 Jan _2 15:04:05", strconv.Itoa(year)+" "+text, o.Location)
		if err == nil && at.After(until.AddDate(0, 0, 1)) {
			continue
		}
		if err != nil && year > until.Year()-4 { // 29 February
			continue
		}
		return at, err
	}
}

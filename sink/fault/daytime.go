package fault

import (
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // where a machine has no zones of its own
)

// DayTime is a window of the time of day: from a minute, included, to another, excluded; over midnight when that comes first.
type DayTime struct {
	From, To int    // minutes since midnight, 0 to 1440
	Zone     string // of the tz database, such as Europe/Berlin; empty: UTC
}

const dayMinutes = 24 * 60

// ParseDayTime parses "08:00-18:00", "22:00-06:00" or "08:00-18:00 Europe/Berlin".
func ParseDayTime(text string) (DayTime, error) {
	window, zone, zoned := strings.Cut(text, " ")
	from, to, _ := strings.Cut(window, "-")
	d := DayTime{Zone: zone}
	var ok1, ok2 bool
	d.From, ok1 = parseMinute(from)
	d.To, ok2 = parseMinute(to)
	if !ok1 || !ok2 || zoned && zone == "" {
		return DayTime{}, fmt.Errorf("invalid time of day %q (want for example 08:00-18:00, 22:00-06:00 or 08:00-18:00 Europe/Berlin)", text)
	}
	if d.Zone == "UTC" {
		d.Zone = ""
	}
	return d, d.validate()
}

func parseMinute(text string) (minute int, ok bool) {
	if len(text) != 5 || text[2] != ':' {
		return 0, false
	}
	for _, i := range [...]int{0, 1, 3, 4} {
		if text[i] < '0' || text[i] > '9' {
			return 0, false
		}
	}
	hours, minutes := int(text[0]-'0')*10+int(text[1]-'0'), int(text[3]-'0')*10+int(text[4]-'0')
	return hours*60 + minutes, minutes < 60 && hours*60+minutes <= dayMinutes
}

// String returns the window as ParseDayTime reads it.
func (d DayTime) String() string {
	text := fmt.Sprintf("%02d:%02d-%02d:%02d", d.From/60, d.From%60, d.To/60, d.To%60)
	if d.Zone != "" {
		text += " " + d.Zone
	}
	return text
}

func (d DayTime) validate() error {
	switch {
	case d.From < 0 || d.From >= dayMinutes || d.To < 0 || d.To > dayMinutes:
		return fmt.Errorf("time of day %v is out of range (want 00:00 to 24:00)", d)
	case d.From == d.To || d.From == 0 && d.To == dayMinutes:
		return fmt.Errorf("time of day %v is none or all of the day (want a part of it)", d)
	}
	_, err := d.location()
	return err
}

func (d DayTime) location() (*time.Location, error) {
	if d.Zone == "" {
		return time.UTC, nil
	}
	zone, err := time.LoadLocation(d.Zone)
	if err != nil || d.Zone == "Local" { // a plan means the same on every machine
		return nil, fmt.Errorf("unknown time zone %q (want UTC or a name of the tz database such as Europe/Berlin)", d.Zone)
	}
	return zone, nil
}

// window is a DayTime made ready to be asked.
type window struct {
	from, to int
	zone     *time.Location
}

func newWindow(d DayTime) window {
	zone, err := d.location()
	if err != nil { // it was validated
		zone = time.UTC
	}
	return window{d.From, d.To, zone}
}

// holds reports whether a time lies in the window. It does not allocate.
func (w *window) holds(t time.Time) bool {
	hour, minute, _ := t.In(w.zone).Clock()
	now := hour*60 + minute
	if w.from < w.to {
		return now >= w.from && now < w.to
	}
	return now >= w.from || now < w.to
}

// Holds reports whether a time lies in the window.
func (d DayTime) Holds(t time.Time) bool {
	w := newWindow(d)
	return w.holds(t)
}

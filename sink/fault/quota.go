package fault

import (
	"fmt"
	"time"
)

// QuotaFrom says when the windows of a quota begin.
type QuotaFrom uint8

// The beginnings.
const (
	QuotaFirst QuotaFrom = iota // with the first occurrence that is counted, and again with the first after its end
	QuotaClock                  // at the multiples of the period by the clock, UTC: days at midnight, weeks on Monday
)

var quotaFroms = [...]string{"first", "clock"}

// String returns "first" or "clock".
func (f QuotaFrom) String() string { return nameOf(quotaFroms[:], int(f)) }

// ParseQuotaFrom parses a name; the error names the valid ones.
func ParseQuotaFrom(name string) (QuotaFrom, error) {
	return parseName[QuotaFrom]("from", name, quotaFroms[:], 0)
}

// MaxQuotaPeriod bounds Limit.Per.
const MaxQuotaPeriod = 366 * 24 * time.Hour

func (l *Limit) validateQuota() (field string, err error) {
	switch quota := l.Kind == LimitQuota; {
	case !quota && l.Per != 0:
		return "per", fmt.Errorf("limit %v has no per", l.Kind)
	case !quota && l.From != QuotaFirst:
		return "from", fmt.Errorf("limit %v has no from", l.Kind)
	case quota && l.Per == 0:
		return "per", fmt.Errorf("missing (want how long a window is, such as 1h or 1d)")
	case quota && (l.Per < 0 || l.Per > MaxQuotaPeriod):
		return "per", fmt.Errorf("%v is out of range (want above 0s, at most %v)", l.Per, MaxQuotaPeriod)
	case int(l.From) >= len(quotaFroms):
		return "from", fmt.Errorf("unknown value %v (valid: first clock)", l.From)
	}
	return "", nil
}

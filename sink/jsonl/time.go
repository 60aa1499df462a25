package jsonl

import "time"

const (
	timeForm = `"2006-01-02T15:04:05.000000000Z"`
	dotAt    = len(`"2006-01-02T15:04:05`)
)

// AppendTime appends the instant as a JSON string: in UTC, to the nanosecond, as time.RFC3339Nano has it (RFC 3339). Rows have up to
// five of them, and time.Time.AppendFormat takes nearly twice as long (BenchmarkAppendTime).
func AppendTime(dst []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	if year < 0 || year > 9999 {
		return append(t.AppendFormat(append(dst, '"'), time.RFC3339Nano), '"')
	}
	hour, minute, second := t.Clock()
	var text [len(timeForm)]byte
	copy(text[:], timeForm)
	put(text[1:3], uint(year/100)) // #nosec G115 -- none of these is negative
	put(text[3:5], uint(year%100))
	put(text[6:8], uint(month))
	put(text[9:11], uint(day))
	put(text[12:14], uint(hour))
	put(text[15:17], uint(minute))
	put(text[18:20], uint(second))
	end := dotAt                                 // zeros at the end of the fraction are left out
	if nano := uint(t.Nanosecond()); nano != 0 { // #nosec G115 -- not negative
		put(text[dotAt+1:], nano/1e7)
		put(text[dotAt+3:], nano/1e5%100)
		put(text[dotAt+5:], nano/1e3%100)
		put(text[dotAt+7:], nano/10%100)
		text[dotAt+9] = byte('0' + nano%10)
		for end = dotAt + 10; text[end-1] == '0'; end-- {
		}
	}
	dst = append(dst, text[:end]...)
	return append(dst, 'Z', '"')
}

// put writes the two digits of n, which is below 100.
func put(text []byte, n uint) {
	_ = text[1]
	text[0], text[1] = byte('0'+n/10), byte('0'+n%10) // #nosec G115 -- both are digits
}

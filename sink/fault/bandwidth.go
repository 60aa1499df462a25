package fault

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// ByteRate is how many octets a second pass: at least 1, Unlimited, or 0 for no change.
type ByteRate int64

// The rates.
const (
	Unlimited   ByteRate = -1
	MaxByteRate ByteRate = 1_250_000 // octets a second: 10 Mbit/s. A faster link is not told from none by what SMTP sends
)

// Bandwidth is that of the link to a client, from the reply on that has it, which is included, to the end of the connection or the next
// outcome that says otherwise. Octets are counted above TLS. The zero value changes nothing.
type Bandwidth struct {
	In  ByteRate // of what the client sends: the sink reads no faster, so that the client's window closes
	Out ByteRate // of replies
}

// String returns "40kbit/s" for both ways, or what is changed.
func (b Bandwidth) String() string {
	switch {
	case b.In == b.Out:
		return b.In.String()
	case b.Out == 0:
		return "in " + b.In.String()
	case b.In == 0:
		return "out " + b.Out.String()
	}
	return "in " + b.In.String() + ", out " + b.Out.String()
}

// limits reports whether anything is slowed.
func (b Bandwidth) limits() bool { return b.In > 0 || b.Out > 0 }

func (b Bandwidth) validate() error {
	for _, r := range [...]ByteRate{b.In, b.Out} {
		if r < Unlimited || r > MaxByteRate {
			return fmt.Errorf("%d octets a second is out of range (want none, or 1B/s to %v)", r, MaxByteRate)
		}
	}
	return nil
}

// rateUnits are those of rates, the one before the other where both would do to write one.
var rateUnits = [...]struct {
	suffix string
	octets float64
}{{"Mbit/s", 125_000}, {"kbit/s", 125}, {"KiB/s", 1 << 10}, {"kB/s", 1000}, {"B/s", 1}}

// ParseByteRate parses "none", "100B/s", "5kB/s", "4KiB/s", "33.6kbit/s" or "1Mbit/s".
func ParseByteRate(text string) (ByteRate, error) {
	if text == "none" {
		return Unlimited, nil
	}
	for _, u := range rateUnits {
		number, ok := strings.CutSuffix(text, u.suffix)
		if !ok {
			continue
		}
		number = strings.TrimSuffix(number, " ")
		v, err := strconv.ParseFloat(number, 64)
		if err != nil || strings.Trim(number, "0123456789.") != "" {
			break
		}
		octets := v * u.octets
		whole := math.Round(octets)
		if whole < 1 || whole > float64(MaxByteRate) {
			return 0, fmt.Errorf("rate %q is out of range (want none, or 1B/s to %v)", text, MaxByteRate)
		}
		if math.Abs(octets-whole) > 1e-6 {
			return 0, fmt.Errorf("rate %q is no whole number of octets (want for example %v)", text, ByteRate(whole))
		}
		return ByteRate(whole), nil
	}
	return 0, fmt.Errorf("invalid rate %q (want none, 100B/s, 5kB/s, 4KiB/s, 33.6kbit/s or 1Mbit/s)", text)
}

// String returns the rate as ParseByteRate reads it; "" for no change.
func (r ByteRate) String() string {
	switch {
	case r == 0:
		return ""
	case r < 0:
		return "none"
	case r%125_000 == 0:
		return strconv.FormatInt(int64(r/125_000), 10) + "Mbit/s"
	case r%25 == 0 && r >= 125: // with one digit behind the point
		return strconv.FormatFloat(float64(r)/125, 'f', -1, 64) + "kbit/s"
	}
	return strconv.FormatInt(int64(r), 10) + "B/s"
}

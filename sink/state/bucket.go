package state

import (
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
)

// Bucket is the token bucket of a limit of kind rate. The zero value is no bucket: see FullBucket. It is not safe for concurrent use.
type Bucket struct {
	tokens float64
	at     int64 // when tokens was right, in nanoseconds of its owner's clock
}

// roundoff forgives what the sums of a bucket lose: a token that is due is there.
const roundoff = 1e-9

// FullBucket returns a bucket that nobody has taken anything from. now is in nanoseconds, since whenever.
func FullBucket(l *fault.Limit, now int64) Bucket { return Bucket{l.Burst, now} }

// Take takes a token, if there is one. A time before an earlier one counts as that, unless the clock was set back: then the bucket fills from
// there on with what it has.
func (b *Bucket) Take(l *fault.Limit, now int64) bool {
	switch since := now - b.at; {
	case since > 0:
		b.tokens = min(l.Burst, b.tokens+l.Rate*time.Duration(since).Seconds())
		b.at = now
	case since < -clockSlack:
		b.at = now
	}
	if b.tokens < 1-roundoff {
		return false
	}
	b.tokens = max(0, b.tokens-1)
	return true
}

// Return gives a token back. A bucket gets no fuller than full.
func (b *Bucket) Return(l *fault.Limit) { b.tokens = min(l.Burst, b.tokens+1) }

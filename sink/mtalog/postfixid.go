package mtalog

import (
	"strings"
	"time"
)

// postfixDigits are those of long queue ids, in the order of their values (safe_ultostr.c in Postfix's source): consonants, so that no word
// comes about.
const postfixDigits = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz"

// postfixArrival reads when a message came from its long queue id (enable_long_queue_ids): seconds, four digits of microseconds, and behind the
// last z the number of its file. A short one has no seconds.
func postfixArrival(id string) (time.Time, bool) {
	const micro, most = 4, 10 // digits of the microseconds; of seconds, with which a number can't overflow
	z := strings.LastIndexByte(id, 'z')
	if z <= micro || z-micro > most {
		return time.Time{}, false
	}
	number := func(digits string) (n int64, ok bool) {
		for i := range len(digits) {
			d := strings.IndexByte(postfixDigits, digits[i])
			if d < 0 {
				return 0, false
			}
			n = n*int64(len(postfixDigits)) + int64(d)
		}
		return n, true
	}
	seconds, ok := number(id[:z-micro])
	micros, right := number(id[z-micro : z])
	return time.Unix(seconds, 1000*micros).UTC(), ok && right && micros < 1_000_000
}

package ledger

import (
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/jsonl"
)

// MaxValue is how many octets of a value a row holds, before they are escaped: what RFC 5322 section 2.1.1 allows a line. Longer values
// are cut, and the row's key "cut" names them.
const MaxValue = 998

// tightValue is how many octets, once they are escaped, a tight row holds of a value that is the same in all rows of a message.
const tightValue = 64

// Room says how much of the values that peers choose a row may hold.
type Room uint8

// The choices.
const (
	// RoomWide is up to MaxValue octets of each value.
	RoomWide Room = iota
	// RoomTight is for rows of connections that have made the ledger write out of proportion to what they sent: of sender and token only
	// the beginning is kept, and long X-Storm-Ids and Message-IDs are left out.
	RoomTight
)

// cuts are the keys of a row whose values were cut.
type cuts uint32

const (
	cutListener cuts = 1 << iota
	cutPhase
	cutHelo
	cutSender
	cutRecipient
	cutToken
	cutStormID
	cutMessageID
	cutCause
	cutFault
	cutReason
	cutError
	cutORCPT
	cutText
	cutReact
	cutWhose
	cutRefusedCause

	numCuts = 17
)

var cutNames = [numCuts]string{
	"listener", "phase", "helo", "sender", "recipient", "token", "storm_id", "message_id", "cause", "fault", "reason", "error", "orcpt", "text", "react", "key", "refused_cause",
}

// cutsOf returns the cuts that a row which was read tells of.
func cutsOf(names string) (c cuts) {
	for name := range strings.FieldsSeq(names) {
		for i, n := range cutNames {
			if n == name {
				c |= 1 << i
			}
		}
	}
	return c
}

// appendCuts appends the key that names what was cut, if anything was.
func appendCuts(dst []byte, c cuts) []byte {
	if c == 0 {
		return dst
	}
	dst = append(dst, `,"cut":"`...)
	for i, name := range cutNames {
		if c&(1<<i) != 0 {
			dst = append(append(dst, name...), ' ')
		}
	}
	dst[len(dst)-1] = '"'
	return dst
}

// appendCut appends key and value, or MaxValue octets of it.
func appendCut[T string | []byte](dst []byte, key string, s T, c *cuts, which cuts) []byte {
	if len(s) > MaxValue {
		s = s[:MaxValue]
		*c |= which
	}
	return appendText(dst, key, s)
}

// appendCutOptional appends nothing for an empty value.
func appendCutOptional[T string | []byte](dst []byte, key string, s T, c *cuts, which cuts) []byte {
	if len(s) == 0 {
		return dst
	}
	return appendCut(dst, key, s, c, which)
}

// appendShared appends a value that all rows of a message have.
func appendShared[T string | []byte](dst []byte, key string, s T, room Room, c *cuts, which cuts) []byte {
	if room == RoomWide {
		return appendCut(dst, key, s, c, which)
	}
	dst, n := jsonl.AppendStringUpTo(append(dst, key...), s, tightValue)
	if n < len(s) {
		*c |= which
	}
	return dst
}

// appendSharedID appends an identity from the message's header: a piece of one names nobody.
func appendSharedID(dst []byte, key string, s []byte, room Room, c *cuts, which cuts) []byte {
	if len(s) == 0 {
		return dst
	}
	if room == RoomTight && len(s) > tightValue/jsonl.LongestEscape {
		before := len(dst)
		out, n := jsonl.AppendStringUpTo(append(dst, key...), s, tightValue)
		if n < len(s) {
			*c |= which
			return out[:before]
		}
		return out
	}
	return appendCut(dst, key, s, c, which)
}

package reconcile

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/jsonl"
)

var ackNames = [...]string{AckYes: "yes", AckNo: "no", AckUnknown: "unknown"}

// String returns "yes", "no" or "unknown".
func (a Ack) String() string { return ackNames[a] }

func parseAck(v jsonl.Value) (Ack, error) {
	i := slices.Index(ackNames[:], string(v.B))
	switch {
	case v.Shape != jsonl.ShapeString:
		return 0, fmt.Errorf("%w (valid: %s)", v.Not("a string"), strings.Join(ackNames[:], " "))
	case i < 0:
		return 0, fmt.Errorf("unknown value %q (valid: %s)", v.B, strings.Join(ackNames[:], " "))
	}
	return Ack(i), nil // #nosec G115 -- one of three
}

// Append appends the claim as one line of sent.jsonl with its line feed: the inverse of ReadClaims. What is not known is left out.
func (c *Claim) Append(dst []byte) []byte {
	dst = jsonl.AppendString(append(dst, `{"token":`...), c.Token)
	dst = jsonl.AppendString(append(dst, `,"recipient":`...), c.Recipient)
	if c.HasSender {
		dst = jsonl.AppendString(append(dst, `,"sender":`...), c.Sender)
	}
	for _, k := range [...]struct{ key, value string }{
		{`,"run":`, c.Run}, {`,"storm_id":`, c.StormID}, {`,"message_id":`, c.MessageID}, {`,"notify":`, c.Notify},
	} {
		if k.value != "" {
			dst = jsonl.AppendString(append(dst, k.key...), k.value)
		}
	}
	if c.Hashed {
		dst = jsonl.AppendHash(append(dst, `,"body_xxh64":`...), c.Body)
		dst = strconv.AppendInt(append(dst, `,"size":`...), c.Size, 10)
	}
	if c.EightBit {
		dst = append(dst, `,"eight_bit":true`...)
	}
	for i, to := range c.DeliveredTo {
		if i == 0 {
			dst = append(dst, `,"delivered_to":[`...)
		} else {
			dst = append(dst, ',')
		}
		dst = jsonl.AppendString(dst, to)
		if i == len(c.DeliveredTo)-1 {
			dst = append(dst, ']')
		}
	}
	dst = append(append(append(dst, `,"ack":"`...), c.Ack.String()...), '"')
	for _, k := range [...]struct {
		key string
		at  time.Time
	}{{`,"intended":`, c.Intended}, {`,"sent":`, c.Sent}, {`,"replied":`, c.Replied}} {
		if !k.at.IsZero() {
			dst = jsonl.AppendTime(append(dst, k.key...), k.at)
		}
	}
	if c.Code != 0 {
		dst = strconv.AppendInt(append(dst, `,"code":`...), int64(c.Code), 10)
	}
	return append(dst, "}\n"...)
}

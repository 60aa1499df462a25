package fault

import "github.com/smtpstorm/xk6-smtp/sink/smtp"

// SizeRange is a range of octets, both ends included. The zero value is every size.
type SizeRange struct {
	From int64
	To   int64 // 0: without end
}

// holds reports whether the size of an occurrence lies in the range: from mail on as MAIL has declared it (RFC 1870), in no range if it
// hasn't; at message as counted.
func (r SizeRange) holds(o *Occurrence) bool {
	if o.Size == 0 && o.Stage != smtp.StageMessage {
		return false
	}
	return o.Size >= r.From && (r.To == 0 || o.Size <= r.To)
}

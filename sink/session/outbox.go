package session

import (
	"github.com/valyala/bytebufferpool"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// outputMark is how many octets of output may gather before the session waits for the client to take them: the replies to what
// one read of 4 KiB can hold fit in.
const outputMark = 64 << 10

// outbox is what goes out to the client, and what the driver and the client know of it.
//
//	state    buffer   handed   goes to
//	empty    nil      false    filling, when a reply is written
//	filling  octets   false    handed, when the driver asks what to write (hand)
//	handed   octets   true     empty, by the driver's next call: by then it has written or copied the octets (taken)
type outbox struct {
	buffer   *bytebufferpool.ByteBuffer
	octets   uint64 // all that was ever written
	enhanced smtp.Enhanced
	code     smtp.Code  // of the last reply, with enhanced and stage; 0 before the first
	receipts receipts   // of the last final replies
	stage    smtp.Stage // the last reply's
	handed   bool
}

// open returns the buffer that replies are appended to.
func (o *outbox) open(x *Scratch) *bytebufferpool.ByteBuffer {
	if o.buffer == nil {
		o.buffer = x.takeOutput()
	}
	return o.buffer
}

// count counts octets of output; a negative n takes back what was counted.
func (o *outbox) count(n int) { o.octets += uint64(n) } // #nosec G115 -- two's complement subtracts a negative n

// full reports whether so much has gathered that the client shall take some first.
func (o *outbox) full() bool { return o.buffer != nil && len(o.buffer.B) >= outputMark }

// hand returns what the driver shall write: nil when there is nothing.
func (o *outbox) hand() []byte {
	if o.buffer == nil || len(o.buffer.B) == 0 {
		return nil
	}
	o.handed = true
	return o.buffer.B
}

// taken gives back the buffer that the driver was handed.
func (o *outbox) taken(x *Scratch) {
	if o.handed {
		o.discard(x)
	}
}

// discard empties the outbox, whatever is in it.
func (o *outbox) discard(x *Scratch) {
	o.handed = false
	if o.buffer != nil {
		x.putOutput(o.buffer)
		o.buffer = nil
	}
}

// replied notes the reply that was written last.
func (o *outbox) replied(stage smtp.Stage, code smtp.Code, e smtp.Enhanced) {
	o.stage, o.code, o.enhanced = stage, code, e
	o.receipts.answered()
}

// pieces are a reply that goes out in pieces. The zero value has none.
//
// From the beginning (split) it goes on piece by piece (next) to its end, or stays cut where the connection ends.
type pieces struct {
	reply *bytebufferpool.ByteBuffer // nil: none is under way
	sent  int                        // octets
	size  int                        // of each piece but the last, in octets
}

// split begins with a reply, of which it keeps a copy.
func (p *pieces) split(reply []byte, size int) {
	*p = pieces{reply: getBuffer(&outputPool, outputCapacity), size: size}
	p.reply.B = append(p.reply.B, reply...)
}

// next returns the next piece, valid until release, and whether it is the last.
func (p *pieces) next() (piece []byte, last bool) {
	piece = p.reply.B[p.sent:min(p.sent+p.size, len(p.reply.B))]
	p.sent += len(piece)
	return piece, p.sent == len(p.reply.B)
}

// following returns how many octets the next piece has.
func (p *pieces) following() int { return min(p.size, len(p.reply.B)-p.sent) }

// cut reports whether a part of a reply was handed over, and the rest was not.
func (p *pieces) cut() bool { return p.reply != nil && p.sent > 0 }

// release forgets the reply.
func (p *pieces) release() {
	if p.reply != nil {
		putBuffer(&outputPool, p.reply)
		p.reply = nil
	}
}

package session

import "github.com/valyala/bytebufferpool"

// Buffers come from pools and stay with a session only while it has a partial line or output that no write effect has handed over.
var (
	outputPool bytebufferpool.Pool
	linePool   bytebufferpool.Pool
)

// Capacities of fresh buffers, in octets: the reply to EHLO, and those to a pipelined envelope with dozens of recipients, and
// nearly all command lines, fit in without growing.
const (
	outputCapacity = 2 << 10
	lineCapacity   = 1 << 8
)

func getBuffer(pool *bytebufferpool.Pool, capacity int) *bytebufferpool.ByteBuffer {
	b := pool.Get()
	if cap(b.B) < capacity {
		b.B = make([]byte, 0, capacity)
	}
	return b
}

// putBuffer gives a buffer back. The pool learns from the lengths that it sees which buffers are worth keeping: it is shown the
// capacity, since otherwise a run of short replies would teach it to drop every buffer that can hold a long one.
func putBuffer(pool *bytebufferpool.Pool, b *bytebufferpool.ByteBuffer) {
	b.B = b.B[:cap(b.B)]
	pool.Put(b)
}

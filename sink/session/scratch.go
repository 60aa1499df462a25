package session

import (
	"sync"

	"github.com/valyala/bytebufferpool"
)

// Scratch keeps what a session needs during a call only, for the next session that a goroutine drives. Going to a pool for it on
// every command is dearer than the command's own work. The zero Scratch is ready to use; it belongs to one goroutine.
type Scratch struct {
	work   *work
	output *bytebufferpool.ByteBuffer
}

var workPool = sync.Pool{New: func() any { return new(work) }}

func (x *Scratch) takeWork() *work {
	if x == nil || x.work == nil {
		return workPool.Get().(*work)
	}
	w := x.work
	x.work = nil
	return w
}

func (x *Scratch) putWork(w *work) {
	if x == nil || x.work != nil {
		workPool.Put(w)
		return
	}
	x.work = w
}

// maxScratchOutput is the largest buffer of output that a Scratch keeps, in octets.
const maxScratchOutput = 4 * outputCapacity

func (x *Scratch) takeOutput() *bytebufferpool.ByteBuffer {
	if x == nil || x.output == nil {
		return getBuffer(&outputPool, outputCapacity)
	}
	b := x.output
	x.output = nil
	return b
}

func (x *Scratch) putOutput(b *bytebufferpool.ByteBuffer) {
	if x == nil || x.output != nil || cap(b.B) > maxScratchOutput {
		putBuffer(&outputPool, b)
		return
	}
	b.B = b.B[:0]
	x.output = b
}

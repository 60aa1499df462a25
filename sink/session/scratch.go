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
	crowd  int
}

// Crowd tells that so many connections, or about, have something to do in this turn of the goroutine, for all of which a client's input
// may have to wait.
func (x *Scratch) Crowd(n int) { x.crowd = n }

// share returns how much work a session may do in one call.
func (x *Scratch) share() int {
	if x == nil || x.crowd <= crowdWork/turnWork {
		return turnWork
	}
	return max(crowdWork/x.crowd, leastWork)
}

// bodyRead returns how many octets of a body a session wants at once, where many is how large a crowd takes all: a power of two, so that
// the limit changes seldom.
func (x *Scratch) bodyRead(many int) int {
	n := readInBody
	if x != nil {
		for n > leastRead && n*x.crowd > readInBody*many {
			n /= 2
		}
	}
	return n
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

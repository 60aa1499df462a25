package session

import (
	"sync"

	"github.com/valyala/bytebufferpool"
)

// Scratch keeps what a session needs during a call only, for the next session that a goroutine drives. Going to a pool for it on
// every command is dearer than the command itself. The zero Scratch is ready to use; it belongs to one goroutine.
type Scratch struct {
	exchange *exchange
	output   *bytebufferpool.ByteBuffer
	busy     int // connections
}

// SetBusy tells that so many connections, or about, have something to do in this turn of the goroutine, for all of which a client's input
// may have to wait.
func (x *Scratch) SetBusy(n int) { x.busy = n }

// share returns what a session may cost in one call, see callCost.
func (x *Scratch) share() int {
	if x == nil || x.busy <= turnCost/callCost {
		return callCost
	}
	return max(turnCost/x.busy, leastCost)
}

// bodyRead returns how many octets of a body a session wants at once, where so many busy ones take all: a power of two, so that the limit changes
// seldom.
func (x *Scratch) bodyRead(many int) int {
	n := readInBody
	if x != nil {
		for n > leastRead && n*x.busy > readInBody*many {
			n /= 2
		}
	}
	return n
}

var exchangePool = sync.Pool{New: func() any { return new(exchange) }}

func (x *Scratch) takeExchange() *exchange {
	if x == nil || x.exchange == nil {
		return exchangePool.Get().(*exchange)
	}
	e := x.exchange
	x.exchange = nil
	return e
}

func (x *Scratch) putExchange(e *exchange) {
	if x == nil || x.exchange != nil {
		exchangePool.Put(e)
		return
	}
	x.exchange = e
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

package reactor

import "golang.org/x/sys/unix"

// A turn in which several connections have input is cut into batches. A batch is
// read, then handled, then written, instead of doing all three for one
// connection after the other: each of the three then finds its code in the
// processor's caches. A turn with one event, and timers, write at once.
const (
	// batchReads is how many connections are read before their input is handled,
	// and so how long a reply may wait for others to be made.
	batchReads = 32
	// batchInput is how much input a batch may gather; more is handled at once.
	batchInput = 32 << 10
	// batchWrites is how many writes wait at the most: with those that posted
	// functions and new connections make there can be more than reads.
	batchWrites = 2 * batchReads
	// batchOne is the most that one connection may add to a batch.
	batchOne = 4 << 10
)

// input is what was read from a connection in this batch.
type input struct {
	c *Conn
	p []byte // in loop.buf
}

// output is a write that waits for the end of the batch.
type output struct {
	c        *Conn
	from, to int // in loop.out
}

// gather keeps what was read for the end of the batch, unless it is much.
func (l *loop) gather(c *Conn, p []byte) {
	if !l.batching {
		l.deliver(c, p)
		return
	}
	l.inputs = append(l.inputs, input{c, p})
	l.used += len(p)
	if len(p) > batchOne || len(l.inputs) == batchReads || l.used >= batchInput {
		l.endBatch()
	}
}

// endBatch handles the input that was gathered, and sends the output.
func (l *loop) endBatch() {
	for i := range l.inputs {
		in := &l.inputs[i]
		if in.c.flags&flagsEnding == 0 {
			l.deliver(in.c, in.p)
		}
	}
	clear(l.inputs)
	l.inputs, l.used = l.inputs[:0], 0
	l.sendBatch()
}

func (l *loop) sendBatch() {
	for i := range l.outputs {
		o := &l.outputs[i]
		o.c.flags &^= flagBatched
		o.c.send(l.out[o.from:o.to])
	}
	clear(l.outputs)
	l.outputs, l.out = l.outputs[:0], l.out[:0]
}

// postpone keeps p for the end of the batch. It reports whether it did.
func (l *loop) postpone(c *Conn, p []byte) bool {
	if !l.batching || len(p) > batchOne {
		return false
	}
	if len(l.outputs) == batchWrites {
		l.sendBatch()
	}
	from := len(l.out)
	l.out = append(l.out, p...)
	l.outputs = append(l.outputs, output{c, from, len(l.out)})
	c.flags |= flagBatched
	return true
}

// batched returns how many octets of the connection's output wait for the end of
// the batch.
func (c *Conn) batched() int {
	if c.flags&flagBatched != 0 {
		for _, o := range c.l.outputs {
			if o.c == c {
				return o.to - o.from
			}
		}
	}
	return 0
}

// send sends p, which isn't empty, where no output waits, and keeps what the kernel doesn't take.
func (c *Conn) send(p []byte) {
	l := c.l
	if c.flags&(flagFailed|flagClosed) != 0 {
		return
	}
	l.st.Writes++
	out := send
	if c.flags&(flagFIN|flagRST|flagDetach|flagAwait) == flagFIN {
		out = sendMore // the FIN that ends this turn takes it along
	}
	n, errno := out(c.fd, p)
	if errno != 0 && errno != unix.EAGAIN {
		c.refuse(errno)
		return
	}
	l.st.BytesOut += uint64(n) // #nosec G115 -- what send wrote
	if n < len(p) {
		c.hold(p[n:])
	}
}

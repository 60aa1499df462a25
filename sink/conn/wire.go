package conn

import (
	"net"
	"time"

	"github.com/valyala/bytebufferpool"
)

// flushAt is how much output is held back at most, give or take one write of the session's.
const flushAt = 32 << 10

// wire is what a TLS connection talks over. It counts what passes, and can hold TLS records back until several of them leave by one
// system call: the last reply with the farewell of TLS, for one. Writing belongs to one goroutine.
type wire struct {
	net.Conn
	count *netCounters
	early []byte                     // what was read before TLS began
	held  bool                       // records go to out, until release
	out   *bytebufferpool.ByteBuffer // from wirePool while it is needed
}

var wirePool bytebufferpool.Pool

// Read implements net.Conn.
func (w *wire) Read(p []byte) (int, error) {
	if len(w.early) > 0 {
		n := copy(p, w.early)
		if w.early = w.early[n:]; len(w.early) == 0 {
			w.early = nil
		}
		return n, nil
	}
	n, err := w.Conn.Read(p)
	w.count.read(n)
	return n, err
}

// Write implements net.Conn.
func (w *wire) Write(p []byte) (int, error) {
	if w.held {
		if w.out == nil {
			w.out = wirePool.Get()
		}
		return w.out.Write(p)
	}
	n, err := w.Conn.Write(p)
	w.count.wrote(n)
	return n, err
}

// SetWriteDeadline does nothing: whoever flushes sets the deadline for it. TLS would limit its farewell to 5 seconds from when that was
// composed, and then let nothing more through.
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

// hold keeps what is written from now on until release.
func (w *wire) hold() { w.held = true }

// full reports whether it is time for release.
func (w *wire) full() bool { return w.out != nil && w.out.Len() >= flushAt }

// release writes what was held back.
func (w *wire) release() error { return w.take(w.Write) }

// releaseLast writes what was held back and shuts the sending side down.
func (w *wire) releaseLast(last lastWriter) error {
	if w.out == nil {
		w.out = wirePool.Get() // no output, and FIN all the same
	}
	return w.take(func(p []byte) (int, error) {
		n, err := last.WriteLast(p)
		w.count.wrote(n)
		return n, err
	})
}

// lastWriter is a connection that can send FIN with its last data.
type lastWriter interface {
	WriteLast(p []byte) (int, error)
}

func (w *wire) take(write func(p []byte) (int, error)) error {
	w.held = false
	if w.out == nil {
		return nil
	}
	_, err := write(w.out.B)
	wirePool.Put(w.out)
	w.out = nil
	return err
}

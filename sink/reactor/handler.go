package reactor

import (
	"errors"
	"time"
)

// Handler is the owner of one connection. The reactor calls it on the
// goroutine of the connection's loop only; now is the time at which that loop
// last woke, from Config.Now.
type Handler interface {
	// Data offers input and returns how many bytes of p were consumed. Fewer
	// than len(p) pauses the connection, as Conn.Pause does, and the rest is
	// offered again after Conn.Resume. p is valid until Data returns.
	Data(now time.Time, p []byte) (n int)
	// EOF says that the peer sends nothing more; all it sent was offered. The
	// connection stays open for output until the Handler closes it.
	EOF(now time.Time)
	// Timer says that the deadline of Conn.SetDeadline has passed. The
	// deadline is cleared before the call.
	Timer(now time.Time)
	// Drained answers one Conn.AwaitDrain.
	Drained(now time.Time)
	// Closed is the last call. err is nil when the connection ended as the
	// Handler asked, or when both sides had finished; otherwise it says what
	// ended it: a unix errno such as ECONNRESET, ErrDrainTimeout or ErrStopped.
	Closed(now time.Time, err error)
}

// HangupHandler is a Handler that wants to know when the peer closed, or
// half-closed, a connection that isn't being read (paused, for instance
// because a delayed reply is due). Unread input may still wait; it and EOF
// follow after Conn.Resume.
type HangupHandler interface {
	Handler
	// Hangup is called at most once per connection.
	Hangup(now time.Time)
}

// CloseMode says how a connection ends. After CloseFIN, CloseRST and
// CloseAbort the Handler gets no call but Closed.
type CloseMode uint8

const (
	// CloseFIN sends the pending output, then FIN, then reads and discards
	// until the peer's FIN (at most Config.LingerBytes, or Config.LingerTime
	// after the FIN), so that unread input doesn't turn the close into an RST
	// that destroys the last reply on its way.
	CloseFIN CloseMode = iota + 1
	// CloseRST sends the pending output, waits until the peer's kernel has
	// acknowledged it, then resets the connection. On a unix socket, which
	// knows no RST, it closes after the output was sent.
	CloseRST
	// CloseAbort resets the connection at once; pending output is dropped.
	CloseAbort
	// CloseHalf sends the pending output, then FIN, and goes on reading: Data,
	// EOF and Timer still come. Output written later is dropped.
	CloseHalf
)

// String names the mode.
func (m CloseMode) String() string {
	switch m {
	case CloseFIN:
		return "fin"
	case CloseRST:
		return "rst"
	case CloseAbort:
		return "abort"
	case CloseHalf:
		return "half"
	}
	return "unknown"
}

// Drain says how far output must have come for Handler.Drained.
type Drain uint8

const (
	// DrainKernel: the kernel has taken all output.
	DrainKernel Drain = iota + 1
	// DrainPeer: the peer's kernel has acknowledged all output (SIOCOUTQ is 0).
	// On a unix socket it is the same as DrainKernel.
	DrainPeer
)

var (
	// ErrStopped ends the connections that are open when the reactor stops.
	ErrStopped = errors.New("reactor: stopped")
	// ErrDrainTimeout ends a closing connection whose peer took no output for
	// Config.DrainTimeout.
	ErrDrainTimeout = errors.New("reactor: peer took no output before the drain timeout")
)

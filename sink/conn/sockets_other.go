//go:build !linux

package conn

import (
	"net"
	"os"
	"time"
)

// awaitAcknowledged does nothing here: no portable call tells what the client's kernel has acknowledged, and a reset may overtake the
// end of a reply.
func awaitAcknowledged(net.Conn, time.Duration, <-chan struct{}) {}

// polled is how often a connection that isn't read looks up from its wait.
const polled = 50 * time.Millisecond

// awaitFailure waits a little. That the connection has failed shows here when it is written to.
func awaitFailure(net.Conn, func()) error {
	time.Sleep(polled)
	return os.ErrDeadlineExceeded
}

// No portable call tells what waits and what the client's kernel has acknowledged.
func unreadInput(net.Conn) int    { return 0 }
func unacknowledged(net.Conn) int { return 0 }
func takeError(net.Conn) error    { return nil }

// setBacklog does nothing here: the kernel's own backlog has to fill up.
func setBacklog(net.Listener, int) {}

// clampWindow does nothing here: the kernel's own buffers have to fill up.
func clampWindow(net.Conn, int) {}

// setReceiveBuffer does nothing here: the kernel's own buffers have to fill up.
func setReceiveBuffer(net.Listener, int) {}

// refuse does nothing here, where no socket is inherited.
func refuse(net.Listener) {}

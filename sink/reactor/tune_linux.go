package reactor

import "golang.org/x/sys/unix"

// SetBacklog changes the length of the kernel's queue of connections that wait to be accepted; those in it stay. 0 means the default
// of ListenConfig.Backlog. The kernel lets one more in than a positive length says: a paused listener with a length of 1 has room for two.
func (ln *Listener) SetBacklog(n int) {
	if n <= 0 {
		n = defaultBacklog
	}
	ln.eachSocket(func(fd int) { _ = unix.Listen(fd, n) })
}

// SetReceiveBuffer changes ListenConfig.ReceiveBuffer for the connections to come.
func (ln *Listener) SetReceiveBuffer(octets int) {
	ln.eachSocket(func(fd int) { _ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, octets) })
}

// eachSocket calls f for the open sockets, on a shared one more than once.
func (ln *Listener) eachSocket(f func(fd int)) {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	for _, a := range ln.acceptors {
		f(int(a.fd))
	}
}

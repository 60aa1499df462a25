package reactor

import "golang.org/x/sys/unix"

// acceptor is a listener's socket on one loop.
type acceptor struct {
	ln     *Listener
	fd     int32
	shared bool // the same socket is on other loops, too
	armed  bool
	paused bool   // by Listener.Pause
	burst  int    // how many connections the next turn takes, without being told that there are more
	turn   uint64 // the last one that took connections
}

func (l *loop) addAcceptor(a *acceptor) error {
	if err := l.armAcceptor(a); err != nil {
		return err
	}
	l.acceptors[a.fd] = a
	return nil
}

func (l *loop) armAcceptor(a *acceptor) error {
	if a.armed || a.paused {
		return nil
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: a.fd}
	if a.shared {
		ev.Events |= unix.EPOLLEXCLUSIVE
	}
	l.st.Controls++
	if err := unix.EpollCtl(l.epfd, unix.EPOLL_CTL_ADD, int(a.fd), &ev); err != nil {
		return err
	}
	a.armed = true
	return nil
}

func (l *loop) disarmAcceptor(a *acceptor) {
	if a.armed {
		l.st.Controls++
		_ = unix.EpollCtl(l.epfd, unix.EPOLL_CTL_DEL, int(a.fd), nil)
		a.armed = false
	}
}

func (l *loop) removeAcceptor(a *acceptor) {
	l.disarmAcceptor(a)
	delete(l.acceptors, a.fd)
	a.ln.release(int(a.fd), a.shared)
}

// accept takes connections: as many as the queue is likely to hold, at most acceptBurst. Asking until the queue is empty would cost one
// call more each time, and one that fails is nearly as dear: the kernel makes the file first. What is left is reported again, and where
// that happens in the very next turn twice as many are taken.
func (l *loop) accept(a *acceptor) {
	if l.turn == a.turn+1 && a.burst > 0 {
		a.burst = min(2*a.burst, acceptBurst)
	} else {
		a.burst = max(a.burst/2, 1)
	}
	a.turn = l.turn
	for taken := range a.burst {
		if !l.takeRoom() {
			if taken == 0 { // else nobody may be waiting
				l.crowd()
			}
			return
		}
		fd, errno := l.r.accept(a.fd, &l.rsa)
		if errno != 0 {
			l.leaveRoom()
		}
		switch errno {
		case 0:
			l.open(a, fd)
			if !a.armed { // by NewHandler
				return
			}
			continue
		case unix.EAGAIN:
			a.burst = max(taken, 1)
			a.turn = 0 // nothing was left over
			return
		case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM:
			l.st.AcceptPauses++
			l.starve()
			return
		}
		l.st.AcceptErrors++
		switch errno {
		case unix.EBADF, unix.EINVAL, unix.ENOTSOCK, unix.EOPNOTSUPP, unix.EFAULT:
			l.disarmAcceptor(a) // it will never work again
			return
		}
	}
}

// takeRoom takes a room for one more connection, if there is one.
func (l *loop) takeRoom() bool {
	if l.r.rooms != nil && !l.r.rooms.Take() {
		return false
	}
	l.crowded = false
	return true
}

// crowd stops accepting until a connection has ended.
func (l *loop) crowd() {
	if !l.crowded {
		l.crowded = true
		l.st.AcceptsHeld++
	}
	l.starve()
}

func (l *loop) leaveRoom() {
	if l.r.rooms != nil {
		l.r.rooms.Leave()
	}
}

// starve takes all acceptors out of epoll, which would report them forever.
func (l *loop) starve() {
	for _, a := range l.acceptors {
		l.disarmAcceptor(a)
	}
	l.starved = true
	l.starvedTo = l.nowNanos + int64(starvedRetry)
}

// wakeAcceptors takes up accepting where descriptors or rooms ran out.
func (l *loop) wakeAcceptors() {
	if !l.starved || l.nowNanos < l.starvedTo {
		return
	}
	l.starved = false
	for _, a := range l.acceptors {
		if err := l.armAcceptor(a); err != nil {
			l.starve()
			return
		}
	}
}

func (l *loop) open(a *acceptor, fd int32) {
	l.gen++
	if l.gen == 0 {
		l.gen = 1
	}
	c := &Conn{l: l, ln: a.ln, fd: fd, gen: l.gen, remote: addrOf(&l.rsa)}
	if a.ln.unix {
		c.flags = flagUnix
	}
	if int(fd) >= len(l.conns) {
		size := max(2*len(l.conns), int(fd)+1, 64)
		l.conns = append(l.conns, make([]*Conn, size-len(l.conns))...)
	}
	l.conns[fd] = c
	l.st.Accepted++
	l.st.Open++
	c.control(unix.EPOLL_CTL_ADD, unix.EPOLLIN|unix.EPOLLRDHUP)
	if c.h = l.r.newHandler(l.id, c, l.now); c.h == nil {
		c.Close(CloseFIN)
	}
}

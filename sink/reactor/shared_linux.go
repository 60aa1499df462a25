package reactor

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A loop that blocks in epoll_wait keeps a thread and, until the runtime's
// monitor takes it away, a processor of the Go scheduler. That is the cheapest
// way to wait for a loop that does all the work. Where goroutines go on with
// connections that it handed over, the scheduler moves processors to and fro at
// each wait, which costs more than waiting where those goroutines do: in the
// runtime's poller, which finds the loop's epoll ready as if it were a socket.

const (
	// sharedFor is how long the loop waits in the runtime's poller after a
	// connection was handed over.
	sharedFor = int64(time.Second)
	// sharedLeast is the least wait that the runtime's poller is good for: its
	// timers are late by up to a millisecond.
	sharedLeast = 20 * time.Millisecond
	// sharedEarly is how much too early such a wait ends, for the loop's own to
	// be in time.
	sharedEarly = 2 * time.Millisecond
)

// shared is a loop's place in the runtime's poller.
type shared struct {
	until int64    // in use until then, in nanoseconds since the reactor's start
	file  *os.File // a duplicate of the epoll descriptor; nil when not in use
	raw   syscall.RawConn
	wake  int64 // the file's read deadline, likewise; 0: none, or it has passed
	poll  func(fd uintptr) bool
	n     int // what poll has found
	errno unix.Errno
}

// waitShared waits as wait does, but for the wakeups without an event that may
// come before d has passed. It reports false when that is for wait to do.
func (l *loop) waitShared(d time.Duration) (n int, ok bool, err error) {
	s := &l.shared
	if l.nowNanos >= s.until {
		s.close()
		return 0, false, nil
	}
	if d >= 0 && d < sharedLeast || !s.open(l) {
		return 0, false, nil
	}
	if d >= 0 {
		if wake := l.nowNanos + int64(d-sharedEarly); s.wake == 0 || s.wake > wake {
			if s.file.SetReadDeadline(time.Now().Add(d-sharedEarly)) != nil {
				return 0, false, nil
			}
			s.wake = wake
		}
	}
	s.n, s.errno = 0, 0
	if s.raw.Read(s.poll) != nil { // the deadline
		s.wake = 0
	}
	if s.errno != 0 {
		return 0, true, s.errno
	}
	return s.n, true, nil
}

// open makes the runtime's poller watch the loop's epoll. Without descriptors
// it can't.
func (s *shared) open(l *loop) bool {
	if s.file != nil {
		return true
	}
	fd, err := unix.FcntlInt(uintptr(l.epfd), unix.F_DUPFD_CLOEXEC, 0) // #nosec G115 -- an open descriptor
	if err != nil {
		return false
	}
	if err := unix.SetNonblock(fd, true); err != nil { // which makes a file pollable; to epoll_wait it means nothing
		_ = unix.Close(fd)
		return false
	}
	s.file = os.NewFile(uintptr(fd), "") // #nosec G115 -- an open descriptor
	if s.raw, err = s.file.SyscallConn(); err != nil {
		s.close()
		return false
	}
	s.wake = 0
	s.poll = func(uintptr) bool {
		s.n, s.errno = poll(l.epfd, l.events[:])
		return s.n > 0 || s.errno != 0
	}
	return true
}

func (s *shared) close() {
	if s.file != nil {
		_ = s.file.Close()
		s.file, s.raw, s.poll = nil, nil, nil
	}
}

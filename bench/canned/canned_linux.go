// #nosec G103 -- system calls without allocation: the memory outlives the call, and its own length goes with it

package canned

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Server is a canned server on one address. It serves on the goroutine that
// calls Serve.
type Server struct {
	fd, epfd, wakefd int
	addr             *net.TCPAddr
	messages         atomic.Uint64
	conns            []conn // by descriptor
	in               [64 << 10]byte
	out              []byte

	mu      sync.Mutex
	serving bool
	closed  bool
	done    chan struct{}
}

type conn struct {
	Dialogue
	open bool
}

// Listen binds addr (host:port, port 0 for any).
func Listen(addr string) (*Server, error) {
	ta, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("canned: %w", err)
	}
	s := &Server{fd: -1, epfd: -1, wakefd: -1, done: make(chan struct{})}
	if err := s.listen(ta); err != nil {
		s.release()
		return nil, fmt.Errorf("canned: listen %s: %w", addr, err)
	}
	return s, nil
}

func (s *Server) listen(ta *net.TCPAddr) (err error) {
	var sa unix.Sockaddr
	family := unix.AF_INET6
	if ip4 := ta.IP.To4(); ip4 != nil {
		family = unix.AF_INET
		sa = &unix.SockaddrInet4{Port: ta.Port, Addr: [4]byte(ip4)}
	} else {
		sa6 := &unix.SockaddrInet6{Port: ta.Port}
		copy(sa6.Addr[:], ta.IP)
		sa = sa6
	}
	if s.fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0); err != nil {
		return os.NewSyscallError("socket", err)
	}
	err = errors.Join(
		os.NewSyscallError("setsockopt", unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)),
		os.NewSyscallError("setsockopt", unix.SetsockoptInt(s.fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)),
	)
	if err != nil {
		return err
	}
	if err := unix.Bind(s.fd, sa); err != nil {
		return os.NewSyscallError("bind", err)
	}
	if err := unix.Listen(s.fd, 4096); err != nil {
		return os.NewSyscallError("listen", err)
	}
	if sa, err = unix.Getsockname(s.fd); err != nil {
		return os.NewSyscallError("getsockname", err)
	}
	s.addr = &net.TCPAddr{IP: ta.IP, Zone: ta.Zone}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		s.addr.Port = sa.Port
	case *unix.SockaddrInet6:
		s.addr.Port = sa.Port
	}
	if s.epfd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	if s.wakefd, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		return os.NewSyscallError("eventfd", err)
	}
	for _, fd := range []int{s.fd, s.wakefd} {
		if err := s.add(fd); err != nil {
			return os.NewSyscallError("epoll_ctl", err)
		}
	}
	return nil
}

func (s *Server) add(fd int) error {
	return unix.EpollCtl(s.epfd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}) // #nosec G115 -- a descriptor is a C int
}

// Addr returns the bound address.
func (s *Server) Addr() net.Addr { return s.addr }

// Messages returns how many messages came in. Any goroutine may ask.
func (s *Server) Messages() uint64 { return s.messages.Load() }

// yieldTurns is how many turns go by until the loop lets the scheduler run: some milliseconds under load. Otherwise the runtime's monitor
// thread preempts it every 10 ms, and then wakes every 20 us for a while.
const yieldTurns = 64

// Serve serves until Close; it may be called once.
func (s *Server) Serve() error {
	s.mu.Lock()
	if s.closed || s.serving {
		s.mu.Unlock()
		return errors.New("canned: server is closed or serving already")
	}
	s.serving = true
	s.mu.Unlock()
	defer close(s.done)
	var events [256]unix.EpollEvent
	for turn := 1; ; turn++ {
		if turn%yieldTurns == 0 {
			runtime.Gosched()
		}
		n, err := s.wait(events[:])
		if err != nil {
			return fmt.Errorf("canned: epoll_wait: %w", err)
		}
		for i := range events[:n] {
			switch fd := int(events[i].Fd); fd {
			case s.wakefd:
				return nil
			case s.fd:
				s.accept()
			default:
				s.serve(fd)
			}
		}
	}
}

// Close ends Serve, waits for that, and closes all connections.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	if s.serving {
		one := [8]byte{0: 1, 7: 1}
		_, _ = unix.Write(s.wakefd, one[:])
		<-s.done
	}
	s.release()
	return nil
}

func (s *Server) release() {
	for fd := range s.conns {
		if s.conns[fd].open {
			_ = unix.Close(fd)
		}
	}
	s.conns = nil
	for _, fd := range []int{s.fd, s.epfd, s.wakefd} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}

// wait looks without blocking first: under load there is something, and that
// spares the scheduler's hand-over.
func (s *Server) wait(events []unix.EpollEvent) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(s.epfd), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 0, 0, 0)
	if errno == 0 && n > 0 {
		return int(n), nil
	}
	blocked, err := unix.EpollWait(s.epfd, events, -1)
	if err == unix.EINTR {
		return 0, nil
	}
	return blocked, err
}

func (s *Server) accept() {
	for {
		r, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(s.fd), 0, 0, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
		if errno != 0 {
			return
		}
		fd := int(r)
		if fd >= len(s.conns) {
			s.conns = append(s.conns, make([]conn, max(fd+1, 2*len(s.conns))-len(s.conns))...)
		}
		s.conns[fd] = conn{open: true}
		s.out = append(s.out[:0], Greeting...)
		if !s.send(fd) || s.add(fd) != nil {
			s.close(fd)
		}
	}
}

func (s *Server) serve(fd int) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&s.in[0])), uintptr(len(s.in)), 0, 0, 0)
	if errno == unix.EAGAIN || errno == unix.EINTR {
		return
	}
	if errno != 0 || n == 0 {
		s.close(fd)
		return
	}
	c := &s.conns[fd]
	var messages int
	s.out, messages = c.Answer(s.out[:0], s.in[:n])
	if messages > 0 {
		s.messages.Add(uint64(messages))
	}
	if len(s.out) > 0 && !s.send(fd) || c.quit {
		s.close(fd)
	}
}

func (s *Server) send(fd int) bool {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&s.out[0])), uintptr(len(s.out)), unix.MSG_NOSIGNAL, 0, 0)
	return errno == 0 && int(n) == len(s.out)
}

func (s *Server) close(fd int) {
	s.conns[fd] = conn{}
	_ = unix.Close(fd)
}

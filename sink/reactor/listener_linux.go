package reactor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// ListenConfig describes a listener.
type ListenConfig struct {
	// Network is "tcp" (IPv6 with IPv4 when Address names no host), "tcp4", "tcp6" or "unix".
	Network string
	// Address is host:port, where port 0 means any free one, or a socket's path.
	Address string
	// Inherited, if not nil, is a TCP socket that is bound already, as systemd hands one over: all loops share a duplicate of its descriptor.
	// Network and Address only name it in errors. The caller keeps the file.
	Inherited *os.File
	// Backlog is the length of the kernel's queue of connections that wait to
	// be accepted; 0 means 4096. The kernel caps it (net.core.somaxconn).
	Backlog int
	// ReceiveBuffer sets SO_RCVBUF of the connections, in octets; 0 leaves it
	// to the kernel, which tunes it.
	ReceiveBuffer int
	// Paused opens the listener without accepting, as after Listener.Pause.
	Paused bool
	// Tag is what Conn.Tag returns.
	Tag any
}

// Listener accepts connections on all loops of a reactor: on TCP with a socket
// (SO_REUSEPORT) per loop, between which the kernel spreads the connections, on a
// unix socket and on an inherited one with one that the loops share. Its methods may be called from any
// goroutine but the loops' own.
type Listener struct {
	r    *Reactor
	addr net.Addr
	tag  any
	unix bool
	path string // to unlink at the end

	inherited bool
	refusing  atomic.Bool // the inherited socket is to refuse once no loop accepts

	users     atomic.Int32 // loops that share the socket
	mu        sync.Mutex
	acceptors []*acceptor // by loop; nil after Close
}

// Listen opens a listener. The error names the address, and wraps the errno:
// EADDRINUSE when something else listens there already, be it another reactor
// of the same user.
func (r *Reactor) Listen(cfg ListenConfig) (*Listener, error) {
	fail := func(err error) error {
		return fmt.Errorf("reactor: listen %s %s: %w", cfg.Network, cfg.Address, err)
	}
	ln := &Listener{r: r, tag: cfg.Tag}
	var fds []int
	var err error
	switch {
	case cfg.Inherited != nil:
		fds, err = ln.listenInherited(&cfg)
	case slices.Contains([]string{"tcp", "tcp4", "tcp6"}, cfg.Network):
		fds, err = ln.listenTCP(&cfg)
	case cfg.Network == "unix":
		ln.unix = true
		fds, err = ln.listenUnix(&cfg)
	default:
		err = errors.New("unknown network: tcp, tcp4, tcp6 or unix")
	}
	if err != nil {
		return nil, fail(err)
	}
	ln.users.Store(int32(len(r.loops))) // #nosec G115 -- a loop is a thread: few
	for i := range r.loops {
		// #nosec G115 -- a descriptor is a C int
		ln.acceptors = append(ln.acceptors, &acceptor{ln: ln, fd: int32(fds[min(i, len(fds)-1)]), shared: len(fds) < len(r.loops), paused: cfg.Paused})
	}
	errs := make([]error, len(r.loops))
	r.onLoops(func(l *loop, _ time.Time) { errs[l.id] = l.addAcceptor(ln.acceptors[l.id]) }, func(l *loop) { errs[l.id] = ErrStopped })
	if err := errors.Join(errs...); err != nil {
		for i, a := range ln.acceptors {
			if errs[i] != nil {
				ln.release(int(a.fd), a.shared)
			}
		}
		_ = ln.Close()
		return nil, fail(err)
	}
	return ln, nil
}

// Addr returns the bound address: a *net.TCPAddr with the real port, or a
// *net.UnixAddr.
func (ln *Listener) Addr() net.Addr { return ln.addr }

// Tag returns ListenConfig.Tag.
func (ln *Listener) Tag() any { return ln.tag }

// Pause stops accepting: peers still get through to the kernel's queue, until
// that is full.
func (ln *Listener) Pause() { ln.pause(true) }

// Resume goes on accepting.
func (ln *Listener) Resume() { ln.pause(false) }

func (ln *Listener) pause(paused bool) {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	if ln.acceptors == nil {
		return
	}
	ln.r.onLoops(func(l *loop, _ time.Time) {
		a := ln.acceptors[l.id]
		a.paused = paused
		if paused {
			l.disarmAcceptor(a)
		} else if !l.starved && l.armAcceptor(a) != nil {
			l.starve()
		}
	}, nil)
}

// Close closes the listener's sockets; the kernel refuses what comes, and
// resets what waited in the queue. An inherited socket does so, too, whoever has it
// still, until somebody listens on it again; but the end of the reactor leaves it as
// it is. Connections go on. It returns when no loop accepts any more.
func (ln *Listener) Close() error {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	if ln.acceptors == nil {
		return nil
	}
	ln.refusing.Store(ln.inherited)
	// A loop that has ended has released its acceptors itself.
	ln.r.onLoops(func(l *loop, _ time.Time) {
		if a := ln.acceptors[l.id]; l.acceptors[a.fd] == a {
			l.removeAcceptor(a)
		}
	}, nil)
	ln.acceptors = nil
	return nil
}

// release closes one loop's socket, or the shared one when the last loop lets it go.
func (ln *Listener) release(fd int, shared bool) {
	if last := ln.users.Add(-1) == 0; shared && !last {
		return
	} else if last && ln.path != "" {
		_ = os.Remove(ln.path)
	} else if last && ln.refusing.Load() {
		refuse(fd)
	}
	_ = unix.Close(fd)
}

func (ln *Listener) listenTCP(cfg *ListenConfig) (fds []int, err error) {
	ta, err := net.ResolveTCPAddr(cfg.Network, cfg.Address)
	if err != nil {
		return nil, err
	}
	family, dual := unix.AF_INET6, false
	switch {
	case ta.IP.To4() != nil, cfg.Network == "tcp4":
		family = unix.AF_INET
	case ta.IP == nil:
		dual = cfg.Network == "tcp"
	}
	sockaddr, err := sockaddrOf(ta, family)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			for _, fd := range fds {
				_ = unix.Close(fd)
			}
		}
	}()
	if len(ln.r.loops) > 1 && ta.Port != 0 {
		// With SO_REUSEPORT another process of this user could share the port
		// unnoticed: see first whether it can be had alone.
		fd, err := tcpSocket(cfg, family, dual, false, sockaddr)
		if err != nil {
			return nil, err
		}
		_ = unix.Close(fd)
	}
	for range ln.r.loops {
		fd, err := tcpSocket(cfg, family, dual, len(ln.r.loops) > 1, sockaddr)
		if err != nil {
			return fds, err
		}
		fds = append(fds, fd)
		if len(fds) > 1 {
			continue
		}
		if sockaddr, err = unix.Getsockname(fd); err != nil { // the port that was picked
			return fds, os.NewSyscallError("getsockname", err)
		}
		a := addrOfSockaddr(sockaddr)
		ln.addr = net.TCPAddrFromAddrPort(a.addrPort())
	}
	for _, fd := range fds {
		if err := startListening(fd, cfg); err != nil {
			return fds, err
		}
	}
	return fds, nil
}

func sockaddrOf(ta *net.TCPAddr, family int) (unix.Sockaddr, error) {
	if family == unix.AF_INET {
		sa := &unix.SockaddrInet4{Port: ta.Port}
		copy(sa.Addr[:], ta.IP.To4())
		return sa, nil
	}
	sa := &unix.SockaddrInet6{Port: ta.Port}
	copy(sa.Addr[:], ta.IP.To16())
	if ta.Zone != "" {
		if ifi, err := net.InterfaceByName(ta.Zone); err == nil {
			sa.ZoneId = uint32(ifi.Index) // #nosec G115 -- the index of an interface is positive, and a C int
		} else if n, err := strconv.ParseUint(ta.Zone, 10, 32); err == nil {
			sa.ZoneId = uint32(n)
		} else {
			return nil, fmt.Errorf("unknown zone %q", ta.Zone)
		}
	}
	return sa, nil
}

// tcpSocket opens and binds a socket. Accepted connections inherit its
// options, which saves setting them on each.
func tcpSocket(cfg *ListenConfig, family int, dual, reusePort bool, sa unix.Sockaddr) (int, error) {
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	set := func(level, opt, value int) {
		if err == nil {
			err = os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, level, opt, value))
		}
	}
	set(unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	set(unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if reusePort {
		set(unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	}
	if cfg.ReceiveBuffer > 0 {
		set(unix.SOL_SOCKET, unix.SO_RCVBUF, cfg.ReceiveBuffer)
	}
	if family == unix.AF_INET6 {
		only := 1
		if dual {
			only = 0
		}
		set(unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only)
	}
	if err == nil {
		err = os.NewSyscallError("bind", unix.Bind(fd, sa))
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// defaultBacklog is what ListenConfig.Backlog is by default.
const defaultBacklog = 4096

func startListening(fd int, cfg *ListenConfig) error {
	backlog := cfg.Backlog
	if backlog <= 0 {
		backlog = defaultBacklog
	}
	return os.NewSyscallError("listen", unix.Listen(fd, backlog))
}

func (ln *Listener) listenUnix(cfg *ListenConfig) ([]int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	sa := &unix.SockaddrUnix{Name: cfg.Address}
	err = unix.Bind(fd, sa)
	if err == unix.EADDRINUSE && abandoned(cfg.Address) {
		_ = os.Remove(cfg.Address)
		err = unix.Bind(fd, sa)
	}
	err = os.NewSyscallError("bind", err)
	if err == nil {
		if err = startListening(fd, cfg); err != nil {
			_ = os.Remove(cfg.Address)
		}
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	if cfg.Address != "" && cfg.Address[0] != '@' {
		ln.path = cfg.Address
	}
	ln.addr = &net.UnixAddr{Name: cfg.Address, Net: "unix"}
	return []int{fd}, nil
}

// abandoned says whether path is a socket that nobody listens on any more, as
// a killed process leaves it.
func abandoned(path string) bool {
	if info, err := os.Lstat(path); err != nil || info.Mode()&os.ModeSocket == 0 {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	nc, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err == nil {
		_ = nc.Close()
		return false
	}
	return errors.Is(err, unix.ECONNREFUSED)
}

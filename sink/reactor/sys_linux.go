// #nosec G103 G115 -- system calls that package unix has not, or not without allocating. Each gets the address and the length of memory
// that lives until it returns; descriptors, counts and ports are the kernel's, which are smaller than the types that hold them.

package reactor

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls on sockets here never block (all sockets are non-blocking), so they
// go past the scheduler's bookkeeping; the waits, which do block, don't.

// recv reads into p, which isn't empty.
func recv(fd int32, p []byte) (int, unix.Errno) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), 0, 0, 0)
		if errno == 0 {
			return int(n), 0
		}
		if errno != unix.EINTR {
			return 0, errno
		}
	}
}

// send writes p, which isn't empty, without ever raising SIGPIPE.
func send(fd int32, p []byte) (int, unix.Errno) { return sendFlags(fd, p, unix.MSG_NOSIGNAL) }

// sendMore is send, but for keeping a part of a segment back until more comes.
func sendMore(fd int32, p []byte) (int, unix.Errno) {
	return sendFlags(fd, p, unix.MSG_NOSIGNAL|unix.MSG_MORE)
}

func sendFlags(fd int32, p []byte, flags uintptr) (int, unix.Errno) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), flags, 0, 0)
		if errno == 0 {
			return int(n), 0
		}
		if errno != unix.EINTR {
			return 0, errno
		}
	}
}

// accept takes one connection off the queue of a listening socket; unlike
// unix.Accept4 it allocates nothing.
func accept(fd int32, from *unix.RawSockaddrAny) (int32, unix.Errno) {
	size := uint32(unsafe.Sizeof(*from))
	from.Addr.Family = unix.AF_UNSPEC
	n, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(fd), uintptr(unsafe.Pointer(from)), uintptr(unsafe.Pointer(&size)),
		unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	if errno != 0 {
		return -1, errno
	}
	return int32(n), 0
}

// poll fetches events that are ready, without waiting.
func poll(epfd int, events []unix.EpollEvent) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(epfd), uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// wait waits for events for at most d; a negative d means without end. precise
// says whether the kernel has epoll_pwait2 (Linux 5.11) with its nanoseconds;
// it becomes false once the kernel has said that it doesn't.
func wait(epfd int, events []unix.EpollEvent, d time.Duration, precise *bool) (int, error) {
	if d > 0 && *precise {
		// The kernel's own timespec, 64 bits everywhere.
		ts := struct{ sec, nsec int64 }{int64(d / time.Second), int64(d % time.Second)}
		n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(epfd), uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)),
			uintptr(unsafe.Pointer(&ts)), 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.ENOSYS, unix.EPERM: // old kernel, or a sandbox that never heard of the call
			*precise = false
		default:
			return 0, errno
		}
	}
	ms := -1
	if d >= 0 {
		ms = int(min((d+time.Millisecond-1)/time.Millisecond, 1<<30))
	}
	return unix.EpollWait(epfd, events, ms)
}

// addr is a TCP address without pointers: netip.AddrPort in fewer bytes.
type addr struct {
	ip   [16]byte
	zone uint32
	port uint16
	kind uint8 // 0 none, 4, 6
}

func addrOf(rsa *unix.RawSockaddrAny) (a addr) {
	switch rsa.Addr.Family {
	case unix.AF_INET:
		sa := (*unix.RawSockaddrInet4)(unsafe.Pointer(rsa))
		copy(a.ip[:4], sa.Addr[:])
		a.port, a.kind = ntohs(sa.Port), 4
	case unix.AF_INET6:
		sa := (*unix.RawSockaddrInet6)(unsafe.Pointer(rsa))
		a.ip, a.zone, a.port, a.kind = sa.Addr, sa.Scope_id, ntohs(sa.Port), 6
	}
	return a
}

func addrOfSockaddr(sa unix.Sockaddr) (a addr) {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		copy(a.ip[:4], sa.Addr[:])
		a.port, a.kind = uint16(sa.Port), 4
	case *unix.SockaddrInet6:
		a.ip, a.zone, a.port, a.kind = sa.Addr, sa.ZoneId, uint16(sa.Port), 6
	}
	return a
}

// addrPort unmaps IPv4 addresses that came in through an IPv6 socket.
func (a *addr) addrPort() netip.AddrPort {
	switch a.kind {
	case 4:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(a.ip[:4])), a.port)
	case 6:
		ip := netip.AddrFrom16(a.ip).Unmap()
		if a.zone != 0 && ip.Is6() {
			ip = ip.WithZone(strconv.FormatUint(uint64(a.zone), 10))
		}
		return netip.AddrPortFrom(ip, a.port)
	}
	return netip.AddrPort{}
}

func ntohs(port uint16) uint16 {
	var b [2]byte
	binary.NativeEndian.PutUint16(b[:], port)
	return binary.BigEndian.Uint16(b[:])
}

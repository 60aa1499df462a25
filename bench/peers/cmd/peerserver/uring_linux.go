// #nosec G103 G115 -- package unix has no io_uring: all memory that the kernel gets is mapped or outlives the call, so that nothing moves it,
// and descriptors, buffers and requests are few, which fit the kernel's own types.

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/smtpstorm/xk6-smtp/bench/canned"
)

// The parts of io_uring(7) that are used here, by the names of linux/io_uring.h.
const (
	setupSingleIssuer = 1 << 12
	setupDeferTaskrun = 1 << 13
	opAccept          = 13
	opClose           = 19
	opRead            = 22
	opSend            = 26
	opRecv            = 27
	sqeLink           = 1 << 2
	sqeBufferSelect   = 1 << 5
	sqeSkipSuccess    = 1 << 6
	acceptMultishot   = 1 << 0
	recvMultishot     = 1 << 1
	cqeBuffer         = 1 << 0
	cqeMore           = 1 << 1
	enterGetEvents    = 1
	registerBufRing   = 22
	offsetSQEs        = 0x10000000

	uringEntries = 1024
	uringBuffers = 256 // of uringBuffer octets, shared by all connections
	uringBuffer  = 4 << 10
	uringReply   = 256 // octets for the replies of one read
	uringConns   = 1 << 15
)

type uringParams struct {
	sqEntries, cqEntries, flags, cpu, idle, features, wq uint32
	_                                                    [3]uint32
	sq                                                   struct {
		head, tail, mask, entries, flags, dropped, array, _ uint32
		addr                                                uint64
	}
	cq struct {
		head, tail, mask, entries, overflow, cqes, flags, _ uint32
		addr                                                uint64
	}
}

type uringSQE struct {
	op, flags uint8
	prio      uint16
	fd        int32
	off, addr uint64
	len, opfl uint32
	data      uint64
	group     uint16
	_         uint16
	_         int32
	_, _      uint64
}

type uringCQE struct {
	data  uint64
	res   int32
	flags uint32
}

type uringBuf struct {
	addr uint64
	len  uint32
	id   uint16
	tail uint16 // of the ring, in its first entry
}

// uring is the canned loop on io_uring: accepting and receiving are asked for once and go on (multishot), into buffers that the kernel
// picks; replies are collected, and handed over by the call that waits. It shows what fewer system calls bring.
type uring struct {
	fd             int
	sqHead, sqTail *uint32
	cqHead, cqTail *uint32
	sqMask, cqMask uint32
	sqes           []uringSQE
	cqes           []uringCQE
	queued         uint32
	bufs           []uringBuf
	bufTail        uint16
	in, out        []byte
	conns          []canned.Dialogue // by descriptor
	gens           []uint16          // likewise: what comes late is of a connection before
	listener       int
}

const (
	uringAccept uint64 = iota << 56
	uringRecv
	uringSend
	uringStop
)

func mapped[T any](ring []byte, offset uint32) *T { return (*T)(unsafe.Pointer(&ring[offset])) }

func newUring(listener int) (*uring, error) {
	var p uringParams
	p.flags = setupSingleIssuer | setupDeferTaskrun
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, uringEntries, uintptr(unsafe.Pointer(&p)), 0)
	if errno != 0 {
		return nil, os.NewSyscallError("io_uring_setup", errno)
	}
	u := &uring{fd: int(fd), listener: listener, conns: make([]canned.Dialogue, uringConns), gens: make([]uint16, uringConns)}
	anonymous := func(size int) []byte {
		b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
		if err != nil {
			panic(err)
		}
		return b
	}
	ring, err := unix.Mmap(u.fd, 0, int(max(p.sq.array+p.sqEntries*4, p.cq.cqes+p.cqEntries*16)), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	sqes, err := unix.Mmap(u.fd, offsetSQEs, int(p.sqEntries)*64, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	u.sqHead, u.sqTail, u.sqMask = mapped[uint32](ring, p.sq.head), mapped[uint32](ring, p.sq.tail), *mapped[uint32](ring, p.sq.mask)
	u.cqHead, u.cqTail, u.cqMask = mapped[uint32](ring, p.cq.head), mapped[uint32](ring, p.cq.tail), *mapped[uint32](ring, p.cq.mask)
	u.sqes = unsafe.Slice((*uringSQE)(unsafe.Pointer(&sqes[0])), p.sqEntries)
	u.cqes = unsafe.Slice(mapped[uringCQE](ring, p.cq.cqes), p.cqEntries)
	for i, array := uint32(0), unsafe.Slice(mapped[uint32](ring, p.sq.array), p.sqEntries); i < p.sqEntries; i++ {
		array[i] = i
	}
	u.in, u.out = anonymous(uringBuffers*uringBuffer), anonymous(uringConns*uringReply)
	bufs := anonymous(uringBuffers * 16)
	u.bufs = unsafe.Slice((*uringBuf)(unsafe.Pointer(&bufs[0])), uringBuffers)
	register := struct {
		addr      uint64
		entries   uint32
		group, fl uint16
		_, _, _   uint64
	}{addr: uint64(uintptr(unsafe.Pointer(&bufs[0]))), entries: uringBuffers}
	if _, _, errno := unix.Syscall6(unix.SYS_IO_URING_REGISTER, fd, registerBufRing, uintptr(unsafe.Pointer(&register)), 1, 0, 0); errno != 0 {
		return nil, os.NewSyscallError("io_uring_register", errno)
	}
	for i := range uringBuffers {
		u.give(uint16(i))
	}
	return u, nil
}

// give hands a buffer to the kernel.
func (u *uring) give(id uint16) {
	b := &u.bufs[u.bufTail%uringBuffers]
	b.addr, b.len, b.id = uint64(uintptr(unsafe.Pointer(&u.in[int(id)*uringBuffer]))), uringBuffer, id
	u.bufTail++
	// The tail shares its word with the id of the first entry: the kernel reads it after everything before.
	first := &u.bufs[0]
	atomic.StoreUint32((*uint32)(unsafe.Pointer(&first.id)), uint32(first.id)|uint32(u.bufTail)<<16)
}

// ask queues a request. The queue is handed over when it is full, or by the next wait.
func (u *uring) ask(sqe uringSQE) {
	tail := *u.sqTail
	if tail-atomic.LoadUint32(u.sqHead) == uint32(len(u.sqes)) {
		u.enter(0, unix.RawSyscall6)
	}
	u.sqes[tail&u.sqMask] = sqe
	atomic.StoreUint32(u.sqTail, tail+1)
	u.queued++
}

func (u *uring) enter(least uintptr, call func(trap, a1, a2, a3, a4, a5, a6 uintptr) (r1, r2 uintptr, err unix.Errno)) {
	n, _, errno := call(unix.SYS_IO_URING_ENTER, uintptr(u.fd), uintptr(u.queued), least, enterGetEvents, 0, 0)
	if errno == 0 {
		u.queued -= uint32(n)
	}
}

func (u *uring) accept() {
	u.ask(uringSQE{op: opAccept, prio: acceptMultishot, fd: int32(u.listener), data: uringAccept, opfl: unix.SOCK_CLOEXEC})
}

func (u *uring) receive(fd int32) {
	u.ask(uringSQE{op: opRecv, flags: sqeBufferSelect, prio: recvMultishot, fd: fd, data: uringRecv | uint64(u.gens[fd])<<32 | uint64(fd)})
}

func (u *uring) close(fd int32) {
	u.gens[fd]++
	u.ask(uringSQE{op: opClose, flags: sqeSkipSuccess, fd: fd, data: uringSend})
}

func (u *uring) send(fd int32, n int, flags uint8) {
	at := unsafe.Pointer(&u.out[int(fd)*uringReply])
	u.ask(uringSQE{op: opSend, flags: flags | sqeSkipSuccess, fd: fd, addr: uint64(uintptr(at)), len: uint32(n), opfl: unix.MSG_NOSIGNAL | unix.MSG_WAITALL, data: uringSend | uint64(fd)})
}

// turn deals with what has come, after waiting for something.
func (u *uring) turn() (stopped bool) {
	u.enter(0, unix.RawSyscall6) // under load there is something
	head := *u.cqHead
	if atomic.LoadUint32(u.cqTail) == head {
		u.enter(1, unix.Syscall6)
	}
	for tail := atomic.LoadUint32(u.cqTail); head != tail; head++ {
		c := &u.cqes[head&u.cqMask]
		fd := int32(uint32(c.data))
		switch c.data >> 56 << 56 {
		case uringStop:
			stopped = true
		case uringAccept:
			if c.res >= 0 && c.res < uringConns {
				u.conns[c.res] = canned.Dialogue{}
				u.gens[c.res]++
				u.send(c.res, copy(u.out[int(c.res)*uringReply:], canned.Greeting), 0)
				u.receive(c.res)
			}
			if c.flags&cqeMore == 0 {
				u.accept()
			}
		case uringRecv:
			if uint16(c.data>>32) == u.gens[fd] {
				u.received(fd, c)
			} else if c.flags&cqeBuffer != 0 {
				u.give(uint16(c.flags >> 16))
			}
		}
	}
	atomic.StoreUint32(u.cqHead, head)
	return stopped
}

func (u *uring) received(fd int32, c *uringCQE) {
	if c.res <= 0 {
		if c.res == -int32(unix.ENOBUFS) {
			u.receive(fd)
		} else {
			u.close(fd)
		}
		return
	}
	id := uint16(c.flags >> 16)
	slot := u.out[int(fd)*uringReply:][:0:uringReply]
	out, _ := u.conns[fd].Answer(slot, u.in[int(id)*uringBuffer:][:c.res])
	if c.flags&cqeBuffer != 0 {
		u.give(id)
	}
	quit := u.conns[fd].Quit()
	switch {
	case len(out) > uringReply: // it has grown out of its slot
		u.close(fd)
	case quit:
		u.send(fd, len(out), sqeLink)
		u.close(fd)
	case len(out) > 0:
		u.send(fd, len(out), 0)
	}
	if !quit && c.flags&cqeMore == 0 {
		u.receive(fd)
	}
}

// serveUring runs the canned loop on io_uring.
func serveUring(ctx context.Context, addr string, ready func(string)) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	defer ln.Close()
	file, err := ln.(*net.TCPListener).File()
	if err != nil {
		return err
	}
	defer file.Close()
	runtime.LockOSThread() // there is one that may ask
	defer runtime.UnlockOSThread()
	u, err := newUring(int(file.Fd()))
	if err != nil {
		return fmt.Errorf("io_uring: %w", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("eventfd", err)
	}
	stop := context.AfterFunc(ctx, func() { _, _ = unix.Write(wake, []byte{0: 1, 7: 0}) })
	defer stop()
	ready(ln.Addr().String())
	// The count goes where the replies to a client with this descriptor would lie: a stack may move before it comes.
	u.ask(uringSQE{op: opRead, fd: int32(wake), addr: uint64(uintptr(unsafe.Pointer(&u.out[wake*uringReply]))), len: 8, data: uringStop})
	u.accept()
	for !u.turn() {
	}
	return nil
}

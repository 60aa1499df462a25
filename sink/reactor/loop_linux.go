package reactor

import (
	"fmt"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// eventBatch bounds what one wait returns, and so how late a timer can be
	// for the sake of input.
	eventBatch = 128
	// acceptBurst bounds the connections accepted per listener and turn, so
	// that a flood of them doesn't starve those that are there.
	acceptBurst = 64
	// timerBurst bounds the timers that fire in one turn.
	timerBurst = 1024
	// clockEvery is how many timers may fire by one reading of the clock.
	clockEvery = 32
	// starvedRetry is how long accepting stops for want of descriptors, unless
	// a connection closes earlier.
	starvedRetry = 100 * time.Millisecond
	// yieldEvery is how often a loop lets the scheduler run. A goroutine that
	// goes without it for 10 ms draws the attention of the runtime's monitor
	// thread, which sends it a signal, takes its processor away in its next wait,
	// and then looks again every 20 us for a while instead of every 10 ms.
	yieldEvery = 5 * time.Millisecond
)

// loop is one event loop. All but post and what it touches belongs to the
// goroutine that runs it.
type loop struct {
	r        *Reactor
	id       int
	epfd     int
	wakefd   int
	precise  bool // epoll_pwait2 works
	ending   bool
	now      time.Time
	nowNanos int64 // now since the reactor's start
	yielded  int64 // as nowNanos
	turn     uint64
	busy     int // see Conn.Busy
	full     int // events of the last waits, as long as they found all that they could take
	ev       unix.EpollEvent
	rsa      unix.RawSockaddrAny
	events   [eventBatch]unix.EpollEvent
	buf      []byte // of the batch's input, and one full read more
	used     int    // of buf
	batching bool
	inputs   []input // of the batch
	outputs  []output
	out      []byte  // of outputs
	conns    []*Conn // by descriptor
	gen      uint32
	timers   timerHeap
	todo     []*Conn // to be served by carryOutAll
	doing    []*Conn
	acks     []*Conn // waiting for an empty send queue
	ackAt    int64
	ackEvery int64

	acceptors map[int32]*acceptor
	starved   bool          // no descriptors, or no room: the acceptors are out of epoll
	crowded   bool          // there was no room for the last connection
	starvedTo int64         // ... until then
	idle      chan struct{} // closed when the last connection has gone

	shared shared

	st   Stats
	done chan struct{}
	err  error

	mu      sync.Mutex
	posts   []func(now time.Time)
	running []func(now time.Time)
	stopped bool
}

func newLoop(r *Reactor, id, readBuffer int) (*loop, error) {
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("reactor: epoll_create1: %w", err)
	}
	wakefd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err == nil {
		err = unix.EpollCtl(epfd, unix.EPOLL_CTL_ADD, wakefd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(wakefd)}) // #nosec G115 -- a descriptor is a C int
		if err != nil {
			_ = unix.Close(wakefd)
		}
	}
	if err != nil {
		_ = unix.Close(epfd)
		return nil, fmt.Errorf("reactor: eventfd: %w", err)
	}
	return &loop{
		r: r, id: id, epfd: epfd, wakefd: wakefd, precise: true,
		buf:       make([]byte, batchInput+readBuffer),
		acceptors: make(map[int32]*acceptor),
		done:      make(chan struct{}),
	}, nil
}

func (l *loop) closeFDs() {
	l.shared.close()
	_ = unix.Close(l.epfd)
	_ = unix.Close(l.wakefd)
}

// post queues fn for the loop's goroutine; false means that the loop has ended.
func (l *loop) post(fn func(now time.Time)) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		return false
	}
	l.posts = append(l.posts, fn)
	if len(l.posts) == 1 {
		// Under the lock: afterwards the descriptor might be closed. The
		// counter can't overflow, so this can't fail.
		one := [8]byte{0: 1, 7: 1}
		_, _ = unix.Write(l.wakefd, one[:])
	}
	return true
}

func (l *loop) runPosts(now time.Time) {
	l.mu.Lock()
	l.posts, l.running = l.running, l.posts
	l.mu.Unlock()
	for i, fn := range l.running {
		l.running[i] = nil
		fn(now)
	}
	l.running = l.running[:0]
}

func (l *loop) tick() {
	l.now = l.r.clock()
	l.nowNanos = l.r.nanos(l.now)
}

func (l *loop) run() {
	defer close(l.done)
	l.tick()
	busy := false
	for !l.ending {
		n, err := l.wait(busy)
		if err != nil {
			l.err = fmt.Errorf("reactor: epoll_wait: %w", err)
			break
		}
		busy = n > 0
		l.turn++
		l.count(n)
		l.st.Events += uint64(n) // #nosec G115 -- how many events wait found
		l.batching = n > 1
		for i := range l.events[:n] {
			l.dispatch(&l.events[i])
		}
		if l.batching {
			l.endBatch()
			l.batching = false
		}
		l.pollAcks()
		l.fire()
		l.carryOutAll()
		l.wakeAcceptors()
		if l.idle != nil && l.st.Open == 0 {
			close(l.idle)
			l.idle = nil
		}
		l.yield()
	}
	l.end()
}

// count estimates how many connections are busy in a turn that has n events. Epoll gives each
// ready descriptor its turn, so that waits which find all that they can take
// are of different ones, up to all that are there.
func (l *loop) count(n int) {
	l.busy = n + len(l.todo)
	if n < eventBatch {
		l.full = 0
		return
	}
	l.full = min(l.full+n, int(l.st.Open))
	l.busy = max(l.full, l.busy)
}

func (l *loop) yield() {
	if l.nowNanos-l.yielded >= int64(yieldEvery) {
		l.yielded = l.nowNanos
		runtime.Gosched()
	}
}

// wait returns the number of events that are ready. After a turn that had
// some it looks for more without blocking first, which is cheaper than a
// blocking call when there are; work that is left over makes it not block.
func (l *loop) wait(busy bool) (int, error) {
	if busy && l.shared.file == nil || len(l.todo) > 0 { // waitShared looks first, too
		l.st.Waits++
		n, errno := poll(l.epfd, l.events[:])
		if errno != 0 && errno != unix.EINTR {
			return 0, errno
		}
		if n > 0 || len(l.todo) > 0 {
			l.wake()
			return n, nil
		}
	}
	l.wake()
	l.st.Waits++
	d := l.timeout()
	n, ok, err := l.waitShared(d)
	if !ok {
		n, err = wait(l.epfd, l.events[:], d, &l.precise)
	}
	l.tick()
	if err == unix.EINTR {
		return 0, nil
	}
	return n, err
}

// wake reads the clock when the loop hasn't slept since it last did: the
// difference is the time that the turn took.
func (l *loop) wake() {
	before := l.nowNanos
	l.tick()
	l.st.Lag.Record(time.Duration(l.nowNanos - before))
}

// timeout returns how long the loop may sleep; negative: without end.
func (l *loop) timeout() time.Duration {
	next := int64(-1)
	if len(l.timers) > 0 {
		next = l.timers[0].when
	}
	if len(l.acks) > 0 && (next < 0 || l.ackAt < next) {
		next = l.ackAt
	}
	if l.starved && (next < 0 || l.starvedTo < next) {
		next = l.starvedTo
	}
	if next < 0 {
		return -1
	}
	return time.Duration(max(next-l.nowNanos, 0))
}

func (l *loop) dispatch(ev *unix.EpollEvent) {
	if ev.Pad == 0 { // no generation: not a connection
		l.endBatch()
		if int(ev.Fd) == l.wakefd {
			var count [8]byte
			_, _ = unix.Read(l.wakefd, count[:])
			l.runPosts(l.now)
		} else if a := l.acceptors[ev.Fd]; a != nil {
			l.accept(a)
		}
		return
	}
	c := l.conns[ev.Fd]
	if c == nil || c.gen != uint32(ev.Pad) { // #nosec G115 -- the same 32 bits that control set
		l.st.Stale++
		return
	}
	l.ready(c, ev.Events)
}

func (l *loop) ready(c *Conn, events uint32) {
	if c.flags&flagFailed != 0 {
		return
	}
	if events&unix.EPOLLOUT != 0 {
		if c.out != nil {
			c.flush()
		} else {
			c.update(false)
		}
	}
	if events&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) == 0 || c.flags&flagFailed != 0 {
		return
	}
	if c.reads() {
		l.read(c, events&unix.EPOLLERR != 0)
		return
	}
	if events&unix.EPOLLERR != 0 {
		c.fail(socketError(c.fd))
		return
	}
	if events&(unix.EPOLLRDHUP|unix.EPOLLHUP) != 0 && c.flags&(flagHungup|flagEOF) == 0 {
		c.flags |= flagHungup
		if c.flags&flagsEnding == 0 {
			if h, ok := c.h.(HangupHandler); ok {
				h.Hangup(l.now)
			}
		}
	}
	if events&unix.EPOLLHUP != 0 && c.out == nil {
		c.park()
		c.queue()
		return
	}
	c.update(true)
}

// socketError takes the pending error of a socket.
func socketError(fd int32) unix.Errno {
	n, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return errnoOf(err)
	}
	if n == 0 {
		return unix.ECONNRESET
	}
	return unix.Errno(n)
}

// read reads once: what remains is reported again, after the others had their turn.
func (l *loop) read(c *Conn, broken bool) {
	limit := len(l.buf) - batchInput
	if c.readMax > 0 && int(c.readMax) < limit {
		limit = int(c.readMax)
	}
	p := l.buf[l.used : l.used+limit]
	l.st.Reads++
	n, errno := recv(c.fd, p)
	switch {
	case errno == unix.EAGAIN:
		if broken {
			c.fail(socketError(c.fd))
		}
	case errno != 0:
		c.fail(errno)
	case n == 0:
		c.flags |= flagEOF
		c.queue()
		if c.flags&flagsEnding == 0 {
			c.h.EOF(l.now)
		}
	default:
		l.st.BytesIn += uint64(n) // #nosec G115 -- what recv read
		if c.flags&flagFIN != 0 {
			if c.readMax -= int32(n); c.readMax <= 0 { // #nosec G115 -- at most Config.ReadBuffer, 16 MiB
				c.queue()
			}
			return
		}
		l.gather(c, p[:n])
	}
}

func (c *Conn) data(p []byte) int {
	n := c.h.Data(c.l.now, p)
	if n < 0 || n > len(p) {
		panic(fmt.Sprintf("reactor: Handler.Data consumed %d of %d octets", n, len(p)))
	}
	return n
}

// deliver offers fresh input and keeps what the Handler doesn't take.
func (l *loop) deliver(c *Conn, p []byte) {
	n := c.data(p)
	if n == len(p) || c.flags&(flagsEnding&^flagDetach) != 0 {
		return
	}
	c.flags |= flagPaused
	c.in, c.inOff = l.r.inPool.Get(), 0
	c.in.B = append(c.in.B, p[n:]...)
}

// offer offers kept input again.
func (l *loop) offer(c *Conn) {
	p := c.in.B[c.inOff:]
	if c.readMax > 0 && int(c.readMax) < len(p) {
		p = p[:c.readMax]
	}
	n := c.data(p)
	if c.in == nil { // dropped by Close
		return
	}
	if n < len(p) {
		c.flags |= flagPaused
	}
	if c.inOff += int32(n); int(c.inOff) == len(c.in.B) { // #nosec G115 -- at most len(c.in.B), a part of Config.ReadBuffer
		c.releaseInput()
	}
}

// fire calls the timers that are due.
func (l *loop) fire() {
	for i := 1; i <= timerBurst && len(l.timers) > 0 && l.timers[0].when <= l.nowNanos; i++ {
		slot := l.timers[0]
		c := slot.c
		if c.when > slot.when {
			l.timers.postpone(c.when)
			continue
		}
		l.timers.remove(c)
		if c.when == 0 || c.flags&flagFailed != 0 {
			continue
		}
		c.when = 0
		if c.flags&(flagsEnding) != 0 {
			l.expire(c, l.now)
			continue
		}
		l.st.TimersFired++
		l.st.Lateness.Record(time.Duration(l.nowNanos - slot.when))
		c.h.Timer(l.now)
		if i%clockEvery == 0 {
			l.wake()
		}
	}
}

// carryOutAll serves each connection that asked for it once; what that brings
// up waits for the next turn, so that no connection can hold up the loop.
func (l *loop) carryOutAll() {
	if len(l.todo) == 0 {
		return
	}
	l.todo, l.doing = l.doing[:0], l.todo
	for i, c := range l.doing {
		l.doing[i] = nil
		c.flags &^= flagQueued
		l.carryOut(c, l.now)
	}
}

// end closes everything. Posted functions run first: someone may wait for them.
func (l *loop) end() {
	l.mu.Lock()
	l.stopped = true
	l.mu.Unlock()
	l.runPosts(l.now)
	for _, a := range l.acceptors {
		l.removeAcceptor(a)
	}
	for _, c := range l.conns {
		if c != nil {
			l.finish(c, l.now, ErrStopped)
		}
	}
	if l.idle != nil {
		close(l.idle)
	}
	l.mu.Lock()
	l.closeFDs()
	l.mu.Unlock()
}

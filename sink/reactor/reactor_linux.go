package reactor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/valyala/bytebufferpool"
	"golang.org/x/sys/unix"
)

// Config sets up a reactor. Only NewHandler must be set.
type Config struct {
	// Loops is the number of event loops, each a goroutine; 0 means 1.
	Loops int
	// NewHandler is called on the loop that accepted c and returns its owner.
	// It may call c's methods, to greet for instance. nil closes c.
	NewHandler func(loop int, c *Conn, now time.Time) Handler
	// ReadBuffer is the size, in octets, of a loop's one read buffer, and so the most
	// that one Data call offers; 0 means 64 KiB.
	ReadBuffer int
	// HighWater is how much output may wait for a peer, in octets, before
	// input stops being read; it goes on below half of it. 0 means 64 KiB. The
	// output that one Data call causes may exceed it.
	HighWater int
	// DrainTimeout bounds how long a closing connection's output, or its
	// acknowledgement, may make no progress; 0 means 10 s.
	DrainTimeout time.Duration
	// LingerTime and LingerBytes bound how long, from the FIN, and how much
	// CloseFIN discards; 0 means 2 s and 64 KiB.
	LingerTime  time.Duration
	LingerBytes int
	// Rooms, if not nil, is asked for a room before each connection is accepted. Where there is none, connections wait in the kernel's
	// queue.
	Rooms Rooms
	// Now is the clock, read a few times per turn of a loop; nil means
	// time.Now. It must keep pace with real time: waits are the kernel's.
	Now func() time.Time
}

// Rooms bounds connections, perhaps beside others. It is called by the loops, and must not block.
type Rooms interface {
	Take() bool // reports whether there was room for one more, which is taken now
	Leave()     // at the end of the connection; after Conn.Detach whoever has it calls it
}

// Reactor is a set of running event loops. Its methods may be called from any
// goroutine but the loops' own, unless they say otherwise.
type Reactor struct {
	loops        []*loop
	newHandler   func(int, *Conn, time.Time) Handler
	clock        func() time.Time
	start        time.Time
	highWater    int
	drainTimeout time.Duration
	lingerTime   time.Duration
	lingerBytes  int
	rooms        Rooms
	accept       func(fd int32, from *unix.RawSockaddrAny) (int32, unix.Errno)
	inPool       bytebufferpool.Pool // input that waits for handlers
	outPool      bytebufferpool.Pool // output that waits for peers
}

// New starts the loops. Close or Shutdown ends them.
func New(cfg Config) (*Reactor, error) {
	return newReactor(cfg, accept)
}

func newReactor(cfg Config, accept func(int32, *unix.RawSockaddrAny) (int32, unix.Errno)) (*Reactor, error) {
	switch {
	case cfg.NewHandler == nil:
		return nil, errors.New("reactor: Config.NewHandler is nil")
	case cfg.Loops < 0 || cfg.Loops > 1024:
		return nil, fmt.Errorf("reactor: Config.Loops is %d, not 0 to 1024", cfg.Loops)
	case cfg.ReadBuffer < 0 || cfg.ReadBuffer > 1<<24:
		return nil, fmt.Errorf("reactor: Config.ReadBuffer is %d, not 0 to 16 MiB", cfg.ReadBuffer)
	case cfg.HighWater < 0 || cfg.HighWater > 1<<30:
		return nil, fmt.Errorf("reactor: Config.HighWater is %d, not 0 to 1 GiB", cfg.HighWater)
	case cfg.DrainTimeout < 0 || cfg.LingerTime < 0 || cfg.LingerBytes < 0:
		return nil, errors.New("reactor: a bound of Config is negative")
	}
	r := &Reactor{
		newHandler:   cfg.NewHandler,
		clock:        cfg.Now,
		highWater:    orDefault(cfg.HighWater, 64<<10),
		drainTimeout: orDefault(cfg.DrainTimeout, 10*time.Second),
		lingerTime:   orDefault(cfg.LingerTime, 2*time.Second),
		lingerBytes:  orDefault(cfg.LingerBytes, 64<<10),
		rooms:        cfg.Rooms,
		accept:       accept,
	}
	if r.clock == nil {
		r.clock = time.Now
	}
	r.start = r.clock()
	for id := range orDefault(cfg.Loops, 1) {
		l, err := newLoop(r, id, orDefault(cfg.ReadBuffer, 64<<10))
		if err != nil {
			for _, l := range r.loops {
				l.closeFDs()
			}
			return nil, err
		}
		r.loops = append(r.loops, l)
	}
	for _, l := range r.loops {
		go l.run()
	}
	return r, nil
}

func orDefault[T int | time.Duration](v, def T) T {
	if v == 0 {
		return def
	}
	return v
}

func (r *Reactor) nanos(t time.Time) int64 { return int64(t.Sub(r.start)) }

// Loops returns the number of loops.
func (r *Reactor) Loops() int { return len(r.loops) }

// Post runs fn on a loop's goroutine (0 to Loops-1); false means that the
// reactor has stopped. It doesn't wait, and may be called from anywhere.
func (r *Reactor) Post(loop int, fn func(now time.Time)) bool {
	return r.loops[loop].post(fn)
}

// onLoops runs fn on every loop and waits; ended, if not nil, stands in for it
// where the loop has ended.
func (r *Reactor) onLoops(fn func(l *loop, now time.Time), ended func(l *loop)) {
	var wg sync.WaitGroup
	for _, l := range r.loops {
		wg.Add(1)
		if !l.post(func(now time.Time) { defer wg.Done(); fn(l, now) }) {
			<-l.done
			if ended != nil {
				ended(l)
			}
			wg.Done()
		}
	}
	wg.Wait()
}

func (l *loop) each(now time.Time, fn func(c *Conn, now time.Time)) {
	for _, c := range l.conns {
		if c != nil && c.flags&flagsEnding == 0 {
			fn(c, now)
		}
	}
}

// Stats returns each loop's counts, taken on its goroutine between two events.
func (r *Reactor) Stats() []Stats {
	stats := make([]Stats, len(r.loops))
	take := func(l *loop) {
		stats[l.id] = l.st
		stats[l.id].Timers = int64(len(l.timers))
	}
	r.onLoops(func(l *loop, _ time.Time) { take(l) }, take)
	return stats
}

// TotalStats returns the merged counts of all loops.
func (r *Reactor) TotalStats() (total Stats) {
	for _, s := range r.Stats() {
		total.Merge(&s)
	}
	return total
}

// Shutdown closes all listeners, calls each (unless nil) for every connection
// so that its owner can bring it to an end, and waits until all connections
// have gone or ctx is done. Then it stops the loops as Close does. The error is
// ctx's when connections were left, or that of a loop that failed.
func (r *Reactor) Shutdown(ctx context.Context, each func(c *Conn, now time.Time)) error {
	r.closeListeners()
	idle := make([]chan struct{}, len(r.loops))
	r.onLoops(func(l *loop, now time.Time) {
		if each != nil {
			l.each(now, each)
		}
		if l.idle == nil {
			l.idle = make(chan struct{})
		}
		idle[l.id] = l.idle
	}, nil)
	var err error
	for _, ch := range idle {
		if ch == nil {
			continue
		}
		select {
		case <-ch:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	return errors.Join(err, r.Close())
}

// Close stops the loops: listeners and connections are closed, each connection's
// Closed with ErrStopped. It returns when all goroutines have ended, with the
// error of the loop that failed, if one did.
func (r *Reactor) Close() error {
	r.closeListeners()
	var errs []error
	for _, l := range r.loops {
		l.post(func(time.Time) { l.ending = true })
	}
	for _, l := range r.loops {
		<-l.done
		errs = append(errs, l.err)
	}
	return errors.Join(errs...)
}

func (r *Reactor) closeListeners() {
	r.onLoops(func(l *loop, _ time.Time) {
		for _, a := range l.acceptors {
			l.removeAcceptor(a)
		}
	}, nil)
}

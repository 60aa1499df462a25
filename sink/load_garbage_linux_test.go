package sink_test

import (
	"sync/atomic"
	"testing"
	"time"
)

// A neighbour in the sink's own process that allocates as fast as it can, as a script beside an embedded sink may, keeps the collector
// busy without end. The sink goes on, and adds nothing to the heap.
func TestLoadBesideGarbage(t *testing.T) {
	eachLoadDriver(t, func(t *testing.T, driver string) {
		server := startServer(t, serverSpec{Driver: driver})
		others := newBystanders(t, server.address)
		busy := startServer(t, serverSpec{Driver: driver, Garbage: true})
		pressed := newBystanders(t, busy.address)
		pressed.before = others.before // of a sink that has its process for itself
		mem := watchMemory(busy)
		before := busy.report()
		pressed.during(func() { hold(700 * time.Millisecond) })
		after := busy.report()
		if octets := after.Garbage - before.Garbage; octets < 64<<20 {
			t.Errorf("the neighbour has allocated %d octets only: that was no pressure", octets)
		}
		mem.expectWithin(4*garbageKept + 32<<20) // what it keeps, doubled before each collection, and again while one is under way
	})
}

// garbageKept is how much of its garbage the neighbour keeps, so that each collection has work to do.
const garbageKept = 16 << 20

// garbage allocates until it is stopped.
type garbage struct {
	octets atomic.Int64
	quit   atomic.Bool
	done   chan struct{}
}

type garbagePiece struct {
	self *garbagePiece // the collector has to look at it
	_    [1016]byte
}

func startGarbage() *garbage {
	g := &garbage{done: make(chan struct{})}
	go func() {
		defer close(g.done)
		kept := make([]*garbagePiece, garbageKept/1024)
		for i := 0; !g.quit.Load(); i = (i + 1) % len(kept) {
			kept[i] = new(garbagePiece)
			kept[i].self = kept[i]
			g.octets.Add(1024)
		}
	}()
	return g
}

func (g *garbage) stop() {
	g.quit.Store(true)
	<-g.done
}

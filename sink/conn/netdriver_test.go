package conn

import (
	"errors"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// starvedListener has no descriptors at first.
type starvedListener struct {
	net.Listener
	failures int
	calls    []time.Time
}

func (l *starvedListener) Accept() (net.Conn, error) {
	l.calls = append(l.calls, time.Now())
	if len(l.calls) <= l.failures {
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return nil, net.ErrClosed
}

// Without descriptors the net driver neither spins nor gives up, and counts it.
func TestNetDriverSurvivesEMFILE(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newNetDriver(&Config{Loops: 1}, nil)
		ln := &starvedListener{failures: 3}
		gate := make(chan struct{})
		close(gate)
		d.accept(&netListener{Listener: ln, driver: d, done: make(chan struct{}), gate: gate}, nil)
		for i := 1; i < len(ln.calls); i++ {
			if pause := ln.calls[i].Sub(ln.calls[i-1]); pause != acceptPause {
				t.Errorf("pause %d after EMFILE is %v, want %v", i, pause, acceptPause)
			}
		}
		if traffic, c := d.Counters(); c.AcceptPauses != 3 || c.AcceptErrors != 3 || traffic.Connections != 0 {
			t.Errorf("counters: %+v, %+v, want 3 pauses", traffic, c)
		}
	})
}

// Goroutines that have served a connection serve the next ones, a bounded number of them waits for that, and none outlives the driver.
func TestNetDriverReusesGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which fails when a goroutine is left
		d := newNetDriver(&Config{Loops: 1}, nil)
		idle := func() int {
			d.mu.Lock()
			defer d.mu.Unlock()
			return len(d.idle)
		}
		served := 0
		for range 3 {
			if !d.start(&netConn{}, func() { served++ }) {
				t.Fatal("the driver refuses a connection")
			}
			synctest.Wait()
			if n := idle(); n != 1 {
				t.Errorf("%d goroutines wait after connections one by one, want 1", n)
			}
		}
		if served != 3 {
			t.Errorf("%d connections were served, want 3", served)
		}
		gate := make(chan struct{})
		for range maxIdle + 5 {
			d.start(&netConn{}, func() { <-gate })
		}
		synctest.Wait()
		if n := idle(); n != 0 {
			t.Errorf("%d goroutines wait while all are wanted, want none", n)
		}
		close(gate)
		synctest.Wait()
		if n := idle(); n != maxIdle {
			t.Errorf("%d goroutines wait in the end, want %d", n, maxIdle)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if n := len(d.conns); n != 0 {
			t.Errorf("%d connections are left", n)
		}
		if d.start(&netConn{}, func() { t.Error("served after the end") }) {
			t.Error("a closed driver takes a connection")
		}
	})
}

func TestIsOutOfResources(t *testing.T) {
	for err, want := range map[error]bool{syscall.EMFILE: true, syscall.ENFILE: true, syscall.ENOMEM: true, syscall.ECONNABORTED: false, errors.New("EMFILE"): false} {
		if got := isOutOfResources(&net.OpError{Op: "accept", Err: err}); got != want {
			t.Errorf("isOutOfResources(%v) = %t, want %t", err, got, want)
		}
	}
}

package sink_test

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// A sink that has no descriptors left stops accepting: it doesn't spin, those that are connected go on, it counts, and when
// descriptors are there again it takes those that wait.
func TestLoadWithoutDescriptors(t *testing.T) {
	const files, clients = 64, 200
	eachLoadDriver(t, func(t *testing.T, driver string) {
		server := startServer(t, serverSpec{Driver: driver, Files: files})
		others := newBystanders(t, server.address)
		mem := watchMemory(server)
		crowd := make([]net.Conn, 0, clients)
		defer func() {
			for _, conn := range crowd {
				_ = conn.Close()
			}
		}()
		others.during(func() {
			for range clients { // most of them wait in the kernel's queue
				conn, err := net.DialTimeout("tcp", server.address, patience)
				if err != nil {
					t.Fatal(err)
				}
				crowd = append(crowd, conn)
			}
			server.until("accepting has stopped", func(r *serverReport) bool { return r.Net.AcceptPauses > 0 })
			hold(400 * time.Millisecond)
		})
		mem.expectWithin(8 << 20)

		// Nobody says a word now: what the process needs, it needs for looking again ten times a second, and for this test's question.
		const quiet = 500 * time.Millisecond
		before := server.usage()
		hold(quiet)
		after := server.usage()
		if used := after.CPU - before.CPU; used > quiet/5 {
			t.Errorf("without descriptors and without a word from anybody the server used %v of CPU in %v", used, quiet)
		}
		stats := server.report()
		if stats.Net.AcceptPauses == 0 || stats.Open >= files {
			t.Errorf("%d connections are open of at most %d descriptors, accepting has paused %d times", stats.Open, files, stats.Net.AcceptPauses)
		}
		if most := uint64(100); stats.Net.AcceptPauses > most {
			t.Errorf("accepting has paused %d times in about a second, want at most %d", stats.Net.AcceptPauses, most)
		}

		// Each that leaves makes room for another, until all were greeted.
		var greeted sync.WaitGroup
		for _, conn := range crowd {
			greeted.Go(func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(patience))
				if _, err := io.ReadFull(conn, make([]byte, 4)); err != nil {
					t.Errorf("a client that waited was never greeted: %v", err)
				}
			})
		}
		greeted.Wait()
		server.until("all were accepted", func(r *serverReport) bool { return r.Connections == clients+uint64(len(others.load.conns)) })
		late, err := newLoad(server.address, 1)
		if err != nil {
			t.Fatalf("a client that comes afterwards: %v", err)
		}
		_ = late.close()
	})
}

// eachLoadDriver runs a test of a fault under load on both drivers.
func eachLoadDriver(t *testing.T, test func(t *testing.T, driver string)) {
	t.Helper()
	for _, driver := range []string{"epoll", "net"} {
		t.Run("driver="+driver, func(t *testing.T) { test(t, driver) })
	}
}

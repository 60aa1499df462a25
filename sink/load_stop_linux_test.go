package sink_test

import (
	"io"
	"net"
	"syscall"
	"testing"
	"time"
)

// A sink that is stopped for a while (SIGSTOP), as a machine that is suspended, goes on where it was: those that were connected and
// those that came meanwhile are served, and it does not run after the time that it has lost.
func TestLoadWhileTheSinkIsStopped(t *testing.T) {
	const clients, stopped = 200, 600 * time.Millisecond
	eachLoadDriver(t, func(t *testing.T, driver string) {
		server := startServer(t, serverSpec{Driver: driver})
		others := newBystanders(t, server.address)
		mem := watchMemory(server)
		conns := make([]net.Conn, 0, 2*clients)
		defer func() {
			for _, conn := range conns {
				_ = conn.Close()
			}
		}()
		connect := func(text string) {
			conn, err := net.DialTimeout("tcp", server.address, patience) // the kernel does it
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, conn)
			_ = conn.SetDeadline(time.Now().Add(2 * patience))
			if _, err := io.WriteString(conn, text); err != nil {
				t.Fatal(err)
			}
		}
		for range clients {
			connect("")
			expectStart(t, conns[len(conns)-1], "220 ")
		}
		others.during(func() {
			server.signal(syscall.SIGSTOP)
			for _, conn := range conns[:clients] {
				if _, err := io.WriteString(conn, "NOOP\r\n"); err != nil {
					t.Fatal(err)
				}
			}
			for range clients {
				connect("")
			}
			hold(stopped)
			server.signal(syscall.SIGCONT)
			for i, conn := range conns {
				expectStart(t, conn, map[bool]string{true: "250 ", false: "220 "}[i < clients])
			}
		})
		mem.expectWithin(map[string]int64{"epoll": clients*(8<<10) + 8<<20, "net": 2*clients*(24<<10) + 8<<20}[driver])
		const quiet = 300 * time.Millisecond
		before := server.usage()
		hold(quiet)
		if used := server.usage().CPU - before.CPU; used > quiet/5 {
			t.Errorf("after it was stopped, and with nobody saying a word, the server used %v of CPU in %v", used, quiet)
		}
	})
}

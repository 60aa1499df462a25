package sink_test

import (
	"net"
	"sync"
	"testing"
	"time"
)

// Five thousand clients that reset their connections at once, in mid-command, leave nothing behind.
func TestLoadOfResets(t *testing.T) {
	const clients, dialers = 5000, 50
	eachLoadDriver(t, func(t *testing.T, driver string) {
		server := startServer(t, serverSpec{Driver: driver})
		others := newBystanders(t, server.address)
		mem := watchMemory(server)
		conns := make([]*net.TCPConn, clients)
		defer func() {
			for _, conn := range conns {
				if conn != nil {
					_ = conn.Close()
				}
			}
		}()
		var dialing sync.WaitGroup
		for d := range dialers {
			dialing.Go(func() {
				for i := d; i < clients; i += dialers {
					conn, err := net.DialTimeout("tcp", server.address, patience)
					if err != nil {
						t.Errorf("client %d: %v", i, err)
						return
					}
					conns[i] = conn.(*net.TCPConn)
					_ = conn.SetDeadline(time.Now().Add(2 * patience))
					if _, err := conn.Read(make([]byte, 128)); err != nil {
						t.Errorf("client %d was not greeted: %v", i, err)
						return
					}
					_, _ = conn.Write([]byte("HELO half a li"))
					_ = conns[i].SetLinger(0)
				}
			})
		}
		dialing.Wait()
		if t.Failed() {
			return
		}
		bystanding := int64(len(others.load.conns))
		server.until("all are connected", func(r *serverReport) bool { return r.Open == clients+bystanding })
		others.during(func() {
			for _, conn := range conns {
				_ = conn.Close()
			}
			server.until("they are gone", func(r *serverReport) bool { return r.Open == bystanding })
		})
		mem.expectWithin(map[string]int64{"epoll": clients*(4<<10) + 8<<20, "net": clients*(24<<10) + 8<<20}[driver])
		if stats := server.report(); stats.Net.Failed != clients {
			t.Errorf("%d connections are counted as failed, want %d", stats.Net.Failed, clients)
		}
	})
}

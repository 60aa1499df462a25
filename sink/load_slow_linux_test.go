package sink_test

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// Clients that send one octet a second cost a bounded amount of memory and next to no time, and are served in the end.
func TestLoadOfSlowClients(t *testing.T) {
	const clients, seconds = 1000, 2
	eachLoadDriver(t, func(t *testing.T, driver string) {
		server := startServer(t, serverSpec{Driver: driver})
		others := newBystanders(t, server.address)
		mem := watchMemory(server)
		conns := make([]net.Conn, 0, clients)
		defer func() {
			for _, conn := range conns {
				_ = conn.Close()
			}
		}()
		const line = "HELO slow.client.test\r\n"
		say := func(conn net.Conn, text string) {
			if _, err := io.WriteString(conn, text); err != nil {
				t.Fatalf("a slow client: %v", err)
			}
		}
		others.during(func() {
			for range clients {
				conn, err := net.DialTimeout("tcp", server.address, patience)
				if err != nil {
					t.Fatal(err)
				}
				_ = conn.SetDeadline(time.Now().Add(2 * patience))
				conns = append(conns, conn)
				expectStart(t, conn, "220 ")
				say(conn, line[:1])
			}
			const tenths = 10
			tick := time.NewTicker(time.Second / tenths)
			defer tick.Stop()
			for i := range seconds * tenths { // each has its turn once a second
				<-tick.C
				for _, conn := range conns[i%tenths*clients/tenths : (i%tenths+1)*clients/tenths] {
					say(conn, line[1+i/tenths:2+i/tenths])
				}
			}
		})
		// A line that is not complete is kept: for 512 octets at first. The net driver has a goroutine and a read buffer for each.
		mem.expectWithin(map[string]int64{"epoll": clients*(4<<10) + 4<<20, "net": clients*(32<<10) + 4<<20}[driver])
		for _, conn := range conns {
			say(conn, line[1+seconds:])
		}
		for _, conn := range conns {
			expectStart(t, conn, "250 ")
		}
	})
}

// expectStart reads what the server says next, which is to begin like that.
func expectStart(t *testing.T, conn net.Conn, prefix string) {
	t.Helper()
	buf := make([]byte, 512)
	n, err := conn.Read(buf)
	if err != nil || !strings.HasPrefix(string(buf[:n]), prefix) {
		t.Fatalf("got %q and error %v, want %q...", buf[:n], err, prefix)
	}
}

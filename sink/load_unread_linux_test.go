package sink_test

import (
	"bytes"
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Clients that send commands and never read a reply are stopped by TCP: the output that waits for them is bounded, and when they have
// been silent for the idle timeout, and have taken nothing for the write timeout, they are gone.
func TestLoadOfClientsThatNeverRead(t *testing.T) {
	const clients = 16
	eachLoadDriver(t, func(t *testing.T, driver string) {
		server := startServer(t, serverSpec{Driver: driver, IdleTimeout: 3 * time.Second, WriteTimeout: 500 * time.Millisecond})
		others := newBystanders(t, server.address)
		mem := watchMemory(server)
		var stuck sync.WaitGroup
		conns := make([]net.Conn, 0, clients)
		// Set before connecting, it keeps the window small, and with it what the server's kernel takes in.
		dialer := net.Dialer{Timeout: patience, Control: func(_, _ string, raw syscall.RawConn) error {
			return raw.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<10) })
		}}
		defer func() {
			for _, conn := range conns {
				_ = conn.Close()
			}
			stuck.Wait()
		}()
		pending := int64(0)
		others.during(func() {
			for range clients {
				conn, err := dialer.DialContext(t.Context(), "tcp", server.address)
				if err != nil {
					t.Fatal(err)
				}
				conns = append(conns, conn)
				stuck.Go(func() { neverRead(t, conn) })
			}
			server.until("they are gone", func(r *serverReport) bool {
				pending = max(pending, r.Net.Pending)
				return r.Net.Closed >= clients
			})
		})
		// One read of 4 KiB holds 512 commands, whose replies have 90 KiB; 64 KiB may have waited before. Pooled buffers grow by doubling.
		const most = 160 << 10
		mem.expectWithin(clients*(512<<10) + 8<<20)
		stats := server.report()
		if stats.Net.Failed < clients || stats.Net.Pending != 0 {
			t.Errorf("%d connections have failed, and %d octets wait; want the %d that never read, and nothing", stats.Net.Failed, stats.Net.Pending, clients)
		}
		// The net driver writes straight to the kernel, and waits: nothing is pending but what a goroutine holds.
		if driver == "epoll" && (pending == 0 || pending > clients*most) {
			t.Errorf("%d octets of output were pending at the most, want some, and at most %d for each of %d clients", pending, most, clients)
		}
		t.Logf("at most %d octets of output were pending", pending)
	})
}

// neverRead sends as many commands as the server takes, which must be bounded, until the connection breaks.
func neverRead(t *testing.T, conn net.Conn) {
	const most = 64 << 20
	_ = conn.SetDeadline(time.Now().Add(patience))
	commands := bytes.Repeat([]byte("EHLO x\r\n"), 4<<10) // has a long reply
	sent := 0
	for sent < most {
		n, err := conn.Write(commands)
		sent += n
		switch {
		case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, net.ErrClosed):
			return
		case errors.Is(err, os.ErrDeadlineExceeded):
			t.Errorf("a client that never reads is still there after %v", patience)
			return
		case err != nil:
			t.Errorf("a client that never reads: %v", err)
			return
		}
	}
	t.Errorf("the server took %d octets of commands from a client that never reads", sent)
}

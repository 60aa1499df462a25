package sink_test

import (
	"context"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink"
)

// handedOver returns a listening socket as systemd hands one over: bound to a port of its own, and open elsewhere, too, until the test ends.
func handedOver(t *testing.T) (*os.File, net.Addr) {
	t.Helper()
	for range 100 {
		free, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := free.Addr().String()
		_ = free.Close()
		ln, err := net.Listen("tcp", address) // by its number: a port that the kernel picked goes when the socket is shut down
		if err != nil {
			continue // somebody else was faster
		}
		t.Cleanup(func() { _ = ln.Close() })
		file, err := ln.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = file.Close() })
		return file, ln.Addr()
	}
	t.Fatal("no port can be had twice")
	return nil, nil
}

// An inherited socket meets the same faults as one of the sink's own, although somebody else holds it, too; and other sockets do as well.
func TestInheritedSocket(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		file, addr := handedOver(t)
		server := faulty(t, kind, "", func(cfg *sink.Config) {
			cfg.Loops = 3
			cfg.Listeners = []sink.Listener{{Name: "mx", Address: addr.String(), Inherited: file}, {Name: "own", Address: "127.0.0.1:0"}}
		})
		if got := server.Addr("mx").String(); got != addr.String() {
			t.Errorf("the listener is at %s, want %s", got, addr)
		}
		var clients sync.WaitGroup
		for range 30 {
			clients.Go(func() {
				if got := connects(t, addr, patience); got != "greeted" {
					t.Errorf("a client at the inherited socket: %s", got)
				}
			})
		}
		clients.Wait()
		for _, test := range []struct{ faults, want string }{
			{"{mx: refused}", "refused"}, {"{}", "greeted"}, {"{mx: unaccepted}", "silence"}, {"{mx: refused}", "refused"}, {"{mx: no-banner}", "silence"}, {"{}", "greeted"},
		} {
			swap(t, server.Server, parsePlan(t, "listener_faults: "+test.faults).Plan)
			wait := 100 * time.Millisecond
			got := connects(t, addr, wait)
			for deadline := time.Now().Add(patience); got != test.want && time.Now().Before(deadline); wait += wait / 4 {
				got = connects(t, addr, wait)
			}
			if got != test.want {
				t.Errorf("listener_faults %s: %s, want %s", test.faults, got, test.want)
			}
			if got := connects(t, server.Addr("own"), patience); got != "greeted" {
				t.Errorf("listener_faults %s: the other listener: %s", test.faults, got)
			}
		}
		if n := server.Stats().Net.AcceptErrors; n != 0 {
			t.Errorf("accept has failed %d times", n)
		}
	})
}

// What a storm has done to an inherited socket ends with the sink: a client that comes before the next one waits for it.
func TestInheritedSocketOutlivesTheSink(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		file, addr := handedOver(t)
		config := func(cfg *sink.Config) {
			cfg.Loops = 2
			cfg.Listeners = []sink.Listener{{Name: "mx", Address: addr.String(), Inherited: file}}
		}
		for _, fault := range []string{"none", "refused", "unaccepted"} {
			first := faulty(t, kind, "listener_faults: {mx: "+fault+"}", config)
			if want := map[string]string{"none": "greeted", "refused": "refused", "unaccepted": "silence"}[fault]; connects(t, addr, 100*time.Millisecond) != want && fault != "none" {
				t.Errorf("under %s it is not %s", fault, want)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			if err := first.Shutdown(ctx); err != nil {
				t.Fatal(err)
			}
			cancel()
			early, err := net.DialTimeout("tcp", addr.String(), patience)
			if err != nil {
				t.Fatalf("after a sink that ended under %s: %v", fault, err)
			}
			second := faulty(t, kind, "", config)
			_ = early.SetReadDeadline(time.Now().Add(patience))
			if n, err := early.Read(make([]byte, 512)); n == 0 {
				t.Errorf("the client who waited was not greeted: %v", err)
			}
			_ = early.Close()
			if err := second.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A socket has one listener at a time, and one that can't be a listener is refused in words.
func TestInheritedSocketsThatDoNotGo(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		file, addr := handedOver(t)
		local, err := net.Listen("unix", t.TempDir()+"/s")
		if err != nil {
			t.Fatal(err)
		}
		defer local.Close()
		unix, err := local.(*net.UnixListener).File()
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close()
		for _, test := range []struct {
			listeners []sink.Listener
			want      string
		}{
			{[]sink.Listener{{Name: "a", Address: addr.String(), Inherited: file}, {Name: "b", Address: addr.String(), Inherited: file}}, "address already in use"},
			{[]sink.Listener{{Name: "a", Address: addr.String(), Inherited: unix}}, "the inherited socket is not one of TCP"},
		} {
			server, err := sink.New(sink.Config{Driver: kind, Listeners: test.listeners})
			if err != nil {
				t.Fatal(err)
			}
			if err := server.Start(); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Start: %v, want %q", err, test.want)
			}
			_ = server.Close()
		}
		if got := connects(t, addr, time.Millisecond); got != "silence" {
			t.Errorf("after a start that failed: %s, want the socket to wait for the next one", got)
		}
	})
}

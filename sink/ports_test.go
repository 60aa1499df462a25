package sink_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/testkit"
)

// A client that is there before the sink is served only when the ledger can have its rows: a server that starts with a ledger finds out
// first whether its ports can be had, and once served mail while it did.
func TestNobodyIsServedWithoutTheLedger(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := ln.Addr().String()
		_ = ln.Close()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var mu sync.Mutex
		greeted := map[string]bool{}
		var clients sync.WaitGroup
		for range 4 {
			clients.Go(func() {
				for ctx.Err() == nil {
					nc, err := net.DialTimeout("tcp", address, time.Second)
					if err != nil {
						continue
					}
					_ = nc.SetDeadline(time.Now().Add(10 * time.Second))
					if line, err := bufio.NewReader(nc).ReadString('\n'); err == nil && strings.HasPrefix(line, "220") {
						mu.Lock()
						greeted[nc.LocalAddr().String()] = true
						mu.Unlock()
					}
					_ = nc.Close()
				}
			})
		}
		book := filepath.Join(t.TempDir(), "ledger.jsonl")
		for range 10 {
			server, err := sink.New(sink.Config{Driver: kind, Listeners: []sink.Listener{{Address: address}}, Ledger: sink.LedgerConfig{Path: book, Durability: event.Batch}})
			if err != nil {
				t.Fatal(err)
			}
			if err := server.Start(); err != nil {
				t.Fatal(err)
			}
			mu.Lock()
			before := len(greeted)
			mu.Unlock()
			testkit.Await(t, "clients of this server, too", func() bool {
				mu.Lock()
				defer mu.Unlock()
				return len(greeted) > before
			})
			if err := server.Shutdown(ctx); err != nil {
				t.Fatal(err)
			}
		}
		cancel()
		clients.Wait()
		text, err := os.ReadFile(book)
		if err != nil {
			t.Fatal(err)
		}
		if len(greeted) == 0 {
			t.Fatal("no client was greeted")
		}
		for client := range greeted {
			if !strings.Contains(string(text), fmt.Sprintf("%q:%q", "client", client)) {
				t.Errorf("the client at %s was greeted, and has no row", client)
			}
		}
	})
}

// A failed start leaves the ledger alone.
func TestAStartThatFailsTouchesNoLedger(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	file := filepath.Join(t.TempDir(), "socket")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, l := range []sink.Listener{{Address: taken.Addr().String()}, {Network: "unix", Address: file}} {
		book := filepath.Join(t.TempDir(), "ledger.jsonl")
		server, err := sink.New(sink.Config{Listeners: []sink.Listener{{Address: "127.0.0.1:0"}, l}, Ledger: sink.LedgerConfig{Path: book, Durability: event.Batch}})
		if err != nil {
			t.Fatal(err)
		}
		if err := server.Start(); err == nil || !strings.Contains(err.Error(), "cannot listen on "+l.Address+": address already in use") {
			t.Errorf("Start: %v", err)
		}
		_ = server.Close()
		if _, err := os.Stat(book); !os.IsNotExist(err) {
			t.Errorf("a start that failed made a ledger (%v)", err)
		}
	}
}

package xk6smtp

import (
	"bytes"
	"fmt"
	"reflect"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"
	"go.k6.io/k6/v2/js/common"

	"github.com/smtpstorm/xk6-smtp/sink/testkit"
)

// TestEventTypes holds the numbers of lifecycle.go to the names that k6 gives them: the type is internal to k6, and reflection
// is the only way to it.
func TestEventTypes(t *testing.T) {
	subscriber, _ := reflect.TypeFor[common.Events]().FieldByName("Global")
	subscribe, ok := subscriber.Type.MethodByName("Subscribe")
	if !ok {
		t.Fatal("k6's event subscriber has no method Subscribe any more")
	}
	eventType := subscribe.Type.In(0).Elem()
	for number, want := range map[uint64]string{eventInit: "Init", eventTestEnd: "TestEnd", eventExit: "Exit"} {
		value := reflect.New(eventType).Elem()
		value.SetUint(number)
		if got := fmt.Sprint(value.Interface()); got != want {
			t.Errorf("k6's event %d is %s, expected %s", number, got, want)
		}
	}
}

func TestIdleConnectionIsClosedWithoutQuit(t *testing.T) {
	server := newFakeServer(t, nil)
	v := newVU(t).activate().global("PORT", server.port())
	got := v.run(`
		globalThis.client = new Client({host: '127.0.0.1', port: PORT, idleTimeout: 20});
		globalThis.message = new Message({from: 'a@src.test', to: 'b@dst.test', text: 'x'});
		return (await client.send(message)).ok`)
	if got != "true" {
		t.Fatal(got)
	}
	testkit.Await(t, "the idle connection's end", func() bool { return server.open() == 0 && v.root.connections.count() == 0 })
	v.collected()
	if got := v.run("return (await client.send(message)).ok"); got != "true" || server.accepted != 2 {
		t.Errorf("after the idle time: %s over %d connections", got, server.accepted)
	}
	for _, command := range server.got() {
		if strings.HasSuffix(command, "QUIT") {
			t.Error("QUIT was sent while no promise was pending")
		}
	}
}

func TestAllConnectionsCanBeClosedAtOnce(t *testing.T) {
	server := newFakeServer(t, nil)
	v := newVU(t).activate().global("PORT", server.port())
	v.run(`globalThis.clients = [1, 2, 3].map(() => new Client({host: '127.0.0.1', port: PORT})); await Promise.all(clients.map(c => c.connect()))`)
	if n := v.root.connections.count(); n != 3 {
		t.Fatalf("%d connections", n)
	}
	v.root.connections.closeAll()
	testkit.Await(t, "the connections' end", func() bool { return server.open() == 0 })
	if got := v.run("return (await clients[0].connect()).ok"); got != "true" {
		t.Error(got)
	}
}

func TestHostsOptionOfK6Holds(t *testing.T) {
	server := newFakeServer(t, nil)
	v := newVU(t).activate().global("PORT", server.port())
	hosts, err := newHosts("mx.example", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	v.dialer.Hosts = hosts
	if got := v.run("return (await new Client({host: 'mx.example', port: PORT}).connect()).ok"); got != "true" {
		t.Error(got)
	}
	if v.dialer.BytesRead == 0 || v.dialer.BytesWritten == 0 {
		t.Errorf("%d octets read and %d written by k6's count", v.dialer.BytesRead, v.dialer.BytesWritten)
	}
}

func TestForgottenClientsAreClosed(t *testing.T) {
	for _, options := range []string{"", ", transcript: true", ", idleTimeout: 0"} {
		server := newFakeServer(t, nil)
		v := newVU(t).activate().global("PORT", server.port())
		for range 5 {
			v.iteration()
			if got := v.run("return (await new Client({host: '127.0.0.1', port: PORT" + options + "}).connect()).ok"); got != "true" {
				t.Fatal(got)
			}
		}
		// The engine may still know the last one.
		testkit.Await(t, "the end of connections that no script can reach", func() bool {
			runtime.GC()
			return server.open() <= 1 && v.root.connections.count() <= 1
		})
		if server.accepted != 5 {
			t.Errorf("%d connections", server.accepted)
		}
	}
}

// With the collector off, nothing but the number of connections has it run.
func TestForgottenClientsAreFew(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	server := newFakeServer(t, nil)
	v := newVU(t).activate().global("PORT", server.port())
	most := 0
	for range 6 * forgettable {
		v.iteration()
		if got := v.run("return (await new Client({host: '127.0.0.1', port: PORT}).connect()).ok"); got != "true" {
			t.Fatal(got)
		}
		if n := v.root.connections.count(); n > most {
			most = n
		}
		if most > 2*forgettable { // the cleanups have a goroutine of their own, which may be late
			testkit.Await(t, "the end of connections that no script can reach", func() bool { return v.root.connections.count() <= forgettable+1 })
			most = 0
		}
	}
	testkit.Await(t, "the end of connections that no script can reach", func() bool { return v.root.connections.count() <= forgettable })
	v.root.connections.closeAll()
}

// TestLeakOfClientsIsToldOnce keeps all clients in reach: they stay open.
func TestLeakOfClientsIsToldOnce(t *testing.T) {
	server := newFakeServer(t, nil)
	var log bytes.Buffer
	logger := logrus.New()
	logger.SetOutput(&log)
	v := newVU(t).global("PORT", server.port())
	if _, err := v.eval("globalThis.early = []; for (let i = 0; i < 30; i++) early.push(new Client({host: '127.0.0.1', port: PORT}))"); err != nil {
		t.Fatal(err)
	}
	v.activate()
	v.rt.VU.StateField.Logger = logger
	v.run("globalThis.kept = []; for (const c of early) await c.connect(); for (const c of early) c.close()")
	for range 30 {
		v.run("const c = new Client({host: '127.0.0.1', port: PORT}); await c.connect(); await c.quit()")
	}
	for range 19 {
		v.run("const c = new Client({host: '127.0.0.1', port: PORT}); await c.connect(); kept.push(c)")
	}
	if log.Len() > 0 {
		t.Errorf("told too early: %s", log.String())
	}
	for range 40 {
		v.run("const c = new Client({host: '127.0.0.1', port: PORT}); await c.connect(); kept.push(c)")
	}
	if n := strings.Count(log.String(), "this VU has 20 connections of clients that its iterations made and did not close: create clients in the init context"); n != 1 {
		t.Errorf("told %d times: %s", n, log.String())
	}
}

func (c *connections) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open)
}

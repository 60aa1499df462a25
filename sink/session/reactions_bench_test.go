package session_test

import (
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/session"
	"github.com/smtpstorm/xk6-smtp/sink/state"
)

// BenchmarkReactions is a message of 1 KiB on one of 100,000 connections that are open, each of a client of its own, without a plan and with
// five reactions to these clients; it is the session alone, without sockets (BenchmarkCost has those). octets/client is what the reactions know of each.
func BenchmarkReactions(b *testing.B) {
	const clients = 100_000
	message := transaction(1, 1024)
	for _, kind := range []string{"plain", "five"} {
		b.Run(kind, func(b *testing.B) {
			text := "version: 1\n"
			if kind == "five" {
				five, err := os.ReadFile("testdata/five-reactions.yaml")
				if err != nil {
					b.Fatal(err)
				}
				text = string(five)
			}
			w := newWorld(b, text)
			standings := w.env.Standings.(*state.Standings)
			before := heapOctets()
			wires := make([]*wire, clients)
			for i := range wires {
				d := &wire{w: w}
				client := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
				d.session = session.New(&w.cfg, &w.env, session.ConnInfo{ID: uint64(i + 1), N: 1, Listener: "test", Client: netip.AddrPortFrom(client, 1025)}, w.now)
				drain(d)
				d.session.Feed(w.now, []byte("EHLO client.example\r\n"))
				drain(d)
				wires[i] = d
			}
			send := func(d *wire) {
				w.now = w.now.Add(time.Microsecond)
				for p := message; len(p) > 0; {
					p = p[d.session.Feed(w.now, p):]
					drain(d)
				}
			}
			for _, d := range wires {
				send(d)
			}
			if kind == "five" {
				if n := standings.Keys(); n != clients {
					b.Fatalf("%d clients are known", n)
				}
			}
			r := rand.New(rand.NewPCG(1, 2))
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				send(wires[r.IntN(clients)])
			}
			b.StopTimer()
			b.ReportMetric(float64(heapOctets()-before)/clients, "octets/client")
			runtime.KeepAlive(wires)
		})
	}
}

func drain(d *wire) {
	for e, ok := d.session.Next(); ok; e, ok = d.session.Next() {
		if e.Kind == session.EffectAwaitDrain {
			d.session.Drained(d.w.now)
		}
	}
}

func heapOctets() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

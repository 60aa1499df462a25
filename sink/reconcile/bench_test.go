//go:build unix

package reconcile

import (
	"io"
	"os"
	"runtime/metrics"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/jsonl"
	"github.com/smtpstorm/xk6-smtp/sink/ledger"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// generated is a file that is made while it is read, a piece at a time.
type generated struct {
	n, of int
	buf   []byte
	rest  []byte
	make  func(dst []byte, i int) []byte
}

func (g *generated) Read(p []byte) (int, error) {
	if len(g.rest) == 0 {
		if g.n == g.of {
			return 0, io.EOF
		}
		g.buf = g.buf[:0]
		for len(g.buf) < 1<<16 && g.n < g.of {
			g.buf = g.make(g.buf, g.n)
			g.n++
		}
		g.rest = g.buf
	}
	n := copy(p, g.rest)
	g.rest = g.rest[n:]
	return n, nil
}

func named(dst []byte, before string, i int, after string) []byte {
	return append(strconv.AppendInt(append(dst, before...), int64(i), 10), after...)
}

// benchFiles makes claims with token, X-Storm-Id, Message-ID and body, and a ledger with four deferrals and a delivery for each.
func benchFiles(units int) (claims, rows io.Reader) {
	body := func(i int) uint64 { return mix(uint64(i) + 1) } // #nosec G115 -- a hash
	claims = &generated{of: units, make: func(dst []byte, i int) []byte {
		dst = named(dst, `{"token":"s+k6run-`, i, `@src.bench.test"`)
		dst = named(dst, `,"recipient":"r`, i, `@a.bench.test","run":"k6run"`)
		dst = named(dst, `,"storm_id":"k6run-`, i, `"`)
		dst = named(dst, `,"message_id":"<k6run-`, i, `.1769854830@src.bench.test>"`)
		dst = jsonl.AppendHash(append(dst, `,"body_xxh64":`...), body(i))
		return append(dst, `,"size":1024,"ack":"yes","sent":"2026-01-31T10:20:00.123456789Z","replied":"2026-01-31T10:20:00.223456789Z","code":250}`+"\n"...)
	}}
	const perUnit = 5
	row := event.Row{Kind: event.KindAttempt}
	a := &row.Attempt
	var m event.Message
	start := ledger.AppendStart(nil, &event.Start{Run: "run", Time: at(0), Durability: event.Batch})
	var sender, rcpt, storm, id []byte
	rows = &generated{of: units*perUnit + 2, make: func(dst []byte, k int) []byte {
		if k == 0 {
			return append(dst, start...)
		}
		if k == units*perUnit+1 {
			return ledger.AppendStop(dst, &event.Stop{Time: at(3600)})
		}
		k--
		// The attempts of a unit stand far apart, as retries do.
		i, try := k%units, k/units
		sender = named(sender[:0], "s+k6run-", i, "@src.bench.test")
		rcpt = named(rcpt[:0], "r", i, "@a.bench.test")
		now := epoch.Add(time.Duration(k) * 100 * time.Microsecond)
		*a = event.Attempt{
			Conn: uint64(k/4 + 1), Listener: "mx1", Message: uint64(k%4 + 1), Time: now, Mail: now.Add(-time.Millisecond), End: now.Add(time.Millisecond), Sender: sender, Token: sender, Recipient: rcpt,
			N: uint64(try + 1), Stage: smtp.StageRcpt, Code: 450, Enhanced: smtp.Enhanced{Class: 4, Subject: 2}, Cause: "rule:storm", ReplySent: true,
		}
		if try == perUnit-1 {
			storm, id = named(storm[:0], "k6run-", i, ""), named(id[:0], "<k6run-", i, ".1769854830@src.bench.test>")
			m = event.Message{Conn: a.Conn, Message: a.Message, Time: now, Headers: true, StormID: storm, MessageID: id, Hashed: true, Body: body(i), Size: 1024}
			dst = ledger.AppendMessage(dst, &m)
			a.Stage, a.Code, a.Enhanced, a.Cause, a.Delivered = smtp.StageMessage, 250, smtp.Enhanced{Class: 2}, "plain", true
		}
		dst = ledger.Append(dst, &row)
		if k%4 == 3 {
			dst = ledger.AppendConnection(dst, &event.Connection{Conn: a.Conn, Listener: "mx1", Time: now, End: now, Reason: "quit", Told: event.ToldYes})
		}
		return dst
	}}
	return claims, rows
}

// BenchmarkReconcile judges 1,000,000 units (SMTPSTORM_UNITS changes it) with five attempts each, units.jsonl included, and prints CPU
// seconds, of which making the input takes some, and the largest heap.
func BenchmarkReconcile(b *testing.B) {
	units := 1_000_000
	if n, err := strconv.Atoi(os.Getenv("SMTPSTORM_UNITS")); err == nil {
		units = n
	}
	b.ReportAllocs()
	for b.Loop() {
		stop, most := make(chan struct{}), make(chan uint64)
		go func() { most <- watchHeap(stop) }()
		before := cpuSeconds()
		claims, rows := benchFiles(units)
		got, err := Reconcile(Inputs{
			Claims: ledger.Input{Name: "sent", R: claims}, Ledgers: []ledger.Input{{Name: "ledger", R: rows}}, Units: io.Discard, KnowNotifications: true,
		}, Options{})
		if err != nil || got.Fates[Delivered] != uint64(units) || len(got.Findings) > 0 { // #nosec G115 -- not negative
			b.Fatalf("%+v, %v", got, err)
		}
		b.ReportMetric(cpuSeconds()-before, "cpu-s")
		close(stop)
		b.ReportMetric(float64(<-most)/(1<<20), "MiB-most")
	}
}

// watchHeap returns the most memory that the runtime held from the system while it watched.
func watchHeap(stop chan struct{}) uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	var most uint64
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		metrics.Read(sample)
		most = max(most, sample[0].Value.Uint64()-sample[1].Value.Uint64())
		select {
		case <-stop:
			return most
		case <-ticker.C:
		}
	}
}

// cpuSeconds returns the CPU time that the process has used.
func cpuSeconds() float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

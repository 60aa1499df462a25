package ledger

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
	"github.com/smtpstorm/xk6-smtp/sink/state"
)

// noCounters counts nothing: what is measured is the reading.
type noCounters struct{}

func (noCounters) Connection(netip.Addr) uint64              { return 1 }
func (noCounters) Mail([]byte) uint64                        { return 1 }
func (noCounters) Recipient(sender, recipient []byte) uint64 { return 1 }

// manyRows is a ledger of connections with one message each, as a run leaves it.
func manyRows(connections int) []byte {
	text := Append(nil, &event.Row{Kind: event.KindStart, Start: event.Start{Run: "R", Time: epoch, Plan: "p", PlanHash: "2a", Durability: event.Batch}})
	for i := range connections {
		conn, at := uint64(i+1), epoch.Add(time.Duration(i)*1234567*time.Nanosecond)
		client := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), 40000)
		sender, id := []byte(fmt.Sprintf("s+%d@src.bench.test", i)), []byte(fmt.Sprintf("k3j9x2ab-%09d", i))
		for _, row := range []event.Row{
			{Kind: event.KindMessage, Message: event.Message{Conn: conn, Message: 1, Time: at, Headers: true, StormID: id, MessageID: append(id[:len(id):len(id)], "@src"...), Hashed: true, Body: 77 * conn, Size: 1024}},
			{Kind: event.KindAttempt, Attempt: event.Attempt{Conn: conn, Listener: "127.0.0.1:2525", Client: client, Time: at, End: at.Add(time.Millisecond), Message: 1, Sender: sender, Recipient: []byte(fmt.Sprintf("r%d@dst.bench.test", i)),
				N: 1, Token: sender, Mail: at, Ending: event.EndReply, Stage: smtp.StageMessage, Code: 250, Cause: "plain", Delivered: true, ReplySent: true, Size: 1024}},
			{Kind: event.KindConnection, Connection: event.Connection{Conn: conn, Listener: "127.0.0.1:2525", Client: client, Time: at, End: at.Add(2 * time.Millisecond), Helo: []byte("bench"), Extended: true, Messages: 1, Attempts: 1, Delivered: 1,
				OctetsIn: 1200, OctetsOut: 400, Reason: "quit", Told: event.ToldYes}},
		} {
			text = Append(text, &row)
		}
	}
	return text
}

// BenchmarkRestore is what a start on a ledger costs of which the plan needs something: nothing, all of each row, and the counting itself.
func BenchmarkRestore(b *testing.B) {
	text := manyRows(10_000)
	for _, bm := range []struct {
		name     string
		needs    Needs
		counters func() Counters
	}{
		{"rows", NeedRows, func() Counters { return noCounters{} }},
		{"counts", NeedCounts, func() Counters { return noCounters{} }},
		{"sightings", NeedSightings, func() Counters { return noCounters{} }},
		{"rows, counted", NeedRows, func() Counters { return state.NewAttempts(nil) }},
		{"counts, counted", NeedCounts, func() Counters { return state.NewAttempts(nil) }},
	} {
		b.Run(bm.name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if _, _, err := recoverRows(bytes.NewReader(text), "ledger.jsonl", (&Restorer{Counters: bm.counters()}).Row, bm.needs); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

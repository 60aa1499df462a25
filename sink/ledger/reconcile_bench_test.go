package ledger

import (
	"bytes"
	"fmt"
	"testing"
)

// BenchmarkReconcile reconciles 10,000 messages with two attempts each.
func BenchmarkReconcile(b *testing.B) {
	const messages = 10_000
	var sent bytes.Buffer
	h := newHistory()
	for i := range messages {
		token, rcpt := fmt.Sprintf("s+run-%d@src.bench.test", i), fmt.Sprintf("r%d@a.bench.test", i)
		fmt.Fprintf(&sent, `{"token":%q,"recipient":%q}`+"\n", token, rcpt)
		h.attempt(1, uint64(2*i+1), token, rcpt, 450, atRcpt).attempt(1, uint64(2*i+2), token, rcpt, 250)
	}
	h.close(1)
	b.ReportAllocs()
	b.SetBytes(int64(len(h.buf)))
	for b.Loop() {
		got, err := Reconcile(Inputs{Ledger: Input{"l", bytes.NewReader(h.buf)}, Sent: Input{"s", bytes.NewReader(sent.Bytes())}})
		if err != nil || got.Classes.AcceptedOnce != messages {
			b.Fatalf("%+v, %v", got, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*2*messages), "ns/row")
}

package control

import (
	"fmt"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/count"
)

// TestKeptReads: answers are kept by number and by what they take, the newest always.
func TestKeptReads(t *testing.T) {
	large := count.New()
	for i := range 20_000 {
		large.Destinations = append(large.Destinations, count.Destination{Domain: fmt.Sprint("d", i)})
		large.Replies = append(large.Replies, count.Reply{})
	}
	if n := octetsOf(large); n < 2<<20 || n > 8<<20 {
		t.Fatalf("40,000 counts take %d octets", n)
	}
	var k statsRead
	for seq := range uint64(200) {
		k.keep(statsAt{seq: seq, counts: count.New()})
	}
	if _, ok := k.at(200 - keptReads); !ok || len(k.kept) != keptReads {
		t.Errorf("%d small ones are kept, want the last %d", len(k.kept), keptReads)
	}
	for seq := range uint64(20) {
		k.keep(statsAt{seq: 1000 + seq, counts: large})
		if _, ok := k.at(1000 + seq); !ok {
			t.Fatalf("the newest is not kept")
		}
		if k.octets > keptOctets && len(k.kept) > leastKept {
			t.Fatalf("%d take %d octets", len(k.kept), k.octets)
		}
	}
	sum := 0
	for _, at := range k.kept {
		sum += at.octets
	}
	if sum != k.octets || len(k.kept) < leastKept {
		t.Errorf("%d are kept, which take %d octets, and %d are reckoned with", len(k.kept), sum, k.octets)
	}
	n, before := len(k.kept), k.octets
	if k.keep(statsAt{seq: 1019, counts: count.New()}); len(k.kept) != n || k.octets >= before {
		t.Errorf("one of the same number takes no place of its own: %d, %d", len(k.kept), k.octets)
	}
}

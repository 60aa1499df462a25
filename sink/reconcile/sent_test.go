package reconcile

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

var wholeClaim = Claim{
	Token: "run-1", Recipient: "\"a b\xff\"@dst.test", HasSender: true, Run: "run", StormID: "run-1", MessageID: "<run-1@src.test>", Hashed: true, Body: 0xc0ffee, Size: 12,
	EightBit: true, Notify: "NEVER", DeliveredTo: []string{"x@y.test", "z@y.test"}, Ack: AckNo, Code: 550,
	Intended: time.Unix(1, 5).UTC(), Sent: time.Unix(2, 0).UTC(), Replied: time.Unix(3, 123456789).UTC(),
}

func readClaims(t *testing.T, text string) (list []Claim) {
	t.Helper()
	if err := ReadClaims(strings.NewReader(text), "sent.jsonl", func(c *Claim) error {
		list = append(list, *c)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return list
}

func TestClaimsAreReadAsTheyWereWritten(t *testing.T) {
	few := Claim{Token: "t", Recipient: "r", Ack: AckUnknown, Sent: time.Unix(0, 1).UTC()}
	var text []byte
	for _, c := range []Claim{wholeClaim, few} {
		text = c.Append(text)
		if err := valid(t, schema(t, "sent"), c.Append(nil)); err != nil {
			t.Errorf("%s: %v", c.Append(nil), err)
		}
	}
	if got := readClaims(t, string(text)); !reflect.DeepEqual(got, []Claim{wholeClaim, few}) {
		t.Errorf("got %+v from\n%s", got, text)
	}
}

func TestOfAKilledWriterTheWholeRowsCount(t *testing.T) {
	row := string(wholeClaim.Append(nil))
	for n := range len(row) - 1 {
		if got := len(readClaims(t, row+row[:n])); got != 1 {
			t.Fatalf("%d claims with %q behind the first", got, row[:n])
		}
	}
	if got := len(readClaims(t, row+strings.TrimSuffix(row, "\n"))); got != 2 {
		t.Errorf("%d claims where the last line feed is missing alone", got)
	}
}

func TestClaimsAreWrittenWithoutAllocating(t *testing.T) {
	row := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() { row = wholeClaim.Append(row[:0]) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

package reconcile

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/ledger"
	"time"
)

var wholeClaim = Claim{
	Token: "run-1", Recipient: "\"a b\xff\"@dst.test", HasSender: true, Run: "run", StormID: "run-1", MessageID: "<run-1@src.test>", Hashed: true, Body: 0xc0ffee, Size: 12,
	EightBit: true, Notify: "NEVER", DeliveredTo: []string{"x@y.test", "z\xfe\"@y.test"}, Ack: AckNo, Code: 550,
	Intended: time.Unix(1, 5).UTC(), Sent: time.Unix(2, 0).UTC(), Replied: time.Unix(3, 123456789).UTC(),
}

func readClaims(t *testing.T, text string) (list []Claim) {
	t.Helper()
	if _, err := ReadClaims(strings.NewReader(text), "sent.jsonl", func(c *Claim) error {
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

// What a file cut short lacks may be what was lost: without it nobody can call the run sound.
func TestClaimsThatAreCutShortAreNotSound(t *testing.T) {
	const book = `{"kind":"start","format":"smtpstorm/ledger/2","run":"R","time":"2026-01-31T10:20:29Z","plan":"","plan_hash":"","seed":0,"durability":"batch"}
{"kind":"attempt","conn":1,"listener":"l","client":"127.0.0.1:1","time":"2026-01-31T10:20:30Z","end":"2026-01-31T10:20:30Z","message":1,"sender":"` + tok + `","recipient":"` + rcpt + `","token":"` + tok + `","ending":"reply","stage":"message","code":250,"cause":"plain","delivered":true,"reply_sent":true}
{"kind":"connection","conn":1,"listener":"l","client":"127.0.0.1:1","time":"2026-01-31T10:20:30Z","end":"2026-01-31T10:20:31Z","extended":true,"messages":1,"attempts":1,"delivered":1,"octets_in":1,"octets_out":1,"reason":"quit","told":"told"}
{"kind":"stop","time":"2026-01-31T10:20:32Z"}
`
	row := string((&Claim{Token: tok, Recipient: rcpt}).Append(nil))
	for _, test := range []struct {
		name, sent, want string
	}{
		{"whole", row, "sound 0"},
		{"no line feed", strings.TrimSuffix(row, "\n"), "sound 0"},
		{"a part of the second row", row + row[:20], "undetermined 3"},
		{"CR as line end", strings.ReplaceAll(row+row, "\n", "\r"), "undetermined 3"},
		{"none at all", "", "undetermined 3"},
	} {
		r, err := Reconcile(Inputs{
			Claims: ledger.Input{R: strings.NewReader(test.sent), Name: "sent.jsonl"}, Ledgers: []ledger.Input{{R: strings.NewReader(book), Name: "ledger.jsonl"}},
			Queue: ledger.Input{R: strings.NewReader("")}, DSNs: ledger.Input{R: strings.NewReader("")},
		}, Options{FailOn: DefaultFailOn()})
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		if got := fmt.Sprint(r.Verdict.Verdict, " ", r.Verdict.Exit); got != test.want {
			t.Errorf("%s: %s (%s), want %s", test.name, got, r.Verdict.Sentence, test.want)
		}
	}
}

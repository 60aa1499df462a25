package reconcile

import (
	"fmt"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/ledger"
)

// TestPartsOfARotatedLedger: wherever a ledger is cut into files, its parts give what the whole gives; a part without those before it is refused.
func TestPartsOfARotatedLedger(t *testing.T) {
	lines := []string{`{"kind":"start","format":"smtpstorm/ledger/2","run":"R","time":"2026-01-31T10:20:29Z","plan":"","plan_hash":"","seed":0,"durability":"ack"}`}
	for _, at := range []string{"30", "40"} {
		lines = append(lines,
			`{"kind":"message","conn":`+at+`,"message":1,"time":"2026-01-31T10:20:`+at+`Z","headers":true}`,
			`{"kind":"attempt","conn":`+at+`,"listener":"l","client":"127.0.0.1:1","time":"2026-01-31T10:20:`+at+`Z","end":"2026-01-31T10:20:`+at+`Z","message":1,"sender":"`+tok+`","recipient":"`+rcpt+`","token":"`+tok+`","ending":"reply","stage":"message","code":250,"cause":"plain","delivered":true,"reply_sent":true}`,
			`{"kind":"later","x":1}`,
			`{"kind":"connection","conn":`+at+`,"listener":"l","client":"127.0.0.1:1","time":"2026-01-31T10:20:`+at+`Z","end":"2026-01-31T10:20:`+at+`Z","extended":true,"messages":1,"attempts":1,"delivered":1,"octets_in":1,"octets_out":1,"reason":"quit","told":"told"}`)
	}
	lines = append(lines, fmt.Sprintf(`{"kind":"stop","time":"2026-01-31T10:20:52Z","rows":%d}`, len(lines)))
	one := func(name string, from, to int) ledger.Input {
		return ledger.Input{Name: name, R: strings.NewReader(strings.Join(lines[from:to], "\n") + "\n")}
	}
	judged := func(parts ...ledger.Input) string {
		r, err := Reconcile(Inputs{
			Claims:  ledger.Input{R: strings.NewReader(string((&Claim{Token: tok, Recipient: rcpt}).Append(nil)) + string((&Claim{Token: "s+2@x", Recipient: rcpt}).Append(nil)))},
			Ledgers: parts, Queue: ledger.Input{R: strings.NewReader("")}, DSNs: ledger.Input{R: strings.NewReader("")},
		}, Options{})
		if err != nil {
			return err.Error()
		}
		return fmt.Sprint(said(r), ", runs ", r.Runs)
	}
	n := len(lines)
	const want = "1 duplicated, 1 lost, fault lost 1, fault duplicated 1, exit 1, runs 1"
	if got := judged(one("whole", 0, n)); got != want {
		t.Fatalf("the whole: %s, want %s", got, want)
	}
	for i := 1; i < n; i++ {
		if got := judged(one("1", 0, i), one("2", i, n)); got != want {
			t.Errorf("cut before line %d: %s, want %s", i+1, got, want)
		}
		for k := i + 1; k < n; k++ {
			if got := judged(one("1", 0, i), one("2", i, k), one("3", k, n)); got != want {
				t.Errorf("cut before lines %d and %d: %s, want %s", i+1, k+1, got, want)
			}
			if got := judged(one("1", 0, i), one("3", k, n)); strings.Contains(got, "lost") || !strings.Contains(got, "undetermined") {
				t.Errorf("without lines %d to %d: %s, but nothing can be lost there", i+1, k, got)
			}
		}
		alone := "2:1: not a ledger by itself: it has no start row, but goes on with another file, which must be given before it"
		if i == 3 || i == 7 { // a row that only a later version knows
			alone = "2:1: not a ledger: it does not begin with a start row"
		}
		for _, got := range []string{judged(one("2", i, n)), judged(one("2", i, n), one("1", 0, i)), judged(one("of another", 0, n), one("2", i, n))} {
			if !strings.HasPrefix(got, alone) {
				t.Errorf("from line %d, not behind its first part: %s", i+1, got)
			}
		}
	}
	if got := judged(one("1", 0, 5), ledger.Input{Name: "2", R: strings.NewReader("hello\n")}); !strings.HasPrefix(got, "2:1: not a ledger") {
		t.Errorf("no part: %s", got)
	}
	// A sink that started again in the second part, after it had died in the first.
	again := ledger.Input{Name: "2", R: strings.NewReader(strings.Join(lines[3:5], "\n") + "\n" + strings.ReplaceAll(strings.Join(lines, "\n"), `"run":"R"`, `"run":"S"`) + "\n")}
	if got := judged(one("1", 0, 3), again); got != "1 duplicated, 1 lost, fault lost 1, fault duplicated 1, warning overlapped 1, exit 1, runs 2" {
		t.Errorf("started again: %s", got)
	}
}

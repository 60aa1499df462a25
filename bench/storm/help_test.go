package storm

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/scripts"
	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/ledger"
)

func mustStorm(t *testing.T, name string) []byte {
	t.Helper()
	file, err := scripts.LoadStorm(name)
	if err != nil {
		t.Fatal(err)
	}
	return file.Text
}

// dropsOf counts the deliveries of a ledger whose reply was withheld, by recipient.
func dropsOf(t *testing.T, path string) map[string]int {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := map[string]int{}
	_, err = ledger.Each(ledger.Input{Name: path, R: f}, func(row *event.Row) error {
		if a := &row.Attempt; row.Kind == event.KindAttempt && a.Delivered && !a.ReplySent {
			out[string(a.Recipient)]++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// eachUnit passes on the lines of units.jsonl.
func eachUnit(t *testing.T, path string, f func(recipient string, deliveries int)) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var u struct {
			Recipient  string           `json:"recipient"`
			Deliveries []map[string]any `json:"deliveries"`
		}
		if err := json.Unmarshal([]byte(line), &u); err != nil {
			t.Fatal(err)
		}
		f(u.Recipient, len(u.Deliveries))
	}
}

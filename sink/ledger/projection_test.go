package ledger

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/event"
)

// What a Restorer counts does not depend on how much of the rows is read.
func TestWhatIsNotNeededChangesNothing(t *testing.T) {
	rows := slices.Collect(strings.Lines(string(manyRows(20))))[1:]
	for _, g := range goldenRows {
		if g.row.Kind != event.KindStart {
			rows = append(rows, g.line+"\n")
		}
	}
	const attempt = `{"kind":"attempt","conn":%d,"listener":"l","client":"127.0.0.1:1","time":"2026-01-31T10:20:30Z","end":"2026-01-31T10:20:30Z","message":1,%s,"ending":"reply","stage":"rcpt","code":503,"cause":%q,"delivered":false,"reply_sent":true}` + "\n"
	rows = append(rows,
		fmt.Sprintf(attempt, 71, `"sender":"a@x","recipient":"b@y","token":"a@x"`, "protocol"),
		fmt.Sprintf(attempt, 72, `"sender":"a@x","recipient":"b@y","token":"a@x"`, "plain"),
		fmt.Sprintf(attempt, 73, `"sender":"\"a b\"@x\u00e9","recipient":"\udcffb@y","n":3,"token":"a@x"`, "plain"),
		fmt.Sprintf(attempt, 74, `"recipient":"b@y","n":3,"sender":"a@x","token":"a@x"`, "plain"), // in another order
		fmt.Sprintf(attempt, 75, `"sender":"a@x","of a later version":{"x":[1]},"recipient":"b@y","n":3,"token":"a@x"`, "plain"),
		fmt.Sprintf(attempt, 76, `"sender": "a@x", "recipient": "b@y", "n": 3, "token": "a@x"`, "limit:grey"), // with blanks
		`{"kind":"of a later version","conn":1}`+"\n",
	)
	r := rand.New(rand.NewPCG(7, 7))
	for _, durability := range []event.Durability{event.Batch, event.Ack, event.None} {
		for round := range 20 {
			r.Shuffle(len(rows), func(i, k int) { rows[i], rows[k] = rows[k], rows[i] })
			text := string(Append(nil, &event.Row{Kind: event.KindStart, Start: event.Start{Run: "R", Time: epoch, Plan: "p", PlanHash: "2a", Durability: durability}})) + strings.Join(rows, "")
			restore := func(needs Needs) (map[string]int, Recovery) {
				got := countedCalls{calls: map[string]int{}}
				restorer := Restorer{Counters: &got}
				if needs != NeedCounts {
					restorer.Seen = func(a *event.Attempt) {
						got.calls[fmt.Sprintf("seen %q %v %v %d %q %q %q %d %v", a.Listener, a.Client, a.Time, a.Message, a.Phase, a.Sender, a.Recipient, a.N, a.Cause)]++
					}
				}
				_, found, err := recoverRows(strings.NewReader(text), "ledger.jsonl", restorer.Row, needs)
				if err != nil {
					t.Fatal(err)
				}
				return got.calls, found
			}
			want, rowsFound := restore(NeedRows)
			got, found := restore(NeedSightings)
			if !reflect.DeepEqual(got, want) || found != rowsFound {
				t.Fatalf("%v, round %d: sightings: %+v %v,\nwant %+v %v", durability, round, found, got, rowsFound, want)
			}
			for call := range want {
				if strings.HasPrefix(call, "seen ") {
					delete(want, call)
				}
			}
			if got, found = restore(NeedCounts); !reflect.DeepEqual(got, want) || found != rowsFound {
				t.Fatalf("%v, round %d: counts: %+v %v,\nwant %+v %v", durability, round, found, got, rowsFound, want)
			}
		}
	}
}

// A row that is torn in the middle, or no row at all, is found wherever it stands.
func TestCorruptRowsAreFoundInAProjection(t *testing.T) {
	lines := slices.Collect(bytes.Lines(manyRows(3)))
	for i := 1; i < len(lines); i++ {
		for cut := 1; cut < len(lines[i])-2; cut++ {
			bad := bytes.Join([][]byte{bytes.Join(lines[:i], nil), lines[i][:cut], []byte("\n"), bytes.Join(lines[i+1:], nil)}, nil)
			if _, _, err := recoverRows(bytes.NewReader(bad), "ledger.jsonl", (&Restorer{}).Row, NeedCounts); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("ledger.jsonl:%d:", i+1)) {
				t.Fatalf("row %d cut to %s: %v", i+1, lines[i][:cut], err)
			}
		}
	}
}

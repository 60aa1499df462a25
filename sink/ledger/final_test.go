package ledger

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/event"
)

// Of an attempt that was amended the last row counts, whatever other connections did meanwhile; a row without one to amend counts
// for itself.
func TestAmendedRows(t *testing.T) {
	lost := func(n int) func(*event.Attempt) { // amends the row of time n
		return func(a *event.Attempt) { a.Time, a.Amends, a.Ending, a.ReplySent = at(n), true, event.EndLost, false }
	}
	refused := func(a *event.Attempt) { a.Time, a.Amends, a.Cause = at(1), true, CauseProtocol }
	ack := event.Start{Time: at(0), Durability: event.Ack}
	for _, test := range []struct {
		name   string
		header event.Start
		write  func(h *history)
		want   []string
	}{
		{"no amendment", ack, func(h *history) { h.attempt(1, 1, "a", "r", 250).close(1) }, []string{"r 250 reply", "connection"}},
		{"the client went", ack, func(h *history) { h.attempt(1, 1, "a", "r", 250).attempt(1, 1, "a", "r", 250, lost(1)).close(1) },
			[]string{"r 250 lost", "connection"}},
		{"the disk was slow", ack, func(h *history) { h.attempt(1, 1, "a", "r", 250).attempt(1, 1, "a", "r", 451, refused).close(1) },
			[]string{"r 451 reply", "connection"}},
		{"one of two recipients", ack, func(h *history) {
			h.attempt(1, 1, "a", "r", 250).attempt(1, 1, "a", "s", 250).attempt(2, 1, "a", "r", 250)
			h.attempt(1, 1, "a", "s", 250, lost(2))
		}, []string{"s 250 lost", "r 250 reply", "r 250 reply"}},
		{"the row before was taken back", ack, func(h *history) { h.attempt(1, 1, "a", "r", 450).attempt(1, 2, "a", "r", 250, lost(3)) },
			[]string{"r 450 reply", "r 250 lost"}},
		{"the next message", ack, func(h *history) {
			h.attempt(1, 1, "a", "r", 250).attempt(1, 2, "a", "r", 250).attempt(1, 2, "a", "r", 250, lost(2))
		}, []string{"r 250 reply", "r 250 lost"}},
		{"not with other durabilities", event.Start{Time: at(0), Durability: event.Batch}, func(h *history) { h.attempt(2, 1, "a", "r", 250).attempt(1, 1, "a", "s", 250).close(1) },
			[]string{"r 250 reply", "s 250 reply", "connection"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := &history{buf: AppendStart(nil, &test.header)}
			test.write(h)
			var got []string
			scanned, err := Each(Input{"h", bytes.NewReader(h.buf)}, func(row *event.Row) error {
				switch a := &row.Attempt; row.Kind {
				case event.KindAttempt:
					got = append(got, fmt.Sprintf("%s %d %v", a.Recipient, a.Code, a.Ending))
				case event.KindConnection:
					got = append(got, "connection")
				}
				return nil
			})
			if err != nil || !slices.Equal(got, test.want) {
				t.Errorf("got %q, error %v; want %q", got, err, test.want)
			}
			if rows := strings.Count(string(h.buf), `"kind":"attempt"`) + strings.Count(string(h.buf), `"kind":"connection"`); rows != len(got)+int(scanned.Amended) {
				t.Errorf("%d rows became %d, and %d that were amended", rows, len(got), scanned.Amended)
			}
		})
	}
}

package control

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink"
)

// A stream for eyes: at most so many events a second, in turns, the newest of each turn. Without a filter it costs the sink what it shows,
// however many there are; a filter looks at each.
const (
	sampleTurn = 250 * time.Millisecond
	maxRate    = 10_000
)

// sample puts the newest events of each turn into the queue until the context ends. What it leaves out it names by an event skipped.
func (s *Server) sample(ctx context.Context, q *queue, f *filter, after uint64, rate int) {
	turn := time.NewTicker(sampleTurn)
	defer turn.Stop()
	budget := max(rate*int(sampleTurn)/int(time.Second), 1)
	for {
		rows, skippedTo, at := s.newest(f, after, budget)
		var out []byte
		if skippedTo > after {
			out = fmt.Appendf(out, "event: skipped\ndata: {\"from\":%q,\"to\":%q}\n\n", s.id(after+1), s.id(skippedTo))
		}
		for i := range rows {
			out = s.appendEvent(out, &rows[i])
		}
		after = at
		if !q.add(out) {
			return // too slow even for that
		}
		select {
		case <-turn.C:
		case <-ctx.Done():
			return
		}
	}
}

// newest returns the last events after one that are wanted, as many as the budget allows; the last that comes before them and was left out,
// which is after where none was; and the last that was looked at.
func (s *Server) newest(f *filter, after uint64, budget int) (wanted []sink.TailRow, skippedTo, at uint64) {
	last := s.cfg.Tail.Last() // what comes meanwhile is for the next turn
	at, skippedTo = after, after
	if f.all() && last-after > uint64(budget) { // #nosec G115 -- a number of rows
		at = last - uint64(budget) // #nosec G115 -- a number of rows
		skippedTo = at
	}
	for at < last {
		rows, missed := s.cfg.Tail.After(at, page)
		if missed > 0 {
			wanted, skippedTo = wanted[:0], at+missed
		}
		if len(rows) == 0 {
			break
		}
		for i := range rows {
			if f.takes(&rows[i]) {
				wanted = append(wanted, rows[i])
			}
		}
		at = rows[len(rows)-1].Seq
		if over := len(wanted) - budget; over > 0 {
			skippedTo = wanted[over-1].Seq
			wanted = slices.Delete(wanted, 0, over)
		}
	}
	return wanted, skippedTo, at
}

// appendEvent appends a row as a stream has it.
func (s *Server) appendEvent(out []byte, row *sink.TailRow) []byte {
	return fmt.Appendf(out, "id: %s\nevent: %v\ndata: %s\n", s.id(row.Seq), row.Kind, row.Line) // the line has its line feed
}

package control

import (
	"context"
	"fmt"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink"
)

// A stream for eyes: at most so many events a second, in turns, the newest of each turn. It costs the sink what it shows, however many there
// are.
const (
	sampleTurn = 250 * time.Millisecond
	maxRate    = 10_000
	// sampleLook is how many rows a turn looks at for each that it may send: a filter decodes each one.
	sampleLook = 8
)

// sample puts the newest events of each turn into the queue until the context ends. What it leaves out it names by an event skipped.
func (s *Server) sample(ctx context.Context, q *queue, f *filter, after uint64, rate int) {
	turn := time.NewTicker(sampleTurn)
	defer turn.Stop()
	budget := max(rate*int(sampleTurn)/int(time.Second), 1)
	look := budget
	if !f.all() {
		look *= sampleLook
	}
	for {
		last := s.cfg.Tail.Last()
		skippedTo := after
		if last-after > uint64(look) { // #nosec G115 -- a number of rows
			skippedTo = last - uint64(look) // #nosec G115 -- a number of rows
		}
		rows, missed := s.cfg.Tail.After(skippedTo, look)
		skippedTo += missed
		wanted := make([]*sink.TailRow, 0, budget)
		for i := range rows {
			if row := &rows[i]; f.takes(row) {
				if len(wanted) == budget {
					skippedTo = wanted[0].Seq
					wanted = append(wanted[:0], wanted[1:]...)
				}
				wanted = append(wanted, row)
			}
		}
		var out []byte
		if skippedTo > after {
			out = fmt.Appendf(out, "event: skipped\ndata: {\"from\":%q,\"to\":%q}\n\n", s.id(after+1), s.id(skippedTo))
		}
		for _, row := range wanted {
			out = s.appendEvent(out, row)
		}
		if len(rows) > 0 {
			after = rows[len(rows)-1].Seq
		}
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

// appendEvent appends a row as a stream has it.
func (s *Server) appendEvent(out []byte, row *sink.TailRow) []byte {
	return fmt.Appendf(out, "id: %s\nevent: %v\ndata: %s\n", s.id(row.Seq), row.Kind, row.Line) // the line has its line feed
}

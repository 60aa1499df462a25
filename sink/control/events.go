package control

import (
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/control/api"
)

// How many events GET /v1/events gives at once.
const (
	defaultEvents = 1000
	maxEvents     = 100_000
)

// page is how many rows of the tail are looked at at once.
const page = 256

// id returns the id of an event of this run.
func (s *Server) id(seq uint64) string { return s.cfg.Sink.Run() + "-" + strconv.FormatUint(seq, 10) }

// place reads an id. ours says that it is of this run of the sink.
func (s *Server) place(id string) (seq uint64, ours bool, err error) {
	at := strings.LastIndexByte(id, '-')
	if at > 0 {
		seq, err = strconv.ParseUint(id[at+1:], 10, 64)
	}
	if at <= 0 || err != nil || seq == math.MaxUint64 {
		return 0, false, badQuery("after: invalid id %.64q (want INSTANCE-SEQ, as an event has it)", id)
	}
	return seq, id[:at] == s.cfg.Sink.Run(), nil
}

func (s *Server) getEvents(w http.ResponseWriter, r *http.Request) error {
	if err := query(r, "kind", "client", "sender", "recipient", "code", "rule", "after", "limit", "rate"); err != nil {
		return err
	}
	f, err := readFilter(r)
	if err != nil {
		return err
	}
	if wants(r, api.TypeStream) {
		return s.stream(w, r, f)
	}
	if r.URL.Query().Has("rate") {
		return badQuery("rate: it is for streams only (Accept: %s)", api.TypeStream)
	}
	limit, err := number(r, "limit", defaultEvents, maxEvents)
	if err != nil {
		return err
	}
	var after uint64
	given := r.URL.Query().Has("after")
	if given {
		ours := false
		if after, ours, err = s.place(r.URL.Query().Get("after")); err != nil {
			return err
		}
		if !ours {
			return problem(api.EventsGone, "that event is of another run of the sink, which is over")
		}
		if last := s.cfg.Tail.Last(); after > last {
			return badQuery("after: there is no event %d yet (the last is %d)", after, last)
		}
		if rows, missed := s.cfg.Tail.After(after, 1); missed > 0 && len(rows) > 0 {
			return errGone(missed)
		}
	}
	w.Header().Set("Content-Type", api.TypeNDJSON)
	w.Header().Set("X-Accel-Buffering", "no")
	last := s.cfg.Tail.Last() // what comes meanwhile is for the next request
	var out []byte
	for sent := uint64(0); sent < limit && after < last; {
		rows, _ := s.cfg.Tail.After(after, page)
		if len(rows) == 0 {
			break
		}
		out = out[:0]
		for i := range rows {
			row := &rows[i]
			if after = row.Seq; row.Seq > last || sent == limit {
				after = last
				break
			}
			if f.takes(row) {
				sent++
				out = append(out, `{"id":"`...)
				out = append(append(out, s.id(row.Seq)...), `","row":`...)
				out = append(out, row.Line[:len(row.Line)-1]...)
				out = append(out, '}', '\n')
			}
		}
		if _, err := w.Write(out); err != nil { // #nosec G705 -- JSON by its type, with nosniff
			return ended(err)
		}
	}
	return nil
}

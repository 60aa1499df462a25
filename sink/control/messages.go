package control

import (
	"net/http"
	"net/netip"
	"strconv"

	"github.com/smtpstorm/xk6-smtp/sink/capture"
	"github.com/smtpstorm/xk6-smtp/sink/control/api"
	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/ledger"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// How many messages GET /v1/messages gives at once.
const (
	defaultMessages = 100
	maxMessages     = 10_000
)

// gathered is the messages that events tell of.
type gathered struct {
	all   []*api.Message // in the order of their first rows
	index map[string]*api.Message
}

func (g *gathered) of(s *Server, conn, n uint64) *api.Message {
	id := capture.ID(s.cfg.Sink.Run(), conn, n)
	m := g.index[id]
	if m == nil {
		m = &api.Message{ID: id, Attempts: []api.Attempt{}}
		g.index[id] = m
		g.all = append(g.all, m)
	}
	return m
}

// capture adds the messages that are kept. Those that no row tells of any more are older than all others.
func (g *gathered) capture(store *capture.Store) {
	if store == nil {
		return
	}
	var older []*api.Message
	for _, c := range store.List(capture.Query{}) {
		m := g.index[c.ID]
		if m == nil {
			m = &api.Message{
				ID: c.ID, Time: c.Time.UTC(), Client: clientOf(c.Client), Sender: c.Sender, Token: c.Token, StormID: c.StormID, MessageID: c.MessageID,
				Attempts: []api.Attempt{},
			}
			for i := range c.Recipients {
				to := &c.Recipients[i]
				m.Attempts = append(m.Attempts, api.Attempt{
					Recipient: to.Address, Stage: smtp.StageMessage.String(), Code: int(to.Code), Enhanced: enhancedOf(to.Enhanced), Cause: to.Cause,
					Ending: event.EndReply.String(), Delivered: to.Delivered,
				})
				m.Deliveries += delivered(&m.Attempts[i])
			}
			older = append(older, m)
		}
		m.Captured = true
	}
	g.all = append(older, g.all...)
}

func clientOf(client netip.AddrPort) string {
	if !client.IsValid() {
		return ""
	}
	return client.String()
}

func enhancedOf(e smtp.Enhanced) string {
	if e.IsZero() {
		return ""
	}
	return e.String()
}

// gather makes messages of the rows that are still there.
func (s *Server) gather() (_ *gathered, missing bool) {
	g := &gathered{index: map[string]*api.Message{}}
	var decoder ledger.Decoder
	var row event.Row
	last := s.cfg.Tail.Last()
	for after := uint64(0); after < last; {
		rows, missed := s.cfg.Tail.After(after, page)
		if len(rows) == 0 {
			break
		}
		missing = missing || missed > 0
		for i := range rows {
			after = rows[i].Seq
			switch rows[i].Kind {
			case event.KindAttempt, event.KindTransaction, event.KindMessage:
				if decoder.Decode(rows[i].Line, &row) == nil {
					s.note(g, &row)
				}
			}
		}
	}
	g.capture(s.cfg.Sink.Captured())
	return g, missing
}

// note adds what a row tells of its message.
func (s *Server) note(g *gathered, row *event.Row) {
	fill := func(into *string, octets []byte) {
		if *into == "" {
			*into = string(octets)
		}
	}
	switch row.Kind {
	case event.KindMessage:
		m := g.of(s, row.Message.Conn, row.Message.Message)
		fill(&m.StormID, row.Message.StormID)
		fill(&m.MessageID, row.Message.MessageID)
	case event.KindTransaction:
		t := &row.Transaction
		if t.Message == 0 {
			return
		}
		m := g.of(s, t.Conn, t.Message)
		m.Time, m.Client, m.Sender = t.Time.UTC(), clientOf(t.Client), string(t.Sender)
		fill(&m.Token, t.Token)
	case event.KindAttempt:
		a := &row.Attempt
		if a.Message == 0 {
			return
		}
		m := g.of(s, a.Conn, a.Message)
		if m.Time.IsZero() {
			m.Time = a.Time.UTC()
		}
		m.Client, m.Sender = clientOf(a.Client), string(a.Sender)
		fill(&m.Token, a.Token)
		fill(&m.StormID, a.StormID)
		fill(&m.MessageID, a.MessageID)
		attempt := api.Attempt{
			Recipient: string(a.Recipient), Stage: a.Stage.String(), Code: int(a.Code), Enhanced: enhancedOf(a.Enhanced), Cause: a.Cause,
			Ending: a.Ending.String(), Delivered: a.Delivered,
		}
		if a.Amends {
			for i := range m.Attempts {
				if m.Attempts[i].Recipient == attempt.Recipient {
					m.Deliveries += delivered(&attempt) - delivered(&m.Attempts[i])
					m.Attempts[i] = attempt
					return
				}
			}
		}
		m.Attempts = append(m.Attempts, attempt)
		m.Deliveries += delivered(&attempt)
	}
}

func delivered(a *api.Attempt) int {
	if a.Delivered {
		return 1
	}
	return 0
}

func (s *Server) listMessages(w http.ResponseWriter, r *http.Request) error {
	if err := query(r, "recipient", "sender", "token", "storm_id", "message_id", "after", "limit"); err != nil {
		return err
	}
	limit, err := number(r, "limit", defaultMessages, maxMessages)
	if err != nil {
		return err
	}
	f, err := readFilter(r)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	equal := func(name, value string) bool { return !q.Has(name) || q.Get(name) == value }
	all, missing := s.gather()
	out := api.Messages{Messages: []api.Message{}, Missing: missing}
	after := q.Get("after")
	begun := after == ""
	for _, m := range all.all {
		if !begun {
			begun = m.ID == after
			continue
		}
		if uint64(len(out.Messages)) == limit {
			break
		}
		if equal("token", m.Token) && equal("storm_id", m.StormID) && equal("message_id", m.MessageID) && f.takesMessage(m) {
			out.Messages = append(out.Messages, *m)
		}
	}
	if !begun {
		return problem(api.EventsGone, "nothing is known of the message %.128q (any more)", after)
	}
	write(w, http.StatusOK, api.TypeJSON, out)
	return nil
}

func (s *Server) getMessage(w http.ResponseWriter, r *http.Request) error {
	all, _ := s.gather()
	id := r.PathValue("id")
	for _, m := range all.all {
		if m.ID == id {
			write(w, http.StatusOK, api.TypeJSON, m)
			return nil
		}
	}
	return problem(api.NotFound, "nothing is known of the message %.128q (any more)", id)
}

func noCapture() error {
	return problem(api.WrongState, "this sink keeps no messages (--capture does)")
}

// getRaw sends a message as it came. It is anybody's: a browser that is led here stores it, and neither guesses what it is nor runs it.
func (s *Server) getRaw(w http.ResponseWriter, r *http.Request) error {
	store := s.cfg.Sink.Captured()
	if store == nil {
		return noCapture()
	}
	id := r.PathValue("id")
	_, message, err := store.Get(id)
	if err != nil {
		return problem(api.NotFound, "the message %.128q is not kept (any more)", id)
	}
	h := w.Header()
	h.Set("Content-Type", api.TypeMessage)
	h.Set("Content-Disposition", `attachment; filename="message.eml"`)
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	h.Set("Content-Length", strconv.Itoa(len(message)))
	_, err = w.Write(message) // #nosec G705 -- an attachment of type message/rfc822 with nosniff and a sandbox
	return ended(err)
}

func (s *Server) deleteMessages(w http.ResponseWriter, r *http.Request) error {
	if err := query(r); err != nil {
		return err
	}
	store := s.cfg.Sink.Captured()
	if store == nil {
		return noCapture()
	}
	store.Clear()
	w.WriteHeader(http.StatusNoContent)
	return nil
}

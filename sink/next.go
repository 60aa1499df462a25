package sink

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/session"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
	"github.com/smtpstorm/xk6-smtp/sink/state"
)

// NextOutcome asks that the next occurrences of a stage that match meet an outcome, whatever plan is in force and comes into force. It
// comes after protocol errors, limits and what an address or a header asks for, and before the rules; a refusal by any of those doesn't
// use it up, nor does a fault of TLS where no handshake follows. Rows and counts name it next:ID, and no goodness of fit counts it.
type NextOutcome struct {
	fault.NextSpec               // without an ID, the server picks one; without Times, it is once
	TTL            time.Duration // after which it is forgotten, used up or not; 0 means state.DefaultNextTTL
	Replace        bool          // of the same ID, which otherwise is state.ErrNextTaken
}

// NextStatus is what has become of a NextOutcome.
type NextStatus = state.NextStatus

// AddNext asks for an outcome. Errors wrap a *fault.SpecError, state.ErrNextTaken or state.ErrNextFull.
func (s *Server) AddNext(n NextOutcome) (NextStatus, error) {
	if n.ID == "" {
		n.ID = s.next.NewID()
	}
	if n.Times == 0 {
		n.Times = 1
	}
	next, err := fault.NewNext(n.NextSpec)
	if err == nil {
		err = s.checkNextListeners(&n)
	}
	if err != nil {
		return NextStatus{}, fmt.Errorf("sink: %w", err)
	}
	status, err := s.next.Add(s.now(), next, n.TTL, n.Replace)
	var spec *fault.SpecError
	switch {
	case errors.As(err, &spec): // it names the outcome itself
		return NextStatus{}, fmt.Errorf("sink: %w", err)
	case err != nil:
		return NextStatus{}, fmt.Errorf("sink: next outcome %q: %w", n.ID, err)
	}
	return status, nil
}

// checkNextListeners refuses listeners that aren't there, and a fault of TLS where no listener does the handshake that it is about.
func (s *Server) checkNextListeners(n *NextOutcome) error {
	fail := func(field, text string) error {
		return &fault.SpecError{Path: "next", Name: n.ID, Field: field, Err: errors.New(text)}
	}
	var names []string
	handshakes := n.Outcome.TLS == fault.TLSNone
	plan, mode := s.active.Load().plan, session.TLSStart
	if n.Stage == smtp.StageConnect {
		mode = session.TLSImplicit
	}
	for _, l := range s.cfg.listenersFor(plan) {
		names = append(names, l.name())
		if len(n.Match.Listeners) == 0 || slices.Contains(n.Match.Listeners, l.name()) {
			handshakes = handshakes || s.cfg.tlsMode(&l, plan) == mode
		}
	}
	for _, name := range n.Match.Listeners {
		if !slices.Contains(names, name) {
			return fail("match.listener", "there is no listener "+name+" (valid: "+strings.Join(names, " ")+")")
		}
	}
	switch {
	case handshakes:
		return nil
	case mode == session.TLSImplicit:
		return fail("outcome.tls", "no such listener has implicit TLS, whose handshake follows the connect")
	}
	return fail("outcome.tls", "no such listener offers STARTTLS")
}

// NextOutcomes returns what has become of the outcomes that were asked for and have not expired, in the order in which they were asked
// for.
func (s *Server) NextOutcomes() []NextStatus { return s.next.List(s.now()) }

// RemoveNext takes an outcome back, and reports whether it was there.
func (s *Server) RemoveNext(id string) bool { return s.next.Remove(id) }

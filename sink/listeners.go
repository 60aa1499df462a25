package sink

import (
	"errors"
	"fmt"
	"net"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/conn"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/session"
)

// boundListener is a listener as its connections need it. Server.mu guards what is not atomic.
type boundListener struct {
	Listener
	name    string
	session atomic.Pointer[session.Config] // of the connections to come
	fault   faultInForce
	planned bool        // a plan declares it: it goes with that plan
	addr    net.Addr    // where it listens, or did before it was closed; nil before Start
	socket  conn.Socket // nil while it is refused
}

// faultInForce is the fault.ListenerFault that a listener has now.
type faultInForce struct{ v atomic.Uint32 }

func (f *faultInForce) load() fault.ListenerFault { return fault.ListenerFault(f.v.Load()) } // #nosec G115 -- store and swap put one in

func (f *faultInForce) store(v fault.ListenerFault) { f.v.Store(uint32(v)) }

func (f *faultInForce) swap(v fault.ListenerFault) (old fault.ListenerFault) {
	return fault.ListenerFault(f.v.Swap(uint32(v))) // #nosec G115 -- store and swap put one in
}

// same reports whether two listeners are the same in all that they have.
func (l *Listener) same(other Listener) bool { return reflect.DeepEqual(*l, other) }

// ListenerName implements conn.Listener.
func (l *boundListener) ListenerName() string { return l.name }

// SessionConfig implements conn.Listener.
func (l *boundListener) SessionConfig() *session.Config { return l.session.Load() }

// Ungreeting implements conn.Listener.
func (l *boundListener) Ungreeting() bool {
	return l.fault.load() == fault.ListenerNoBanner
}

// ListenersOf returns the listeners that a plan declares.
func ListenersOf(plan *fault.Plan) []Listener {
	if plan == nil {
		return nil
	}
	var out []Listener
	for _, p := range plan.Listeners() {
		l := Listener{Name: p.Name, Network: "tcp", Address: p.Address, LMTP: p.LMTP, ImplicitTLS: p.ImplicitTLS, Proxied: p.Proxied, DSN: p.DSN, Service: p.Service}
		if path, ok := strings.CutPrefix(p.Address, "unix:"); ok {
			l.Network, l.Address = "unix", path
		}
		out = append(out, l)
	}
	return out
}

// zeroWindowBuffer is the receive buffer of connections while a plan may stop reading: with the kernel's own, which grows to several
// MiB, few clients would ever meet a zero window.
const zeroWindowBuffer = 64 << 10

// receiveBuffer returns the size of receive buffers under a plan; 0 is the kernel's own.
func receiveBuffer(plan *fault.Plan) int {
	if plan == nil {
		return 0
	}
	for _, r := range plan.Rules() {
		for i := range r.Outcomes {
			if r.Outcomes[i].Body.StopReading {
				return zeroWindowBuffer
			}
		}
	}
	return 0
}

// speaksOfTLS reports whether a plan has anything to do with TLS, so that STARTTLS has to be offered.
func speaksOfTLS(plan *fault.Plan) bool {
	if plan == nil {
		return false
	}
	named := func(m *fault.Match, except []fault.Match) bool {
		of := func(m fault.Match) bool { return m.TLS != fault.TLSEither || m.TLSVersions != fault.TLSVersions{} }
		return of(*m) || slices.ContainsFunc(except, of)
	}
	if slices.ContainsFunc(plan.AllLimits(), func(l *fault.Limit) bool { return named(&l.Match, l.Except) }) {
		return true
	}
	return slices.ContainsFunc(plan.Rules(), func(r *fault.Rule) bool {
		return named(&r.Match, r.Except) || slices.ContainsFunc(r.Outcomes, func(o fault.Outcome) bool { return o.TLS != fault.TLSNone })
	})
}

// open opens a listener's sockets. s.mu is held.
func (s *Server) open(l *boundListener, plan *fault.Plan) error {
	address := l.Address
	if l.addr != nil { // again: at the port that was picked then
		address = l.addr.String()
	}
	if other := s.inheritor(l); other != nil { // another listener's that is there still
		return fmt.Errorf("cannot listen on %s: %w", address, syscall.EADDRINUSE)
	}
	socket, err := s.driver.Listen(l, conn.Place{Network: l.network(), Address: address, Inherited: l.Inherited}, receiveBuffer(plan))
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w", address, rootCause(err))
	}
	l.socket, l.addr = socket, socket.Addr()
	return nil
}

// inheritor returns another open listener on the socket that l has inherited, or nil. s.mu is held.
func (s *Server) inheritor(l *boundListener) *boundListener {
	if l.Inherited == nil {
		return nil
	}
	for _, other := range s.listeners {
		if other != l && other.Inherited == l.Inherited && other.socket != nil {
			return other
		}
	}
	return nil
}

// handBack leaves inherited sockets to whoever has them next as they were got: listening. s.mu is held.
func (s *Server) handBack() error {
	var errs []error
	for _, l := range s.cfg.Listeners {
		if l.Inherited == nil {
			continue
		}
		if err := conn.Relisten(l.Inherited); err != nil {
			errs = append(errs, fmt.Errorf("cannot hand %s back: %w", l.name(), rootCause(err)))
		}
	}
	return errors.Join(errs...)
}

// retryListen is how long a listener that could not be opened again waits before it is tried once more.
const retryListen = 100 * time.Millisecond

// apply gives each listener the fault that it has now. s.mu is held. It returns when to look again, or the zero time.
func (s *Server) apply(now time.Time) time.Time {
	f := s.active.Load()
	v := f.view(now)
	var next time.Time
	if f.storms {
		next = f.timeline.NextChange(now, f.stormStart())
	}
	s.notePhases(f, now)
	for _, l := range s.listeners {
		want := v.ListenerFault(l.name)
		had := l.fault.swap(want)
		switch {
		case want == fault.ListenerRefused:
			if l.socket != nil {
				l.socket.Close()
				l.socket = nil
			}
			continue
		case l.socket == nil:
			if err := s.open(l, f.plan); err != nil {
				l.fault.store(fault.ListenerRefused) // it is, for now
				s.reopenFailures.Add(1)
				if retry := now.Add(retryListen); next.IsZero() || retry.Before(next) {
					next = retry
				}
				continue
			}
			had = fault.ListenerUp
		}
		if shut := want == fault.ListenerUnaccepted; shut != (had == fault.ListenerUnaccepted) {
			l.socket.SetAccepting(!shut)
			if shut {
				s.overfilled.Store(true)
			}
		}
	}
	return next
}

// supervise gives listeners their faults as the storm goes on, until the server ends.
func (s *Server) supervise() {
	defer close(s.supervised)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-s.quit:
			return
		case <-s.changed:
		case <-timer.C:
		}
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			return
		}
		next := s.apply(s.now())
		s.mu.Unlock()
		timer.Stop()
		if !next.IsZero() {
			timer.Reset(max(next.Sub(s.now()), 0))
		}
	}
}

// rearrange makes the supervisor look at the listeners now. Any goroutine may call it.
func (s *Server) rearrange() {
	select {
	case s.changed <- struct{}{}:
	default: // it will
	}
}

// bind makes a listener ready to be opened.
func (s *Server) bind(l Listener, planned bool, plan *fault.Plan) *boundListener {
	b := &boundListener{Listener: l, name: l.name(), planned: planned}
	b.session.Store(s.sessionConfig(&l, plan))
	return b
}

// wantedBy returns the listeners under a plan. One without listeners leaves them as they are. s.mu is held.
func (s *Server) wantedBy(plan *fault.Plan) ([]Listener, error) {
	wanted := s.cfg.listenersFor(plan)
	if len(wanted) == 0 {
		for _, l := range s.listeners {
			wanted = append(wanted, l.Listener)
		}
	}
	return wanted, s.cfg.checkListeners(wanted)
}

// arrange makes the listeners those that a plan wants, and returns the ones that are no longer wanted, still open. When one can't be
// opened all is as before. s.mu is held.
func (s *Server) arrange(wanted []Listener, plan *fault.Plan) (dropped []*boundListener, err error) {
	var kept, opened []*boundListener
	for i := range wanted {
		same := func(l *boundListener) bool { return l.same(wanted[i]) }
		if at := slices.IndexFunc(s.listeners, same); at >= 0 {
			kept = append(kept, s.listeners[at])
			continue
		}
		l := s.bind(wanted[i], true, plan)
		if err := s.open(l, plan); err != nil {
			for _, l := range opened {
				l.socket.Close()
			}
			return nil, err
		}
		kept, opened = append(kept, l), append(opened, l)
	}
	for _, l := range s.listeners {
		if !slices.Contains(kept, l) {
			dropped = append(dropped, l)
		}
	}
	s.listeners = kept
	return dropped, nil
}

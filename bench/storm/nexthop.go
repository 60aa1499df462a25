package storm

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/input"
	"github.com/smtpstorm/xk6-smtp/bench/mta"
	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/count"
	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Names of the sink's listeners.
const (
	mainListener = "smtp"
	dsnListener  = "dsn"
)

// nextHop is the sink with its reserved ports.
type nextHop struct {
	ports     []*mta.ReservedPort
	listeners []sink.Listener
	addresses map[string]string // by listener
	cfg       sink.Config
	server    *sink.Server
	counts    *count.Counts // of servers before this one
	seen      seen
}

// reserve finds ports for the listeners of a layout. They stay reserved while a plan closes them.
func reserve(l layout) (*nextHop, error) {
	h := &nextHop{addresses: map[string]string{}, counts: count.New()}
	names := []string{mainListener}
	switch l {
	case hopPerHost:
		for n := range domains {
			names = append(names, fmt.Sprintf("d%d", n))
		}
	case twoHops:
		names = append(names, "mx1", "mx2")
	}
	for _, name := range append(names, dsnListener) {
		port, err := mta.ReservePort()
		if err != nil {
			return nil, errors.Join(err, h.release())
		}
		h.ports = append(h.ports, port)
		h.addresses[name] = port.Addr()
		h.listeners = append(h.listeners, sink.Listener{Name: name, Address: port.Addr(), DSN: name == dsnListener})
	}
	return h, nil
}

// at is a sink that listens at an address that the user names. Notifications are known by their null sender.
func at(address string) *nextHop {
	return &nextHop{addresses: map[string]string{mainListener: address}, counts: count.New(), listeners: []sink.Listener{{Name: mainListener, Address: address}}}
}

// route fills in where an agent's mail goes.
func (h *nextHop) route(l layout, o *mta.Options) {
	o.Relay = h.addresses[mainListener]
	o.Routes = append(o.Routes, mta.Route{Domain: returnDomain, Hops: []string{h.addresses[dsnListener]}})
	for n := range domains {
		switch l {
		case hopPerHost:
			o.Routes = append(o.Routes, mta.Route{Domain: domainOf(n), Hops: []string{h.addresses[fmt.Sprintf("d%d", n)]}})
		case twoHops:
			o.Routes = append(o.Routes, mta.Route{Domain: domainOf(n), Hops: []string{h.addresses["mx1"], h.addresses["mx2"]}})
		}
	}
}

// start starts the sink on a plan; its ledger and its notifications lie in a directory.
func (h *nextHop) start(p *fault.Plan, hash, ledger, dir string) (err error) {
	h.cfg = sink.Config{
		Listeners: h.listeners, Plan: p, PlanHash: hash, Hostname: "sink.bench.test", Observer: &h.seen,
		Ledger: sink.LedgerConfig{Path: ledger, Durability: event.Batch}, DSN: sink.DSNConfig{Dir: dir},
	}
	return h.again()
}

// again starts the sink, perhaps another time: ledger and notifications go on.
func (h *nextHop) again() error {
	server, err := sink.New(h.cfg)
	if err == nil {
		err = server.Start()
	}
	if errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EADDRNOTAVAIL) {
		return input.Errorf("start the sink: %v", err)
	}
	if err != nil {
		return fmt.Errorf("start the sink: %w", err)
	}
	h.server = server
	return nil
}

// cut ends the sink and its connections where they are.
func (h *nextHop) cut() error {
	if h.server == nil {
		return nil
	}
	err := h.server.Close()
	if err == nil {
		h.counts.Merge(h.server.Stats())
	}
	h.server = nil
	return err
}

// drainTimeout is how long connections may take to end when the sink stops.
const drainTimeout = 5 * time.Second

// stop ends the sink in good order. Connections that a client keeps open for long are cut.
func (h *nextHop) stop() error {
	if h.server == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	if err := h.server.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return errors.Join(fmt.Errorf("stop the sink: %w", err), h.cut())
	}
	return h.cut()
}

// release gives the ports up.
func (h *nextHop) release() (err error) {
	for _, p := range h.ports {
		err = errors.Join(err, p.Release())
	}
	h.ports = nil
	return err
}

// phase is the storm's phase in force.
func (h *nextHop) phase() string {
	if h.server == nil {
		return "next hop cut off"
	}
	return h.server.Phase()
}

// seen counts live what the sink sees of messages, for people who watch; what counts is in the ledger.
type seen struct {
	mu                 sync.Mutex
	copies             map[string]int // deliveries by recipient
	twice              int            // recipients with more than one
	deferred, notified int
}

// Row implements sink.Observer.
func (s *seen) Row(row *event.Row) {
	a := &row.Attempt
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case row.Kind == event.KindTransaction && row.Transaction.Stage == smtp.StageMail && row.Transaction.Code.Class() == 4:
		s.deferred++
	case row.Kind != event.KindAttempt:
	case a.Delivered && (a.Listener == dsnListener || len(a.Sender) == 0):
		s.notified++
	case a.Delivered:
		if s.copies == nil {
			s.copies = map[string]int{}
		}
		name := strings.ToLower(string(a.Recipient))
		if s.copies[name]++; s.copies[name] == 2 {
			s.twice++
		}
	case a.Code.Class() == 4:
		s.deferred++
	}
}

// so returns how many recipients have a delivery, how many have several, and the attempts that were deferred.
func (s *seen) so() (delivered, twice, deferred, notified int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.copies), s.twice, s.deferred, s.notified
}

package sinktest

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/session"
)

// Epoch is when virtual time starts.
var Epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// SessionPeer is a session under virtual time, driven as a driver would: it obeys each effect, and keeps what a paused session
// did not take. It is a Peer.
type SessionPeer struct {
	Session *session.Session
	Now     time.Time
	// TLSVersion is that by which handshakes are done; 0: 1.3.
	TLSVersion fault.TLSVersion
	Close      session.CloseMode // how the session asked to close, once it did
	Writes     int               // write effects so far

	// Drains and Commits, when set, are called instead of answering at once that the output was taken, or that the rows are on disk.
	Drains  func()
	Commits func(ticket uint64)

	// Captures, when set, is given each captured message and its ticket instead of answering at once that it is kept.
	Captures func(m *session.Captured, ticket uint64)

	Receipt session.Receipt // what shall be known of the next octets, the next FIN or the end
	End     error           // how the connection shall end once the session has asked to close it; nil: in good order

	Stopped bool // the session wants nothing read
	Narrow  bool // the session reads slowly

	output []byte // what the server said and nobody has read
	input  []byte // what the session did not take
	paused bool
	kept   bool           // input had come before the session took it
	half   bool           // the session closed its side
	tls    bool           // the session waits for a handshake
	fault  fault.TLSFault // in which this goes wrong
	eof    bool           // the client has closed its sending side
	closed bool           // the session asked to close
	over   bool           // and knows how that went
	done   bool
	err    error // a breach of the contract between session and driver
}

// FixedPlan is a session.Plans whose plan never changes.
type FixedPlan struct{ Plan *fault.Plan }

// Current returns the plan's view; its storm starts at Epoch.
func (p FixedPlan) Current(now time.Time) *fault.View {
	return p.Plan.View(now, p.Plan.StormStart(Epoch, Epoch))
}

// NewSessionPeer starts a session at Epoch, as connection 1 from 192.0.2.1 to the listener "test". env may be nil; its plan is that
// of the setup unless it has one.
func NewSessionPeer(setup Setup, env *session.Env) *SessionPeer {
	return NewSessionPeerFrom(setup, env, session.ConnInfo{ID: 1, N: 1, Listener: "test", Client: netip.MustParseAddrPort("192.0.2.1:50000")}, Epoch)
}

// NewSessionPeerFrom starts a session at a time, as any connection. env may be nil, as that of NewSessionPeer.
func NewSessionPeerFrom(setup Setup, env *session.Env, conn session.ConnInfo, now time.Time) *SessionPeer {
	if env == nil {
		env = &session.Env{}
	}
	whole := *env
	if whole.Plans == nil {
		whole.Plans = FixedPlan{setup.Plan}
	}
	if whole.Auth == nil {
		whole.Auth = setup.Auth
	}
	env = &whole
	p := &SessionPeer{Now: now}
	p.Session = session.New(&setup.Config, env, conn, p.Now)
	p.obey()
	return p
}

// obey does what the session's effects say until there are none, and then ends the connection if the session wants that.
func (p *SessionPeer) obey() {
	for range 1000 { // a bound: a session that never falls silent is broken
		effect, ok := p.Session.Next()
		if !ok {
			if p.closed && !p.over {
				p.over = true
				p.Session.Closed(p.Now, p.end())
				continue
			}
			return
		}
		switch effect.Kind {
		case session.EffectWrite:
			if p.closed || p.half {
				p.fail("a write effect after the close effect")
			}
			if p.tls {
				p.fail("a write effect during the handshake")
			}
			p.Writes++
			p.output = append(p.output, effect.Data...)
		case session.EffectPause:
			p.paused, p.Stopped = true, false
		case session.EffectStopReading:
			p.paused, p.Stopped = true, true
		case session.EffectResume:
			p.paused, p.Stopped = false, false
			p.feed()
		case session.EffectNarrow:
			p.Narrow = true
		case session.EffectAwaitDrain:
			if p.Drains != nil {
				p.Drains()
			} else {
				p.Session.Drained(p.Now)
			}
		case session.EffectCommit:
			if p.Commits != nil {
				p.Commits(effect.Ticket)
			} else {
				p.Session.Committed(p.Now, effect.Ticket, nil)
			}
		case session.EffectCapture:
			if p.Captures != nil {
				p.Captures(effect.Captured, effect.Ticket)
			} else {
				p.Session.Committed(p.Now, effect.Ticket, nil)
			}
		case session.EffectStartTLS:
			p.tls, p.fault = true, effect.TLS
		case session.EffectClose:
			if effect.Close == session.CloseHalf {
				if p.half || p.closed {
					p.fail("a half-close after a close")
				}
				p.half = true
				continue
			}
			p.closed, p.Close = true, effect.Close
		case session.EffectDone:
			p.done = true
		default:
			p.fail("an unknown effect %v", effect.Kind)
		}
	}
	p.fail("effects without end")
}

func (p *SessionPeer) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf("the session gave "+format, args...)
	}
}

// feed offers the kept input, and after all of it the end of the input.
func (p *SessionPeer) feed() {
	if len(p.input) > 0 {
		p.Session.Receipt(p.receipt())
		n := p.Session.Feed(p.Now, p.input)
		p.kept = n < len(p.input)
		if n < 0 || n > len(p.input) {
			p.fail("Feed of %d octets = %d", len(p.input), n)
			return
		}
		rest := p.input[n:]
		p.input = rest
		p.obey() // which may pause, resume and feed again
		if len(rest) > 0 && len(p.input) == len(rest) && !p.paused {
			p.fail("no pause although Feed left %d octets", len(rest))
		}
	}
	if p.eof && len(p.input) == 0 && !p.paused && !p.closed {
		p.Session.Receipt(p.receipt())
		p.Session.EOF(p.Now)
		p.obey()
	}
}

// receipt takes Receipt for the next call of the session. What a pause has kept was there before the reply that ended it.
func (p *SessionPeer) receipt() session.Receipt {
	r := p.Receipt
	r.Waiting = r.Waiting || p.kept && !p.eof
	p.Receipt = session.Receipt{}
	return r
}

// end takes End.
func (p *SessionPeer) end() error {
	p.Session.Receipt(p.receipt())
	return p.End
}

// Send feeds octets to the session.
func (p *SessionPeer) Send(octets []byte) error {
	if p.closed {
		return p.err // as TCP: the server reads and discards
	}
	p.input = append(p.input, octets...)
	p.kept = p.kept || p.paused
	if !p.paused {
		p.feed()
	}
	return p.err
}

// CloseWrite tells the session that the client sends nothing more, once it has taken all that was sent.
func (p *SessionPeer) CloseWrite() error {
	p.eof = true
	if p.paused {
		p.Session.Receipt(p.receipt())
		p.Session.Hangup(p.Now)
		p.obey()
	} else {
		p.feed()
	}
	return p.err
}

// Pass advances virtual time and calls the session at each of its deadlines. It is an error when the session says anything before
// the end of the time.
func (p *SessionPeer) Pass(d time.Duration) error {
	end := p.Now.Add(d)
	for range 100000 {
		deadline := p.Session.Deadline()
		if deadline.IsZero() || deadline.After(end) {
			p.Now = end
			return p.err
		}
		silent := len(p.output) == 0
		if deadline.After(p.Now) {
			p.Now = deadline
		}
		p.Session.Advance(p.Now)
		p.obey()
		if silent && len(p.output) > 0 && p.Now.Before(end) {
			return fmt.Errorf("the server said %q after %v already", firstLine(p.output), d-end.Sub(p.Now))
		}
	}
	return fmt.Errorf("deadlines without end")
}

// ReadLine returns the next line that the session wrote.
func (p *SessionPeer) ReadLine() (string, error) {
	if p.err != nil {
		return "", p.err
	}
	if len(p.output) == 0 {
		return "", p.ended()
	}
	line := firstLine(p.output)
	p.output = p.output[min(len(line)+2, len(p.output)):]
	return line, nil
}

// ended returns why there is no output.
func (p *SessionPeer) ended() error {
	switch {
	case p.closed && !p.done:
		return fmt.Errorf("the session closed without being done")
	case p.closed && p.Close == session.CloseRST:
		return ErrReset
	case p.closed, p.half:
		return io.EOF
	}
	return ErrSilent
}

// Read returns the next octets that the session wrote.
func (p *SessionPeer) Read(n int) ([]byte, error) {
	if p.err != nil {
		return nil, p.err
	}
	got := p.output[:min(n, len(p.output))]
	p.output = p.output[len(got):]
	if len(got) < n {
		return got, p.ended()
	}
	return got, nil
}

// Half reports whether the session has closed its sending side only.
func (p *SessionPeer) Half() (half, known bool) { return p.half && !p.closed, true }

// Committed tells the session what became of the rows of a commit that Commits was told of.
func (p *SessionPeer) Committed(ticket uint64, err error) {
	p.Session.Committed(p.Now, ticket, err)
	p.obey()
}

// Vanish tells the session that the connection is lost.
func (p *SessionPeer) Vanish(err error) {
	if p.closed {
		return
	}
	p.input = nil
	p.over = true
	p.Session.Receipt(p.receipt())
	p.Session.Closed(p.Now, err)
	p.obey()
	p.closed = true
}

// Handshake reports whether the session waits for a TLS handshake, and what shall go wrong with it.
func (p *SessionPeer) Handshake() (f fault.TLSFault, waiting bool) {
	return p.fault, p.tls && !p.closed
}

// StartTLS tells the session that the handshake it waits for is done, or has failed for the reason that it wanted.
func (p *SessionPeer) StartTLS(f fault.TLSFault) error {
	switch {
	case !p.tls:
		return fmt.Errorf("the server wants no handshake")
	case f != p.fault:
		return fmt.Errorf("the server wants a handshake with the fault %v, want %v", p.fault, f)
	}
	p.tls = false
	var err error
	if f != fault.TLSNone {
		err = fmt.Errorf("handshake: %v", f)
	}
	p.Session.TLSDone(p.Now, session.TLSInfo{Version: "TLS 1.3", Number: cmp.Or(p.TLSVersion, fault.TLS13)}, err)
	p.obey()
	return p.err
}

// Unread returns the lines that the session wrote and nobody has read.
func (p *SessionPeer) Unread() (lines []string) {
	for rest := p.output; len(rest) > 0; {
		line := firstLine(rest)
		lines = append(lines, line)
		rest = rest[min(len(line)+2, len(rest)):]
	}
	return lines
}

// Output returns what the session wrote and nobody has read, and forgets it.
func (p *SessionPeer) Output() []byte {
	out := p.output
	p.output = nil
	return out
}

// Closed reports whether the session has ended.
func (p *SessionPeer) Closed() bool { return p.closed }

// Err returns a breach of the contract between session and driver.
func (p *SessionPeer) Err() error { return p.err }

func firstLine(b []byte) string {
	if i := bytes.Index(b, []byte("\r\n")); i >= 0 {
		return string(b[:i])
	}
	return string(b)
}

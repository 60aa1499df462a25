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

// SessionConn is a session under virtual time, driven as a driver would: it obeys each effect, and keeps what a paused session
// did not take. It is a Conn.
type SessionConn struct {
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
func (c FixedPlan) Current(now time.Time) *fault.View {
	return c.Plan.View(now, c.Plan.StormStart(Epoch, Epoch))
}

// NewSessionConn starts a session at Epoch, as connection 1 from 192.0.2.1 to the listener "test". env may be nil; its plan is that
// of the setup unless it has one.
func NewSessionConn(setup Setup, env *session.Env) *SessionConn {
	return NewSessionConnFrom(setup, env, session.ConnInfo{ID: 1, N: 1, Listener: "test", Client: netip.MustParseAddrPort("192.0.2.1:50000")}, Epoch)
}

// NewSessionConnFrom starts a session at a time, as any connection. env may be nil, as that of NewSessionConn.
func NewSessionConnFrom(setup Setup, env *session.Env, conn session.ConnInfo, now time.Time) *SessionConn {
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
	c := &SessionConn{Now: now}
	c.Session = session.New(&setup.Config, env, conn, c.Now)
	c.obey()
	return c
}

// obey does what the session's effects say until there are none, and then ends the connection if the session wants that.
func (c *SessionConn) obey() {
	for range 1000 { // a bound: a session that never falls silent is broken
		effect, ok := c.Session.Next()
		if !ok {
			if c.closed && !c.over {
				c.over = true
				c.Session.Closed(c.Now, c.end())
				continue
			}
			return
		}
		switch effect.Kind {
		case session.EffectWrite:
			if c.closed || c.half {
				c.fail("a write effect after the close effect")
			}
			if c.tls {
				c.fail("a write effect during the handshake")
			}
			c.Writes++
			c.output = append(c.output, effect.Data...)
		case session.EffectPause:
			c.paused, c.Stopped = true, false
		case session.EffectStopReading:
			c.paused, c.Stopped = true, true
		case session.EffectResume:
			c.paused, c.Stopped = false, false
			c.feed()
		case session.EffectNarrow:
			c.Narrow = true
		case session.EffectAwaitDrain:
			if c.Drains != nil {
				c.Drains()
			} else {
				c.Session.Drained(c.Now)
			}
		case session.EffectCommit:
			if c.Commits != nil {
				c.Commits(effect.Ticket)
			} else {
				c.Session.Committed(c.Now, effect.Ticket, nil)
			}
		case session.EffectCapture:
			if c.Captures != nil {
				c.Captures(effect.Captured, effect.Ticket)
			} else {
				c.Session.Committed(c.Now, effect.Ticket, nil)
			}
		case session.EffectStartTLS:
			c.tls, c.fault = true, effect.TLS
		case session.EffectClose:
			if effect.Close == session.CloseHalf {
				if c.half || c.closed {
					c.fail("a half-close after a close")
				}
				c.half = true
				continue
			}
			c.closed, c.Close = true, effect.Close
		case session.EffectDone:
			c.done = true
		default:
			c.fail("an unknown effect %v", effect.Kind)
		}
	}
	c.fail("effects without end")
}

func (c *SessionConn) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("the session gave "+format, args...)
	}
}

// feed offers the kept input, and after all of it the end of the input.
func (c *SessionConn) feed() {
	if len(c.input) > 0 {
		c.Session.Receipt(c.receipt())
		n := c.Session.Feed(c.Now, c.input)
		c.kept = n < len(c.input)
		if n < 0 || n > len(c.input) {
			c.fail("Feed of %d octets = %d", len(c.input), n)
			return
		}
		rest := c.input[n:]
		c.input = rest
		c.obey() // which may pause, resume and feed again
		if len(rest) > 0 && len(c.input) == len(rest) && !c.paused {
			c.fail("no pause although Feed left %d octets", len(rest))
		}
	}
	if c.eof && len(c.input) == 0 && !c.paused && !c.closed {
		c.Session.Receipt(c.receipt())
		c.Session.EOF(c.Now)
		c.obey()
	}
}

// receipt takes Receipt for the next call of the session. What a pause has kept was there before the reply that ended it.
func (c *SessionConn) receipt() session.Receipt {
	r := c.Receipt
	r.Waiting = r.Waiting || c.kept && !c.eof
	c.Receipt = session.Receipt{}
	return r
}

// end takes End.
func (c *SessionConn) end() error {
	c.Session.Receipt(c.receipt())
	return c.End
}

// Send feeds octets to the session.
func (c *SessionConn) Send(octets []byte) error {
	if c.closed {
		return c.err // as TCP: the server reads and discards
	}
	c.input = append(c.input, octets...)
	c.kept = c.kept || c.paused
	if !c.paused {
		c.feed()
	}
	return c.err
}

// CloseWrite tells the session that the client sends nothing more, once it has taken all that was sent.
func (c *SessionConn) CloseWrite() error {
	c.eof = true
	if c.paused {
		c.Session.Receipt(c.receipt())
		c.Session.Hangup(c.Now)
		c.obey()
	} else {
		c.feed()
	}
	return c.err
}

// Pass advances virtual time and calls the session at each of its deadlines. It is an error when the session says anything before
// the end of the time.
func (c *SessionConn) Pass(d time.Duration) error {
	end := c.Now.Add(d)
	for range 100000 {
		deadline := c.Session.Deadline()
		if deadline.IsZero() || deadline.After(end) {
			c.Now = end
			return c.err
		}
		silent := len(c.output) == 0
		if deadline.After(c.Now) {
			c.Now = deadline
		}
		c.Session.Advance(c.Now)
		c.obey()
		if silent && len(c.output) > 0 && c.Now.Before(end) {
			return fmt.Errorf("the server said %q after %v already", firstLine(c.output), d-end.Sub(c.Now))
		}
	}
	return fmt.Errorf("deadlines without end")
}

// ReadLine returns the next line that the session wrote.
func (c *SessionConn) ReadLine() (string, error) {
	if c.err != nil {
		return "", c.err
	}
	if len(c.output) == 0 {
		return "", c.ended()
	}
	line := firstLine(c.output)
	c.output = c.output[min(len(line)+2, len(c.output)):]
	return line, nil
}

// ended returns why there is no output.
func (c *SessionConn) ended() error {
	switch {
	case c.closed && !c.done:
		return fmt.Errorf("the session closed without being done")
	case c.closed && c.Close == session.CloseRST:
		return ErrReset
	case c.closed, c.half:
		return io.EOF
	}
	return ErrSilent
}

// Read returns the next octets that the session wrote.
func (c *SessionConn) Read(n int) ([]byte, error) {
	if c.err != nil {
		return nil, c.err
	}
	got := c.output[:min(n, len(c.output))]
	c.output = c.output[len(got):]
	if len(got) < n {
		return got, c.ended()
	}
	return got, nil
}

// Half reports whether the session has closed its sending side only.
func (c *SessionConn) Half() (half, known bool) { return c.half && !c.closed, true }

// Committed tells the session what became of the rows of a commit that Commits was told of.
func (c *SessionConn) Committed(ticket uint64, err error) {
	c.Session.Committed(c.Now, ticket, err)
	c.obey()
}

// Vanish tells the session that the connection is lost.
func (c *SessionConn) Vanish(err error) {
	if c.closed {
		return
	}
	c.input = nil
	c.over = true
	c.Session.Receipt(c.receipt())
	c.Session.Closed(c.Now, err)
	c.obey()
	c.closed = true
}

// Handshake reports whether the session waits for a TLS handshake, and what shall go wrong with it.
func (c *SessionConn) Handshake() (f fault.TLSFault, waiting bool) {
	return c.fault, c.tls && !c.closed
}

// StartTLS tells the session that the handshake it waits for is done, or has failed for the reason that it wanted.
func (c *SessionConn) StartTLS(f fault.TLSFault) error {
	switch {
	case !c.tls:
		return fmt.Errorf("the server wants no handshake")
	case f != c.fault:
		return fmt.Errorf("the server wants a handshake with the fault %v, want %v", c.fault, f)
	}
	c.tls = false
	var err error
	if f != fault.TLSNone {
		err = fmt.Errorf("handshake: %v", f)
	}
	c.Session.TLSDone(c.Now, session.TLSInfo{Version: "TLS 1.3", Number: cmp.Or(c.TLSVersion, fault.TLS13)}, err)
	c.obey()
	return c.err
}

// Unread returns the lines that the session wrote and nobody has read.
func (c *SessionConn) Unread() (lines []string) {
	for rest := c.output; len(rest) > 0; {
		line := firstLine(rest)
		lines = append(lines, line)
		rest = rest[min(len(line)+2, len(rest)):]
	}
	return lines
}

// Output returns what the session wrote and nobody has read, and forgets it.
func (c *SessionConn) Output() []byte {
	out := c.output
	c.output = nil
	return out
}

// Closed reports whether the session has ended.
func (c *SessionConn) Closed() bool { return c.closed }

// Err returns a breach of the contract between session and driver.
func (c *SessionConn) Err() error { return c.err }

func firstLine(b []byte) string {
	if i := bytes.Index(b, []byte("\r\n")); i >= 0 {
		return string(b[:i])
	}
	return string(b)
}

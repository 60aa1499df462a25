package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// readBuffer holds any reply of ordinary length; longer ones take several reads.
const readBuffer = 2048

// Conn is one SMTP connection that has been greeted.
type Conn struct {
	cfg *Config
	obs Observer

	raw    net.Conn  // the socket
	net    net.Conn  // what is spoken through: raw, or tls
	tls    *tls.Conn // nil in plaintext
	guard  guard
	probe  *probe
	parser smtp.ReplyParser
	buf    []byte // received and not yet parsed: buf[r:w]
	r, w   int
	readAt time.Time // when the last read returned
	began  time.Time // when the last exchange of one command did

	capabilities Capabilities
	// awaited holds the phase of every command that was handed to the kernel, or should have been, and has no reply yet. It is
	// what makes counts exact: a reply removes its entry, a failure reports all that are left.
	awaited []smtp.Stage
	// armed is the phase for which limit holds, if deadline is set.
	armed    smtp.Stage
	deadline bool
	limit    time.Time // when the phase is over, zero if never
	until    time.Time // the deadline that the socket has, zero if none
	lastText string    // of the last reply of one line: most are the same, message after message
	// farewell is the 421 that ended the session (RFC 5321 section 3.8): the server closes after it, and so does the client.
	farewell Reply
	// astray says that a reply came that can't be the one to its command: it is not known to which commands the next ones belong.
	astray bool
	// ungreeted is a connection whose greeting nobody has read. loose says that octets were written whose replies the caller reads when it
	// likes: what waits to be read is no surprise then.
	ungreeted, loose bool
	byHand           handWritten // what Write wrote, for transcripts
	challenged       bool        // the last reply was a challenge of AUTH: what the caller writes next is a secret
	// broken says that bytes of a command or a body may be missing on the wire.
	broken error
	// transaction is an accepted MAIL that no final reply has ended: the next MAIL needs RSET before it.
	transaction bool
	// accepted is how many recipients Rcpt got accepted in the transaction.
	accepted int

	ctx       context.Context // of the operation under way
	watched   bool            // that operation is interrupted when ctx ends
	unwatch   func() bool     // ends the watch, nil without one
	interrupt func()          // guard.interrupt, bound once
	closed    *atomic.Bool    // shared with the Socket
	gone      chan struct{}   // closed by Close, likewise
}

// Socket is the connection below a Conn. It leads to nothing else of it, so that who holds one to close it keeps no Conn alive.
type Socket struct {
	conn   net.Conn
	closed *atomic.Bool
	gone   chan struct{}
}

// Close closes the connection without QUIT. It may be called at any time, from any goroutine and more than once; an operation that is under way ends
// with ErrAborted.
func (s Socket) Close() {
	if s.closed.CompareAndSwap(false, true) {
		close(s.gone)
		// Whatever is lost by closing was reported by the operation that lost it.
		_ = s.conn.Close()
	}
}

// Socket returns what is below the connection; it is comparable.
func (c *Conn) Socket() Socket { return Socket{c.raw, c.closed, c.gone} }

// Connect resolves, dials, reads the greeting and says EHLO, or HELO where the server refuses EHLO with a 5xx; then it encrypts the
// connection and authenticates, as far as cfg wants it. It fills in greeting as far as it gets. An error is an *Error, and then
// there is no Conn.
func Connect(ctx context.Context, cfg *Config, obs Observer, greeting *Greeting) (*Conn, error) {
	return open(ctx, cfg, obs, greeting, (*Conn).introduce)
}

// Open is Connect up to the greeting: no command is sent.
func Open(ctx context.Context, cfg *Config, obs Observer, greeting *Greeting) (*Conn, error) {
	return open(ctx, cfg, obs, greeting, (*Conn).greet)
}

// Dial is Open without the greeting, and without implicit TLS: nothing is read or written. Write may say what the server expects first, such
// as a PROXY header; Resume goes on.
func Dial(ctx context.Context, cfg *Config, obs Observer, greeting *Greeting) (*Conn, error) {
	return open(ctx, cfg, obs, greeting, func(*Conn, *Greeting) *Error { return nil })
}

func open(ctx context.Context, cfg *Config, obs Observer, greeting *Greeting, begin func(*Conn, *Greeting) *Error) (*Conn, error) {
	greeting.reset()
	conn, err := dial(ctx, cfg, greeting)
	if err != nil {
		e := &Error{Phase: smtp.StageConnect, Err: err}
		obs.Lost(smtp.StageConnect, e)
		return nil, e
	}
	c := &Conn{cfg: cfg, obs: obs, raw: conn, net: conn, buf: make([]byte, readBuffer), probe: newProbe(conn), ungreeted: true, closed: new(atomic.Bool), gone: make(chan struct{})}
	c.guard.conn = conn
	c.interrupt = c.guard.interrupt
	c.begin(ctx)
	defer c.end()
	if err := begin(c, greeting); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Ungreeted reports whether the greeting was not read yet.
func (c *Conn) Ungreeted() bool { return c.ungreeted }

// Resume takes a connection of Dial to where Connect takes one, or with greetingOnly to where Open does. It fills in greeting like those, and after
// an error the connection is closed.
func (c *Conn) Resume(ctx context.Context, greeting *Greeting, greetingOnly bool) error {
	greeting.reset()
	if c.closed.Load() {
		return c.refuse(smtp.StageConnect)
	}
	c.begin(ctx)
	defer c.end()
	begin := (*Conn).introduce
	if greetingOnly {
		begin = (*Conn).greet
	}
	if err := begin(c, greeting); err != nil {
		c.Close()
		return err
	}
	return nil
}

// introduce reads the greeting, says hello, encrypts and authenticates.
func (c *Conn) introduce(g *Greeting) (err *Error) {
	if err = c.greet(g); err != nil {
		return err
	}
	if g.Timings.Ehlo, err = c.hello(g); err != nil {
		return err
	}
	if err = c.secure(g); err != nil || c.cfg.Credentials == nil {
		return err
	}
	reply, err := c.authenticate(c.cfg.Credentials)
	if err != nil {
		return err
	}
	g.Timings.Auth = c.Took()
	if g.Reply = reply; reply.Code.Class() != 2 {
		return refusal(reply)
	}
	return nil
}

// greet reads the greeting.
func (c *Conn) greet(g *Greeting) *Error {
	if c.cfg.TLS == TLSImplicit {
		var err *Error
		if g.Timings.TLS, err = c.handshake(smtp.StageConnect); err != nil {
			return err
		}
	}
	connected := c.cfg.Now()
	c.ungreeted, c.loose = false, false
	c.await(smtp.StageConnect)
	c.parser.LastLineDecides(true)
	reply, err := c.reply()
	c.parser.LastLineDecides(false)
	if err != nil {
		return err
	}
	g.Banner, g.Reply = reply.Text, reply
	g.Timings.Banner = c.readAt.Sub(connected)
	if reply.Code.Class() != 2 {
		return refusal(reply)
	}
	return nil
}

// hello says EHLO, or HELO after a refused EHLO, or LHLO (RFC 2033 section 4.1).
func (c *Conn) hello(g *Greeting) (time.Duration, *Error) {
	verb := "EHLO "
	if c.cfg.LMTP {
		verb = "LHLO "
	}
	start := c.cfg.Now()
	reply, err := c.exchange(smtp.StageEhlo, verb+c.cfg.localName()+"\r\n")
	// RFC 5321 section 3.2 names 500 and 502 as the reason to say HELO; servers that don't know EHLO also say 501, 504 and 550.
	if err == nil && reply.Code.Permanent() && !c.cfg.LMTP {
		g.Reply = reply
		refused := refusal(reply)
		reply, err = c.exchange(smtp.StageHelo, "HELO "+c.cfg.localName()+"\r\n")
		// A server that refuses EHLO and closes has answered: its reply says more than the end of the connection does.
		if err != nil && hangup(err.Err) {
			refused.Err = err
			return NotMeasured, refused
		}
	} else if err == nil && reply.Code.Class() == 2 {
		c.capabilities = newCapabilities(reply.Text)
	}
	if err != nil {
		return NotMeasured, err
	}
	g.Reply, g.Capabilities = reply, c.capabilities
	took := c.readAt.Sub(start)
	if reply.Code.Class() != 2 {
		return took, refusal(reply)
	}
	return took, nil
}

// hangup reports that the server ended the connection.
func hangup(err error) bool {
	return errors.Is(err, ErrConnectionClosed) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func refusal(r Reply) *Error {
	return &Error{Phase: r.Phase, Code: r.Code, Enhanced: r.Enhanced, Text: r.Text}
}

// Usable reports whether another operation can be tried: the connection was not closed by either side, and nothing is waiting
// to be read that no command asked for. It looks at the socket without blocking, where the system allows it, so that a reply
// which came late or unasked for is never taken for the next command's.
func (c *Conn) Usable() bool {
	return !c.closed.Load() && c.r == c.w && c.drained() && c.probe.quiet()
}

// Open reports whether the connection was not closed on this side.
func (c *Conn) Open() bool { return !c.closed.Load() }

// Close closes the connection without QUIT. It may be called at any time, from any goroutine and more than once; an operation
// that is under way ends with ErrAborted.
func (c *Conn) Close() { c.Socket().Close() }

// Capabilities is what the server announced.
func (c *Conn) Capabilities() *Capabilities { return &c.capabilities }

// InTransaction reports whether a MAIL was accepted that no final reply has ended: Send leaves it open when all recipients, or DATA, were
// refused.
func (c *Conn) InTransaction() bool { return c.transaction }

// Rset ends the transaction, if there is any.
func (c *Conn) Rset(ctx context.Context) (Reply, error) {
	reply, err := c.Command(ctx, smtp.StageRset, "RSET\r\n")
	if err == nil && reply.Code.Class() == 2 {
		c.transaction, c.accepted = false, 0
	}
	return reply, err
}

// Noop asks for a reply and nothing else.
func (c *Conn) Noop(ctx context.Context) (Reply, error) {
	return c.Command(ctx, smtp.StageNoop, "NOOP\r\n")
}

// partingTime is how long Quit waits for the server's end of an encrypted connection.
const partingTime = time.Second

// Quit says QUIT, reads the reply and closes the connection, whatever the reply is.
func (c *Conn) Quit(ctx context.Context) (Reply, error) {
	defer c.Close()
	reply, err := c.Command(ctx, smtp.StageQuit, "QUIT\r\n")
	if err == nil && c.tls != nil && c.Open() {
		c.part(ctx)
	}
	return reply, err
}

// part exchanges the alerts that end TLS (RFC 8446 section 6.1), so that every octet on the wire was read and can be counted. Nothing
// depends on whether it succeeds.
func (c *Conn) part(ctx context.Context) {
	c.begin(ctx)
	defer c.end()
	if c.limit = time.Now().Add(partingTime); c.bound(time.Now()) != nil || c.tls.CloseWrite() != nil {
		return
	}
	for {
		if _, err := c.tls.Read(c.buf); err != nil {
			return
		}
	}
}

// Command sends one line, which ends with CRLF, and reads its reply.
func (c *Conn) Command(ctx context.Context, phase smtp.Stage, line string) (Reply, error) {
	if c.closed.Load() {
		return Reply{}, c.refuse(phase)
	}
	c.begin(ctx)
	defer c.end()
	reply, err := c.exchange(phase, line)
	if err != nil {
		return Reply{}, err
	}
	return reply, nil
}

// refuse reports an operation on a closed connection: a mistake of the caller, or a Close that overtook it.
func (c *Conn) refuse(phase smtp.Stage) *Error {
	err := &Error{Phase: phase, Err: fmt.Errorf("%w: %w", ErrAborted, net.ErrClosed)}
	c.obs.Lost(phase, err)
	return err
}

// Took is how long the last exchange took, from the first byte of its command to the last byte of its reply.
func (c *Conn) Took() time.Duration { return c.readAt.Sub(c.began) }

// exchange writes one command and reads its reply.
func (c *Conn) exchange(phase smtp.Stage, line string) (Reply, *Error) {
	return c.exchangeShown(phase, line, line)
}

// exchangeShown is exchange for a line that transcripts show in another way.
func (c *Conn) exchangeShown(phase smtp.Stage, line, shown string) (Reply, *Error) {
	c.traceCommands([]byte(shown))
	c.began = c.cfg.Now()
	c.await(phase)
	if err := c.write([]byte(line)); err != nil {
		return Reply{}, err
	}
	return c.reply()
}

// await notes that a reply is due. It comes before the write, so that a failed write loses it.
func (c *Conn) await(phase smtp.Stage) {
	c.awaited = append(c.awaited, phase)
}

// write hands p to the kernel. After an error other than a timeout or an abort the replies that are due are still read: a
// server that refuses and closes makes the write fail and has left its reply in the receive buffer.
//
// What the server said beyond the replies that were due is never taken for the reply to p: only a 421 may come unasked for (RFC 5321
// section 3.8).
func (c *Conn) write(p []byte) *Error {
	if c.r != c.w && !c.loose && !bytes.HasPrefix(c.buf[c.r:c.w], []byte("421")) {
		return c.fail(ErrUnexpectedData)
	}
	if err := c.arm(c.awaited[0]); err != nil {
		return c.fail(err)
	}
	for {
		n, err := c.net.Write(p)
		if err == nil {
			return nil
		}
		if c.resumes(err) {
			p = p[n:]
			continue
		}
		c.broken = err
		if errors.Is(err, os.ErrDeadlineExceeded) || c.closed.Load() {
			return c.fail(err)
		}
		return nil
	}
}

// fail closes the connection and reports every awaited reply as lost. The error's phase is that of the first. Replies that would
// have come after a 421 are not lost: the server has said that it gives none.
func (c *Conn) fail(err error) *Error {
	err = c.cause(err)
	c.Close()
	first := &Error{Phase: c.awaited[0], Err: err}
	if c.farewell.Code != 0 {
		c.awaited = c.awaited[:0]
	}
	for i, phase := range c.awaited {
		lost := first
		if i > 0 {
			lost = &Error{Phase: phase, Err: err}
		}
		c.obs.Lost(phase, lost)
	}
	c.awaited = c.awaited[:0]
	return first
}

// cause names what a failed read or write means.
func (c *Conn) cause(err error) error {
	switch {
	case c.closed.Load(): // by Close: fail has not done it yet
		return fmt.Errorf("%w: %w", ErrAborted, err)
	case errors.Is(err, os.ErrDeadlineExceeded) && c.ctx.Err() != nil:
		return fmt.Errorf("%w: %w", ErrAborted, context.Cause(c.ctx))
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ErrTimeout
	case c.broken != nil && !isAlert(err):
		return c.broken
	}
	return err
}

// isAlert reports what the server said by TLS when it ended the connection. Under TLS 1.3 it refuses a client's certificate after the handshake, so
// that the client's next write fails, and says less.
func isAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

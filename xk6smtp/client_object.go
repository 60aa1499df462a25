package xk6smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/grafana/sobek"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
	"github.com/smtpstorm/xk6-smtp/xk6smtp/client"
)

// smtpClient is one JavaScript Client: options, a queue of calls, and at most one connection, which outlives the iteration.
type smtpClient struct {
	module  *module
	options *clientOptions
	queue   queue

	// The worker's own: calls run one at a time.
	collector collector
	greeting  client.Greeting
	result    client.Result
	header    []byte
	date      dateLine
	claimant  claimant
	handLed   handLed
	filled    client.Body // a message whose fields were filled in
	cache     tagCache
	lines     []client.TraceEntry // of the call under way
	tlsBase   *tls.Config         // k6's, from which tlsConfig was made
	tlsConfig *tls.Config
	sent      int // messages on this connection

	mu        sync.Mutex // guards what close, the idle timer and the worker share
	conn      *client.Conn
	iteration context.Context // the only one that may use conn; nil if all may
	busy      bool
	idleSince time.Time
	idle      *time.Timer // runs as long as it is set
	closed    bool
	forgotten runtime.Cleanup // closes conn when nobody can reach the client any more

	ofIteration bool // made in an iteration, not in the init context
}

// newClient is the constructor of Client.
func (m *module) newClient(call sobek.ConstructorCall) *sobek.Object {
	options, err := parseClientOptions(m.vu.Runtime(), call.Argument(0))
	if err != nil {
		m.throw(err)
	}
	c := &smtpClient{module: m, options: options, ofIteration: m.vu.State() != nil}
	if options.serverTag || m.serverTag {
		options.tags = withServerTag(options.tags, options.config.Address)
	}
	if options.transcript || m.debug {
		options.config.Trace = c.trace
	}
	for name, method := range map[string]func(sobek.FunctionCall) sobek.Value{
		"connect":  c.jsConnect,
		"send":     c.jsSend,
		"ehlo":     c.jsEhlo,
		"helo":     c.jsHelo,
		"starttls": c.jsStartTLS,
		"auth":     c.jsAuth,
		"mail":     c.jsMail,
		"rcpt":     c.jsRcpt,
		"data":     c.jsData,
		"bdat":     c.jsBdat,
		"rset":     c.jsRset,
		"noop":     c.jsNoop,
		"vrfy":     c.jsVrfy,
		"raw":      c.jsRaw,
		"quit":     c.jsQuit,
		"close":    c.jsClose,
	} {
		if err := call.This.DefineDataProperty(name, m.vu.Runtime().ToValue(method), sobek.FLAG_FALSE, sobek.FLAG_FALSE, sobek.FLAG_TRUE); err != nil {
			m.throw(err)
		}
	}
	return nil
}

// jsConnect opens the connection now instead of with the first message.
func (c *smtpClient) jsConnect(call sobek.FunctionCall) sobek.Value {
	return c.start("connect", nil, func() (func(*operation) answer, error) {
		hello, greeting := true, true
		flag := func(into *bool) parser {
			return func(v option) (err error) {
				*into, err = v.bool()
				return err
			}
		}
		err := parseOptions(c.module.vu.Runtime(), "connect", call.Argument(0), map[string]parser{"hello": flag(&hello), "greeting": flag(&greeting)})
		return func(op *operation) answer {
			op.greetingOnly, op.dialOnly = !hello, !greeting
			return c.runConnect(op)
		}, err
	})
}

// jsSend sends a message.
func (c *smtpClient) jsSend(call sobek.FunctionCall) sobek.Value {
	var options *sendOptions
	return c.start("send", &options, func() (func(*operation) answer, error) {
		m, ok := call.Argument(0).Export().(*message)
		if !ok {
			return nil, &optionError{owner: "send", problem: "wants a Message, not " + describe(call.Argument(0))}
		}
		var err error
		if options, err = parseSendOptions(c.module.vu.Runtime(), call.Argument(1)); err != nil {
			return nil, err
		}
		envelope, values, err := m.prepare(options.fields)
		if err != nil {
			return nil, err
		}
		wire := client.Message{From: envelope.from, To: envelope.to, Body: m.body, UTF8: m.utf8}
		if options.from != nil {
			wire.From = *options.from
		}
		if options.to != nil {
			wire.To = options.to
		}
		var wrong *client.EnvelopeError
		if err := wire.Validate(); errors.As(err, &wrong) {
			return nil, &optionError{"send", wrong.Field, wrong.Problem}
		}
		idDomain := envelope.idDomain
		return func(op *operation) answer { return c.runSend(op, m, idDomain, values, wire, options) }, nil
	})
}

func (c *smtpClient) jsRset(call sobek.FunctionCall) sobek.Value {
	return c.start("rset", nil, func() (func(*operation) answer, error) {
		return c.runRset, noArguments("rset", call)
	})
}

func (c *smtpClient) jsNoop(call sobek.FunctionCall) sobek.Value {
	return c.start("noop", nil, func() (func(*operation) answer, error) {
		return c.runNoop, noArguments("noop", call)
	})
}

func (c *smtpClient) jsQuit(call sobek.FunctionCall) sobek.Value {
	return c.start("quit", nil, func() (func(*operation) answer, error) {
		return c.runQuit, noArguments("quit", call)
	})
}

func noArguments(method string, call sobek.FunctionCall) error {
	if len(call.Arguments) == 0 {
		return nil
	}
	return &optionError{owner: method, problem: "takes no arguments"}
}

// jsClose closes the connection at once and for good; what is under way ends with an error.
func (c *smtpClient) jsClose(sobek.FunctionCall) sobek.Value {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.dropLocked()
	return sobek.Undefined()
}

// start prepares a call on the event loop and queues it. It returns the promise.
func (c *smtpClient) start(method string, options **sendOptions, prepare func() (func(*operation) answer, error)) sobek.Value {
	m := c.module
	rt := m.vu.Runtime()
	promise, resolve, reject := rt.NewPromise()
	refuse := func(reason *sobek.Object) sobek.Value {
		if err := reject(reason); err != nil {
			m.throw(err)
		}
		return rt.ToValue(promise)
	}
	state := m.vu.State()
	if state == nil {
		return refuse(m.newError(method + ": a Client can't be used in the init context, only in the default function, in setup and in teardown"))
	}
	if c.isClosed() {
		return refuse(m.newError(method + ": the client was closed"))
	}
	m.root.warnOfThresholds(state)
	run, err := prepare()
	if err != nil {
		return refuse(m.errorValue(err))
	}
	op := &operation{
		client:   c,
		run:      run,
		method:   method,
		ctx:      m.vu.Context(),
		state:    state,
		called:   time.Now(),
		tags:     state.Tags.GetCurrentValues(),
		callback: m.vu.RegisterCallback(),
		resolve:  resolve,
		reject:   reject,
	}
	op.tags.Tags = withPairs(op.tags.Tags, c.options.tags)
	if options != nil {
		op.tags.Tags = withPairs(op.tags.Tags, (*options).tags)
	}
	c.queue.add(op)
	return rt.ToValue(promise)
}

func (c *smtpClient) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// connection returns the connection if the operation can use it: an iteration that must not reuse another one's does not get that.
func (c *smtpClient) connection(op *operation) *client.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch conn := c.conn; {
	case conn == nil:
	case c.iteration != nil && c.iteration != op.ctx:
		c.dropLocked()
	case (op.byHand || conn.Ungreeted()) && conn.Loose() && conn.Open(): // what waits to be read is the script's, or the greeting
	case op.byHand && op.dialOnly && conn.Open(): // the script reads what there is, also the last words of a server that has closed
	case !conn.Usable():
		c.dropLocked()
	default:
		conn.RepliesRead()
	}
	return c.conn
}

// adopt takes a new connection, unless the client was closed meanwhile.
func (c *smtpClient) adopt(op *operation, conn *client.Conn) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		conn.Close()
		err := &client.Error{Phase: smtp.StageConnect, Err: fmt.Errorf("%w: the client was closed", client.ErrAborted)}
		c.collector.Lost(err.Phase, err)
		return err
	}
	c.conn = conn
	c.sent = 0
	c.handLed.reset()
	c.hold(op)
	if options := &op.state.Options; options.NoVUConnectionReuse.Bool || options.NoConnectionReuse.Bool {
		c.iteration = op.ctx
		context.AfterFunc(op.ctx, func() { c.iterationEnded(conn) })
	}
	return nil
}

// held is what is left to do with a connection whose client was forgotten: nothing in it leads to the client.
type held struct {
	socket      client.Socket
	connections *connections
	unclosed    *atomic.Int32 // nil for a client of the init context
}

func (h held) release() {
	h.socket.Close()
	h.connections.remove(h.socket)
	if h.unclosed != nil {
		h.unclosed.Add(-1)
		h.connections.unmade()
	}
}

func (c *smtpClient) held() held {
	h := held{socket: c.conn.Socket(), connections: c.module.root.connections}
	if c.ofIteration {
		h.unclosed = c.module.unclosed
	}
	return h
}

// hold notes a new connection: it ends with the test, or when the script can't reach its client any more.
func (c *smtpClient) hold(op *operation) {
	h := c.held()
	h.connections.add(h.socket)
	c.forgotten = runtime.AddCleanup(c, held.release, h)
	if h.unclosed == nil {
		return
	}
	h.connections.made()
	if h.unclosed.Add(1) == tooManyClients {
		c.module.root.clientsLeak.Do(func() {
			if op.state.Logger != nil {
				op.state.Logger.Warnf("%s: this VU has %d connections of clients that its iterations made and did not close: create clients in the init context, "+
					"or end each with quit() or close()", ImportPath, tooManyClients)
			}
		})
	}
}

// iterationEnded closes a connection that must not outlive the iteration that opened it, without QUIT, whose reply could not be counted.
func (c *smtpClient) iterationEnded(conn *client.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == conn {
		c.dropLocked()
	}
}

// drop forgets the connection and closes it.
func (c *smtpClient) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropLocked()
}

func (c *smtpClient) dropLocked() {
	if c.conn != nil {
		c.forgotten.Stop()
		c.held().release()
		c.conn, c.iteration = nil, nil
	}
}

// work marks the connection as in use, so that the idle timer leaves it alone.
func (c *smtpClient) work() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy = true
}

// rest starts the idle time. A timer that runs goes on: moving it with every message would cost more than letting it look again.
func (c *smtpClient) rest() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy = false
	if c.conn == nil || c.options.idleTimeout == 0 {
		return
	}
	c.idleSince = time.Now()
	if c.idle == nil {
		c.idle = c.idleAfter(c.options.idleTimeout)
	}
}

// idleAfter has idled called, unless the client was forgotten by then: a timer must not keep it.
func (c *smtpClient) idleAfter(d time.Duration) *time.Timer {
	self := weak.Make(c)
	return time.AfterFunc(d, func() {
		if c := self.Value(); c != nil {
			c.idled()
		}
	})
}

// idled closes a connection that was idle for long enough, without QUIT: no promise is pending, and so its reply could not be counted.
func (c *smtpClient) idled() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idle = nil
	if c.busy || c.conn == nil {
		return
	}
	if left := c.options.idleTimeout - time.Since(c.idleSince); left > 0 {
		c.idle = c.idleAfter(left)
		return
	}
	c.dropLocked()
}

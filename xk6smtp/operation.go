package xk6smtp

import (
	"context"
	"errors"
	"time"

	"go.k6.io/k6/v2/js/common"
	"go.k6.io/k6/v2/lib"
	"go.k6.io/k6/v2/metrics"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
	"github.com/smtpstorm/xk6-smtp/xk6smtp/client"
)

// operation is one call on its way from the event loop to the client's goroutine and back. Everything in it was captured on the
// loop.
type operation struct {
	client   *smtpClient
	run      func(*operation) answer
	method   string
	ctx      context.Context // of the iteration: it bounds the operation, never the connection
	state    *lib.State
	called   time.Time
	tags     metrics.TagsAndMeta
	callback func(func() error)
	resolve  func(any) error
	reject   func(any) error

	// greetingOnly opens a connection as far as the greeting; withoutAuth, without AUTH; dialOnly does not even read the greeting.
	greetingOnly, withoutAuth, dialOnly bool
	// byHand takes a connection as it is: with replies that wait to be read, or the greeting.
	byHand bool

	batch batch
}

// do runs the operation on the client's goroutine, pushes its samples and settles its promise.
func (op *operation) do() {
	c := op.client
	c.collector.reset()
	op.batch = batch{metrics: c.module.metrics, cache: &c.cache, tags: op.tags, withoutPhases: !c.options.phaseTrends}
	c.work()
	res := op.run(op)
	c.rest()
	c.transcript(op, res.base())

	op.batch.time = time.Now()
	op.batch.counts(&c.collector)
	op.push()
	op.callback(func() error {
		if base := res.base(); !base.OK && c.options.throw {
			return op.reject(c.module.failure(op.method, res, base))
		}
		return op.resolve(c.module.vu.Runtime().ToValue(res))
	})
}

// push hands the samples to k6 while the promise is pending. An iteration waits for its promises even after its context has
// ended, so that what an aborted operation observed still counts; setup and teardown (VU 0) don't wait.
func (op *operation) push() {
	if len(op.batch.samples) == 0 || (op.ctx.Err() != nil && op.state.VUID == 0) {
		return
	}
	for i := range op.batch.samples {
		op.batch.samples[i].Time = op.batch.time
	}
	op.state.Samples <- op.batch.container()
}

// failure is the Error that a client with throw: true rejects with.
func (m *module) failure(method string, res answer, base *replyResult) any {
	object := m.newError(method + ": " + base.Error)
	for name, value := range map[string]any{
		"phase": base.Phase, "code": base.Code, "enhancedCode": base.EnhancedCode, "errorCode": base.ErrorCode, "result": res,
	} {
		if err := object.Set(name, value); err != nil { // a script froze Error.prototype
			common.Throw(m.vu.Runtime(), err)
		}
	}
	return object
}

// ensure returns the connection, and opens one if there is none: the greeting is c.greeting's then.
func (c *smtpClient) ensure(op *operation) (*client.Conn, error) {
	if conn := c.connection(op); conn != nil {
		if !conn.Ungreeted() || op.dialOnly || op.byHand {
			return conn, nil
		}
		err := conn.Resume(op.ctx, &c.greeting, op.greetingOnly)
		op.batch.connection(&c.greeting, err)
		if err != nil {
			c.drop()
			return nil, err
		}
		return conn, nil
	}
	config := c.options.config
	config.Dialer = dialer{op.state.Dialer, c.module.root.sinks}
	if resolver := op.state.GetAddrResolver(); resolver != nil {
		config.Resolver = resolver
	}
	if config.TLSConfig = c.tlsConfig; config.TLSConfig == nil || c.tlsBase != op.state.TLSConfig {
		c.tlsBase, c.tlsConfig = op.state.TLSConfig, c.options.tls.over(op.state.TLSConfig)
		config.TLSConfig = c.tlsConfig
	}
	if op.withoutAuth {
		config.Credentials = nil
	}
	open := client.Connect
	switch {
	case op.dialOnly:
		open = client.Dial
	case op.greetingOnly:
		open = client.Open
	}
	conn, err := open(op.ctx, &config, &c.collector, &c.greeting)
	if err == nil {
		err = c.adopt(op, conn)
	}
	if op.dialOnly && err == nil {
		op.batch.dialled(&c.greeting)
	} else {
		op.batch.connection(&c.greeting, err)
	}
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// release drops a connection that an operation has used up.
func (c *smtpClient) release(op *operation, conn *client.Conn) {
	limit := c.options.messagesPerConnection
	if op.state.Options.NoConnectionReuse.Bool {
		limit = 1
	}
	if limit > 0 && c.sent >= limit && conn.Open() {
		// The reply to QUIT is counted; nothing depends on it any more.
		_, _ = conn.Quit(op.ctx)
	}
	if !conn.Open() {
		c.drop()
	}
}

func (c *smtpClient) runConnect(op *operation) answer {
	conn, err := c.ensure(op)
	return newConnectResult(&c.greeting, conn, err)
}

func (c *smtpClient) runRset(op *operation) answer {
	return c.runCommand(op, smtp.StageRset, (*client.Conn).Rset)
}

func (c *smtpClient) runNoop(op *operation) answer {
	return c.runCommand(op, smtp.StageNoop, (*client.Conn).Noop)
}

// runCommand runs one command on the connection, which it opens first if need be.
func (c *smtpClient) runCommand(op *operation, phase smtp.Stage, run command) answer {
	res := &replyResult{}
	conn, err := c.ensure(op)
	if err != nil {
		res.setFailure(phase, err)
		return res
	}
	reply, err := run(conn, op.ctx)
	took := conn.Took()
	c.noteReset(phase, reply)
	c.release(op, conn)
	c.fillReply(res, phase, reply, err)
	if err == nil {
		op.batch.command(reply, took)
	}
	return res
}

// fillReply fills in a result from a command's reply or error.
func (c *smtpClient) fillReply(res *replyResult, phase smtp.Stage, reply client.Reply, err error) {
	if err != nil {
		res.setFailure(phase, err)
		return
	}
	// 354 can only have come by raw: the script goes on from there.
	res.setReply(reply, reply.Code.Positive())
}

// runQuit ends the connection in good order. Without one there is nothing to say, and nothing went wrong.
func (c *smtpClient) runQuit(op *operation) answer {
	res := &replyResult{OK: true, Phase: smtp.StageQuit.String()}
	conn := c.connection(op)
	if conn == nil {
		return res
	}
	reply, err := conn.Quit(op.ctx)
	c.drop()
	c.fillReply(res, smtp.StageQuit, reply, err)
	return res
}

// setFailure takes a dialogue that broke or was refused; phase stands in for errors that have none of their own.
func (r *replyResult) setFailure(phase smtp.Stage, err error) {
	broken := brokenBy(err)
	switch {
	case broken == nil:
		r.setError(phase, err)
	case broken.Code == 0:
		r.setError(broken.Phase, err)
	default:
		r.setReply(client.Reply{Phase: broken.Phase, Code: broken.Code, Enhanced: broken.Enhanced, Text: broken.Text}, false)
		r.addCause(err)
	}
}

// brokenBy returns the client's error within err.
func brokenBy(err error) *client.Error {
	var broken *client.Error
	errors.As(err, &broken)
	return broken
}

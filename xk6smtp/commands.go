package xk6smtp

import (
	"context"
	"strings"
	"time"

	"github.com/grafana/sobek"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
	"github.com/smtpstorm/xk6-smtp/xk6smtp/client"
)

// The commands one by one. Each opens the connection first if need be: ehlo and helo as far as the greeting, the others completely.

// command is what a client's method does with a connection, and how its reply is told.
type command func(*client.Conn, context.Context) (client.Reply, error)

func (c *smtpClient) jsEhlo(call sobek.FunctionCall) sobek.Value {
	return c.hello("ehlo", smtp.StageEhlo, call)
}

func (c *smtpClient) jsHelo(call sobek.FunctionCall) sobek.Value {
	return c.hello("helo", smtp.StageHelo, call)
}

// hello says EHLO or HELO; its argument stands in for the option localName.
func (c *smtpClient) hello(method string, phase smtp.Stage, call sobek.FunctionCall) sobek.Value {
	return c.start(method, nil, func() (func(*operation) answer, error) {
		name := ""
		if v := call.Argument(0); !sobek.IsUndefined(v) {
			var err error
			if name, err = c.argument(method, "name", v).string(); err != nil {
				return nil, err
			}
			if !isDomainOrLiteral(name) {
				return nil, c.argument(method, "name", v).fail("a host name or an address literal such as [192.0.2.1]")
			}
		}
		return func(op *operation) answer {
			op.greetingOnly = true
			return c.runCommand(op, phase, func(conn *client.Conn, ctx context.Context) (client.Reply, error) {
				return conn.Hello(ctx, phase, name)
			})
		}, nil
	})
}

func (c *smtpClient) jsStartTLS(call sobek.FunctionCall) sobek.Value {
	return c.start("starttls", nil, func() (func(*operation) answer, error) {
		return c.runStartTLS, noArguments("starttls", call)
	})
}

// startTLSResult is what starttls resolves with.
type startTLSResult struct {
	replyResult
	TLS *tlsInfo `js:"tls"`
}

func (c *smtpClient) runStartTLS(op *operation) answer {
	res := &startTLSResult{}
	conn, err := c.ensure(op)
	if err != nil {
		res.setFailure(smtp.StageStartTLS, err)
		return res
	}
	reply, handshake, err := conn.StartTLS(op.ctx)
	op.batch.trend(op.batch.metrics.connTLS, ownTags{}, handshake)
	c.fillReply(&res.replyResult, smtp.StageStartTLS, reply, err)
	res.TLS = newTLSInfo(conn)
	c.release(op, conn)
	return res
}

func (c *smtpClient) jsAuth(call sobek.FunctionCall) sobek.Value {
	return c.start("auth", nil, func() (func(*operation) answer, error) {
		credentials := c.options.config.Credentials
		if v := call.Argument(0); !sobek.IsUndefined(v) {
			var err error
			if credentials, err = parseAuth(option{owner: "auth", value: v, rt: c.module.vu.Runtime()}); err != nil {
				return nil, err
			}
		}
		if credentials == nil {
			return nil, &optionError{"auth", "user", "is required, here or in the Client's option auth"}
		}
		return func(op *operation) answer {
			op.withoutAuth = true
			return c.runCommand(op, smtp.StageAuth, func(conn *client.Conn, ctx context.Context) (client.Reply, error) {
				return conn.Authenticate(ctx, credentials)
			})
		}, nil
	})
}

func (c *smtpClient) jsMail(call sobek.FunctionCall) sobek.Value {
	return c.envelope("mail", smtp.StageMail, call, c.mailParams, (*client.Conn).Mail)
}

func (c *smtpClient) jsRcpt(call sobek.FunctionCall) sobek.Value {
	return c.envelope("rcpt", smtp.StageRcpt, call, c.rcptParams, (*client.Conn).Rcpt)
}

// envelope says MAIL or RCPT with an address and parameters.
func (c *smtpClient) envelope(method string, phase smtp.Stage, call sobek.FunctionCall, parse func(sobek.Value, string) ([]string, error),
	say func(*client.Conn, context.Context, string, []string) (client.Reply, error)) sobek.Value {
	return c.start(method, nil, func() (func(*operation) answer, error) {
		v := c.argument(method, "address", call.Argument(0))
		text, err := v.string()
		if err != nil {
			return nil, err
		}
		address, err := v.address(text)
		if err != nil {
			return nil, err
		}
		params, err := parse(call.Argument(1), address)
		if err != nil {
			return nil, err
		}
		return func(op *operation) answer {
			return c.runCommand(op, phase, func(conn *client.Conn, ctx context.Context) (client.Reply, error) {
				reply, err := say(conn, ctx, address, params)
				c.noteEnvelope(phase, address, params, reply)
				return reply, err
			})
		}, nil
	})
}

// mailParams reads the parameters of MAIL.
func (c *smtpClient) mailParams(value sobek.Value, _ string) (params []string, err error) {
	add := func(p string) { params = append(params, p) }
	err = parseOptions(c.module.vu.Runtime(), "mail", value, map[string]parser{
		"size": func(v option) error {
			if _, err := v.integer(0, 1<<53); err != nil {
				return err
			}
			add("SIZE=" + v.value.String())
			return nil
		},
		"body": func(v option) error {
			body, err := v.oneOf("7BIT", "8BITMIME", "BINARYMIME")
			add("BODY=" + body)
			return err
		},
		"smtputf8": func(v option) error {
			wanted, err := v.bool()
			if wanted {
				add("SMTPUTF8")
			}
			return err
		},
		"ret": func(v option) error {
			ret, err := v.oneOf("FULL", "HDRS")
			add("RET=" + ret)
			return err
		},
		"envid": func(v option) error {
			id, err := v.string()
			add("ENVID=" + xtext(id))
			return err
		},
		"params": func(v option) (err error) {
			params, err = v.params(params)
			return err
		},
	})
	return params, err
}

// rcptParams reads the parameters of RCPT.
func (c *smtpClient) rcptParams(value sobek.Value, address string) (params []string, err error) {
	err = parseOptions(c.module.vu.Runtime(), "rcpt", value, map[string]parser{
		"notify": func(v option) error {
			notify, err := v.notify()
			params = append(params, "NOTIFY="+notify)
			return err
		},
		"orcpt": func(v option) error {
			original, self, err := v.orcpt()
			if self {
				original = "rfc822;" + address
			}
			if kind, rest, ok := strings.Cut(original, ";"); ok {
				params = append(params, "ORCPT="+kind+";"+xtext(rest))
			}
			return err
		},
		"params": func(v option) (err error) {
			params, err = v.params(params)
			return err
		},
	})
	return params, err
}

func xtext(s string) string { return string(smtp.AppendXText(nil, []byte(s))) }

// params reads parameters that stand on the line as they are.
func (o option) params(to []string) ([]string, error) {
	list, err := o.strings()
	if err != nil {
		return nil, err
	}
	for _, p := range list {
		if err := client.CheckLine(p); err != nil {
			return nil, &optionError{o.owner, o.key, err.Error()}
		}
	}
	return append(to, list...), nil
}

// transferResult is what data and bdat resolve with. Its reply is the last one, or the first negative one of LMTP's.
type transferResult struct {
	replyResult
	Token   string          `js:"token"`
	Replies []replyResult   `js:"replies"`
	Timings transferTimings `js:"timings"`
}

type transferTimings struct {
	Data    float64 `js:"data"`
	Sending float64 `js:"sending"`
	Waiting float64 `js:"waiting"`
}

func (c *smtpClient) jsData(call sobek.FunctionCall) sobek.Value {
	return c.start("data", nil, func() (func(*operation) answer, error) {
		built, isMessage := call.Argument(0).Export().(*message)
		var body *client.Body
		if isMessage {
			if _, _, err := built.prepare(nil); err != nil {
				return nil, err
			}
			body = built.body
		} else {
			v := c.argument("data", "body", call.Argument(0))
			text, err := v.bytesOr("a Message, a string or an ArrayBuffer")
			if err != nil {
				return nil, err
			}
			body = client.NewBody(text)
		}
		return func(op *operation) answer {
			sent := handBody{body: body, isLast: true}
			var header []byte
			if isMessage {
				fresh := c.module.root.tokens.next()
				token, isFresh := built.token(body, fresh)
				sent.message, sent.token, sent.fresh = built, token, fresh
				header = built.appendHeader(nil, built.idDomain, fresh, isFresh, new(dateLine).at(time.Now()))
			}
			return c.runTransfer(op, smtp.StageData, &sent, func(conn *client.Conn) (client.Transfer, error) {
				return conn.Data(op.ctx, header, body)
			})
		}, nil
	})
}

func (c *smtpClient) jsBdat(call sobek.FunctionCall) sobek.Value {
	return c.start("bdat", nil, func() (func(*operation) answer, error) {
		last := false
		chunk, err := c.argument("bdat", "chunk", call.Argument(0)).bytesOr("a string or an ArrayBuffer")
		if err != nil {
			return nil, err
		}
		err = parseOptions(c.module.vu.Runtime(), "bdat", call.Argument(1), map[string]parser{"last": func(v option) (err error) {
			last, err = v.bool()
			return err
		}})
		return func(op *operation) answer {
			return c.runTransfer(op, smtp.StageBdat, &handBody{chunk: chunk, isLast: last}, func(conn *client.Conn) (client.Transfer, error) {
				return conn.Bdat(op.ctx, chunk, last)
			})
		}, err
	})
}

// runTransfer sends a body or a chunk.
func (c *smtpClient) runTransfer(op *operation, phase smtp.Stage, body *handBody, send func(*client.Conn) (client.Transfer, error)) answer {
	res := &transferResult{Token: body.token}
	conn, err := c.ensure(op)
	if err != nil {
		res.setFailure(phase, err)
		return res
	}
	claims := c.claims()
	if claims {
		c.claimBody(body)
	}
	t, err := send(conn)
	if claims {
		c.claimTransfer(body, t.Replies)
	}
	c.release(op, conn)
	res.Timings = transferTimings{millis(t.Data), millis(t.Sending), millis(t.Waiting)}
	for _, reply := range t.Replies {
		one := replyResult{}
		one.setReply(reply, reply.Code.Class() == 2)
		res.Replies = append(res.Replies, one)
		if res.Code == 0 || res.OK {
			res.replyResult = one
		}
	}
	if err != nil {
		res.setFailure(phase, err)
	}
	m := op.batch.metrics
	own := ownTags{expected: tri(res.OK)}
	op.batch.trend(m.msgData, ownTags{code: c.collector.code(smtp.StageData).code, expected: own.expected, pipelined: isFalse}, t.Data)
	op.batch.trend(m.msgSending, own, t.Sending)
	op.batch.trend(m.msgWaiting, ownTags{code: smtp.Code(res.Code), expected: own.expected}, t.Waiting) // #nosec G115 -- setReply took it from a smtp.Code
	return res
}

func (c *smtpClient) jsVrfy(call sobek.FunctionCall) sobek.Value {
	return c.start("vrfy", nil, func() (func(*operation) answer, error) {
		line, err := c.lineArgument("vrfy", "address", "VRFY ", call.Argument(0))
		return func(op *operation) answer { return c.runLine(op, smtp.StageVrfy, line) }, err
	})
}

// lineArgument reads what a script writes on a command line.
func (c *smtpClient) lineArgument(method, what, prefix string, value sobek.Value) (string, error) {
	text, err := c.argument(method, what, value).string()
	if err != nil {
		return "", err
	}
	if err := client.CheckLine(text); err != nil {
		return "", &optionError{method, what, err.Error()}
	}
	return prefix + text, nil
}

// argument is a method's argument as an option, for the same messages.
func (c *smtpClient) argument(method, name string, value sobek.Value) option {
	return option{owner: method, key: name, value: value, rt: c.module.vu.Runtime()}
}

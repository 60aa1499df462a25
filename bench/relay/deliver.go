package relay

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
	"github.com/smtpstorm/xk6-smtp/xk6smtp/client"
)

// outcome is what became of an attempt to deliver to one recipient: the reply that decided, or what happened instead of one.
type outcome struct {
	client.Reply
	broken   string // why there was no reply; empty: there was one
	passedOn bool   // the next hop knows what of it is to be notified (RFC 3461)
}

// class returns 2 for what was delivered, 5 for what was refused for good, and 4 for all else. A 5yz to the connection as a whole
// refuses no message, and 552 to RCPT means too many recipients (RFC 5321 section 4.5.3.1.10).
func (o *outcome) class() int {
	switch {
	case o.Code.Class() == 2 && o.Phase == smtp.StageMessage:
		return 2
	case !o.Code.Permanent(), o.Phase == smtp.StageRcpt && o.Code == 552:
		return 4
	}
	switch o.Phase {
	case smtp.StageMail, smtp.StageRcpt, smtp.StageData, smtp.StageMessage:
		return 5
	}
	return 4
}

// ignored is an observer of replies that looks at none.
type ignored struct{}

// Reply implements client.Observer.
func (ignored) Reply(smtp.Stage, smtp.Code, smtp.Enhanced) {}

// Lost implements client.Observer.
func (ignored) Lost(smtp.Stage, *client.Error) {}

// deliver tries to deliver a message over a connection of its own, and returns what became of each recipient.
func (r *Relay) deliver(m *message) (outcomes []outcome, hungUp bool) {
	line := &wire{hangUp: m.hangUp}
	cfg := client.Config{Address: m.hop, LocalName: r.cfg.Hostname, Dialer: line, Timeouts: client.AllTimeouts(r.cfg.Timeout), Now: time.Now}
	t := transaction{ctx: r.ctx, m: m, outcomes: make([]outcome, len(m.recipients))}
	var greeting client.Greeting
	var err error
	if t.conn, err = client.Connect(r.ctx, &cfg, ignored{}, &greeting); err != nil {
		t.rest(failed(err))
		return t.outcomes, false
	}
	defer t.conn.Close()
	if err := t.run(); err != nil {
		t.rest(failed(err))
	} else {
		_, _ = t.conn.Quit(r.ctx) // whatever it answers, the message is decided
	}
	return t.outcomes, line.hungUp
}

// failed makes an outcome of an error of the client's.
func failed(err error) outcome {
	o := outcome{broken: err.Error()}
	var e *client.Error
	if errors.As(err, &e) && e.Code != 0 {
		o.Reply = client.Reply{Code: e.Code, Enhanced: e.Enhanced, Text: e.Text} // a 421, or a greeting: no phase of the message
	}
	return o
}

// transaction is one MAIL with what follows.
type transaction struct {
	ctx      context.Context
	conn     *client.Conn
	m        *message
	outcomes []outcome
}

// rest gives an outcome to all recipients that have none.
func (t *transaction) rest(o outcome) {
	for i := range t.outcomes {
		if have := &t.outcomes[i]; have.Code == 0 && have.broken == "" {
			*have = o
		}
	}
}

// run speaks the dialogue. An error ends it, and with it the connection.
func (t *transaction) run() error {
	body := client.NewBody(t.m.content)
	reply, err := t.conn.Mail(t.ctx, t.m.sender, t.mailParams(body))
	if err != nil || reply.Code.Class() != 2 {
		t.rest(outcome{Reply: reply})
		return err
	}
	took := 0
	for i, to := range t.m.recipients {
		reply, err := t.conn.Rcpt(t.ctx, to.address, t.rcptParams(&to))
		if err != nil {
			return err
		}
		if reply.Code.Class() == 2 {
			took++
		} else {
			t.outcomes[i].Reply = reply
		}
	}
	if took == 0 {
		return nil
	}
	transfer, err := t.conn.Data(t.ctx, nil, body)
	if err != nil {
		return err
	}
	if len(transfer.Replies) == 0 {
		t.rest(outcome{broken: "no reply after the body"})
		return nil
	}
	last := transfer.Replies[0]
	if transfer.Sending == client.NotMeasured && last.Code.Class() == 2 { // nothing was sent, so nothing can have been taken
		last.Code = 0
		t.rest(outcome{Reply: last, broken: "a positive reply to DATA in the place of 354"})
	}
	_, dsn := t.conn.Capabilities().Find("DSN")
	t.rest(outcome{Reply: last, passedOn: dsn})
	return nil
}

// mailParams returns the parameters of MAIL that the server takes.
func (t *transaction) mailParams(body *client.Body) (params []string) {
	offered := t.conn.Capabilities()
	if _, ok := offered.Find("8BITMIME"); ok && body.EightBit() {
		params = append(params, "BODY=8BITMIME")
	}
	if _, ok := offered.Find("DSN"); !ok {
		return params
	}
	if t.m.ret != "" {
		params = append(params, "RET="+t.m.ret)
	}
	if t.m.envid != "" {
		params = append(params, "ENVID="+string(smtp.AppendXText(nil, []byte(t.m.envid))))
	}
	return params
}

// rcptParams returns the parameters of RCPT that the server takes (RFC 3461 section 5.2.1).
func (t *transaction) rcptParams(to *recipient) (params []string) {
	if _, ok := t.conn.Capabilities().Find("DSN"); !ok {
		return nil
	}
	if to.notify != "" {
		params = append(params, "NOTIFY="+to.notify)
	}
	if kind, address, ok := strings.Cut(to.original, ";"); ok {
		params = append(params, "ORCPT="+kind+";"+string(smtp.AppendXText(nil, []byte(address))))
	}
	return params
}

// wire dials a connection which, if hangUp is set, is closed right after the final dot of a message.
type wire struct {
	net.Conn
	hangUp, hungUp bool
	tail           []byte // the last octets that were written
}

// DialContext implements client.Dialer.
func (w *wire) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, address)
	if err != nil || !w.hangUp {
		return conn, err
	}
	w.Conn = conn
	return w, nil
}

// Write implements net.Conn.
func (w *wire) Write(p []byte) (int, error) {
	n, err := w.Conn.Write(p)
	w.tail = append(w.tail, p[:n]...)
	w.tail = w.tail[max(0, len(w.tail)-len(finalDot)):]
	if err == nil && bytes.Equal(w.tail, finalDot) {
		w.hungUp = true
		return n, w.Close()
	}
	return n, err
}

var finalDot = []byte("\r\n.\r\n")

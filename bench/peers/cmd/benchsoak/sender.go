package main

import (
	"math/rand/v2"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

// tries is how often a message is sent to those who were deferred, or of whom nothing is known.
const tries = 3

// sender sends messages as a good client does, one after the other, and claims each.
type sender struct {
	soaking *soaking
	random  *rand.Rand
	conn    *dialogue
	left    int // messages until the connection is renewed
}

// work sends a message for each instant, until there are no more of them.
func (w *sender) work(instants <-chan struct{}) {
	for range instants {
		w.deliver(w.soaking.claims.compose(w.random))
	}
	if w.conn != nil {
		w.conn.quit()
	}
}

// deliver sends one message until each recipient was told something final, tries times at most.
func (w *sender) deliver(l *letter) {
	open := l.to
	for try := 0; try < tries && len(open) > 0; try++ {
		open = w.try(l, open)
	}
	w.soaking.sent.Add(1)
}

// connect returns a connection that has been greeted.
func (w *sender) connect() *dialogue {
	if w.conn != nil && w.left > 0 {
		return w.conn
	}
	if w.conn != nil {
		w.conn.quit()
		w.conn = nil
	}
	d, err := w.soaking.dial()
	if err != nil {
		return nil
	}
	if err := d.greet(w.random.IntN(20) == 0); err != nil {
		_ = d.conn.Close()
		return nil
	}
	w.conn, w.left = d, 1+w.random.IntN(60)
	return d
}

// try sends the message to some recipients and claims what it learns. It returns those that another try is for.
func (w *sender) try(l *letter, to []string) (again []string) {
	sent := time.Now()
	d := w.connect()
	if d == nil {
		for _, r := range to {
			l.say(r, reconcile.AckUnknown, 0, sent)
		}
		return to
	}
	w.left--
	// tell claims one outcome of some recipients; 0 stands for no reply.
	tell := func(code int, to ...string) {
		if code >= 300 && code < 400 { // not where it may stand
			code = 0
		}
		ack := reconcile.AckUnknown
		switch {
		case code >= 400:
			ack = reconcile.AckNo
		case code >= 200:
			ack = reconcile.AckYes
		}
		for _, r := range to {
			l.say(r, ack, code, sent)
			if code < 200 || code >= 400 && code < 500 {
				again = append(again, r)
			}
		}
		switch {
		case code == 0: // nothing more is certain on this connection
			d.reset()
			w.conn = nil
		case code == 421:
			_ = d.conn.Close()
			w.conn = nil
		}
	}
	code, err := d.ask("MAIL FROM:<" + l.claim.Sender + ">")
	if err != nil || code >= 300 {
		tell(known(code, err), to...)
		return again
	}
	var accepted []string
	for i, r := range to {
		code, err := d.ask("RCPT TO:<" + r + ">")
		switch code = known(code, err); {
		case code >= 200 && code < 300:
			accepted = append(accepted, r)
		case code == 0 || code == 421:
			tell(code, append(accepted, to[i:]...)...)
			return again
		default:
			tell(code, r)
		}
	}
	if len(accepted) == 0 {
		if code, err := d.ask("RSET"); err != nil || code != 250 {
			d.reset()
			w.conn = nil
		}
		return again
	}
	code, err = d.ask("DATA")
	if code = known(code, err); code != 354 {
		if code >= 200 && code < 400 { // no body was asked for, and none is given: nobody is told that his mail was taken
			code = 0
		}
		tell(code, accepted...)
		if w.conn != nil {
			if code, err := d.ask("RSET"); err != nil || code != 250 {
				d.reset()
				w.conn = nil
			}
		}
		return again
	}
	if err := d.write(l.wire + ".\r\n"); err != nil {
		tell(0, accepted...)
		return again
	}
	code, err = d.reply()
	tell(known(code, err), accepted...)
	return again
}

// known returns a reply's code, and 0 for none.
func known(code int, err error) int {
	if err != nil {
		return 0
	}
	return code
}

package xk6smtp

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/session"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// attempt is a row as a sink reports it.
func attempt(conn, message uint64, from, to, id string, second int64, edit func(*session.Attempt)) *session.Attempt {
	a := &session.Attempt{
		Conn: conn, Message: message, Sender: []byte(from), Recipient: []byte(to), Token: []byte(from), StormID: []byte(id),
		Time: time.Unix(second, 0), End: time.Unix(second, 0),
	}
	if edit(a); a.Code/100 == 2 && id != "" {
		a.Delivered = true
	}
	return a
}

func TestDeliveryIsKnownByIDAndBySender(t *testing.T) {
	d := newDeliveries()
	refused := func(a *session.Attempt) { a.Code = 451 }
	accepted := func(a *session.Attempt) { a.Code = 250 }
	d.Attempt(attempt(1, 1, "s+1@src.test", "b@dst.test", "", 1, refused)) // refused at RCPT: no header was seen
	d.Attempt(attempt(2, 1, "s+1@src.test", "c@dst.test", "", 2, refused)) // another recipient of the transaction that is accepted
	d.Attempt(attempt(3, 1, "s+2@src.test", "b@dst.test", "", 3, refused)) // another message
	d.Attempt(attempt(2, 1, "s+1@src.test", "b@dst.test", " run-\r\n 1 ", 4, accepted))
	for token, want := range map[string]delivery{
		"s+1@src.test": {attempts: 3, deliveries: 1, code: 250},
		"run- 1":       {attempts: 3, deliveries: 1, code: 250},
		"s+2@src.test": {attempts: 1, code: 451},
	} {
		got := d.of(token, nil)
		if got.attempts != want.attempts || got.deliveries != want.deliveries || got.code != want.code {
			t.Errorf("%q: %+v, expected %+v", token, got, want)
		}
	}
	if err := d.wait(t.Context(), "run- 1"); err != nil {
		t.Error(err)
	}
	d.Attempt(attempt(4, 1, "s+1@src.test", "b@dst.test", "run- 1", 5, accepted))
	if got := d.of("run- 1", nil); got.deliveries != 2 || got.attempts != 4 || !got.at.Equal(time.Unix(4, 0)) {
		t.Errorf("after a duplicate: %+v", got)
	}
}

// TestAttemptsWithoutHeaderCountForTheEnvelope has a message that nobody accepts: its attempts are known by what it was sent with.
func TestAttemptsWithoutHeaderCountForTheEnvelope(t *testing.T) {
	d := newDeliveries()
	sent := &sending{time.Unix(10, 0), "s@src.test", []string{"b@dst.test", "c@dst.test"}}
	refused := func(a *session.Attempt) { a.Code = 550 }
	d.Attempt(attempt(1, 1, "s@src.test", "b@dst.test", "", 5, refused)) // before it was sent
	d.Attempt(attempt(2, 1, "s@src.test", "b@dst.test", "", 11, refused))
	d.Attempt(attempt(2, 1, "s@src.test", "c@dst.test", "", 12, func(a *session.Attempt) { a.Code = 551 }))
	d.Attempt(attempt(2, 0, "", "c@dst.test", "", 12, refused)) // outside a transaction
	if got := d.of("run-1", sent); got.attempts != 2 || got.code != 551 {
		t.Errorf("%+v", got)
	}
	if got := d.of("run-1", nil); got.attempts != 0 {
		t.Errorf("%+v", got)
	}
}

// TestEnvelopeIDCountsOnce has the attempts of a message whose ENVID is its X-Storm-Id.
func TestEnvelopeIDCountsOnce(t *testing.T) {
	d := newDeliveries()
	envid := func(code smtp.Code) func(*session.Attempt) {
		return func(a *session.Attempt) { a.Token = []byte("run-1"); a.Code = code }
	}
	d.Attempt(attempt(1, 1, "s@src.test", "b@dst.test", "", 11, func(a *session.Attempt) { a.Token, a.Code = []byte("run-1"), 451 }))
	sent := &sending{time.Unix(10, 0), "s@src.test", []string{"b@dst.test"}}
	if got := d.of("run-1", sent); got.attempts != 1 || got.code != 451 {
		t.Errorf("before the delivery %+v", got)
	}
	d.Attempt(attempt(2, 1, "s@src.test", "b@dst.test", "run-1", 12, envid(250)))
	if got := d.of("run-1", sent); got.attempts != 2 || got.code != 250 || got.deliveries != 1 {
		t.Errorf("after the delivery %+v", got)
	}
}

func TestWaitingEndsWithTheSink(t *testing.T) {
	d := newDeliveries()
	done := make(chan error)
	go func() { done <- d.wait(context.Background(), "x") }()
	d.stop()
	d.stop()
	if err := <-done; !errors.Is(err, errSinkStopped) {
		t.Errorf("got %v", err)
	}
	if err := d.wait(t.Context(), "y"); !errors.Is(err, errSinkStopped) {
		t.Errorf("after the end: %v", err)
	}
	if len(d.waiting) != 0 {
		t.Errorf("%d still wait", len(d.waiting))
	}
}

func TestEarlyAttemptsAreBounded(t *testing.T) {
	e := newEarlyAttempts(3)
	pair := func(i int) envelopePair { return envelopePair{"s", string(rune('a' + i))} }
	for i := range 5 {
		e.add(&earlyAttempt{pair: pair(i), transaction: transactionID{1, uint64(i)}})
	}
	if len(e.byPair) != 3 || len(e.byTransaction) != 3 || len(e.order) != 3 || len(e.of(pair(0))) != 0 || len(e.of(pair(4))) != 1 {
		t.Errorf("%d pairs, %d transactions", len(e.byPair), len(e.byTransaction))
	}
	e = newEarlyAttempts(10 * maxEarlyOfPair)
	for i := range 3 * maxEarlyOfPair {
		e.add(&earlyAttempt{pair: pair(0), transaction: transactionID{1, uint64(i)}})
	}
	if n := len(e.of(pair(0))); n != maxEarlyOfPair || len(e.byTransaction) != n {
		t.Errorf("%d attempts of one pair, %d transactions", n, len(e.byTransaction))
	}
	if n := len(e.take(pair(0), transactionID{})); n != maxEarlyOfPair || len(e.byPair)+len(e.byTransaction) != 0 {
		t.Errorf("%d taken, %d pairs and %d transactions left", n, len(e.byPair), len(e.byTransaction))
	}
}

// TestWaitForByToken is what a script sees: a token of its own, refusals before DATA, and one sample however often it waits.
func TestWaitForByToken(t *testing.T) {
	v := newVU(t).activate()
	got := v.run(`
		const data = await Sink.start({version: 1, rules: [{name: 'first two', stage: 'rcpt', match: {attempt: '1-2'}, outcomes: [{reply: {code: 428, text: 'later'}}]}]});
		const sink = Sink.attach(data);
		const client = new Client({host: data.host, port: data.port});
		const own = new Message({from: 'own@src.test', to: 'b@dst.test', text: 'x', headers: {'x-storm-id': ' my own id '}});
		const fields = new Message({from: 'f@src.test', to: 'b@dst.test', raw: 'X-Storm-ID: n-{{n}}\n\nx\n', fields: {n: 0}});
		const out = [];
		for (const [message, n] of [[own, 0], [fields, 7]]) {
			let r;
			for (let i = 0; i < 3; i++) r = await client.send(message, message === fields ? {fields: {n}} : {});
			const d = await sink.waitFor(r.token, {timeout: '10s'});
			const again = await sink.waitFor(r.token);
			out.push([r.token, r.ok, d.ok, d.attempts, d.deliveries, d.code, d.duration > 0, again.duration === d.duration].join());
		}
		const refused = await client.send(new Message({from: 'never@src.test', to: 'b@dst.test', text: 'x'}));
		const never = await sink.waitFor(refused.token, {timeout: 20});
		out.push([never.ok, never.attempts, never.deliveries, never.code, never.error].join());
		const waiting = sink.waitFor('nothing', {timeout: '1h'});
		await client.quit();
		await sink.stop();
		out.push((await waiting).error, (await sink.waitFor('nothing', {timeout: '1h'})).error, (await sink.waitFor('my own id', {timeout: '1h'})).attempts);
		return out.join('|')`)
	want := "my own id,true,true,3,1,250,true,true|n-7,true,true,3,1,250,true,true|false,1,0,428,not delivered within 20ms|" +
		"not delivered: the sink was stopped|not delivered: the sink was stopped|3"
	if got != want {
		t.Errorf("got      %s\nexpected %s", got, want)
	}
	samples := 0
	for done := false; !done; {
		select {
		case container := <-v.samples:
			for _, s := range container.GetSamples() {
				if s.Metric.Name == "smtp_delivery_duration" {
					samples++
				}
			}
		default:
			done = true
		}
	}
	if samples != 2 {
		t.Errorf("%d samples of smtp_delivery_duration for two messages", samples)
	}
}

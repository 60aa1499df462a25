package xk6smtp

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// row is one that a sink tells, of a message of its own connection.
func row(conn uint64, from, to string, second int64, edit func(*event.Attempt)) *event.Row {
	r := &event.Row{Kind: event.KindAttempt, Attempt: event.Attempt{
		Conn: conn, Message: 1, Sender: []byte(from), Recipient: []byte(to), Token: []byte(from), Stage: smtp.StageMessage, Ending: event.EndReply, ReplySent: true,
		Time: time.Unix(second, 0), Mail: time.Unix(second, 0), End: time.Unix(second, 0),
	}}
	edit(&r.Attempt)
	r.Attempt.Delivered = r.Attempt.Code/100 == 2
	return r
}

func refused(a *event.Attempt) { a.Stage, a.Code = smtp.StageRcpt, 451 }

func accepted(id string) func(*event.Attempt) {
	return func(a *event.Attempt) { a.Code, a.StormID = 250, []byte(id) }
}

// known is what is known of a message: attempts, deliveries, last code, and fates.
func (d *deliveries) known(id string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.of(id)
	text := fmt.Sprintf("%d %d %d", f.attempts, f.deliveries, f.code)
	for _, r := range f.recipients {
		text += " " + r.Address + ":" + r.Fate
	}
	return text
}

func TestWhatThisProcessSends(t *testing.T) {
	d := newDeliveries()
	claim := reconcile.Claim{Token: "envid", StormID: "run-1", Sender: "s+1@src.test", HasSender: true, Recipient: "b@dst.test", Ack: reconcile.AckUnknown}
	d.claim(&claim)
	d.Row(row(1, "s+1@src.test", "b@dst.test", 1, refused))
	d.Row(row(2, "s+2@src.test", "b@dst.test", 2, refused)) // another message
	d.Row(row(3, "s+1@src.test", "b@dst.test", 3, accepted("run-1")))
	claim.Ack = reconcile.AckYes
	d.claim(&claim)
	for _, id := range []string{"run-1", "envid", "s+1@src.test"} {
		if got := d.known(id); got != "2 1 250 b@dst.test:delivered" {
			t.Errorf("%s: %s", id, got)
		}
	}
	d.Row(row(4, "s+1@src.test", "b@dst.test", 4, accepted("run-1")))
	if got := d.known("run-1"); got != "3 2 250 b@dst.test:duplicated-ambiguous" {
		t.Errorf("after a copy: %s", got)
	}
	if got := d.known("run-2"); got != "0 0 0" {
		t.Errorf("of nobody: %s", got)
	}
}

func TestWhatOthersSend(t *testing.T) {
	d := newDeliveries()
	d.Row(row(1, "app@src.test", "b@dst.test", 1, refused))
	d.Row(row(2, "app@src.test", "b@dst.test", 2, accepted("a-1")))
	for id, want := range map[string]string{"app@src.test": "2 1 250 b@dst.test:recovered", "a-1": "1 1 250 b@dst.test:recovered"} {
		if got := d.known(id); got != want {
			t.Errorf("%s: %s, expected %s", id, got, want)
		}
	}
}

// TestTheLatestMessagesAreKnown claims more than one judge remembers: the latest are known, by the one who knows them best, and no more than two judges are asked.
func TestTheLatestMessagesAreKnown(t *testing.T) {
	d := newDeliveries()
	claim := func(i int) {
		d.claim(&reconcile.Claim{Token: fmt.Sprint("run-", i), Recipient: "b@dst.test", Ack: reconcile.AckUnknown})
	}
	connection := uint64(0)
	deliver := func(i int) {
		id := fmt.Sprint("run-", i)
		connection++
		d.Row(row(connection, id, "b@dst.test", 1, accepted("")))
	}
	for i := range 2 * maxUnits {
		if claim(i); i == maxUnits-1 {
			deliver(maxUnits - 1)
		}
	}
	deliver(maxUnits) // known to the second judge, who is the older one by now
	claim(maxUnits)
	deliver(maxUnits)
	for i, want := range map[int]string{0: "0 0 0", maxUnits: "2 2 250 b@dst.test:recovered", 2*maxUnits - 1: "0 0 0 b@dst.test:never-accepted"} {
		if got := d.known(fmt.Sprint("run-", i)); got != want {
			t.Errorf("message %d: %s, expected %s", i, got, want)
		}
	}
	if n := len(d.judges); n != 2 {
		t.Errorf("%d judges", n)
	}
}

func TestWaitingEndsWithTheDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDeliveries()
		done := make(chan string, 2)
		for _, id := range []string{"claimed", "stranger"} {
			go func() {
				fate, err := d.wait(t.Context(), id)
				done <- fmt.Sprint(id, " ", fate.deliveries, " ", err)
			}()
		}
		d.claim(&reconcile.Claim{Token: "claimed", Recipient: "b@dst.test", Ack: reconcile.AckUnknown})
		synctest.Wait()
		d.Row(row(1, "claimed", "b@dst.test", 1, refused))
		d.Row(row(2, "other", "b@dst.test", 2, accepted("")))
		synctest.Wait()
		if len(done) != 0 {
			t.Fatalf("%s before it was delivered", <-done)
		}
		d.Row(row(3, "claimed", "b@dst.test", 3, accepted("")))
		if got := <-done; got != "claimed 1 <nil>" {
			t.Error(got)
		}
		d.Row(row(4, "other", "b@dst.test", 4, accepted("stranger")))
		if got := <-done; got != "stranger 1 <nil>" {
			t.Error(got)
		}
		if len(d.waiting) != 0 {
			t.Errorf("%d still wait", len(d.waiting))
		}
	})
}

func TestWaitingEndsWithTheSink(t *testing.T) {
	d := newDeliveries()
	done := make(chan error)
	wait := func(id string) error {
		_, err := d.wait(context.Background(), id)
		return err
	}
	go func() { done <- wait("x") }()
	d.stop()
	d.stop()
	if err := <-done; !errors.Is(err, errSinkStopped) {
		t.Errorf("got %v", err)
	}
	if err := wait("y"); !errors.Is(err, errSinkStopped) {
		t.Errorf("after the end: %v", err)
	}
	if len(d.waiting) != 0 {
		t.Errorf("%d still wait", len(d.waiting))
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

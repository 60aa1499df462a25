package sinktest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/plan"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Attempt is what became of one recipient of one message: of one RCPT command.
type Attempt struct {
	Sender    string // reverse-path without <>; empty for the null sender
	Recipient string // forward-path without <>; empty when the command could not be parsed
	Token     string // what identifies the message: the ENVID of MAIL, else the sender
	Size      int64  // octets of the body, dots unstuffed, without the final dot

	Stage     smtp.Stage    // where it ended: at rcpt when the recipient was refused, at message after the final dot
	Code      smtp.Code     // of the reply that decided; 0 when there was none
	Enhanced  smtp.Enhanced // of the same reply
	Delivered bool          // the message counts as accepted for this recipient, whatever the client was told
	By        string        // name of the rule or limit that decided, or what FailNext returned; empty when the plain reply did
}

// Received is what a sink has received, in the order in which it became known. It is safe for use while the sink runs.
type Received struct {
	mu       sync.Mutex
	attempts []Attempt
	changed  chan struct{} // closed at the next attempt
}

// Record has a sink tell what it receives.
//
//	var received sinktest.Received
//	server := sinktest.Start(t, sinktest.Record(&received))
func Record(to *Received) Option {
	return With(func(cfg *sink.Config) { cfg.Observer = to })
}

// Row implements sink.Observer.
func (r *Received) Row(row *event.Row) {
	if row.Kind != event.KindAttempt {
		return
	}
	a := &row.Attempt
	_, by, _ := strings.Cut(a.Cause, ":")
	r.mu.Lock()
	defer r.mu.Unlock()
	r.attempts = append(r.attempts, Attempt{
		Sender: string(a.Sender), Recipient: string(a.Recipient), Token: string(a.Token), Size: a.Size,
		Stage: a.Stage, Code: a.Code, Enhanced: a.Enhanced, Delivered: a.Delivered, By: by,
	})
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
}

// Attempts returns all attempts so far.
func (r *Received) Attempts() []Attempt {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Attempt(nil), r.attempts...)
}

// Deliveries returns the attempts that ended in a delivery, of all recipients or of one.
func (r *Received) Deliveries(recipient ...string) []Attempt {
	var out []Attempt
	for _, a := range r.Attempts() {
		if a.Delivered && (len(recipient) == 0 || smtp.SameAddress([]byte(recipient[0]), []byte(a.Recipient))) {
			out = append(out, a)
		}
	}
	return out
}

// Wait returns once enough says so of the attempts, which it is asked at first and after each further one. The error is that of the context, with
// what was there by then. A reply may reach a client before its attempt is known here: a test that looks right after sending has to wait.
func (r *Received) Wait(ctx context.Context, enough func([]Attempt) bool) error {
	for {
		r.mu.Lock()
		if r.changed == nil {
			r.changed = make(chan struct{})
		}
		changed := r.changed
		attempts := append([]Attempt(nil), r.attempts...)
		r.mu.Unlock()
		if enough(attempts) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("after %d attempts: %w", len(attempts), context.Cause(ctx))
		}
	}
}

// patience is how long WaitDelivered waits.
const patience = 30 * time.Second

// WaitDelivered returns the first n deliveries, once there are as many. It fails the test when they don't come within 30 seconds.
func (r *Received) WaitDelivered(t testing.TB, n int) []Attempt {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := r.Wait(ctx, func([]Attempt) bool { return len(r.Deliveries()) >= n }); err != nil {
		t.Fatalf("sinktest: %d deliveries were wanted, and there are %d: %v", n, len(r.Deliveries()), err)
	}
	return r.Deliveries()[:n]
}

// FailNext has the sink answer the next RCPT for a recipient with a reply such as "550/5.1.1", whatever its plan says: the next mail to
// it fails. It returns the id by which Attempt.By names it. A reply that is wrong fails the test.
func FailNext(t testing.TB, server *sink.Server, recipient, reply string) (id string) {
	t.Helper()
	outcome, err := fault.ParseReply(reply)
	if err != nil {
		t.Fatalf("sinktest: %v", err)
	}
	next := fault.NextSpec{Stage: smtp.StageRcpt, Match: fault.Match{Recipients: []string{recipient}}, Outcome: outcome}
	status, err := server.AddNext(sink.NextOutcome{NextSpec: next})
	if err != nil {
		t.Fatalf("sinktest: %v", err)
	}
	return status.ID
}

// WithPlan makes a plan of the text of a plan file (YAML), such as docs/plans.md describes. A plan that is wrong fails the test.
func WithPlan(text string) Option {
	return func(t testing.TB, cfg *sink.Config) {
		t.Helper()
		file, err := plan.Parse("plan", []byte(text))
		if err != nil {
			t.Fatalf("sinktest: %v", err)
		}
		cfg.Plan, cfg.PlanHash = file.Plan, file.SHA256
	}
}

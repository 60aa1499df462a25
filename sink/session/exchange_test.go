package session

import (
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// TestExchange: what is known of the reply to an occurrence of a stage after what has happened to it.
func TestExchange(t *testing.T) {
	decided := func(e *exchange) { e.decided(smtp.StageMessage) }
	promised := func(e *exchange) { e.promised = true }
	amends := func(e *exchange) { e.amends = true }
	later := func(e *exchange) { e.now += lateReply }
	for _, tt := range []struct {
		name    string
		happens []func(*exchange)
		state   exchangeState
		unsent  bool
		late    bool
		commit  Commit
	}{
		{"nothing", nil, exchangeOpen, false, false, CommitNone},
		{"decided", []func(*exchange){decided}, exchangeDecided, true, false, CommitNone},
		{"decided long ago", []func(*exchange){decided, later}, exchangeDecided, true, true, CommitNone},
		{"given", []func(*exchange){decided, (*exchange).given}, exchangeGiven, false, false, CommitNone},
		{"given and closed", []func(*exchange){decided, (*exchange).given, (*exchange).withhold}, exchangeGiven, false, false, CommitNone},
		{"withheld", []func(*exchange){decided, (*exchange).withhold}, exchangeWithheld, true, false, CommitNone},
		{"promised", []func(*exchange){decided, promised}, exchangeDecided, true, false, CommitDone},
		{"promised and given", []func(*exchange){decided, promised, (*exchange).given}, exchangeGiven, false, false, CommitDone},
		{"promised, and another in its place", []func(*exchange){decided, promised, amends, later, decided}, exchangeDecided, true, false, CommitAmended},
		{"not promised, and another in its place", []func(*exchange){decided, promised, decided}, exchangeDecided, true, false, CommitNone},
	} {
		var e exchange
		e.decision.Reply = &smtp.Reply{Code: 250}
		for _, f := range tt.happens {
			f(&e)
		}
		if e.state != tt.state || (e.unsent() != nil) != tt.unsent || e.pending() != (tt.state == exchangeDecided) || e.commitment() != tt.commit {
			t.Errorf("%s: state %d, unsent %v, pending %v, commit %d; want state %d, unsent %v, commit %d",
				tt.name, e.state, e.unsent(), e.pending(), e.commitment(), tt.state, tt.unsent, tt.commit)
		}
		if tt.state == exchangeDecided && e.late() != tt.late {
			t.Errorf("%s: late is %v", tt.name, e.late())
		}
		if e.end(); e.unsent() != nil || e.pending() {
			t.Errorf("%s: something is left at the end: state %d", tt.name, e.state)
		}
	}
}

// TestExchangeTakesTheFaultsOfItsOutcome, and none of the outcome before.
func TestExchangeTakesTheFaultsOfItsOutcome(t *testing.T) {
	e := exchange{call: call{now: time.Second}}
	e.decision.Chosen = &fault.Outcome{Faulty: true, Faults: fault.Faults{Malformed: fault.MalformedNoCode}}
	if f := e.decided(smtp.StageRcpt); f != e.faults || f != &e.decision.Chosen.Faults || !e.malformed() || e.decidedAt != time.Second {
		t.Errorf("the faults are %+v, malformed %v, decided after %v", f, e.malformed(), e.decidedAt)
	}
	e.decision = fault.Decision{}
	if f := e.decided(smtp.StageRcpt); f != nil || e.malformed() {
		t.Errorf("faults of the outcome before are left: %+v", f)
	}
}

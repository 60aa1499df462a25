package sink_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
	"github.com/smtpstorm/xk6-smtp/sink/state"
)

// nextFor asks for a reply to the next RCPTs of a recipient.
func nextFor(t testing.TB, server *sink.Server, id, recipient, reply string, times int) {
	t.Helper()
	outcome, err := fault.ParseReply(reply)
	if err != nil {
		t.Fatal(err)
	}
	n := sink.NextOutcome{NextSpec: fault.NextSpec{ID: id, Stage: smtp.StageRcpt, Match: fault.Match{Recipients: []string{recipient}}, Outcome: outcome, Times: times}}
	if _, err := server.AddNext(n); err != nil {
		t.Fatal(err)
	}
}

// An outcome that was asked for comes after limits and address triggers, which don't use it up, and before the rules; it holds on connections
// that are open, and whatever plan comes into force. Rows and counts name it.
func TestNextOutcomes(t *testing.T) {
	const plan = `limits: [{name: two, kind: recipients, max: 4}]
rules: [{name: drawn, stage: rcpt, match: {recipient: "x@a.test"}, reply: 452}]`
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		server := faulty(t, kind, plan, nil)
		c := greeted(t, server.Server)
		c.command("MAIL FROM:<s@sender.test>", "250 ")
		nextFor(t, server.Server, "fail-x", "x@a.test", "550/5.1.1", 2)
		nextFor(t, server.Server, "then", "*@a.test", "451", 1)
		c.command("RCPT TO:<x@b.test>", "250 ")
		c.command("RCPT TO:<421-4.7.0+x@a.test>", "421 4.7.0")
		c.expectClosed()
		c = greeted(t, server.Server)
		c.command("MAIL FROM:<s@sender.test>", "250 ")
		c.command("RCPT TO:<x@a.test>", "550 5.1.1")
		swap(t, server.Server, parsePlan(t, plan+"\nname: another").Plan)
		c.command("RCPT TO:<x@a.test>", "550 5.1.1") // the first that was asked for goes first
		c.command("RCPT TO:<x@a.test>", "451 ")
		c.command("RCPT TO:<x@a.test>", "452 ") // by the rule
		for i := range 4 {
			c.command(fmt.Sprintf("RCPT TO:<y%d@b.test>", i), "250 ")
		}
		nextFor(t, server.Server, "late", "x@a.test", "550", 1)
		c.command("RCPT TO:<x@a.test>", "452 ") // by the limit
		c.quit()

		var left []string
		for _, n := range server.NextOutcomes() {
			left = append(left, fmt.Sprintf("%s %d hits %d left", n.ID, n.Hits, n.Remaining))
		}
		if want := []string{"fail-x 2 hits 0 left", "then 1 hits 0 left", "late 0 hits 1 left"}; !slices.Equal(left, want) {
			t.Errorf("outcomes %q, want %q", left, want)
		}
		eventually(t, server.Server, "the connections have ended", func(s *sink.Stats) bool { return s.Open == 0 && s.Connections == 2 })
		for _, r := range server.Stats().Replies {
			if strings.HasPrefix(r.Cause, "next:") && r.Planned != 0 {
				t.Errorf("%+v counts for the fit", r)
			}
		}
		if err := server.Close(); err != nil {
			t.Fatal(err)
		}
		causes := map[string]int{}
		readLedger(t, server.path, func(row *event.Row) {
			if row.Kind == event.KindAttempt && row.Attempt.Code != 0 {
				causes[fmt.Sprintf("%d %s", row.Attempt.Code, row.Attempt.Cause)]++
			}
		})
		for cause, n := range map[string]int{"550 next:fail-x": 2, "451 next:then": 1, "452 rule:drawn": 1, "452 limit:two": 1, "421 trigger": 2} {
			if causes[cause] != n {
				t.Errorf("%d rows %q, want %d, of %v", causes[cause], cause, n, causes)
			}
		}
	})
}

// A fault may be asked for as well as a reply, at any stage.
func TestNextOutcomesWithFaults(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		server := faulty(t, kind, "rules: []", nil)
		add := func(stage smtp.Stage, o fault.OutcomeSpec) {
			t.Helper()
			if _, err := server.AddNext(sink.NextOutcome{NextSpec: fault.NextSpec{Stage: stage, Outcome: o}}); err != nil {
				t.Fatal(err)
			}
		}
		c := greeted(t, server.Server)
		add(smtp.StageNoop, fault.OutcomeSpec{Faults: fault.Faults{Close: fault.Close{Mode: fault.CloseFIN}}})
		c.send("NOOP\r\n")
		c.expectClosed()
		add(smtp.StageConnect, fault.OutcomeSpec{Code: 554})
		dial(t, server.Server, "").expect("554 ")
		greeted(t, server.Server).quit()
	})
}

// A fault of TLS waits for a handshake: a STARTTLS that is refused, for want of TLS or for a rule of the protocol, does not use it up.
func TestNextOutcomeOfTLSWaitsForAHandshake(t *testing.T) {
	const clientHello = "\x16\x03\x01\x00\x01\x01" // the beginning of one
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		server := faulty(t, kind, "rules: []", func(cfg *sink.Config) {
			cfg.TLS.Offer = sink.TLSOfferAlways
			cfg.Listeners = []sink.Listener{{Name: "implicit", Address: "127.0.0.1:0", ImplicitTLS: true}, {Name: "start", Address: "127.0.0.1:0"}}
		})
		o := fault.OutcomeSpec{Faults: fault.Faults{TLS: fault.TLSReset}}
		for _, n := range []fault.NextSpec{
			{ID: "starttls", Stage: smtp.StageStartTLS, Outcome: o}, {ID: "connect", Stage: smtp.StageConnect, Outcome: o},
		} {
			if _, err := server.AddNext(sink.NextOutcome{NextSpec: n}); err != nil {
				t.Fatal(err)
			}
		}
		c := dial(t, server.Server, "start")
		c.expect("220 ")
		c.command("STARTTLS now", "501 ")
		c.command("STARTTLS", "220 ")
		c.send(clientHello)
		c.expectReset()
		for _, left := range server.NextOutcomes() {
			if want := map[string]int{"starttls": 1}[left.ID]; left.Hits != want {
				t.Errorf("%s was met %d times, want %d", left.ID, left.Hits, want)
			}
		}
		c = dial(t, server.Server, "implicit")
		c.send(clientHello)
		c.expectReset()
		if left := server.NextOutcomes(); len(left) != 2 || left[1].Hits != 1 {
			t.Errorf("%+v, want the connect to have met its fault", left)
		}
	})
}

func TestNextOutcomesExpire(t *testing.T) {
	var clock movedClock
	server := faulty(t, sink.DriverAuto, "rules: []", func(cfg *sink.Config) { cfg.Now, cfg.IdleTimeout = clock.now, -1 })
	nextFor(t, server.Server, "", "x@a.test", "550", 9)
	nextFor(t, server.Server, "", "x@a.test", "551", 9)
	if !server.RemoveNext("n1") || server.RemoveNext("n1") {
		t.Error("an outcome can be taken back never or twice")
	}
	c := greeted(t, server.Server)
	c.command("MAIL FROM:<s@sender.test>", "250 ")
	c.command("RCPT TO:<x@a.test>", "551 ")
	clock.forward(state.DefaultNextTTL)
	c.command("RCPT TO:<x@a.test>", "250 ")
	if left := server.NextOutcomes(); len(left) != 0 {
		t.Errorf("%+v is there although it has expired", left)
	}
}

func TestNextOutcomesThatCantBe(t *testing.T) {
	server := faulty(t, sink.DriverAuto, "rules: []", nil)
	spec := func(change func(*sink.NextOutcome)) sink.NextOutcome {
		n := sink.NextOutcome{NextSpec: fault.NextSpec{Stage: smtp.StageRcpt, Outcome: fault.OutcomeSpec{Code: 450}}}
		change(&n)
		return n
	}
	nextFor(t, server.Server, "taken", "x@a.test", "550", 1)
	for want, n := range map[string]sink.NextOutcome{
		`next outcome "taken": the id is taken`: spec(func(n *sink.NextOutcome) { n.ID = "taken" }),
		`next "a b": id: invalid id`:            spec(func(n *sink.NextOutcome) { n.ID = "a b" }),
		`times: -1 is out of range`:             spec(func(n *sink.NextOutcome) { n.Times = -1 }),
		`ttl: 25h0m0s is out of range`:          spec(func(n *sink.NextOutcome) { n.TTL = 25 * time.Hour }),
		`match.attempt: attempts are`:           spec(func(n *sink.NextOutcome) { n.Match.Attempts = fault.Range{From: 1, To: 1} }),
		`match.listener: there is no listen`:    spec(func(n *sink.NextOutcome) { n.Match.Listeners = []string{"mx9"} }),
		`match.recipient: not known yet`: spec(func(n *sink.NextOutcome) {
			n.Stage, n.Match.Recipients = smtp.StageMail, []string{"x@a.test"}
		}),
		`outcome.tls: no such listener offers`: spec(func(n *sink.NextOutcome) {
			n.Stage, n.Outcome = smtp.StageStartTLS, fault.OutcomeSpec{Faults: fault.Faults{TLS: fault.TLSReset}}
		}),
		`outcome.tls: no such listener has im`: spec(func(n *sink.NextOutcome) {
			n.Stage, n.Outcome = smtp.StageConnect, fault.OutcomeSpec{Faults: fault.Faults{TLS: fault.TLSReset}}
		}),
		`outcome.reply: `: spec(func(n *sink.NextOutcome) { n.Outcome = fault.OutcomeSpec{Code: 999} }),
	} {
		if _, err := server.AddNext(n); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	replaced := spec(func(n *sink.NextOutcome) { n.ID, n.Replace = "taken", true })
	if _, err := server.AddNext(replaced); err != nil {
		t.Error(err)
	}
	for i := 1; i < state.MaxNext; i++ {
		nextFor(t, server.Server, "", "x@a.test", "550", 1)
	}
	if _, err := server.AddNext(spec(func(*sink.NextOutcome) {})); !errors.Is(err, state.ErrNextFull) {
		t.Errorf("%v, want %v", err, state.ErrNextFull)
	}
}

// Of n that were asked for exactly n are met, however many connections ask at the same time.
func TestNextOutcomesAreMetExactly(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		server := faulty(t, kind, "rules: []", func(cfg *sink.Config) { cfg.Loops = 2 })
		nextFor(t, server.Server, "some", "x@a.test", "550", 25)
		var refused sync.Map
		var all sync.WaitGroup
		for i := range 8 {
			c := greeted(t, server.Server)
			all.Go(func() {
				c.send("MAIL FROM:<s@sender.test>\r\n" + strings.Repeat("RCPT TO:<x@a.test>\r\n", 10))
				n := 0
				for range 11 {
					if strings.HasPrefix(c.reply(), "550") {
						n++
					}
				}
				refused.Store(i, n)
			})
		}
		all.Wait()
		sum := 0
		refused.Range(func(_, n any) bool { sum += n.(int); return true })
		if sum != 25 {
			t.Errorf("%d were refused, want 25", sum)
		}
	})
}

const threePhases = "start: clock\nphases: [{name: calm, duration: 1h}, {name: outage, duration: 2h, rules: [{stage: mail, reply: 451}]}, {name: recovery, duration: 1h}]"

// moves are what somebody does to the clock of a storm of three phases, one hour after the other, and what becomes of it.
func TestMovingTheStormsClock(t *testing.T) {
	var clock movedClock
	server := faulty(t, sink.DriverAuto, threePhases, func(cfg *sink.Config) { cfg.Now, cfg.IdleTimeout = clock.now, -1 })
	c := greeted(t, server.Server)
	for i, step := range []struct {
		move   sink.StormMove
		want   string // state
		failed string
	}{
		{sink.StormMove{Action: sink.StormStart}, "running calm 0/3", "waiting or over"},
		{sink.StormMove{Action: sink.StormJump, Phase: "outage"}, "running outage 1/3 0s 2h0m0s", ""},
		{sink.StormMove{Action: sink.StormExtend, By: 3 * time.Hour}, "running outage 1/3 1h0m0s 4h0m0s", ""},
		{sink.StormMove{Action: sink.StormJump, Phase: "nowhere"}, "running outage", `there is no phase "nowhere" (valid: calm, outage, recovery)`},
		{sink.StormMove{Action: sink.StormJump, Index: 3}, "running outage", "there is no occurrence 3 (valid: 0 to 2)"},
		{sink.StormMove{Action: sink.StormExtend}, "running outage", "0s is out of range"},
		{sink.StormMove{Action: sink.StormJump, Index: 2, Generation: 7}, "running outage", "another plan"}, // and five hours are over
		{sink.StormMove{Action: sink.StormStop}, "over  0/3", ""},
		{sink.StormMove{Action: sink.StormExtend, By: time.Hour}, "over  0/3", "it is over"},
		{sink.StormMove{Action: sink.StormStart}, "running calm 0/3 0s 1h0m0s", ""},
		{sink.StormMove{Action: "rewind"}, "running outage 1/3", `unknown action "rewind" (valid: start stop jump extend)`},
	} {
		state, err := server.MoveStorm(step.move)
		got := fmt.Sprintf("%s %s %d/%d %v %v", state.Status, state.Phase, state.Index, state.Count, state.Elapsed.Round(time.Minute), state.Remaining.Round(time.Minute))
		if !strings.HasPrefix(got, step.want) || (err == nil) != (step.failed == "") || err != nil && !strings.Contains(err.Error(), step.failed) {
			t.Errorf("%d: %+v: %s, %v; want %s, %q", i, step.move, got, err, step.want, step.failed)
		}
		reply := "250 "
		if state.Phase == "outage" {
			reply = "451 "
		}
		c.command("MAIL FROM:<a@sender.test>", reply)
		c.command("RSET", "250 ")
		if step.move.Action != sink.StormJump || step.failed == "" {
			clock.forward(time.Hour)
		}
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	var rows []string
	var begun time.Time
	readLedger(t, server.path, func(row *event.Row) {
		if row.Kind == event.KindStart {
			begun = row.Start.Time
		}
		at := func(t time.Time) string { return t.Sub(begun).Round(time.Hour).String() + " " }
		switch row.Kind {
		case event.KindStorm:
			rows = append(rows, at(row.Storm.Time)+"storm "+row.Storm.Action+" "+row.Storm.Phase)
		case event.KindPhase:
			rows = append(rows, at(row.Phase.Time)+row.Phase.Phase)
		}
	})
	want := []string{
		"0s calm", "1h0m0s outage", "1h0m0s storm jump outage", "2h0m0s storm extend outage", "4h0m0s storm stop ", "4h0m0s ", "6h0m0s storm start calm", "6h0m0s calm",
	}
	if len(rows) < len(want) || !slices.Equal(rows[:len(want)], want) { // whether anybody has looked at the next phase depends
		t.Errorf("rows %q, want %q", rows, want)
	}
}

// A phase that was extended is as far in a plan that replaces this one as it was, in proportion.
func TestSwapAfterAnExtension(t *testing.T) {
	var clock movedClock
	server := faulty(t, sink.DriverAuto, threePhases, func(cfg *sink.Config) { cfg.Now, cfg.IdleTimeout = clock.now, -1 })
	if _, err := server.MoveStorm(sink.StormMove{Action: sink.StormExtend, By: 3 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	clock.forward(2 * time.Hour) // of four
	swap(t, server.Server, parsePlan(t, threePhases).Plan)
	if got := server.Storm(); got.Phase != "calm" || got.Elapsed.Round(time.Minute) != 30*time.Minute || got.Generation != 2 {
		t.Errorf("%+v, want the middle of the first hour, in generation 2", got)
	}
}

// A change of plan can be tried, be bound to the plan that it replaces, and be kept from opening ports.
func TestReplacingAPlan(t *testing.T) {
	const limited = "limits: [{name: pace, kind: rate, rate: 9/s, stage: mail}, {name: other, kind: rate, rate: %s, stage: mail}]"
	server := faulty(t, sink.DriverAuto, fmt.Sprintf(limited, "1/s"), nil)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	listening := func(address string) *fault.Plan {
		return parsePlan(t, fmt.Sprintf("listeners: [{name: more, address: %q}]", address)).Plan
	}
	text := []byte(fmt.Sprintf(limited, "2/s"))
	change := sink.PlanChange{Plan: parsePlan(t, string(text)).Plan, Hash: "h", Text: text, DryRun: true}
	done, err := server.Replace(change)
	if err != nil || done.Generation != 2 || !slices.Equal(done.LimitsKept, []string{"pace"}) || server.PlanInForce().Generation != 1 {
		t.Errorf("tried: %+v, %v, in force %+v; want generation 2 that keeps pace, and 1 in force", done, err, server.PlanInForce())
	}
	change.DryRun, change.Generation = false, 1
	if _, err := server.Replace(change); err != nil {
		t.Error(err)
	}
	if got := server.PlanInForce(); got.Generation != 2 || got.Hash != "h" || string(got.Text) != string(text) {
		t.Errorf("in force %+v", got)
	}
	if _, err := server.Replace(change); !errors.Is(err, sink.ErrPlanChanged) {
		t.Errorf("%v, want %v", err, sink.ErrPlanChanged)
	}
	for _, dry := range []bool{true, false} {
		if _, err := server.Replace(sink.PlanChange{Plan: listening("127.0.0.1:0"), KeepListeners: true, DryRun: dry}); !errors.Is(err, sink.ErrListeners) || !strings.Contains(err.Error(), "more") {
			t.Errorf("%v, want %v", err, sink.ErrListeners)
		}
		if _, err := server.Replace(sink.PlanChange{Plan: listening(taken.Addr().String()), DryRun: dry}); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("%v, want %v", err, syscall.EADDRINUSE)
		}
	}
	if done, err := server.Replace(sink.PlanChange{Plan: listening("127.0.0.1:0"), DryRun: true}); err != nil || len(done.Opened) != 1 || done.Opened[0].Name != "more" || server.Addr("more") != nil {
		t.Errorf("tried: %+v, %v, listening at %v", done, err, server.Addr("more"))
	}
	if got := server.PlanInForce().Generation; got != 2 {
		t.Errorf("generation %d, want 2", got)
	}
}

// A reset begins an epoch: its counts begin at 0, what Stats returns goes on. Forgotten attempts stay forgotten after a restart.
func TestReset(t *testing.T) {
	const plan = "rules: [{name: first, stage: rcpt, match: {attempt: 1}, reply: 450}]"
	server := faulty(t, sink.DriverAuto, plan, nil)
	attempt := func(server *sink.Server, reply string) {
		t.Helper()
		c := greeted(t, server)
		c.command("MAIL FROM:<a@sender.test>", "250 ")
		c.command("RCPT TO:<b@recipient.test>", reply)
		c.quit()
	}
	attempt(server.Server, "450 ")
	attempt(server.Server, "250 ")
	nextFor(t, server.Server, "", "x@a.test", "550", 1)
	ended := func(n uint64) {
		t.Helper()
		eventually(t, server.Server, "the connections have ended", func(s *sink.Stats) bool { return s.Open == 0 && s.Connections == n })
	}
	ended(2)
	if got := server.Reset(sink.Reset{Counts: true, Next: true}); got != 2 || len(server.NextOutcomes()) != 0 {
		t.Errorf("epoch %d, outcomes %v; want 2, none", got, server.NextOutcomes())
	}
	attempt(server.Server, "250 ")
	ended(3)
	if s := server.Snapshot(); s.Epoch != 2 || s.Total.Connections != 3 || s.Since.Connections != 1 || s.Since.Attempts.Deferred != 0 || s.Total.Attempts.Deferred != 1 {
		t.Errorf("epoch %d: connections %d and %d, deferred %d and %d; want 2: 3 and 1, 1 and 0", s.Epoch, s.Total.Connections, s.Since.Connections, s.Total.Attempts.Deferred, s.Since.Attempts.Deferred)
	}
	if got := server.Reset(sink.Reset{State: true}); got != 3 {
		t.Errorf("epoch %d, want 3", got)
	}
	attempt(server.Server, "450 ")
	ended(4)
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	again := faulty(t, sink.DriverAuto, plan, func(cfg *sink.Config) { cfg.Ledger.Path = server.path })
	attempt(again.Server, "250 ") // the second since the reset, and not the fifth
}

// The tail has all rows of a run, in order, and says what is gone.
func TestTheTailHasAllRows(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		tail, small := sink.NewTail(0), sink.NewTail(700)
		server := faulty(t, kind, threePhases, func(cfg *sink.Config) { cfg.Observer = sink.Observers{tail, small} })
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		seen := make(chan []sink.TailRow)
		go func() {
			var all []sink.TailRow
			var at uint64
			for len(all) == 0 || all[len(all)-1].Kind != event.KindStop {
				if err := tail.Wait(ctx, at); err != nil {
					break
				}
				rows, missed := tail.After(at, 2)
				if at += uint64(len(rows)); missed > 0 || rows[len(rows)-1].Seq != at {
					break
				}
				all = append(all, rows...)
			}
			seen <- all
		}()
		c := greeted(t, server.Server)
		c.command("MAIL FROM:<a@sender.test>", "250 ")
		c.command("RCPT TO:<b@recipient.test>", "250 ")
		c.quit()
		eventually(t, server.Server, "the connection has ended", func(s *sink.Stats) bool { return s.Open == 0 && s.Connections == 1 })
		swap(t, server.Server, parsePlan(t, threePhases).Plan)
		if _, err := server.MoveStorm(sink.StormMove{Action: sink.StormStop}); err != nil {
			t.Fatal(err)
		}
		server.Reset(sink.Reset{})
		if err := server.Close(); err != nil {
			t.Fatal(err)
		}
		var kinds []string
		for _, row := range <-seen {
			kinds = append(kinds, row.Kind.String())
		}
		if got, want := strings.Join(kinds, " "), "start phase attempt connection swap storm phase reset stop"; got != want {
			t.Errorf("rows %s, want %s", got, want)
		}
		rows, missed := small.After(1, 100)
		if len(rows) == 0 || missed == 0 || rows[0].Seq != missed+2 || rows[len(rows)-1].Seq != small.Last() || small.Last() != 9 {
			t.Errorf("after the first row of %d: %d rows and %d missed", small.Last(), len(rows), missed)
		}
		if rows, missed := small.After(small.Last(), 1); rows != nil || missed != 0 {
			t.Errorf("after the last row: %v, and %d missed", rows, missed)
		}
		cancel()
		if err := small.Wait(ctx, small.Last()); !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want %v", err, context.Canceled)
		}
	})
}

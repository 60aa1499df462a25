package mtatest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/mta"
	"github.com/smtpstorm/xk6-smtp/bench/supervise"
	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// patience bounds each wait for something that has to happen. A healthy agent needs a few seconds for all of the suite; a busy machine
// more.
const patience = 90 * time.Second

// rules says what the sink makes of a recipient, by the domain: held.test is deferred, and stuck.test not answered, until the plan is
// swapped.
const (
	stuck = "  - {name: stuck, stage: message, match: {recipient: \"*@stuck.test\"}, reply: plain, delay: 10m}\n"
	held  = "  - {name: held, stage: rcpt, match: {recipient: \"*@held.test\"}, reply: {code: 451, enhanced: 4.2.1, text: not yet}}\n"
	rules = `version: 1
rules:
  - {name: once, stage: rcpt, match: {recipient: "*@deferred.test", attempt: 1}, reply: {code: 451, enhanced: 4.3.0, text: come again}}
  - {name: never, stage: rcpt, match: {recipient: "*@bounced.test"}, reply: {code: 550, enhanced: 5.7.1, text: not you}}
  - {name: slow, stage: message, match: {recipient: "*@slow.test"}, reply: plain, delay: 300ms}
`
)

// How many messages go to each domain.
const (
	calm = 20
	few  = 5
)

// suite is one agent and what is around it.
type suite struct {
	agent    mta.Agent
	dir      string
	received received
	notes    string // where the sink keeps notifications
	server   *sink.Server
}

// received is what the sink has received, with the times.
type received struct {
	sinktest.Received
	mu   sync.Mutex
	seen map[string][]time.Time // of the RCPT commands, by recipient
}

// Row implements sink.Observer.
func (r *received) Row(row *event.Row) {
	if a := &row.Attempt; row.Kind == event.KindAttempt {
		r.mu.Lock()
		r.seen[string(a.Recipient)] = append(r.seen[string(a.Recipient)], a.Time)
		r.mu.Unlock()
	}
	r.Received.Row(row)
}

// Run puts an agent to the test. open makes it, with the options given, and does not prepare it.
func Run(t *testing.T, open func(o mta.Options) (mta.Agent, error)) {
	scratch, err := mta.NewScratch("", "mtatest-")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := scratch.Remove(); err != nil {
			t.Error(err)
		}
	}()
	s := &suite{dir: scratch.Path("a"), notes: t.TempDir()}
	s.received.seen = map[string][]time.Time{}
	s.server = sinktest.Start(t, sinktest.WithPlan(rules+held), sinktest.With(func(cfg *sink.Config) {
		cfg.Observer = &s.received
		cfg.DSN.Dir = s.notes
	}))
	relay := s.server.Addr("").String()
	o := mta.Options{Dir: s.dir, Relay: relay, Home: home, Policy: mta.Policy{MinimalBackoff: 5 * time.Second, MaximalBackoff: 5 * time.Second, Lifetime: 5 * time.Minute, Concurrency: 4}}
	s.agent, err = open(o)
	if errors.Is(err, mta.ErrFixedSchedule) {
		o.Policy.MinimalBackoff, o.Policy.MaximalBackoff = 0, 0
		s.agent, err = open(o)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.agent.Close(); err != nil {
			t.Error(err)
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := errors.Join(s.agent.Prepare(ctx), s.agent.Start(ctx)); err != nil {
		t.Fatal(err)
	}
	s.describes(t, relay)
	s.submit(t, "calm.test", calm)
	for _, domain := range []string{"deferred.test", "bounced.test", "held.test"} {
		s.submit(t, domain, few)
	}
	for _, step := range []struct {
		name string
		test func(t *testing.T)
	}{
		{"delivers", s.delivers},
		{"retries what was deferred, and not too soon", s.retries},
		{"tells senders what was refused", s.bounces},
		{"lists exactly what it holds", s.lists},
		{"tells what it uses", s.uses},
		{"keeps its queue over stop and start", s.stops},
		{"logs what the sink saw", s.logs},
		{"loses nothing that it acknowledged by kill -9", s.crashes},
		{"leaves nothing behind", s.leaves},
	} {
		if !t.Run(step.name, step.test) {
			t.Logf("the log of %s:\n%s", s.agent.Version(), tail(s.agent.LogPath()))
			return // what follows builds on it
		}
	}
}

func (s *suite) describes(t *testing.T, relay string) {
	t.Helper()
	host, _, err := net.SplitHostPort(s.agent.Addr())
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
		t.Errorf("it listens on %s, want a loopback address", s.agent.Addr())
	}
	if s.agent.Name() == "" || len(strings.Fields(s.agent.Version())) < 2 {
		t.Errorf("name %q and version %q: want a name, and product and version", s.agent.Name(), s.agent.Version())
	}
	_, port, _ := net.SplitHostPort(relay)
	_, own, _ := net.SplitHostPort(s.agent.Addr())
	config := s.agent.Config()
	if !strings.Contains(config, "$NEXT_HOP") {
		t.Errorf("$NEXT_HOP, for its port, is not in the configuration:\n%s", config)
	}
	for _, word := range []string{port, own, s.dir} { // else no two runs would have one configuration
		if strings.Contains(config, word) {
			t.Errorf("%s, which is this instance's alone, is in the configuration:\n%s", word, config)
		}
	}
	traits := s.agent.Traits()
	if p := s.agent.Policy(); !traits.FixedSchedule && (p.MinimalBackoff != 5*time.Second || p.MaximalBackoff != p.MinimalBackoff) || p.Lifetime != cmp.Or(traits.FixedLifetime, 5*time.Minute) {
		t.Errorf("policy %+v is not what was asked for", p)
	}
}

// delivers holds that each message arrives exactly once.
func (s *suite) delivers(t *testing.T) {
	s.awaitDelivered(t, "calm.test", calm)
}

// flush has an agent whose schedule is too slow for a test try again what was deferred.
func (s *suite) flush(t *testing.T) {
	t.Helper()
	if !s.agent.Traits().FixedSchedule {
		return
	}
	if err := s.agent.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (s *suite) retries(t *testing.T) {
	deferred := recipients("deferred.test", few)
	s.await(t, "a first attempt for each", func() bool {
		return !slices.ContainsFunc(deferred, func(r string) bool { return s.attempts(r) == 0 })
	})
	s.flush(t)
	s.awaitDelivered(t, "deferred.test", few)
	least := s.agent.Policy().MinimalBackoff - s.agent.Traits().RetryEarly
	s.received.mu.Lock()
	defer s.received.mu.Unlock()
	for _, r := range deferred {
		seen := s.received.seen[r]
		if len(seen) != 2 {
			t.Errorf("%s was tried %d times, want twice: deferred, then delivered", r, len(seen))
		} else if gap := seen[1].Sub(seen[0]); gap < least && !s.agent.Traits().FixedSchedule {
			t.Errorf("%s was tried again after %v; the policy has %v", r, gap, least)
		}
	}
}

// bounces holds that each refusal is tried once, and told to its sender once.
func (s *suite) bounces(t *testing.T) {
	traits := s.agent.Traits()
	if traits.Silent {
		s.bouncesInTheLog(t)
		return
	}
	want := map[string]bool{}
	for n := range few {
		want[sender("bounced.test", n)] = true
	}
	s.await(t, fmt.Sprintf("%d notifications", few), func() bool { return len(s.notifications(t)) >= few })
	got := s.notifications(t)
	if len(got) != few {
		t.Errorf("%d notifications, want one for each of %d refusals", len(got), few)
	}
	for _, n := range got {
		if traits.Unstructured {
			if !want[n.Sender] || n.Malformed == "" {
				t.Errorf("notification %+v: want one to a sender of bounced.test, once, that can't be read; the traits say Unstructured", n)
			}
			delete(want, n.Sender)
			continue
		}
		domain := strings.HasSuffix(n.Recipient, "@bounced.test")
		if !want[n.Sender] || !domain || n.Action != "failed" || !strings.HasPrefix(n.Status, "5.") {
			t.Errorf("notification %+v: want one to a sender of bounced.test, once, that says failed and 5.x.x", n)
		}
		delete(want, n.Sender)
		if (n.Status == "5.7.1") != traits.RemoteStatus {
			t.Errorf("Status %s after 550 5.7.1; the traits say RemoteStatus %v", n.Status, traits.RemoteStatus)
		}
		if strings.HasPrefix(n.Token, "envid-") != traits.EnvelopeID {
			t.Errorf("Original-Envelope-Id %q; the traits say EnvelopeID %v", n.Token, traits.EnvelopeID)
		}
	}
	s.triedOnce(t)
}

// triedOnce holds that what is refused isn't tried again.
func (s *suite) triedOnce(t *testing.T) {
	t.Helper()
	traits := s.agent.Traits()
	for _, r := range recipients("bounced.test", few) {
		if n := s.attempts(r); n != 1 && (n != 2 || !traits.RefusedAgain) {
			t.Errorf("%s was tried %d times although it was refused at first; the traits say RefusedAgain %v", r, n, traits.RefusedAgain)
		}
	}
}

// bouncesInTheLog is bounces for an agent that notifies nobody.
func (s *suite) bouncesInTheLog(t *testing.T) {
	t.Helper()
	s.await(t, fmt.Sprintf("%d refusals in the log", few), func() bool {
		refused := map[string]bool{}
		err := s.agent.Log(func(e *reconcile.LogEvent) error {
			if e.Event == "bounced" {
				refused[e.Recipient] = true
			}
			return nil
		})
		return err == nil && len(refused) == few
	})
	if got := s.notifications(t); len(got) > 0 {
		t.Errorf("%d notifications; the traits say Silent", len(got))
	}
	s.triedOnce(t)
}

func (s *suite) lists(t *testing.T) {
	s.awaitHeld(t)
	s.awaitDepth(t, few) // what was delivered a moment ago may still be cleared away
}

func (s *suite) awaitDepth(t *testing.T, want int) {
	t.Helper()
	s.await(t, fmt.Sprintf("a depth of %d", want), func() bool { n, err := s.agent.Depth(); return n == want && err == nil })
}

// awaitHeld waits until the listing has what the rules hold back, and nothing else.
func (s *suite) awaitHeld(t *testing.T) {
	t.Helper()
	var want, got []string
	for n, r := range recipients("held.test", few) {
		want = append(want, sender("held.test", n)+" "+r)
	}
	s.await(t, fmt.Sprintf("a listing of %q", want), func() bool {
		got = got[:0]
		err := s.agent.Queue(t.Context(), func(q *reconcile.QueueEntry) error {
			got = append(got, q.Sender+" "+q.Recipient)
			return nil
		})
		slices.Sort(got)
		return err == nil && slices.Equal(got, want)
	})
}

func (s *suite) uses(t *testing.T) {
	if u := s.agent.Usage(); u.CPU <= 0 || u.Memory <= 0 || u.Processes <= 0 && !u.Whole {
		t.Errorf("usage %+v, want more than nothing of each", u)
	}
}

func (s *suite) stops(t *testing.T) {
	if err := s.agent.Stop(); err != nil {
		t.Fatal(err)
	}
	s.nothingRuns(t)
	if n, err := s.agent.Depth(); n != few || err != nil {
		t.Errorf("depth %d, %v after the stop; want %d", n, err, few)
	}
	if err := s.agent.Stop(); err != nil {
		t.Errorf("a second stop: %v", err)
	}
	if err := s.agent.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.awaitHeld(t)
	if err := s.agent.Start(t.Context()); err == nil {
		t.Error("it starts twice")
	}
	if err := s.agent.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.swap(t, rules)
	s.flush(t)
	s.awaitDelivered(t, "held.test", few)
	s.awaitDepth(t, 0)
}

// logs compares the events of the log with what the sink saw, recipient by recipient.
func (s *suite) logs(t *testing.T) {
	want := map[string]int{} // "recipient event code" -> how often
	for _, a := range s.received.Attempts() {
		event := "sent"
		switch {
		case a.Code >= 500:
			event = "bounced"
		case a.Code >= 400:
			event = "deferred"
		}
		if a.Sender != "" { // of notifications some logs don't tell to whom they go
			want[fmt.Sprintf("%s %s %s %d", a.Sender, a.Recipient, event, a.Code)]++
		}
	}
	got, taken, strange := map[string]int{}, map[string]bool{}, ""
	defer func() {
		if t.Failed() {
			for _, key := range slices.Sorted(maps.Keys(want)) {
				if got[key] != want[key] {
					t.Logf("%s: in the log %d times, at the sink %d times", key, got[key], want[key])
				}
			}
			for _, key := range slices.Sorted(maps.Keys(got)) {
				if want[key] == 0 {
					t.Logf("%s: in the log %d times, never at the sink", key, got[key])
				}
			}
		}
	}()
	s.await(t, "a log of all that the sink saw", func() bool {
		clear(got)
		clear(taken)
		err := s.agent.Log(func(e *reconcile.LogEvent) error {
			switch e.Event {
			case "sent", "bounced", "deferred":
				if e.Sender != "" {
					code := e.Code
					if e.Event == "sent" {
						code = 250 // some logs leave it out
					}
					got[fmt.Sprintf("%s %s %s %d", e.Sender, e.Recipient, e.Event, code)]++
				}
			case "accepted":
				taken[e.Sender] = true
			}
			if e.QueueID == "" || time.Since(e.Time) > 3*patience || time.Since(e.Time) < -time.Second {
				strange = fmt.Sprintf("%+v", e)
			}
			return nil
		})
		return err == nil && logged(got, want)
	})
	if n := len(taken); n < calm+3*few {
		t.Errorf("the log has %d messages as accepted, want at least %d", n, calm+3*few)
	}
	if strange != "" {
		t.Errorf("event %s has no queue id, or a time that is far from now", strange)
	}
}

// logged reports whether a log has what the sink saw. Of what was under way as the agent was stopped, twice, the log may tell nothing:
// only deferrals of held.test were.
func logged(got, want map[string]int) bool {
	for key, n := range got {
		if n > want[key] {
			return false
		}
	}
	for key, n := range want {
		stopped := 0
		if strings.Contains(key, "@held.test deferred ") {
			stopped = 2
		}
		if got[key] < n-stopped {
			return false
		}
	}
	return true
}

// crashes kills the agent while it delivers: what it had acknowledged arrives, once or more.
func (s *suite) crashes(t *testing.T) {
	s.swap(t, rules+stuck)
	s.submit(t, "slow.test", calm-few)
	s.submit(t, "stuck.test", few)
	s.await(t, "a first delivery", func() bool { return len(s.delivered("slow.test")) > 0 })
	if err := s.agent.Kill(); err != nil {
		t.Fatal(err)
	}
	s.nothingRuns(t)
	s.swap(t, rules)
	if err := s.agent.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.await(t, "all deliveries", func() bool { return len(s.delivered("slow.test")) == calm-few && len(s.delivered("stuck.test")) == few })
}

func (s *suite) leaves(t *testing.T) {
	if err := s.agent.Close(); err != nil {
		t.Error(err)
	}
	s.nothingRuns(t)
	if err := s.agent.Close(); err != nil {
		t.Errorf("a second close: %v", err)
	}
}

// nothingRuns holds that no process is left, and nobody listens.
func (s *suite) nothingRuns(t *testing.T) {
	t.Helper()
	if pids := supervise.Processes(s.dir); len(pids) > 0 {
		t.Errorf("processes %v are left", pids)
	}
	if conn, err := net.DialTimeout("tcp", s.agent.Addr(), time.Second); err == nil {
		_ = conn.Close() // it was only looked whether anybody answers
		t.Errorf("%s still accepts connections", s.agent.Addr())
	}
	if u := s.agent.Usage(); !u.Whole && u != (mta.Usage{}) {
		t.Errorf("usage %+v, and nothing runs", u)
	}
}

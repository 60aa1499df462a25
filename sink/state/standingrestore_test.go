package state_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
	"github.com/smtpstorm/xk6-smtp/sink/state"
)

// rowOf is the row of a change.
func rowOf(c *state.Change) event.Standing {
	return event.Standing{
		Time: c.Time, Conn: 1, React: c.Reaction.Name, Reaction: c.Reaction.ID(), Key: c.Key, Fingerprint: c.Fingerprint,
		From: uint64(c.From), To: uint64(c.Level), Until: c.Until, Reason: c.Reason,
	}
}

// all is what is in force, in words that don't depend on when it is asked.
func (p *probe) all(t *testing.T) (all []string) {
	t.Helper()
	found, _, err := p.List(p.now, state.StandingQuery{})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range found {
		all = append(all, fmt.Sprintf("%s %s %d since %v until %v", x.Reaction, x.Key, x.Level, x.Changed.UTC(), x.Until.UTC()))
	}
	return all
}

const restored = `react:
  - {name: harsh, of: client, when: {code: 550}, for: [1m, 1h], back: {code: 250}` + treatment + `}
  - {name: mark, of: network, when: {code: 451}, for: 10m, pace: 20s}
  - {name: new, of: client, when: {code: 421}, after: 0, for: 5m` + treatment + `}
  - {name: passing, of: connection, when: {code: 550}}`

// TestStandingsAreRestored plays random histories, and holds what their rows make of new standings to what they were: whatever the order
// in which event loops wrote them, and after any time.
func TestStandingsAreRestored(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 15))
		p := newProbe(t, 0, restored)
		var rows []event.Standing
		note := func(changes []state.Change) {
			for i := range changes {
				c := &changes[i]
				if c.From == c.Level && c.Level < 62 || c.Reason == "" || c.Time.IsZero() {
					t.Fatalf("seed %d: a change that is none: %+v", seed, c)
				}
				rows = append(rows, rowOf(c))
			}
		}
		for range 300 {
			client := random.IntN(5)
			switch code := []smtp.Code{550, 550, 451, 421, 250}[random.IntN(5)]; random.IntN(12) {
			case 0:
				forgiven, err := p.Forgive(p.now, []string{"harsh", "mark", "new"}[random.IntN(3)], fmt.Sprintf("10.0.0.%d", client))
				if err != nil {
					t.Fatal(err)
				}
				note(forgiven)
			case 1:
				p.now = p.now.Add(time.Duration(random.IntN(100)) * time.Second)
			default:
				note(p.reply(client, code))
			}
		}
		// Event loops write what they gather in any order, for a moment.
		for i := 0; i+1 < len(rows); i += 1 + random.IntN(4) {
			for k := i + 1; k < len(rows) && k < i+5 && rows[k].Time.Sub(rows[i].Time) < time.Second; k++ {
				if random.IntN(2) == 0 {
					rows[i], rows[k] = rows[k], rows[i]
				}
			}
		}
		later := []time.Duration{0, 90 * time.Second, 7 * time.Minute, 2 * time.Hour}[seed%4]
		p.now = p.now.Add(later)
		again := newProbe(t, 0, restored)
		again.now = p.now
		r := again.Restore(again.now)
		for i := range rows {
			r.Stand(&rows[i])
		}
		done := r.End()
		got, want := again.all(t), p.all(t)
		want = slices.DeleteFunc(want, func(s string) bool { return s[:8] == "passing " })
		if !slices.Equal(got, want) || done.Standings != uint64(len(want)) || done.Dropped != nil {
			t.Fatalf("seed %d, %v later, of %d rows: %+v\n%q, want\n%q", seed, later, len(rows), done, got, want)
		}
		var keys uint64
		for _, x := range again.Stats() {
			keys += x.Keys
		}
		if keys != uint64(len(want)) {
			t.Errorf("seed %d: %d keys are counted, want %d", seed, keys, len(want))
		}
	}
}

// TestRestoredStandingsFitThePlan: of reactions that the plan does not have, or not with the same text, nothing is restored; where a plan
// between did not have them, they are over.
func TestRestoredStandingsFitThePlan(t *testing.T) {
	const a, b = "{name: a, of: client, when: {code: 550}, for: 1h}", "{name: b, of: client, when: {code: 550}, for: 2h}"
	p := newProbe(t, 0, "react: ["+a+", "+b+"]")
	both := state.ReactionIDs(p.plan)
	var rows []event.Standing
	for _, c := range p.reply(7, 550) {
		rows = append(rows, rowOf(&c))
	}
	only := state.ReactionIDs(planOf(t, "react: ["+a+"]"))
	for _, tt := range []struct {
		name, plan string
		swaps      []string // the reactions of plans after the rows
		later      time.Duration
		want       int
		dropped    []string
	}{
		{"the same", a + ", " + b, nil, 0, 2, nil},
		{"another order", b + ", " + a, nil, 0, 2, nil},
		{"one of them", a, nil, 0, 1, []string{"b"}},
		{"another text", "{name: a, of: client, when: {code: 550}, for: 3h}, " + b, nil, 0, 1, []string{"a"}},
		{"another text, when all is over", "{name: a, of: client, when: {code: 550}, for: 3h}", nil, 2 * time.Hour, 0, nil},
		{"none", "", nil, 0, 0, []string{"a", "b"}},
		{"one was gone for a while", a + ", " + b, []string{only, both}, 0, 1, nil},
		{"both were", a + ", " + b, []string{"", both}, 0, 0, nil},
		{"and are", "", []string{""}, 0, 0, nil},
	} {
		again := newProbe(t, 0, "react: ["+tt.plan+"]")
		again.now = p.now.Add(tt.later)
		r := again.Restore(again.now)
		r.Keep(both)
		for i := range rows {
			r.Stand(&rows[i])
		}
		for _, ids := range tt.swaps {
			r.Keep(ids)
		}
		done := r.End()
		if got := again.all(t); len(got) != tt.want || done.Standings != uint64(tt.want) || !slices.Equal(done.Dropped, tt.dropped) {
			t.Errorf("%s: %+v, %q; want %d, dropped %q", tt.name, done, got, tt.want, tt.dropped)
		}
	}
	r := p.Restore(p.now)
	r.Stand(&rows[0])
	r.Clear()
	if done := r.End(); done.Standings != 0 {
		t.Errorf("%+v after a reset", done)
	}
}

// TestRestoringIsBounded: more standings than there is room for push out those that changed before them.
func TestRestoringIsBounded(t *testing.T) {
	const plan = "react: [{name: r, of: client, when: {code: 550}" + treatment + "}]"
	p := newProbe(t, 0, plan)
	var rows []event.Standing
	for client := range 1000 {
		p.now = p.now.Add(time.Second)
		for _, c := range p.reply(client, 550) {
			rows = append(rows, rowOf(&c))
		}
	}
	few := newProbe(t, 64*state.StandingOctets(1), plan)
	few.now = p.now
	r := few.Restore(few.now)
	for i := range rows {
		r.Stand(&rows[i])
	}
	done := r.End()
	if got := few.Keys(); got != 64 || done.Standings != 64 || few.level(999) != 1 || few.level(0) != 0 {
		t.Errorf("%+v, %d keys, levels %d of the last and %d of the first", done, got, few.level(999), few.level(0))
	}
}

// TestAProlongedStandingIsToldOfOnceASecond: at the highest level nothing changes but the end.
func TestAProlongedStandingIsToldOfOnceASecond(t *testing.T) {
	for _, tt := range []struct {
		keys string
		want int
	}{{", for: 1h", 62 + 9}, {"", 62}} {
		p := newProbe(t, 0, "react: [{name: r, of: client, when: {code: 550}"+tt.keys+"}]")
		n := 0
		for range 1000 {
			n += len(p.reply(1, 550))
			p.now = p.now.Add(10 * time.Millisecond)
		}
		if n != tt.want {
			t.Errorf("r%s: %d changes in 10 s, want %d", tt.keys, n, tt.want)
		}
	}
}

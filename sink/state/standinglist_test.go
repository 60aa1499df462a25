package state_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/state"
)

// listed is what List says of each standing.
func (p *probe) listed(t *testing.T, q state.StandingQuery) (all []string, more bool) {
	t.Helper()
	found, more, err := p.List(p.now, q)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range found {
		until := "the end"
		if !x.Until.IsZero() {
			until = x.Until.Sub(p.now).String()
		}
		all = append(all, fmt.Sprintf("%s %s %d since %v until %s, %v", x.Reaction, x.Key, x.Level, p.now.Sub(x.Changed), until, x.Returned))
	}
	return all, more
}

// What is in force is listed in order, with what List was asked for; what has ended or is forgiven is not.
func TestListAndForgive(t *testing.T) {
	p := newProbe(t, 0, "react: [{name: r, of: client, when: {code: 550}, after: 2, for: [1m, 1h]"+treatment+"}, {name: a, of: client, when: {code: 451}}]")
	want := func(q state.StandingQuery, more bool, want ...string) {
		t.Helper()
		if got, m := p.listed(t, q); !slices.Equal(got, want) || m != more {
			t.Errorf("%+v: %q, more %v; want %q", q, got, m, want)
		}
	}
	forgive := func(reaction, key string, want bool) {
		t.Helper()
		if got, err := p.Forgive(p.now, reaction, key); err != nil || len(got) > 0 != want {
			t.Errorf("forgiving %s by %s: %v, %v", key, reaction, got, err)
		}
	}
	for _, client := range []int{2, 1, 3, 2} {
		p.reply(client, 550)
	}
	want(state.StandingQuery{}, false, "r 10.0.0.2 1 since 0s until 1m0s, false")
	p.now = p.now.Add(10 * time.Second)
	p.level(2)
	p.reply(2, 451)
	p.reply(1, 550)
	const a, one, two = "a 10.0.0.2 1 since 0s until the end, false", "r 10.0.0.1 1 since 0s until 1m0s, false", "r 10.0.0.2 1 since 10s until 50s, true"
	want(state.StandingQuery{}, false, a, one, two)
	want(state.StandingQuery{Limit: 3}, false, a, one, two)
	want(state.StandingQuery{Limit: 1}, true, a)
	want(state.StandingQuery{Limit: 1, AfterReaction: "a", AfterKey: "10.0.0.2"}, true, one)
	want(state.StandingQuery{Limit: 1, AfterReaction: "r", AfterKey: "10.0.0.1"}, false, two)
	want(state.StandingQuery{Key: "10.0.0.2"}, false, a, two)
	want(state.StandingQuery{Reaction: "r", Key: "10.0.0.1"}, false, one)

	forgive("r", "10.0.0.3", false) // it has one of two
	forgive("a", "10.0.0.2", true)
	forgive("a", "10.0.0.2", false)
	want(state.StandingQuery{}, false, one, two)
	p.now = p.now.Add(50 * time.Second)
	want(state.StandingQuery{}, false, "r 10.0.0.1 1 since 50s until 10s, false")
	forgive("r", "10.0.0.2", false) // it has ended
	forgive("r", "10.0.0.1", true)
	if got := p.reply(1, 550); p.level(1) != 0 || got != nil {
		t.Errorf("one more after it was forgiven: level %d, %+v", p.level(1), got)
	}
	if p.reply(1, 550); p.level(1) != 1 {
		t.Errorf("two more after it was forgiven: level %d", p.level(1))
	}
	if s := p.Stats()[0]; s.Begun != 3 || s.Keys != 2 {
		t.Errorf("%+v, want 3 standings of 2 keys", s)
	}
	var unknown *state.UnknownReactionError
	if _, err := p.Forgive(p.now, "x", "10.0.0.1"); !errors.As(err, &unknown) || err.Error() != `unknown reaction "x" (valid: "r" "a")` {
		t.Errorf("%v", err)
	}
	if _, _, err := p.List(p.now, state.StandingQuery{Reaction: "x"}); !errors.As(err, &unknown) {
		t.Errorf("%v", err)
	}
}

// A key that a reaction has from first sight on begins anew when it is forgiven; a key that was forgotten for want of memory is not listed.
func TestForgiveAtFirstSight(t *testing.T) {
	p := newProbe(t, 0, "react: [{name: r, of: client, when: {code: 550}, after: 0"+treatment+"}]")
	p.level(1)
	p.reply(1, 550)
	if got := p.level(1); got != 2 {
		t.Fatalf("level %d, want 2", got)
	}
	if got, err := p.Forgive(p.now, "r", "10.0.0.1"); len(got) != 1 || err != nil {
		t.Errorf("%+v, %v", got, err)
	}
	if got := p.level(1); got != 1 {
		t.Errorf("level %d after it was forgiven, want 1", got)
	}
	few := newProbe(t, 64*state.StandingOctets(1), "react: [{name: r, of: client, when: {code: 550}}]")
	for client := range 1000 {
		few.reply(client, 550)
	}
	if got, _ := few.listed(t, state.StandingQuery{}); len(got) == 0 || uint64(len(got)) != few.Keys() {
		t.Errorf("%d are listed, %d are known", len(got), few.Keys())
	}
}

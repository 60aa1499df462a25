package session

import (
	"slices"
	"testing"
)

// TestLifetime: what the driver is told of the end, after what has happened.
func TestLifetime(t *testing.T) {
	reset := func(l *lifetime) { l.close(CloseRST, ClosedByFault) }
	fin := func(l *lifetime) { l.close(CloseFIN, ClosedByQuit) }
	lost := func(l *lifetime) { l.lost() }
	half, told := (*lifetime).half, func(l *lifetime) { l.effect() }
	close := func(m CloseMode) Effect { return Effect{Kind: EffectClose, Close: m} }
	for _, tt := range []struct {
		name    string
		happens []func(*lifetime)
		state   lifetimeState
		effects []Effect
	}{
		{"nothing", nil, lifetimeOpen, nil},
		{"closed", []func(*lifetime){fin}, lifetimeClosing, []Effect{close(CloseFIN)}},
		{"reset", []func(*lifetime){reset}, lifetimeClosing, []Effect{close(CloseRST)}},
		{"half-closed", []func(*lifetime){half}, lifetimeHalf, []Effect{close(CloseHalf)}},
		{"half-closed, then closed", []func(*lifetime){half, told, fin}, lifetimeClosing, []Effect{close(CloseFIN)}},
		{"both before the driver is told", []func(*lifetime){half, fin}, lifetimeClosing, []Effect{close(CloseFIN)}},
		{"closed and gone", []func(*lifetime){fin, told, lost}, lifetimeGone, []Effect{{Kind: EffectDone}}},
		{"lost", []func(*lifetime){lost, reset}, lifetimeGone, []Effect{{Kind: EffectDone}}},
		{"lost before the driver is told to close", []func(*lifetime){fin, lost}, lifetimeGone, []Effect{{Kind: EffectDone}}},
		{"done", []func(*lifetime){fin, told, lost, told}, lifetimeDone, nil},
	} {
		var l lifetime
		for _, f := range tt.happens {
			f(&l)
		}
		if l.state != tt.state || l.gone() != (tt.state >= lifetimeGone) {
			t.Errorf("%s: state %d, gone %v; want state %d", tt.name, l.state, l.gone(), tt.state)
		}
		var effects []Effect
		for e, ok := l.effect(); ok; e, ok = l.effect() {
			effects = append(effects, e)
		}
		if !slices.EqualFunc(effects, tt.effects, func(a, b Effect) bool { return a.Kind == b.Kind && a.Close == b.Close }) {
			t.Errorf("%s: the driver is told %v, want %v", tt.name, effects, tt.effects)
		}
		if gone := l.gone(); l.lost() == gone || l.lost() {
			t.Errorf("%s: the loss is new a second time, or not new the first time", tt.name)
		}
	}
}

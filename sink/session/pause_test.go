package session

import (
	"slices"
	"testing"
)

// TestPause: the driver is told once what to do when a wait begins, and once that it is over.
func TestPause(t *testing.T) {
	tell := func(p *pause) (told []EffectKind) {
		for range 3 { // what was told is not told again
			if kind, changed := p.read(); changed {
				told = append(told, kind)
			}
			if kind, ok := p.ask(); ok {
				told = append(told, kind)
			}
		}
		return told
	}
	for _, tt := range []struct {
		wait   wait
		paused bool
		begun  []EffectKind
	}{
		{waitNone, false, nil},
		{waitGreeting, false, nil},
		{waitDelay, true, []EffectKind{EffectPause}},
		{waitFarewell, true, []EffectKind{EffectPause}},
		{waitPiece, true, []EffectKind{EffectPause}},
		{waitTaken, true, []EffectKind{EffectPause, EffectAwaitDrain}},
		{waitDrain, true, []EffectKind{EffectPause, EffectAwaitDrain}},
		{waitCommit, true, []EffectKind{EffectPause, EffectCommit}},
		{waitCapture, true, []EffectKind{EffectPause, EffectCapture}},
		{waitReading, true, []EffectKind{EffectStopReading}},
	} {
		var p pause
		p.begin(tt.wait)
		if told := tell(&p); p.paused() != tt.paused || !slices.Equal(told, tt.begun) {
			t.Errorf("wait %d: paused %v, told %v; want %v, %v", tt.wait, p.paused(), told, tt.paused, tt.begun)
		}
		over := []EffectKind(nil)
		if tt.paused {
			over = []EffectKind{EffectResume}
		}
		p.end()
		if told := tell(&p); !slices.Equal(told, over) || !p.quiet() || p.paused() {
			t.Errorf("wait %d is over: told %v, want %v; quiet %v", tt.wait, told, over, p.quiet())
		}
	}
	// One wait after another: the driver, which does not read, is asked for what is new only.
	var p pause
	p.begin(waitTaken)
	tell(&p)
	p.begin(waitTaken)
	if told := tell(&p); !slices.Equal(told, []EffectKind{EffectAwaitDrain}) {
		t.Errorf("a second wait for the output to be taken: told %v", told)
	}
}

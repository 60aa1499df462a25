package main

import (
	"testing"
	"time"
)

func TestFloor(t *testing.T) {
	var f floor
	if err := f.measure(20, 5*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if err := f.measure(20, 5*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if len(f.late) != 40 {
		t.Fatalf("%d due times were waited for, want 40", len(f.late))
	}
	for _, late := range f.late {
		if late < 0 {
			t.Errorf("woke %v before the due time", -late)
		}
	}
	if p50, p99 := f.millis(0.5), f.millis(0.99); p50 > p99 {
		t.Errorf("half of them are up to %g ms late, and 99%% up to %g", p50, p99)
	}
}

func TestParseStolen(t *testing.T) {
	for _, c := range []struct {
		stat       string
		steal, all float64
		fails      bool
	}{
		{stat: "cpu  1 2 3 4 5 6 7 8 90 91\ncpu0 100 0 0 0 0 0 0 0 0 0\n", steal: 8, all: 36},
		{stat: "cpu  1 2 3 4 5 6 7 8", steal: 8, all: 36},
		{stat: "cpu  1 2 3 4 5 6 7", fails: true},
		{stat: "intr 1 2 3 4 5 6 7 8 9", fails: true},
		{stat: "cpu  1 2 x 4 5 6 7 8", fails: true},
	} {
		steal, all, err := parseStolen(c.stat)
		if (err != nil) != c.fails || err == nil && (steal != c.steal || all != c.all) {
			t.Errorf("%q: stolen %g of %g, error %v; want %g of %g, an error: %v", c.stat, steal, all, err, c.steal, c.all, c.fails)
		}
	}
}

package main

import (
	"io"
	"math"
	"strings"
	"testing"
)

func TestRatiosLeaveTheStartOut(t *testing.T) {
	s := sample{
		Source:    load{Messages: 1000, CPU: 0.1, Wall: 1},
		Stepwise:  load{Messages: 1000, CPU: 0.47, Wall: 2},
		Pipelined: load{Messages: 1000, CPU: 0.335, Wall: 1.25},
		Start:     load{Messages: 100, CPU: 0.2, Wall: 0.1},
	}
	for _, test := range []struct {
		name      string
		got, want float64
	}{
		{"CPU", s.cpuRatio(&s.Stepwise), 3},     // 0.27 s for 900 messages, 0.3 ms each, beside 0.1 ms
		{"CPU", s.cpuRatio(&s.Pipelined), 1.5},  // 0.15 ms each
		{"rate", s.rateRatio(&s.Stepwise), 0.5}, // 500 a second beside 1000
		{"rate", s.rateRatio(&s.Pipelined), 0.8},
	} {
		if math.Abs(test.got-test.want) > 1e-12 {
			t.Errorf("%s: %v, expected %v", test.name, test.got, test.want)
		}
	}
}

func TestVerdicts(t *testing.T) {
	six := func(values ...float64) []float64 { return values }
	for _, test := range []struct {
		name   string
		f      figure
		values []float64
		want   string
	}{
		{"all below", figure{Bound: 3, Most: true}, six(2, 2.1, 2.2, 2.3, 2.4, 2.5, 2.6), "met"},
		{"the interval reaches above", figure{Bound: 3, Most: true}, six(2, 2.1, 2.2, 2.3, 2.4, 3.5, 3.6), "median met, interval not"},
		{"above", figure{Bound: 3, Most: true}, six(3.1, 3.2, 3.3, 3.4, 3.5, 3.6, 3.7), "missed"},
		{"three rounds", figure{Bound: 0.8}, []float64{0.9, 0.95, 1}, "median met, too few rounds"},
		{"at least", figure{Bound: 0.8}, six(0.7, 0.7, 0.7, 0.75, 0.9, 0.9, 0.9), "missed"},
		{"no bound", figure{}, six(1, 2, 3, 4, 5, 6), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.f.estimate(test.values)
			if test.f.Verdict != test.want || test.f.N != len(test.values) {
				t.Errorf("%+v, expected %q", test.f, test.want)
			}
		})
	}
}

func TestFlagsThatCannotBe(t *testing.T) {
	for _, args := range []string{"--rounds 0", "--vus 0", "--messages 10", "--size 1", "--server postfix", "--idle -1", "--idle-rounds 0", "more"} {
		var o options
		if err := o.parse(strings.Fields(args), io.Discard); err == nil {
			t.Errorf("%s is accepted", args)
		}
	}
	var o options
	if err := o.parse([]string{"--quick"}, io.Discard); err != nil || o.messages != 3000 || o.rounds != 2 {
		t.Errorf("--quick: %v, %+v", err, o)
	}
}

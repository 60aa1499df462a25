package workload

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/fit"
)

const slots = 200_000

func profile(t *testing.T, seed uint64) *Workload {
	t.Helper()
	p := Profiles()[0]
	sizes, err := NewTable(p.Sizes, 1, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	recipients, err := NewTable(p.Recipients, 1, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return &Workload{Seed: seed, Sizes: sizes, Recipients: recipients}
}

func drawn(entries []Entry, counts map[int]uint64) (out []fit.Outcome) {
	sum := 0.0
	for _, e := range entries {
		sum += e.Weight
	}
	for _, e := range entries {
		out = append(out, fit.Outcome{Label: fmt.Sprint(e.Value), Probability: e.Weight / sum, Drawn: counts[e.Value]})
	}
	return out
}

// rules counts what slots hold: gaps by the twentieths of their distribution, messages per slot, sizes and recipients.
func rules(w *Workload) []fit.Rule {
	const cells = 20
	perSlot, sizes, recipients := map[int]uint64{}, map[int]uint64{}, map[int]uint64{}
	var gaps, followers [cells]uint64
	last, before := 0.0, 0
	for n := range uint64(slots) {
		messages := w.Slot(n)
		perSlot[min(len(messages), 7)]++
		for _, m := range messages {
			at := float64(n) + m.At
			cell := int((1 - math.Exp(last-at)) * cells) // the gap's distribution function is uniform
			gaps[cell]++
			if before < cells/2 { // a short gap says nothing about the next one
				followers[cell]++
			}
			last, before = at, cell
			sizes[m.Size]++
			recipients[m.Recipients]++
		}
	}
	var gapOutcomes, followerOutcomes, perSlotOutcomes []fit.Outcome
	for i := range cells {
		gapOutcomes = append(gapOutcomes, fit.Outcome{Probability: 1. / cells, Drawn: gaps[i]})
		followerOutcomes = append(followerOutcomes, fit.Outcome{Probability: 1. / cells, Drawn: followers[i]})
	}
	p, rest := math.Exp(-1), 1.0
	for k := range 7 {
		perSlotOutcomes = append(perSlotOutcomes, fit.Outcome{Probability: p, Drawn: perSlot[k]})
		rest -= p
		p /= float64(k + 1)
	}
	perSlotOutcomes = append(perSlotOutcomes, fit.Outcome{Probability: rest, Drawn: perSlot[7]})
	return []fit.Rule{
		{Name: "gaps", Outcomes: gapOutcomes}, {Name: "gaps after short ones", Outcomes: followerOutcomes}, {Name: "messages per slot", Outcomes: perSlotOutcomes},
		{Name: "sizes", Outcomes: drawn(Profiles()[0].Sizes, sizes)}, {Name: "recipients", Outcomes: drawn(Profiles()[0].Recipients, recipients)},
	}
}

// TestDrawsFitTheirDistributions tests gaps, sizes and recipients by chi-square, for several seeds.
func TestDrawsFitTheirDistributions(t *testing.T) {
	for _, seed := range []uint64{0, 1, 20261127, math.MaxUint64} {
		for _, r := range fit.Test(rules(profile(t, seed))) {
			if !r.Tested || r.Rejected || r.N < slots/3 {
				t.Errorf("seed %d: %s: chi-square %.1f with %d degrees of freedom, p %.2g, of %d draws; tested: %v", seed, r.Rule, r.ChiSquare, r.DF, r.P, r.N, r.Tested)
			}
		}
	}
}

// TestTheFitTestSeesOtherDistributions: constant gaps, and a table that is off by a twentieth, are rejected.
func TestTheFitTestSeesOtherDistributions(t *testing.T) {
	w := profile(t, 3)
	wrong := []Entry{{1 << 10, 9.7}}
	var err error
	if w.Sizes, err = NewTable(append(wrong, Profiles()[0].Sizes[1:]...), 1, 1<<30); err != nil {
		t.Fatal(err)
	}
	for _, r := range fit.Test(rules(w)) {
		if r.Rejected != (r.Rule == "sizes") {
			t.Errorf("%s: rejected: %v (p %.2g)", r.Rule, r.Rejected, r.P)
		}
	}
}

func TestASlotFollowsFromSeedAndNumber(t *testing.T) {
	a, b, other := profile(t, 5), profile(t, 5), profile(t, 6)
	same := 0
	for n := range uint64(1000) {
		if !reflect.DeepEqual(a.Slot(n), b.Slot(n)) {
			t.Fatalf("slot %d differs from itself", n)
		}
		if len(a.Slot(n)) > 0 && reflect.DeepEqual(a.Slot(n), other.Slot(n)) {
			same++
		}
		for i, m := range a.Slot(n) {
			if m.At < 0 || m.At >= 1 || i > 0 && m.At < a.Slot(n)[i-1].At {
				t.Errorf("slot %d: message %d at %v", n, i, m.At)
			}
		}
	}
	if same > 0 {
		t.Errorf("%d slots are those of another seed, too", same)
	}
}

func TestTheProfileIsWhatItSays(t *testing.T) {
	p := Profiles()[0]
	for name, entries := range map[string][]Entry{"sizes": p.Sizes, "recipients": p.Recipients} {
		sum := 0.0
		for _, e := range entries {
			sum += e.Weight
		}
		if math.Abs(sum-100) > 0.011 {
			t.Errorf("%s add up to %.2f%%", name, sum)
		}
	}
}

func TestWrongTables(t *testing.T) {
	for want, entries := range map[string][]Entry{
		"wants 1 to 1000 pairs, not 0":          {},
		"wants values from 1 to 10, not 11":     {{11, 1}},
		"wants values from 1 to 10, not 0":      {{0, 1}},
		"has the value 2 twice":                 {{2, 1}, {2, 3}},
		"wants weights from 0, not -1":          {{2, -1}},
		"wants weights from 0, not NaN":         {{2, math.NaN()}},
		"wants weights from 0, not +Inf":        {{2, math.Inf(1)}},
		"wants weights with a finite sum":       {{2, 0}},
		"wants weights with a finite sum above": {{2, math.MaxFloat64}, {3, math.MaxFloat64}},
	} {
		if _, err := NewTable(entries, 1, 10); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", entries, err, want)
		}
	}
	table, err := NewTable([]Entry{{1, 0}, {2, 5}, {3, 0}}, 1, 10)
	if err != nil || !reflect.DeepEqual(table.Values(), []int{2}) || table.at(0) != 2 || table.at(math.Nextafter(1, 0)) != 2 {
		t.Errorf("weights of 0: %v, %v", table, err)
	}
}

package sink

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/ledger"
)

// Each phase has its row, with the time of the plan, however late and seldom the server looks at the clock.
func TestPhaseRowsOfLateLooks(t *testing.T) {
	phase := func(name string, seconds, times int) fault.PhaseSpec {
		return fault.PhaseSpec{Name: name, Duration: time.Duration(seconds) * time.Second, Repeat: times}
	}
	plan := func(start fault.StartKind, phases ...fault.PhaseSpec) *fault.Plan {
		p, err := fault.NewPlan(fault.PlanSpec{Start: fault.Start{Kind: start}, Phases: phases})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	storm := []fault.PhaseSpec{phase("calm", 10, 1), phase("bad", 5, 2), phase("recovery", 10, 1)}
	for _, test := range []struct {
		name  string
		start fault.StartKind
		first int // second of the first connection
		looks []int
		swap  int // before this look another plan comes into force, whose clock starts then; 0: none
		want  []string
	}{
		{"one look at the end", fault.StartClock, 0, []int{100}, 0, []string{"0 calm", "10 bad", "15 bad", "20 recovery", "30 "}},
		{"in mid-phase", fault.StartClock, 0, []int{12, 13, 22, 31}, 0, []string{"0 calm", "10 bad", "15 bad", "20 recovery", "30 "}},
		{"waiting for a connection", fault.StartFirstConnection, 7, []int{5, 40}, 0, []string{"7 calm", "17 bad", "22 bad", "27 recovery", "37 "}},
		{"a connection before the look", fault.StartFirstConnection, 4, []int{5, 6}, 0, []string{"5 calm"}},
		{"another plan", fault.StartClock, 0, []int{12, 13, 19}, 2, []string{"0 calm", "10 bad", "13 next", "18 "}},
	} {
		t.Run(test.name, func(t *testing.T) {
			begun := time.Date(2026, 11, 27, 2, 0, 0, 0, time.UTC)
			at := func(second int) time.Time { return begun.Add(time.Duration(second) * time.Second) }
			path := filepath.Join(t.TempDir(), "ledger.jsonl")
			s, err := New(Config{
				Listeners: []Listener{{Name: "test", Address: "127.0.0.1:0"}}, Plan: plan(test.start, storm...), Driver: DriverNet,
				Ledger: LedgerConfig{Path: path}, Now: func() time.Time { return begun },
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Start(); err != nil {
				t.Fatal(err)
			}
			s.mu.Lock()
			for i, look := range test.looks {
				if test.start == fault.StartFirstConnection && i == len(test.looks)-1 {
					s.active.Load().first.Store(at(test.first).UnixNano())
				}
				if test.swap > 0 && i == test.swap-1 {
					s.active.Store(s.active.Load().after(plan(fault.StartClock, phase("next", 5, 1)), "", nil, at(look)))
					s.active.Load().loaded = at(look)
				}
				s.notePhases(s.active.Load(), at(look))
			}
			s.mu.Unlock()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if got := phaseRows(t, path, begun); !slices.Equal(got, test.want) {
				t.Errorf("phases %q, want %q", got, test.want)
			}
		})
	}
}

// phaseRows lists the phases of a ledger: the second at which each began, and its name.
func phaseRows(t *testing.T, path string, begun time.Time) (all []string) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	reader := ledger.NewReader(file, path)
	var row event.Row
	for {
		switch err := reader.Read(&row); {
		case err == io.EOF:
			return all
		case err != nil:
			t.Fatal(err)
		case row.Kind == event.KindPhase:
			all = append(all, fmt.Sprintf("%.0f %s", row.Phase.Time.Sub(begun).Seconds(), row.Phase.Phase))
		}
	}
}

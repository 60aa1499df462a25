package run

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/capacity"
	"github.com/smtpstorm/xk6-smtp/bench/input"
	"github.com/smtpstorm/xk6-smtp/bench/result"
)

// TestTheCapacityOfALimitedSinkIsFound has the real k6 look for the capacity of a sink that takes 30 messages a second, and 30 at once.
func TestTheCapacityOfALimitedSinkIsFound(t *testing.T) {
	t.Parallel()
	k6 := realK6(t)
	dir := t.TempDir()
	plan := filepath.Join(dir, "limit.yaml")
	if err := os.WriteFile(plan, []byte("version: 1\nname: thirty\nlimits:\n  - {name: thirty, kind: rate, scope: all, stage: mail, rate: 30/s, burst: 30}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var console strings.Builder
	o := Options{K6: k6, Scripts: scriptsDir, Plan: plan, VUs: 50, Seed: 7, Out: filepath.Join(dir, "out"), Env: []string{"SIZE=1000"}, Console: &console,
		Capacity: &Capacity{Options: capacity.Options{From: 15, To: 200, Precision: 0.5}, Trial: 2 * time.Second, Confirm: 2 * time.Second}}
	outcome, err := Run(t.Context(), o)
	if err != nil {
		t.Fatalf("%v\n%s", err, console.String())
	}
	found := outcome.Capacity
	// In two seconds it takes 90 messages, which come at 45/s; at 15/s there is room for three times as many as come.
	if found.Capacity < 15 || found.Capacity >= 60 || found.Beyond <= found.Capacity || found.Interrupted || len(found.Trials) != len(outcome.Legs) {
		t.Errorf("%+v\n%s", found, console.String())
	}
	if !strings.Contains(console.String(), "messages/s") || !strings.Contains(console.String(), "this is no SPEC result") {
		t.Errorf("the console has no verdict:\n%s", console.String())
	}
	var file CapacityReport
	text, err := os.ReadFile(filepath.Join(o.Out, "capacity.json"))
	if err == nil {
		err = json.Unmarshal(text, &file)
	}
	if err != nil || file.Schema != CapacitySchema || file.Capacity != found.Capacity || file.Plan != "thirty" {
		t.Errorf("capacity.json: %v, %+v", err, file)
	}
	for i, leg := range outcome.Legs {
		r, err := result.Read(filepath.Join(o.Out, leg.Name+".json"))
		if err != nil || r.Load.RatePerSecond != float64(found.Trials[i].Rate) {
			t.Errorf("%s: %v, rate %v", leg.Name, err, r.Load.RatePerSecond)
		}
	}
	if files, err := FindFiles(o.Out); err != nil || len(files.Legs) != len(outcome.Legs) {
		t.Errorf("smtpbench judge finds %d of %d trials: %v", len(files.Legs), len(outcome.Legs), err)
	}
}

func TestWrongSearchesTouchNothing(t *testing.T) {
	for want, change := range map[string]func(o *Options){
		"--from 0: want 1 to 100000 messages per second": func(o *Options) { o.Capacity.From = 0 },
		"--confirm 2h0m0s: want 1s to 1h0m0s":            func(o *Options) { o.Capacity.Confirm = 2 * time.Hour },
		"--duration 1ms: want 1s to 1h0m0s":              func(o *Options) { o.Capacity.Trial = time.Millisecond },
		"--env RATE=5: the search sets RATE itself":      func(o *Options) { o.Env = []string{"RATE=5"} },
		"--target 127.0.0.1:25 needs --sink-listen":      func(o *Options) { o.Target = "127.0.0.1:25" },
		"no such file, and no built-in plan has that":    func(o *Options) { o.Plan = "clam" },
	} {
		o, _ := options(t, "ok")
		o.Messages, o.MTA, o.Plan, o.Scripts = 0, "", "", scriptsDir
		o.Capacity = &Capacity{Options: capacity.Options{From: 10, To: 100, Precision: 0.05}}
		change(&o)
		_, err := Run(t.Context(), o)
		var bad *input.Error
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
		if _, err := os.Stat(o.Out); err == nil {
			t.Errorf("%s: something was written", want)
		}
	}
}

func TestASearchThatIsStoppedAtOnceLeavesNothing(t *testing.T) {
	o, _ := options(t, "ok")
	o.Messages, o.MTA, o.Plan, o.Scripts = 0, "", "", scriptsDir
	o.Capacity = &Capacity{Options: capacity.Options{From: 10, To: 100, Precision: 0.05}}
	stop := make(chan struct{})
	close(stop)
	o.Stop = stop
	if _, err := Run(t.Context(), o); !errors.Is(err, errInterrupted) {
		t.Error(err)
	}
}

// TestCapacityVerdicts: the words and the exit status say what is known and what isn't.
func TestCapacityVerdicts(t *testing.T) {
	for _, tt := range []struct {
		found capacity.Result
		want  string
		exit  int
	}{
		{capacity.Result{Capacity: 57, Beyond: 59, Confirmed: true}, "57 messages/s; at 59/s the quality does not hold; confirmed at 80, 100 and 120% of 57/s", 0},
		{capacity.Result{Capacity: 57, Beyond: 59}, "57 messages/s; at 59/s the quality does not hold; not confirmed: trials at one rate came to different ends", 3},
		{capacity.Result{Capacity: 57, Beyond: 59, Interrupted: true}, "57 messages/s; at 59/s the quality does not hold; interrupted, and not confirmed", 3},
		{capacity.Result{Capacity: 57, Interrupted: true}, "at least 57 messages/s; interrupted, and not confirmed", 3},
		{capacity.Result{Capacity: 200, Confirmed: true, AtLeast: true}, "at least 200 messages/s, the most that was tried (--to); confirmed", 0},
		{capacity.Result{Capacity: 400, Beyond: 420, Confirmed: true, Generator: true}, "at least 400 messages/s: from 420/s on it was k6 that could not offer the load; confirmed at 80, 100 and 120% of 400/s", 3},
		{capacity.Result{Beyond: 1}, "the quality holds at no rate, not even at 1/s", 1},
		{capacity.Result{Beyond: 5, Interrupted: true}, "not found: interrupted; the quality holds at no rate from 5/s on", 3},
	} {
		if got := capacityVerdict(&tt.found); got != tt.want || capacityExit(&tt.found) != tt.exit {
			t.Errorf("%q and %d, want %q and %d", got, capacityExit(&tt.found), tt.want, tt.exit)
		}
	}
}

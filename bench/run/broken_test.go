package run

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/k6"
	"github.com/smtpstorm/xk6-smtp/bench/relay"
	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

// However k6 ends, what it had sent is judged, and nobody takes the part for the whole: its evidence stays, and the verdict is undetermined.
func TestWhatABrokenK6HasSentIsJudged(t *testing.T) {
	const sound = "of the 80 units that were sent, none is lost and none is duplicated without cause"
	for how, want := range map[string]string{
		"aborts":      "k6 ended with status 108 after", // exec.test.abort, or a teardown that throws
		"killed":      "k6 was ended from outside (signal: killed) after",
		"stops early": "k6 ended the test early: thresholds were crossed",
		// k6 may say that all went well although its record could not be written.
		"no record": "calm.json is missing: is the disk full?",
		"partial":   "calm.json is incomplete (",
		"short":     "calm.json is no usable record",
		"empty":     "calm.json is no usable record",
		"no client": "calm.json has no client part",
		"stale":     "calm.json is one of another run",
	} {
		t.Run(how, func(t *testing.T) {
			o, console := options(t, how)
			if how == "aborts" {
				o.Script = filepath.Join(o.Scripts, k6.CalmScript)
			}
			outcome, err := Run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			agree(t, o.Out, console.String(), outcome.Exit)
			said := flat(console.String())
			for _, want := range []string{"UNDETERMINED: not all of the load was carried out (calm: ", want, sound} {
				if !strings.Contains(said, want) {
					t.Errorf("the console doesn't say %q:\n%s", want, console)
				}
			}
			if outcome.Exit != reconcile.ExitUndetermined || len(outcome.Legs) != 2 {
				t.Errorf("exit status %d and %d legs, want %d and 2", outcome.Exit, len(outcome.Legs), reconcile.ExitUndetermined)
			}
		})
	}
}

func TestAKilledK6ThroughAnMTA(t *testing.T) {
	t.Setenv("FAKE_K6", "killed")
	p := prepare(t, 40, relay.Config{}).seen()
	if got, want := p.run(), "40 delivered, exit 3"; got != want || !strings.Contains(p.console.String(), "k6 was ended from outside") {
		t.Errorf("got %s, want %s and why:\n%s", got, want, p.console)
	}
}

// A leg that can't be run leaves those before it as they are.
func TestALaterLegThatFailsLeavesTheEarlierOnes(t *testing.T) {
	o, console := options(t, "breaks later")
	outcome, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	agree(t, o.Out, console.String(), outcome.Exit)
	if said := flat(console.String()); outcome.Exit != reconcile.ExitUndetermined || !strings.Contains(said, "k6 ended with status 107") || !strings.Contains(said, "foo is not defined") {
		t.Errorf("exit status %d, want %d and the reason:\n%s", outcome.Exit, reconcile.ExitUndetermined, console)
	}
}

// Nothing was sent: nothing is written.
func TestRunFailsWithK6AndWritesNothing(t *testing.T) {
	o, _ := options(t, "broken")
	_, err := Run(t.Context(), o)
	var failure *k6.Error
	if !errors.As(err, &failure) || failure.Status != 107 || !strings.Contains(err.Error(), "foo is not defined") {
		t.Errorf("got %v; want a k6 error with status 107 and the end of its log", err)
	}
	if got := files(t, filepath.Dir(o.Out)); !slices.Equal(got, []string{"scripts"}) {
		t.Errorf("files after a failed run: %q, want none written", got)
	}
}

// hanging calls f once the fake has sent all messages of a leg and hangs.
func hanging(t *testing.T, o *Options, f func()) {
	t.Helper()
	go func() {
		defer f()
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
			logs, _ := filepath.Glob(filepath.Join(filepath.Dir(o.Out), ".out-*", "k6-calm.log"))
			if len(logs) == 1 {
				if text, err := os.ReadFile(logs[0]); err == nil && strings.Contains(string(text), "hanging") {
					return
				}
			}
			select {
			case <-t.Context().Done():
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}()
}

func TestStopLeavesAUsableResult(t *testing.T) {
	o, console := options(t, "hang")
	stop := make(chan struct{})
	o.Stop = stop
	hanging(t, &o, func() { close(stop) })
	outcome, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if !outcome.Interrupted || outcome.Exit != reconcile.ExitUndetermined || len(outcome.Legs) != 1 || !outcome.Legs[0].Interrupted {
		t.Errorf("outcome %+v, want one interrupted leg\n%s", outcome, console)
	}
	agree(t, o.Out, console.String(), outcome.Exit)
	record, err := result.Read(filepath.Join(o.Out, "calm.json"))
	if err != nil {
		t.Fatal(err)
	}
	if len(record.Warnings) != 1 || !strings.HasPrefix(record.Warnings[0], "interrupted after") {
		t.Errorf("warnings %q, want the interruption", record.Warnings)
	}
}

// Who ends a run at once gets no results, but the evidence stays, and what was there before, too.
func TestEndingAtOnceKeepsTheEvidence(t *testing.T) {
	o, console := options(t, "hang")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	hanging(t, &o, cancel)
	_, err := Run(ctx, o)
	var kept *KeptError
	if !errors.As(err, &kept) || !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "smtpbench judge "+kept.Dir) {
		t.Fatalf("got %v, want where the evidence is\n%s", err, console)
	}
	found, err := FindFiles(kept.Dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := found.Judge(nil, reconcile.Options{})
	if err != nil || again.Units != fakeMessages || again.Verdict.Exit != reconcile.ExitUndetermined {
		t.Errorf("judged: %+v, %v; want %d units and undetermined", again, err, fakeMessages)
	}
	if got := files(t, filepath.Dir(o.Out)); len(got) != 2 || got[0] != filepath.Base(kept.Dir) {
		t.Errorf("left: %q", got)
	}
}

// A run that is stopped between two legs has not carried out its load, although the leg before was whole.
func TestStoppedBetweenTwoLegs(t *testing.T) {
	o, console := options(t, "ok")
	stop := make(chan struct{})
	o.Stop = stop
	o.Console = &stopsAt{Writer: console, text: "messages accepted in", stop: stop}
	outcome, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	agree(t, o.Out, console.String(), outcome.Exit)
	if said := flat(console.String()); outcome.Exit != reconcile.ExitUndetermined || len(outcome.Legs) != 1 || !strings.Contains(said, "the run was interrupted before the next leg") {
		t.Errorf("exit status %d and %d legs, want %d and 1:\n%s", outcome.Exit, len(outcome.Legs), reconcile.ExitUndetermined, console)
	}
}

// stopsAt stops the run when a text is written.
type stopsAt struct {
	io.Writer
	text string
	stop chan struct{}
	once sync.Once
}

func (s *stopsAt) Write(p []byte) (int, error) {
	if strings.Contains(string(p), s.text) {
		s.once.Do(func() { close(s.stop) })
	}
	return s.Writer.Write(p)
}

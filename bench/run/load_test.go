package run

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/k6"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

func TestLegsOfTheMainJobAreShort(t *testing.T) {
	for _, tt := range []struct {
		asked int
		rate  float64
		want  int
	}{
		{20_000, 1000, 20_000}, {20_000, 800, 20_000}, {20_000, 790, 19_750}, {20_000, 100, 2500}, {20_000, 1, 25}, {10, 1, 10},
	} {
		if got := fitting(tt.asked, tt.rate); got != tt.want {
			t.Errorf("%d messages at %v/s: %d fit, want %d", tt.asked, tt.rate, got, tt.want)
		}
	}
}

func TestARiseAndASteadyPartAddUp(t *testing.T) {
	for _, tt := range []struct {
		messages int
		rate     float64
		rises    bool
	}{
		{1500, 150, true}, {1000, 150, true}, {479, 150, false}, {480, 150, true}, {1, 150, false}, {1000, 10, false}, {1000, 5, false}, {100_000, 1000, true},
	} {
		l := load{messages: tt.messages, rate: tt.rate}
		rise, steady := l.ramp()
		if rises := rise > 0; rises != tt.rises {
			t.Errorf("%+v: a rise of %v", tt, rise)
		}
		offered := rise.Seconds()*(mtaStart+tt.rate)/2 + steady.Seconds()*tt.rate
		if spare := offered - float64(tt.messages); spare < (slack+mtaSlack).Seconds()*tt.rate-0.01 || spare > (slack+mtaSlack+time.Millisecond).Seconds()*tt.rate+0.01 {
			t.Errorf("%+v: rise %v and steady %v offer %.1f, want the messages and the slack", tt, rise, steady, offered)
		}
	}
	if env := (load{messages: 20, rate: 445}).env("h", "25", nil); !slices.Contains(env, "DURATION=1s") {
		t.Errorf("20 messages at 445/s: %q, and k6 wants 1s or more", env)
	}
	if d := lasting(20_000, 999); math.Abs(d.Seconds()-20.271) > 0.001 {
		t.Errorf("20,000 messages at 999/s last %v", d)
	}
}

func TestFewerMessagesThanAskedForAreNamed(t *testing.T) {
	o, console := options(t, "ok")
	o.Messages = fakeMessages + 10
	outcome, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	const want = "40 of 50 messages were sent, since k6 could not start the rest in time"
	for _, leg := range outcome.Legs {
		if !slices.ContainsFunc(leg.Record.Warnings, func(w string) bool { return strings.Contains(w, want) }) {
			t.Errorf("%s: warnings %q, want %q", leg.Name, leg.Record.Warnings, want)
		}
		if l := leg.Record.Load; l.IterationsPlanned != 50 || l.IterationsComplete != 40 {
			t.Errorf("%s: %d of %d iterations, want 40 of 50", leg.Name, l.IterationsComplete, l.IterationsPlanned)
		}
	}
	if line := "verdict UNDETERMINED: not all of the load was carried out (calm: " + want; outcome.Exit != 3 || !strings.Contains(flat(console.String()), line) {
		t.Errorf("exit status %d, and the console lacks %q:\n%s", outcome.Exit, line, console)
	}
}

// A user's own script may plan any load: that it fell short is known by the iterations that k6 dropped.
func TestAnOwnScriptThatFallsShortIsUndetermined(t *testing.T) {
	for how, want := range map[string]struct {
		exit     int
		sentence string
	}{
		"drop": {reconcile.ExitUndetermined, "verdict UNDETERMINED: not all of the load was carried out (calm: k6 dropped 1,200 iterations, since no client was free: more VUs or a lower rate help; "},
		"ok":   {reconcile.ExitSound, "verdict SOUND: "},
	} {
		t.Run(how, func(t *testing.T) {
			o, console := options(t, how)
			o.Script = filepath.Join(o.Scripts, k6.CalmScript)
			outcome, err := Run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if outcome.Exit != want.exit || !strings.Contains(flat(console.String()), want.sentence) {
				t.Errorf("exit status %d, want %d and %q:\n%s", outcome.Exit, want.exit, want.sentence, console)
			}
		})
	}
}

// flat undoes the line breaks by which text fits a terminal.
func flat(s string) string { return strings.Join(strings.Fields(s), " ") }

func TestALongLegIsShortenedAndSaysSo(t *testing.T) {
	o, console := options(t, "ok")
	o.Messages, o.Rate = 0, 2
	outcome, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	const want = "50 messages instead of 20,000: more take longer than 25 s at 2/s (--messages 20000 sends them all)"
	if !strings.Contains(flat(console.String()), want) || !slices.Contains(outcome.Legs[0].Record.Notes, want) {
		t.Errorf("console and notes %q lack %q:\n%s", outcome.Legs[0].Record.Notes, want, console)
	}
}

// TestTheScriptsAreListed holds the table in scripts/README.md to the folder, both ways.
func TestTheScriptsAreListed(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(scriptsDir, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	scripts, err := filepath.Glob(filepath.Join(scriptsDir, "*.js"))
	if err != nil {
		t.Fatal(err)
	}
	var there, listed []string
	for _, script := range scripts {
		there = append(there, filepath.Base(script))
		text, err := os.ReadFile(script)
		if err != nil {
			t.Fatal(err)
		}
		own := bytes.Contains(text, []byte("k6/x/smtp/sink"))
		if row := lineWith(string(readme), "| ["+filepath.Base(script)+"]"); own != strings.HasSuffix(row, "| yes |") {
			t.Errorf("%s: the table says otherwise whether it has a sink of its own", script)
		}
	}
	for _, name := range regexp.MustCompile(`(?m)^\| \[([a-z-]+\.js)\]`).FindAllSubmatch(readme, -1) {
		listed = append(listed, string(name[1]))
	}
	slices.Sort(listed)
	if !slices.Equal(there, listed) {
		t.Errorf("the table lists %q\nthe folder holds %q", listed, there)
	}
}

// lineWith returns the line that begins so.
func lineWith(text, begin string) string {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, begin) {
			return strings.TrimRight(line, "\n")
		}
	}
	return ""
}

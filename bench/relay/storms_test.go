package relay_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/relay"
	"github.com/smtpstorm/xk6-smtp/scripts"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

// lasting returns the text of a built-in storm whose phases and delays last as long as change makes of it.
func lasting(t *testing.T, name string, phase, delay func(time.Duration) time.Duration) string {
	t.Helper()
	file, err := scripts.LoadStorm(name)
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(`(duration|delay): (\d+s)`).ReplaceAllStringFunc(string(file.Text), func(s string) string {
		key, value, _ := strings.Cut(s, ": ")
		d, err := time.ParseDuration(value)
		if err != nil {
			t.Fatal(err)
		}
		change := phase
		if key == "delay" {
			change = delay
		}
		return fmt.Sprintf("%s: %v", key, change(d))
	})
}

// worse writes the findings that are more than information, and the exit status.
func worse(result *reconcile.Result) string {
	var said []string
	for _, f := range result.Findings {
		if f.Severity != reconcile.Information {
			said = append(said, fmt.Sprintf("%s %d", f.Kind, f.Units))
		}
	}
	return strings.Join(append(said, fmt.Sprintf("exit %d", result.Verdict.Exit)), ", ")
}

// TestTruthUnderStorms: a truthful relay gets no finding, under each built-in storm, a fortieth as long as it is, that can be had with one next hop.
func TestTruthUnderStorms(t *testing.T) {
	shorter := func(d time.Duration) time.Duration { return d / 40 }
	for _, storm := range scripts.Storms() {
		if strings.Contains(storm.Name, "head-of-line") || strings.Contains(storm.Name, "dead-mx") {
			continue // they name listeners that only a sender with routes uses
		}
		t.Run(storm.Name, func(t *testing.T) {
			t.Parallel()
			r := startPatient(t, lasting(t, storm.Name, shorter, shorter), 3*time.Second)
			r.send(to("yes", 60)...)
			r.drain()
			if result := r.judge(); worse(result) != "exit 0" {
				t.Errorf("%s; %s: want no finding", worse(result), say(result))
			}
		})
	}
}

// TestLiesUnderStorms: each lie is found, as often as it was told, also where the storm never ends. Storms that draw each attempt anew let all mail
// through in the end, or refuse it.
func TestLiesUnderStorms(t *testing.T) {
	content := []relay.Lie{
		{relay.Lose, 5, 200}, {relay.Copy, 2, 200}, {relay.CopyBare, 3, 200}, {relay.Misdeliver, 4, 200}, {relay.ChangeBody, 5, 200}, {relay.DropStormID, 6, 200},
		{relay.RewriteMessageID, 7, 200}, {relay.SwapBodies, 1, 200},
	}
	const contents = "delivered-altered 7, misdelivered 4, misrouted 5, bodies-swapped 2, header-lost 6"
	after := []relay.Lie{{relay.Duplicate, 8, 30}, {relay.ForgeDSN, 9, 30}} // a second copy may be refused where recipients are
	forged := after[1:]
	about := []relay.Lie{{relay.RetryRefused, 2, 9}, {relay.DoubleDSN, 3, 9}, {relay.WithholdDSN, 4, 9}}
	soon := []relay.Lie{{relay.RetrySoon, 3, 6}}
	for name, test := range map[string]struct {
		lies []relay.Lie
		want string
	}{
		"S6":  {slices.Concat(forged, about, soon), "retried-after-refusal 2, retried-too-soon 3, dsn-missing 4, dsn-forged 9, dsn-repeated 3, exit 1"},
		"S6b": {slices.Concat(forged, about), "retried-after-refusal 2, dsn-missing 4, dsn-forged 9, dsn-repeated 3, exit 1"},
		"S8":  {slices.Concat(content, after), "lost 5, duplicated 8, " + contents + ", dsn-forged 9, message-id-rewritten 7, exit 1"},
		"S16": {slices.Concat(content, after), "lost 5, duplicated 8, " + contents + ", dsn-forged 9, message-id-rewritten 7, exit 1"},
		"S17": {slices.Concat(content, after), "lost 5, duplicated 8, " + contents + ", dsn-forged 9, message-id-rewritten 7, exit 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			endless := func(time.Duration) time.Duration { return time.Hour }
			same := func(d time.Duration) time.Duration { return d }
			r, result := liar(t, lasting(t, name, endless, same), test.lies, to("yes", 200))
			if got := worse(result); got != test.want {
				t.Errorf("found %s\n want %s; all in all: %s", got, test.want, say(result))
			}
			r.told()
		})
	}
}

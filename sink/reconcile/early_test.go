package reconcile

import (
	"strings"
	"testing"
)

// A sender whose clock is ahead of the sink's claims that it sent a message after it had come.
func TestClockAhead(t *testing.T) {
	ahead := func(seconds float64) func(*Claim) { return func(c *Claim) { c.Sent = at(seconds) } }
	for _, test := range []struct {
		name  string
		b     *history
		early uint64
		want  string
	}{
		{"all came before", newHistory().claim(tok, rcpt, ahead(3600)).attempt(1, 1, tok, rcpt, 250).close(1, yes), 1, "1 undetermined, exit 3"},
		{"it was refused before", newHistory().claim(tok, rcpt, ahead(3600)).attempt(1, 1, tok, rcpt, 550, atRcpt).close(1, yes), 1, "1 undetermined, exit 3"},
		{"one that was never seen is lost all the same", newHistory().claim(tok, rcpt, ahead(3600)).claim("s+2@src.example", "r2@a.example").attempt(1, 1, tok, rcpt, 250).close(1, yes), 1, "1 lost, 1 undetermined, fault lost 1, exit 1"},
		{"an earlier run's, by its X-Storm-Id", newHistory().claim(tok, rcpt, ahead(10), ids3("run-2", "")).message(1, 1, "run-1", "", 0).attempt(1, 1, tok, rcpt, 250).close(1, yes), 0, "1 lost, fault lost 1, exit 1"},
		{"an earlier run's, by its body", newHistory().claim(tok, rcpt, ahead(10), body(2)).message(1, 1, "", "", 1).attempt(1, 1, tok, rcpt, 250).close(1, yes), 0, "1 lost, fault lost 1, exit 1"},
		{"an earlier run's, of somebody else", newHistory().claim(tok, rcpt, ahead(10)).attempt(1, 1, "x@y.example", rcpt, 250).close(1, yes), 0, "1 lost, fault lost 1, exit 1"},
		{"before, and after", newHistory().claim(tok, rcpt, ahead(10)).attempt(1, 1, tok, rcpt, 250).close(1, yes).attempt(2, 1, tok, rcpt, 250, during(11, 12)).close(2, yes), 1, "1 delivered, exit 0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, _ := test.b.judge(t)
			if said(got) != test.want {
				t.Errorf("got  %s\nwant %s", said(got), test.want)
			}
			if got.Early != test.early {
				t.Errorf("%d early attempts, want %d", got.Early, test.early)
			}
			if undetermined := got.Fates[Undetermined] > 0; undetermined != strings.Contains(strings.Join(got.Lacking, "\n"), "clock") {
				t.Errorf("lacking %q", got.Lacking)
			}
		})
	}
}

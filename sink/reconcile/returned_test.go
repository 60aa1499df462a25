package reconcile

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// by says whose attempt it was, and who decided it.
func by(client, cause string) func(*event.Attempt) {
	return func(a *event.Attempt) {
		a.Cause, a.Client = cause, netip.AddrPortFrom(netip.MustParseAddr(client), uint16(1024+a.Conn))
		if client == "::" {
			a.Client = netip.AddrPort{}
		}
	}
}

// forgiven adds that somebody has ended a standing.
func (b *history) forgiven(react, key string) *history {
	return b.add(event.Row{Kind: event.KindStanding, Standing: event.Standing{React: react, Key: key, From: 1, Reason: event.StandingForgiven}})
}

// TestReturnedTooSoon judges who came back to a reaction that had refused him: an attempt ends a second after it began, and the next begins
// a second later.
func TestReturnedTooSoon(t *testing.T) {
	const tss, door, a, c = "react:TSS04", "react:door", "192.0.2.1", "192.0.2.2"
	b := func() *history { return newHistory().claim(tok, rcpt) }
	// tried adds an attempt on a connection of its own: deferred at RCPT by a reaction, or else delivered.
	tried := func(b *history, conn uint64, client, cause string, edits ...func(*event.Attempt)) *history {
		code, edits := smtp.Code(250), append([]func(*event.Attempt){by(client, cause)}, edits...)
		if strings.HasPrefix(cause, reactCause) {
			code, edits = 421, append([]func(*event.Attempt){atRcpt}, edits...)
		}
		return b.attempt(conn, 1, tok, rcpt, code, edits...).close(conn, yes)
	}
	refused := func(b *history, client, cause string, conns ...uint64) *history {
		for _, conn := range conns {
			tried(b, conn, client, cause)
		}
		return b
	}
	mail := func(b *history, conn uint64, client, cause string) *history {
		b.mail(conn, 1, tok, 421)
		x := &b.rows[len(b.rows)-1].Transaction
		x.Cause, x.Client = cause, netip.AddrPortFrom(netip.MustParseAddr(client), 1024)
		return b.close(conn, yes)
	}
	waiting := func(b *history, seconds float64) *history { b.clock += seconds; return b }
	fully := func(b *history) *history { return tried(b, 90, "198.51.100.1", "plain") } // another client delivers it
	for _, tt := range []struct {
		name string
		b    *history
		want string // the evidence
	}{
		{"refused once, and stays away", refused(b(), a, tss, 1), ""},
		{"comes back", refused(b(), a, tss, 1, 2), "192.0.2.1 came back 1 time while react:TSS04 held, at the soonest 1s after it was first refused"},
		{"comes back twice", refused(waiting(refused(b(), a, tss, 1), 60), a, tss, 2, 3), "192.0.2.1 came back 2 times while react:TSS04 held, at the soonest 1m1s after it was first refused"},
		{"at MAIL", mail(waiting(mail(b(), 1, a, tss), 9), 2, a, tss), "192.0.2.1 came back 1 time while react:TSS04 held, at the soonest 10s after it was first refused"},
		{"two clients, one of which stays away", refused(refused(b(), a, tss, 1), c, tss, 2, 3), "192.0.2.2 came back 1 time while react:TSS04 held, at the soonest 1s after it was first refused"},
		{"two reactions", refused(refused(b(), a, tss, 1, 2), a, door, 3, 4),
			"192.0.2.1 came back 1 time while react:TSS04 held, at the soonest 1s after it was first refused; 192.0.2.1 came back 1 time while react:door held, at the soonest 1s after it was first refused"},
		{"through a unix socket", refused(b(), "::", tss, 1, 2), "unix came back 1 time while react:TSS04 held, at the soonest 1s after it was first refused"},
		{"goes on with the connection on which it was refused", b().attempt(1, 1, tok, rcpt, 421, atRcpt, by(a, tss)).attempt(1, 2, tok, rcpt, 421, atRcpt, by(a, tss)).close(1, yes), ""},
		{"a connection is one return, whatever it tries there", refused(b(), a, tss, 1).attempt(2, 1, tok, rcpt, 421, atRcpt, by(a, tss)).attempt(2, 2, tok, rcpt, 421, atRcpt, by(a, tss)).close(2, yes),
			"192.0.2.1 came back 1 time while react:TSS04 held, at the soonest 1s after it was first refused"},
		{"was there before it was refused", refused(b(), a, tss, 1).attempt(2, 1, tok, rcpt, 421, atRcpt, by(a, tss), during(1.5, 4)).close(2, yes), ""},
		{"was never told", tried(tried(b(), 1, a, tss, unsent), 2, a, tss), ""},
		{"could not read it", tried(tried(b(), 1, a, tss, garbled), 2, a, tss), ""},
		{"is accepted, though treated", tried(tried(b(), 1, a, tss), 2, a, tss, func(a *event.Attempt) { a.Code = 250 }), ""},
		{"waits until it gets through, and is refused by another standing", refused(tried(refused(b(), a, tss, 1), 2, a, "plain"), a, tss, 3), ""},
		{"gets no further than before", refused(tried(tried(b(), 1, a, tss, func(a *event.Attempt) { a.Stage++ }), 2, a, "rule:busy", atRcpt, func(a *event.Attempt) { a.Code, a.Delivered = 450, false }), a, tss, 3),
			"192.0.2.1 came back 1 time while react:TSS04 held, at the soonest 3s after it was first refused"},
		{"another client gets through", refused(tried(refused(b(), a, tss, 1), 2, c, "plain"), a, tss, 3), "192.0.2.1 came back 1 time while react:TSS04 held, at the soonest 3s after it was first refused"},
		{"breaks the protocol meanwhile", refused(tried(refused(b(), a, tss, 1), 2, a, "protocol"), a, tss, 3), "192.0.2.1 came back 1 time while react:TSS04 held, at the soonest 3s after it was first refused"},
		{"the sink began anew", refused(refused(b(), a, tss, 1).run("run-2"), a, tss, 2), ""},
		{"the sink began anew, with its standings", refused(refused(b(), a, tss, 1).add(event.Row{Kind: event.KindStart, Start: event.Start{Run: "run-2", Durability: event.Batch, Reactions: "0000000000000001"}}), a, tss, 2),
			"192.0.2.1 came back 1 time while react:TSS04 held, at the soonest 1s after it was first refused"},
		{"is forgiven", refused(refused(b(), a, tss, 1).forgiven("TSS04", a), a, tss, 2), ""},
		{"of two, one is forgiven", refused(refused(refused(b(), a, tss, 1), c, tss, 2).forgiven("TSS04", c), a, tss, 3), "192.0.2.1 came back 1 time while react:TSS04 held, at the soonest 3s after it was first refused"},
		{"is forgiven by another reaction", refused(refused(b(), a, tss, 1).forgiven("door", a), a, tss, 2), "192.0.2.1 came back 1 time while react:TSS04 held, at the soonest 1s after it was first refused"},
		{"its domain is forgiven", refused(refused(b(), a, tss, 1).forgiven("TSS04", "a.test"), a, tss, 2), ""},
		{"standings were forgotten", refused(refused(b(), a, tss, 1).add(event.Row{Kind: event.KindReset, Reset: event.Reset{Epoch: 2, State: true}}), a, tss, 2), ""},
		{"counts were forgotten", refused(refused(b(), a, tss, 1).add(event.Row{Kind: event.KindReset, Reset: event.Reset{Epoch: 2}}), a, tss, 2),
			"192.0.2.1 came back 1 time while react:TSS04 held, at the soonest 1s after it was first refused"},
		{"refused by rules and limits", refused(refused(b(), a, "rule:x", 1, 2), a, "limit:x", 3, 4), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, _ := fully(tt.b).judge(t)
			var evidence []string
			for i := range got.Findings {
				if f := &got.Findings[i]; f.Kind == KindReturned {
					if f.Severity != Information || f.Units != uint64(len(f.Evidence)) {
						t.Errorf("%+v", f)
					}
					for _, e := range f.Evidence {
						evidence = append(evidence, e.String())
					}
				}
			}
			if said := strings.Join(evidence, "; "); said != tt.want {
				t.Errorf("evidence %q, want %q", said, tt.want)
			}
		})
	}
}

// Standings are a sink's own: who is refused by one has not come back to the other. Many senders are counted, and the first are named.
func TestReturnedTooSoonInNumbers(t *testing.T) {
	judge := func(o Options, ledgers ...*history) *Result {
		j := New(o)
		for _, b := range ledgers {
			l := j.Ledger()
			for i := range b.rows {
				if err := l.Row(&b.rows[i]); err != nil {
					t.Fatal(err)
				}
			}
		}
		got, err := j.Finish(nil)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	one := func(run string, conn uint64) *history {
		return (&history{}).run(run).attempt(conn, 1, tok, rcpt, 421, atRcpt, by("192.0.2.1", "react:x")).close(conn, yes)
	}
	two := one("run-2", 2)
	for i := range two.rows {
		two.rows[i].Attempt.Mail = two.rows[i].Attempt.Mail.Add(time.Hour)
	}
	if got := judge(Options{}, one("run-1", 1), two); len(got.Findings) > 0 && got.Findings[0].Kind == KindReturned {
		t.Errorf("refused by two sinks, once each: %+v", got.Findings)
	}
	many := newHistory()
	for round := range uint64(3) {
		for i := range uint64(30) {
			conn := round*30 + i
			many.attempt(conn, 1, tok, rcpt, 421, atRcpt, by(fmt.Sprintf("192.0.2.%d", i), "react:x")).close(conn, yes)
		}
	}
	f, err := ParseFailOn("returned-too-soon")
	if err != nil {
		t.Fatal(err)
	}
	got := judge(Options{FailOn: f}, many)
	var text strings.Builder
	_ = got.WriteText(&text) // to memory
	for _, want := range []string{"information: returned-too-soon, 30 senders: a sender that a reaction", "  192.0.2.19 came back 2 times while react:x held, at the soonest 59s after it was first refused\n  and 10 more\n"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("want %q in\n%s", want, text.String())
		}
	}
	if got.Verdict.Exit != ExitFaults {
		t.Errorf("exit status %d with --fail-on returned-too-soon, want %d", got.Verdict.Exit, ExitFaults)
	}
	for i := range got.Findings {
		if f := &got.Findings[i]; f.Kind == KindReturned && f.Numbers["returns"] != 60 {
			t.Errorf("%v, want 60 returns", f.Numbers)
		}
	}
}

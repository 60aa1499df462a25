package reconcile

import (
	"fmt"
	"strings"
	"testing"
)

// A generator whose disk is full sends on and claims nothing more. However many of its claims are missing, nobody is blamed for what only they
// could explain.
func TestMissingClaimsAreNobodysFault(t *testing.T) {
	const messages = 12
	for name, sender := range map[string]func(i int) string{
		"a sender of its own": func(i int) string { return fmt.Sprintf("s+run7-%d@src.example", i) },
		"one sender for all":  func(int) string { return "s@src.example" },
	} {
		b := newHistory()
		conn := uint64(0)
		next := func() uint64 { conn++; return conn }
		for i := range messages {
			var (
				token, to  = fmt.Sprintf("run7-%d", i), fmt.Sprintf("r%d@a.example", i%3)
				copied     = fmt.Sprintf("c%d@a.example", i)
				id, mail   = "<" + token + "@src.example>", sender(i)
				claim      = []func(*Claim){from(mail), ids3(token, id), body(77), func(c *Claim) { c.Run = "run7" }}
				recipients = []string{to, copied}
				replied    = AckYes
			)
			if i%4 == 3 { // sent again by the script, under an X-Storm-Id of its own
				token = "run7-mine"
				id, claim[1] = "<"+token+"@src.example>", ids3(token, "<"+token+"@src.example>")
			}
			if i%4 == 1 || i%4 == 2 {
				replied = AckNo
			}
			for _, a := range []Ack{AckUnknown, replied} {
				for _, r := range recipients {
					b.claim(token, r, append(claim, ack(a))...)
				}
			}
			switch i % 4 {
			case 0, 3: // deferred once, then delivered
				c := next()
				for _, r := range recipients {
					b.attempt(c, 1, mail, r, 451, atRcpt)
				}
				b.close(c, yes)
				c = next()
				b.message(c, 1, token, id, 77)
				for _, r := range recipients {
					b.attempt(c, 1, mail, r, 250)
				}
				b.close(c, yes)
			case 1: // refused at RCPT
				c := next()
				for _, r := range recipients {
					b.attempt(c, 1, mail, r, 550, atRcpt)
				}
				b.close(c, yes)
			case 2: // refused at MAIL
				c := next()
				b.mail(c, 1, mail, 550).close(c, yes)
			}
		}
		all := b.claims
		if got, _ := b.judge(t); strings.Contains(said(got), "fault") {
			t.Fatalf("%s: with all claims: %s", name, said(got))
		}
		b.torn = true
		for n := range all {
			b.claims = all[:n]
			got, _ := b.judge(t)
			if strings.Contains(said(got), "fault") || got.Verdict.Exit != ExitUndetermined || !strings.Contains(got.Verdict.Sentence, "ends in a row that is not whole") && got.Fates[Undetermined] == 0 {
				t.Errorf("%s: with %d of %d claims: %s; %s", name, n, len(all), said(got), got.Verdict.Sentence)
			}
		}
	}
}

// What the claims that are there prove stays a fault.
func TestFaultsDespiteMissingClaims(t *testing.T) {
	b := newHistory().claim(tok, rcpt).attempt(1, 1, tok, rcpt, 250).close(1, yes).attempt(2, 1, tok, rcpt, 250).close(2, yes).claim("s+2@src.example", "r2@a.example")
	b.torn = true
	if got, _ := b.judge(t); said(got) != "1 duplicated, 1 lost, fault lost 1, fault duplicated 1, exit 1" {
		t.Error(said(got))
	}
}

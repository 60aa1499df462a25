package session_test

import (
	"fmt"
	"strings"
	"testing"
)

// spellings are pairs of recipients, and whether they are one.
var spellings = []struct {
	a, b string
	same bool
}{
	{"b@s.example", "b@S.example", true},
	{"a@s.example", `"a"@s.example`, true},
	{`"a b"@s.example`, `"a\ b"@s.example`, true},
	{"u@xn--bcher-kva.example", "u@BÜCHER.example", true},
	{"u@s.example", "u@s.example.", false}, // the grammar of RFC 5321 has no final dot: such a recipient is refused
	{"u@[IPv6:2001:db8::1]", "u@[ipv6:2001:DB8:0::1]", true},
	{"postmaster@s.example", "PostMaster@s.example", true},
	{"postmaster", "POSTMASTER", true},
	{"b@s.example", "B@s.example", false},
	{`"a b"@s.example`, `"a  b"@s.example`, false},
}

// Whatever goes by an address takes its spellings for one: attempts, rules, limits and reactions.
func TestSpellingsOfOneAddressAreOne(t *testing.T) {
	for name, plan := range map[string]func(a string) string{
		"attempt": func(string) string { return "rules: [{stage: rcpt, match: {attempt: 2-}, reply: 450}]" },
		"rule": func(a string) string {
			return fmt.Sprintf("rules: [{stage: rcpt, match: {message: 1}}, {stage: rcpt, match: {recipient: %q}, reply: 450}]", a)
		},
		"quota": func(string) string {
			return "limits: [{name: x, kind: quota, scope: recipient, max: 1, per: 1d, reply: 450}]"
		},
		"rate": func(string) string {
			return "limits: [{name: x, kind: rate, scope: recipient, rate: 1/h, burst: 1, reply: 450}]"
		},
		"reaction": func(string) string {
			return "react: [{name: x, of: recipient, when: {stage: rcpt}, then: {rules: [{stage: rcpt, reply: 450}]}}]"
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, tt := range spellings {
				w := newWorld(t, "version: 1\n"+plan(tt.a)+"\n")
				w.connect("A")
				ask := func(line string) string {
					w.conns["A"].say(line + "\r\n")
					return w.conns["A"].reply()
				}
				w.conns["A"].reply()
				ask("EHLO c")
				first := func(to string) string {
					ask("RSET")
					ask("MAIL FROM:<s@src.example> SMTPUTF8")
					return ask("RCPT TO:<" + to + ">")
				}
				if got := first(tt.a); !strings.HasPrefix(got, "250") {
					t.Fatalf("%s: %s", tt.a, got)
				}
				if got := first(tt.b); strings.HasPrefix(got, "450") != tt.same {
					t.Errorf("after %s, %s got %s; same: %v", tt.a, tt.b, got, tt.same)
				}
			}
		})
	}
}

package fault

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

func prefixes(networks ...string) (p []netip.Prefix) {
	for _, n := range networks {
		p = append(p, netip.MustParsePrefix(n))
	}
	return p
}

// TestMatch tries one condition at a time against the golden occurrence, from <Sender@EXAMPLE.com> to <rcpt@example.org>.
func TestMatch(t *testing.T) {
	for _, c := range []struct {
		name  string
		match Match
		want  bool
	}{
		{"nothing", Match{}, true},
		{"listener", Match{Listeners: []string{"mx2", "mx1"}}, true},
		{"other listener", Match{Listeners: []string{"mx2"}}, false},
		{"client", Match{Clients: prefixes("198.51.100.0/24", "192.0.2.0/24")}, true},
		{"client mapped into IPv6", Match{Clients: prefixes("::ffff:192.0.2.0/120")}, true},
		{"other client", Match{Clients: prefixes("192.0.2.2/32", "2001:db8::/32")}, false},
		{"helo", Match{Helos: []string{"CLIENT.example.com"}}, true},
		{"helo below", Match{Helos: []string{"*.example.com"}}, true},
		{"helo itself is not below itself", Match{Helos: []string{"*.client.example.com"}}, false},
		{"sender", Match{Senders: []string{"Sender@example.COM"}}, true},
		{"sender's local part has its case", Match{Senders: []string{"sender@example.com"}}, false},
		{"sender's domain", Match{Senders: []string{"*@Example.com"}}, true},
		{"sender's domain is not below itself", Match{Senders: []string{"*.example.com"}}, false},
		{"null sender", Match{Senders: []string{"<>"}}, false},
		{"recipient", Match{Recipients: []string{"rcpt@example.org"}}, true},
		{"recipient in brackets", Match{Recipients: []string{"<rcpt@example.org>"}}, true},
		{"recipient's domain", Match{Recipients: []string{"*@example.net", "*@example.org"}}, true},
		{"recipient below", Match{Recipients: []string{"*.org"}}, true},
		{"recipient below, long form", Match{Recipients: []string{"*@*.org"}}, true},
		{"other recipient", Match{Recipients: []string{"b@example.org", "*@sub.example.org", "*.example.org"}}, false},
		{"attempt", Match{Attempts: Range{3, 3}}, true},
		{"attempt from", Match{Attempts: Range{From: 2}}, true},
		{"attempt to", Match{Attempts: Range{To: 2}}, false},
		{"message", Match{Messages: Range{1, 4}}, true},
		{"later message", Match{Messages: Range{From: 5}}, false},
		{"connection", Match{Connections: Range{5, 5}}, true},
		{"other connection", Match{Connections: Range{1, 4}}, false},
		{"all must hold", Match{Listeners: []string{"mx1"}, Recipients: []string{"*@example.org"}, Senders: []string{"<>"}}, false},
		{"all hold", Match{Listeners: []string{"mx1"}, Recipients: []string{"*@example.org"}, Senders: []string{"*@example.com"}, Helos: []string{"*.com"}}, true},
	} {
		p := mustPlan(t, PlanSpec{Rules: []RuleSpec{{Stage: smtp.StageRcpt, Match: c.match, Outcomes: []OutcomeSpec{{Weight: 1, Code: 450}}}}})
		if got := p.Decide(golden(smtp.StageRcpt)).Cause == CauseRule; got != c.want {
			t.Errorf("%s: %+v matches: %v, want %v", c.name, c.match, got, c.want)
		}
	}
}

func TestMatchNullSender(t *testing.T) {
	p := mustPlan(t, PlanSpec{Rules: []RuleSpec{{Stage: smtp.StageMail, Match: Match{Senders: []string{"<>"}}}}})
	if d := p.Decide(&Occurrence{Stage: smtp.StageMail}); d.Cause != CauseRule {
		t.Errorf("the null sender doesn't match <>: %+v", d)
	}
}

// TestMatchAnyAcceptedRecipient: at message a recipient match means any accepted recipient; in LMTP it means that one.
func TestMatchAnyAcceptedRecipient(t *testing.T) {
	p := mustPlan(t, PlanSpec{Rules: []RuleSpec{{Stage: smtp.StageMessage, Match: Match{Recipients: []string{"b@example.org"}}, Outcomes: []OutcomeSpec{{Weight: 1, Code: 554}}}}})
	o := golden(smtp.StageMessage)
	if d := p.Decide(o); d.Cause != CauseRule {
		t.Errorf("one of two recipients matches, but the rule doesn't: %+v", d)
	}
	o.Recipient = []byte("rcpt@example.org")
	if d := p.Decide(o); d.Cause != CausePlain {
		t.Errorf("in LMTP the other recipient's reply is decided: %+v", d)
	}
	o.Recipient, o.AcceptedRecipients = nil, [][]byte{[]byte("rcpt@example.org")}
	if d := p.Decide(o); d.Cause != CausePlain {
		t.Errorf("no accepted recipient matches, but the rule does: %+v", d)
	}
}

func TestMatchErrors(t *testing.T) {
	for _, c := range []struct {
		stage string
		match Match
		want  string
	}{
		{"connect", Match{Helos: []string{"a.example"}}, "rule 1: match.helo: not known yet at stage connect (known at: every stage but connect pregreet)"},
		{"helo", Match{Senders: []string{"<>"}}, "rule 1: match.sender: not known yet at stage helo (known at: mail rcpt data bdat message)"},
		{"noop", Match{Senders: []string{"<>"}}, "rule 1: match.sender: not known yet at stage noop"},
		{"mail", Match{Recipients: []string{"*@a.example"}}, "rule 1: match.recipient: not known yet at stage mail (known at: rcpt data bdat message)"},
		{"mail", Match{Attempts: Range{1, 1}}, "rule 1: match.attempt: not known yet at stage mail"},
		{"ehlo", Match{Messages: Range{1, 1}}, "rule 1: match.message: not known yet at stage ehlo"},
		{"rcpt", Match{Attempts: Range{3, 2}}, "rule 1: match.attempt: empty range 3-2"},
		{"rcpt", Match{Listeners: []string{""}}, "rule 1: match.listener: empty listener name"},
		{"rcpt", Match{Clients: []netip.Prefix{{}}}, "rule 1: match.client: invalid network"},
		{"rcpt", Match{Recipients: []string{"<>"}}, `rule 1: match.recipient: invalid pattern "<>" (want user@example.com, *@example.com, *.example.com, bounce+*@example.com or bounce+*@; without a domain postmaster, <first.last> or *@)`},
		{"rcpt", Match{Senders: []string{"example.com"}}, `rule 1: match.sender: invalid pattern "example.com" (want <>, user@example.com, *@example.com, *.example.com, bounce+*@example.com or bounce+*@; without a domain postmaster, <first.last> or *@)`},
		{"rcpt", Match{Senders: []string{""}}, `rule 1: match.sender: invalid pattern ""`},
		{"rcpt", Match{Senders: []string{"a*"}}, `rule 1: match.sender: invalid pattern "a*"`},
		{"rcpt", Match{Senders: []string{"a@*b.example.com"}}, `rule 1: match.sender: invalid pattern "a@*b.example.com"`},
		{"rcpt", Match{Helos: []string{"*"}}, `rule 1: match.helo: invalid pattern "*" (want host.example.com or *.example.com)`},
	} {
		s, err := smtp.ParseStage(c.stage)
		if err != nil {
			t.Fatal(err)
		}
		_, err = NewPlan(PlanSpec{Rules: []RuleSpec{{Stage: s, Match: c.match}}})
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s %+v: error is %v, want %s", c.stage, c.match, err, c.want)
		}
	}
}

func TestParseRange(t *testing.T) {
	for in, want := range map[string]Range{"3": {3, 3}, "1-3": {1, 3}, "4-": {From: 4}, "1-": {From: 1}} {
		if got, err := ParseRange(in); err != nil || got != want || got.String() != in {
			t.Errorf("range %q is %+v (%q), %v, want %+v", in, got, got, err, want)
		}
	}
	for _, in := range []string{"", "0", "-3", "3-1", "a", "1-b", "1-0", "1.5", "-", "99999999999999999999", " 1"} {
		if got, err := ParseRange(in); err == nil {
			t.Errorf("range %q is read as %+v, want an error", in, got)
		}
	}
}

// TestIndexIsTheFirstMatch: the index finds the rule that asking each rule in file order finds.
func TestIndexIsTheFirstMatch(t *testing.T) {
	domains := []string{"a.example", "b.example", "x.a.example", "y.x.a.example", "A.EXAMPLE"}
	addresses := []string{"", "postmaster"}
	patterns := []string{"postmaster", "*.example", "*.a.example", "*.x.a.example"}
	for _, d := range domains {
		addresses = append(addresses, "u@"+d, "v@"+d)
		patterns = append(patterns, "u@"+d, "*@"+d)
	}
	listeners := []string{"l1", "l2", "l3"}
	hosts := []string{"a.example", "x.a.example", "y.x.a.example", "b.example"}
	hostPatterns := append([]string{"*.example", "*.a.example"}, hosts...)
	clients := []netip.Addr{
		{}, netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.129"), netip.MustParseAddr("::ffff:192.0.2.1"),
		netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("fe80::1%eth0"),
	}
	networks := []netip.Prefix{
		netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("192.0.2.1/25"), netip.MustParsePrefix("::ffff:192.0.2.128/121"),
		netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("fe80::/10"),
	}
	rapid.Check(t, func(t *rapid.T) {
		some := func(from []string, label string) []string {
			return rapid.SliceOfN(rapid.SampledFrom(from), 0, 3).Draw(t, label)
		}
		spec := PlanSpec{}
		for i := range rapid.IntRange(0, 12).Draw(t, "rules") {
			spec.Rules = append(spec.Rules, RuleSpec{
				Stage: rapid.SampledFrom([]smtp.Stage{smtp.StageRcpt, smtp.StageMessage}).Draw(t, fmt.Sprint("stage", i)),
				Match: Match{
					Listeners: some(listeners, "listeners"), Senders: some(patterns, "senders"), Recipients: some(patterns, "recipients"),
					Helos: some(hostPatterns, "helos"), Clients: rapid.SliceOfN(rapid.SampledFrom(networks), 0, 2).Draw(t, "clients"),
				},
			})
		}
		p, err := NewPlan(spec)
		if err != nil {
			t.Fatal(err)
		}
		o := &Occurrence{
			Stage:    rapid.SampledFrom([]smtp.Stage{smtp.StageRcpt, smtp.StageMessage}).Draw(t, "stage"),
			Listener: rapid.SampledFrom(listeners).Draw(t, "listener"),
			Sender:   []byte(rapid.SampledFrom(addresses).Draw(t, "sender")),
			Helo:     []byte(rapid.SampledFrom(hosts).Draw(t, "helo")),
			Client:   rapid.SampledFrom(clients).Draw(t, "client"),
		}
		for _, address := range rapid.SliceOfN(rapid.SampledFrom(addresses[1:]), 1, 3).Draw(t, "accepted") {
			o.AcceptedRecipients = append(o.AcceptedRecipients, []byte(address))
		}
		if o.Stage == smtp.StageRcpt {
			o.Recipient = o.AcceptedRecipients[0]
		}
		got, want := p.Decide(o).Rule, firstByHand(p, o)
		if got != want {
			t.Fatalf("decided by %v, want %v", got, want)
		}
	})
}

// firstByHand asks each rule of the stage in file order, pattern by pattern.
func firstByHand(p *Plan, o *Occurrence) *Rule {
	anyOf := func(patterns []string, addresses ...[]byte) bool {
		for _, pattern := range patterns {
			for _, address := range addresses {
				if matchesByHand(strings.ToLower(pattern), strings.ToLower(string(address))) {
					return true
				}
			}
		}
		return len(patterns) == 0
	}
	recipients := o.AcceptedRecipients
	if len(o.Recipient) > 0 {
		recipients = [][]byte{o.Recipient}
	}
	for _, r := range p.Rules() {
		onListener := len(r.Match.Listeners) == 0
		for _, l := range r.Match.Listeners {
			onListener = onListener || l == o.Listener
		}
		inNetwork := len(r.Match.Clients) == 0
		for _, n := range r.Match.Clients {
			inNetwork = inNetwork || unmapPrefix(n).Contains(o.Client.Unmap())
		}
		helo := len(r.Match.Helos) == 0
		for _, h := range r.Match.Helos {
			below, isBelow := strings.CutPrefix(h, "*")
			helo = helo || h == string(o.Helo) || isBelow && strings.HasSuffix(string(o.Helo), below)
		}
		if r.Stage == o.Stage && onListener && inNetwork && helo && anyOf(r.Match.Senders, o.Sender) && anyOf(r.Match.Recipients, recipients...) {
			return r
		}
	}
	return nil
}

func matchesByHand(pattern, address string) bool {
	_, domain, _ := strings.Cut(address, "@")
	switch {
	case strings.HasPrefix(pattern, "*."):
		return strings.HasSuffix(domain, pattern[1:])
	case strings.HasPrefix(pattern, "*@"):
		return domain == pattern[2:]
	}
	return address == pattern
}

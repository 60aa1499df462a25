package fault

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

func TestScopeNames(t *testing.T) {
	for _, c := range []struct {
		names string // as plans write them
		want  Scope
		words string
	}{
		{"client", ScopeClient, "per client"},
		{"network", ScopeNetwork, "per network"},
		{"network/24/64", ScopeNetwork, "per network"},
		{"network/16/48", NetworkScope(16, 48), "per network (/16 or /48)"},
		{"network/32/128", NetworkScope(32, 128), "per network (/32 or /128)"},
		{"all", ScopeAll, "in all"},
		{"sender-domain client", ScopeClient | ScopeSenderDomain, "per (client, sender domain)"},
		{"recipient network/8/32 helo", ScopeHelo | ScopeRecipient | NetworkScope(8, 32), "per (network (/8 or /32), HELO, recipient)"},
		{"connection sender recipient-domain", ScopeConnection | ScopeSender | ScopeRecipientDomain, "per (connection, sender, recipient domain)"},
	} {
		s := scopeNamed(t, c.names)
		if s != c.want || s.Words() != c.words {
			t.Errorf("%s is %v, %q, want %v, %q", c.names, s, s.Words(), c.want, c.words)
		}
		if again := scopeNamed(t, s.String()); again != s {
			t.Errorf("%v, written and read again, is %v", s, again)
		}
	}
	for names, want := range map[string]string{
		"domain":                      `unknown scope "domain" (valid: client network helo connection sender sender-domain recipient recipient-domain all)`,
		"":                            `unknown scope ""`,
		"Client":                      `unknown scope "Client"`,
		"network/24":                  `invalid network "network/24" (want network, or its bits of IPv4 and of IPv6 such as network/24/64)`,
		"network/0/64":                `invalid network "network/0/64"`,
		"network/33/64":               `invalid network`,
		"network/24/129":              `invalid network`,
		"network/24/64/1":             `invalid network`,
		"network/-1/64":               `invalid network`,
		"client sender client":        `client is given twice`,
		"network network/16/48":       `network is given twice`,
		"all client":                  `all stands alone`,
		"sender all recipient-domain": `all stands alone`,
	} {
		if s, err := joined(names); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q is %v, %v; want the error %s", names, s, err, want)
		}
	}
}

// joined parses names with blanks between.
func joined(names string) (Scope, error) {
	var list []Scope
	for _, name := range strings.Split(names, " ") {
		one, err := ParseIdentity(name)
		if err != nil {
			return 0, err
		}
		list = append(list, one)
	}
	return JoinScopes(list)
}

func scopeNamed(t *testing.T, names string) Scope {
	t.Helper()
	s, err := joined(names)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestScopeKeys: which occurrences have a count in common, and which don't.
func TestScopeKeys(t *testing.T) {
	base := func(change func(*Occurrence)) *Occurrence {
		o := &Occurrence{
			Stage: smtp.StageRcpt, Client: netip.MustParseAddr("192.0.2.1"), Connection: 1, Helo: []byte("h.example"),
			Sender: []byte("s@c.example"), Recipient: []byte("r@d.example"),
		}
		change(o)
		return o
	}
	client := func(text string) func(*Occurrence) {
		return func(o *Occurrence) { o.Client = netip.MustParseAddr(text) }
	}
	sender := func(text string) func(*Occurrence) { return func(o *Occurrence) { o.Sender = []byte(text) } }
	recipient := func(text string) func(*Occurrence) { return func(o *Occurrence) { o.Recipient = []byte(text) } }
	helo := func(text string) func(*Occurrence) { return func(o *Occurrence) { o.Helo = []byte(text) } }
	unix := func(o *Occurrence) { o.Client = netip.Addr{} }
	for _, c := range []struct {
		scope string
		a, b  func(*Occurrence)
		same  bool
	}{
		{"client", client("192.0.2.1"), client("::ffff:192.0.2.1"), true},
		{"client", client("192.0.2.1"), client("192.0.2.2"), false},
		{"client", client("::"), unix, false},
		{"client", client("fe80::1%eth0"), client("fe80::1"), true},
		{"network", client("192.0.2.1"), client("192.0.2.254"), true},
		{"network", client("192.0.2.1"), client("::ffff:192.0.2.254"), true},
		{"network", client("192.0.2.1"), client("192.0.3.1"), false},
		{"network", client("2001:db8::1"), client("2001:db8::ffff:1"), true},
		{"network", client("2001:db8::1"), client("2001:db8:0:1::1"), false},
		{"network", client("fe80::1%eth0"), client("fe80::2%eth1"), true},
		{"network", client("0.0.0.1"), unix, false},
		{"network/16/48", client("192.0.2.1"), client("192.0.3.1"), true},
		{"network/16/48", client("2001:db8::1"), client("2001:db8:0:1::1"), true},
		{"network/32/128", client("192.0.2.1"), client("192.0.2.2"), false},
		{"helo", helo("H.EXAMPLE"), helo("h.example"), true},
		{"helo", helo("h.example"), helo("h.example."), true},
		{"helo", helo("A@b"), helo("a@B"), true},
		{"helo", helo("h.example"), helo(""), false},
		{"connection", func(*Occurrence) {}, func(o *Occurrence) { o.Connection = 2 }, false},
		{"connection", func(*Occurrence) {}, sender("other@c.example"), true},
		{"sender", sender("s@c.example"), sender("s@C.Example"), true},
		{"sender", sender("s@c.example"), sender("S@c.example"), false},
		{"sender", sender("s@c.example"), sender("s@c.example."), true},
		{"sender", sender("Root"), sender("root"), true},
		{"sender", sender(""), sender("x"), false},
		{"sender", sender(`"a@b"@c.example`), sender(`"a@b"@C.example`), true},
		{"sender-domain", sender(`"a@b"@c.example`), sender("x@C.EXAMPLE"), true},
		{"sender-domain", sender("x@c.example"), sender("x@c.example."), true},
		{"sender-domain", sender(""), sender("postmaster"), false},
		{"sender-domain", sender("root"), sender("postmaster"), true},
		{"sender-domain", sender("x@[192.0.2.1]"), sender("y@[192.0.2.1]"), true},
		{"sender-domain", sender("x@münchen.example"), sender("y@münchen.example"), true},
		{"recipient", recipient("r@d.example"), recipient("r@D.example"), true},
		{"recipient", recipient("r@d.example"), recipient("q@d.example"), false},
		{"recipient-domain", recipient("r@d.example"), recipient("q@D.example."), true},
		{"recipient-domain", recipient("r@d.example"), recipient("r@x.d.example"), false},
		{"sender recipient", func(o *Occurrence) { o.Sender, o.Recipient = []byte("ab"), []byte("c") },
			func(o *Occurrence) { o.Sender, o.Recipient = []byte("a"), []byte("bc") }, false},
		{"client sender-domain", sender("a@c.example"), sender("b@c.example"), true},
		{"client sender-domain", sender("a@c.example"), client("192.0.2.9"), false},
		{"all", sender("a@c.example"), client("192.0.2.9"), true},
	} {
		s := scopeNamed(t, c.scope)
		a, b := s.AppendKey(nil, base(c.a)), s.AppendKey(nil, base(c.b))
		if same := string(a) == string(b); same != c.same {
			t.Errorf("%s: keys %q and %q are the same: %v, want %v", c.scope, a, b, same, c.same)
		}
	}
	all, o := scopeAny&^ScopeAll, base(func(*Occurrence) {})
	var space [400]byte
	if n := testing.AllocsPerRun(100, func() { all.AppendKey(space[:0], o) }); n != 0 {
		t.Errorf("a key of everything allocates %v times", n)
	}
}

func TestScopeIsKnownAt(t *testing.T) {
	for _, c := range []struct {
		scope string
		stage smtp.Stage
		want  string // empty: it is
	}{
		{"client network connection all", smtp.StageConnect, ""},
		{"helo", smtp.StageConnect, "the HELO is not known at stage connect (known at: every stage but connect pregreet)"},
		{"helo", smtp.StageEhlo, ""},
		{"client sender", smtp.StageEhlo, "the sender is not known at stage ehlo (known at: mail rcpt data bdat message)"},
		{"sender-domain", smtp.StageMail, ""},
		{"recipient-domain", smtp.StageMail, "the recipient domain is not known at stage mail (known at: rcpt)"},
		{"recipient", smtp.StageMessage, "the recipient is not known at stage message (known at: rcpt)"},
		{"recipient recipient-domain", smtp.StageRcpt, ""},
	} {
		for _, name := range strings.Split(c.scope, " ") {
			one, _ := ParseIdentity(name)
			err := one.KnownAt(c.stage)
			if c.want == "" && err != nil {
				t.Errorf("%s at %v: %v", name, c.stage, err)
			}
		}
		if c.want != "" {
			if err := scopeNamed(t, c.scope).KnownAt(c.stage); err == nil || err.Error() != c.want {
				t.Errorf("%s at %v: %v, want %s", c.scope, c.stage, err, c.want)
			}
		}
	}
}

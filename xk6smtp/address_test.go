package xk6smtp

import (
	"net/mail"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

func TestParseAddress(t *testing.T) {
	for _, test := range []struct{ text, name, mailbox, err string }{
		{"", "", "", ""},
		{"<>", "", "", ""},
		{" \t", "", "", ""},
		{"a@dst.test", "", "a@dst.test", ""},
		{" <a@dst.test> ", "", "a@dst.test", ""},
		{"postmaster", "", "postmaster", ""},
		{"<postmaster>", "", "postmaster", ""},
		{"user..name@dst.test", "", "user..name@dst.test", ""},
		{"N <user..name@dst.test>", "N", "user..name@dst.test", ""},
		{"user.@dst.test", "", "user.@dst.test", ""},
		{".user@dst.test", "", ".user@dst.test", ""},
		{"u@[IPv6:2001:db8::1]", "", "u@[IPv6:2001:db8::1]", ""},
		{"U <u@[192.0.2.1]>", "U", "u@[192.0.2.1]", ""},
		{"u@-.test", "", "u@-.test", ""},
		{"bücher@bücher.test", "", "bücher@bücher.test", ""},
		{`N <"a@evil.test"@dst.test>`, "N", `"a@evil.test"@dst.test`, ""},
		{`"a b"@dst.test`, "", `"a b"@dst.test`, ""},
		{`"a>b, c"@dst.test`, "", `"a>b, c"@dst.test`, ""},
		{`"a\"b\\c"@dst.test`, "", `"a\"b\\c"@dst.test`, ""},
		{`"plain"@dst.test`, "", `"plain"@dst.test`, ""},
		{`""@dst.test`, "", `""@dst.test`, ""},
		{`"Doe, John \"<j@x>\"" <j@dst.test>`, `Doe, John "<j@x>"`, "j@dst.test", ""},
		{"Jörg Müller <j@dst.test>", "Jörg Müller", "j@dst.test", ""},
		{"John Q. Public <j@dst.test>", "John Q. Public", "j@dst.test", ""},
		{"=?utf-8?q?J=C3=B6rg?= <j@dst.test>", "Jörg", "j@dst.test", ""},
		{"j@dst.test (Jörg)", "Jörg", "j@dst.test", ""},
		{`"a b"@dst.test (Jörg)`, "Jörg", `"a b"@dst.test`, ""},

		{"a b@dst.test", "", "", errSpecial.Error()},
		{"a@dst.test, b@dst.test", "", "", errSpecial.Error()},
		{"a@dst.test,b@dst.test", "", "", errSpecial.Error()},
		{"Team: a@dst.test;", "", "", errSpecial.Error()},
		{"a@dst.test>", "", "", errSpecial.Error()},
		{"a@b@dst.test", "", "", errTwoAts.Error()},
		{"N <a@b@dst.test>", "", "", errTwoAts.Error()},
		{"@dst.test", "", "", errHalf.Error()},
		{"a@", "", "", errHalf.Error()},
		{"N <>", "", "", errHalf.Error()},
		{`"a`, "", "", errQuote.Error()},
		{`"a"b@dst.test`, "", "", errQuote.Error()},
		{`"a\"@dst.test`, "", "", errQuote.Error()},
		{"N <a@dst.test", "", "", errBrackets.Error()},
		{"<a@dst.test> N", "", "", errBrackets.Error()},
		{"<a@dst.test> <b@dst.test>", "", "", errBrackets.Error()},
		{"Doe, John <j@dst.test>", "", "", errName.Error()},
		{"a@dst.test\r\nRSET", "", "", errControl.Error()},
		{"a\x00@dst.test", "", "", errControl.Error()},
		{"\"a\tb\"@dst.test", "", "", errControl.Error()},
		{"N\r\n <a@dst.test>", "", "", errControl.Error()},
		{"u@[a b]", "", "", errSpecial.Error()},
		{"u@[", "", "", errSpecial.Error()},
		{strings.Repeat("a", 3000) + "@dst.test", "", "", errTooLong.Error()},
	} {
		a, err := parseAddress(test.text)
		switch {
		case test.err != "":
			if err == nil || err.Error() != test.err {
				t.Errorf("%q: %+v %v, expected error %q", test.text, a, err, test.err)
			}
		case err != nil || a.name != test.name || a.mailbox != test.mailbox:
			t.Errorf("%q: %+v %v, expected %q %q", test.text, a, err, test.name, test.mailbox)
		}
	}
}

// TestMailboxesByTheBook holds whatever local part and domain are put together to the sink's grammar of RFC 5321, and to net/mail's of
// RFC 5322.
func TestMailboxesByTheBook(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		local := rapid.StringOfN(rapid.RuneFrom([]rune(`ab.@"\ <>,;:()[]!#é漢`)), 1, 20, -1).Draw(t, "local")
		mailbox := joinMailbox(local, "dst.test", rapid.Bool().Draw(t, "quoted"))
		if err := checkMailbox(mailbox); err != nil {
			t.Fatalf("%q: %v", mailbox, err)
		}
		if got, domain, _, _ := splitMailbox(mailbox); got != local || domain != "dst.test" {
			t.Fatalf("%q is taken apart as %q and %q", mailbox, got, domain)
		}
		var parsed smtp.RcptArgs
		err := smtp.ParseRcpt([]byte("TO:<"+mailbox+">"), &parsed)
		if err != nil || string(parsed.Path) != mailbox {
			t.Fatalf("the sink reads %q as %q, %v", mailbox, parsed.Path, err)
		}
		a, err := parseAddress("N <" + mailbox + ">")
		if err != nil || a.mailbox != mailbox || a.name != "N" {
			t.Fatalf("%q: %+v, %v", mailbox, a, err)
		}
		if strings.Contains(local, "..") || strings.HasPrefix(local, ".") || strings.HasSuffix(local, ".") {
			return // not in quotes, and not net/mail's
		}
		if read, err := mail.ParseAddress("N <" + mailbox + ">"); err != nil || read.Address != local+"@dst.test" {
			t.Fatalf("net/mail reads %q as %v, %v", mailbox, read, err)
		}
	})
}

// TestEveryOptionTakesTheSameAddresses asks each place where a script can say an address.
func TestEveryOptionTakesTheSameAddresses(t *testing.T) {
	server := newFakeServer(t, nil, offering("SMTPUTF8", "8BITMIME"))
	v := newVU(t).activate().global("PORT", server.port())
	places := []string{
		"new Message({from: A, to: 'b@x.test', text: 'x'})",
		"new Message({from: 'a@x.test', to: A})",
		"new Message({from: 'a@x.test', cc: [A]})",
		"new Message({from: 'a@x.test', bcc: A})",
		"new Message({from: 'a@x.test', replyTo: A})",
		"new Message({from: 'a@x.test', headers: {Sender: A}})",
		"new Message({from: A, raw: 'x'})",
		"await client.send(message, {from: A})",
		"await client.send(message, {to: [A]})",
		"await client.rset(); await client.mail(A)",
		"await client.rset(); await client.mail('a@x.test'); await client.rcpt(A)",
	}
	for _, test := range []struct {
		address string
		ok      bool
	}{
		{"user..name@x.test", true}, {"user.@x.test", true}, {"u@[IPv6:2001:db8::1]", true}, {"postmaster", true}, {`"a b"@x.test`, true},
		{`N <"a@evil.test"@x.test>`, true}, {"bücher@x.test", true},
		{"a b@x.test", false}, {"a@b@x.test", false}, {"a@x.test,b@x.test", false}, {"N <a@x.test", false}, {"a\u0001@x.test", false}, {`"a@x.test`, false},
	} {
		v.global("A", test.address)
		for _, place := range places {
			if place == places[5] && test.address == "a@x.test,b@x.test" {
				continue // a header field takes several
			}
			got := v.run("const client = new Client({host: '127.0.0.1', port: PORT}); const message = new Message({from: 'a@src.test', to: 'b@dst.test', text: 'x'}); " + place + "; return 'taken'")
			if ok := got == "taken"; ok != test.ok || !ok && !strings.HasPrefix(got, "throws TypeError: ") {
				t.Errorf("%s with %q: %s", place, test.address, got)
			}
		}
	}
	said := strings.Join(server.got(), "\n")
	for _, line := range []string{
		`MAIL FROM:<"a@evil.test"@x.test>`, `RCPT TO:<"a@evil.test"@x.test>`, "RCPT TO:<user..name@x.test>", "RCPT TO:<u@[IPv6:2001:db8::1]>", "RCPT TO:<postmaster>",
	} {
		if !strings.Contains(said, line+"\n") {
			t.Errorf("the server was not told %s: %s", line, said)
		}
	}
}

func TestMessageIDHasTheSendersDomain(t *testing.T) {
	for _, test := range []struct{ from, want string }{
		{"a@src.test", "src.test"}, {`"a@b"@src.test`, "src.test"}, {"a@[192.0.2.1]", "[192.0.2.1]"}, {"postmaster", "localhost"}, {"a@bücher.test", "localhost"},
		{`N <"x\"@y"@src.test>`, "src.test"},
	} {
		o := options("from")
		o.from, o.text = test.from, "x"
		m, err := newMessage(o)
		if err != nil {
			t.Fatal(err)
		}
		if wire := m.sent(t, "t"); !strings.Contains(wire, "Message-ID: <t@"+test.want+">\r\n") {
			t.Errorf("%s: %s", test.from, wire)
		}
	}
}

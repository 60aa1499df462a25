package smtp

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// mailLine writes the arguments of MAIL in their canonical form.
func mailLine(m *MailArgs) string {
	s := fmt.Sprintf("FROM:<%s>", m.Path)
	if m.Size >= 0 {
		s += fmt.Sprintf(" SIZE=%d", m.Size)
	}
	if m.Body != BodyNone {
		s += " BODY=" + m.Body.String()
	}
	if m.SMTPUTF8 {
		s += " SMTPUTF8"
	}
	if m.Ret != RetNone {
		s += " RET=" + m.Ret.String()
	}
	if m.EnvID != nil {
		s += fmt.Sprintf(" ENVID=%s", m.EnvID)
	}
	if m.Auth != nil {
		s += fmt.Sprintf(" AUTH=%s", m.Auth)
	}
	return s
}

// rcptLine writes the arguments of RCPT in their canonical form.
func rcptLine(r *RcptArgs) string {
	s := fmt.Sprintf("TO:<%s>", r.Path)
	if r.Notify != 0 {
		s += " NOTIFY=" + r.Notify.String()
	}
	if r.ORcpt != nil {
		s += fmt.Sprintf(" ORCPT=%s", r.ORcpt)
	}
	return s
}

func TestParseMail(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"FROM:<a@b.example>", "FROM:<a@b.example>"},
		{"from:<a@b.example>", "FROM:<a@b.example>"},
		{"FROM: <a@b.example>", "FROM:<a@b.example>"},
		{"FROM:<>", "FROM:<>"},
		{"FROM:<> SIZE=0", "FROM:<> SIZE=0"},
		{"FROM:a@b.example", "FROM:<a@b.example>"},
		{"FROM: a@b.example size=10", "FROM:<a@b.example> SIZE=10"},
		{"FROM:<@one.example,@two.example:a@b.example>", "FROM:<a@b.example>"},
		{"FROM:<root>", "FROM:<root>"},
		{"FROM:<a..b.@c.example>", "FROM:<a..b.@c.example>"},
		{"FROM:<first.last+tag=x@sub-1.b_2.example>", "FROM:<first.last+tag=x@sub-1.b_2.example>"},
		{`FROM:<"a b> \" @"@c.example>`, `FROM:<"a b> \" @"@c.example>`},
		{`FROM:""@c.example`, `FROM:<""@c.example>`},
		{"FROM:<a@[192.0.2.1]>", "FROM:<a@[192.0.2.1]>"},
		{"FROM:<a@[IPv6:2001:db8::1]>", "FROM:<a@[IPv6:2001:db8::1]>"},
		{"FROM:<gr\u00fc\u00df@b\u00fccher.example> SMTPUTF8", "FROM:<gr\u00fc\u00df@b\u00fccher.example> SMTPUTF8"},
		{"FROM:<a@b> SIZE=1234567890 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=QQ314159 AUTH=e+3Dmc2@example.com",
			"FROM:<a@b> SIZE=1234567890 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=QQ314159 AUTH=e+3Dmc2@example.com"},
		{"FROM:<a@b>  auth=<>\tbody=7bit  ret=full ", "FROM:<a@b> BODY=7BIT RET=FULL AUTH=<>"},
		{"FROM:<a@b> BODY=binarymime", "FROM:<a@b> BODY=BINARYMIME"},
		{"FROM:<a@b> SIZE=99999999999999999999", fmt.Sprintf("FROM:<a@b> SIZE=%d", math.MaxInt64)},
		{"FROM:<a@b> SIZE=00000000000000000010", "FROM:<a@b> SIZE=10"},
		{"FROM:<a@b> ENVID=" + strings.Repeat("x", 100), "FROM:<a@b> ENVID=" + strings.Repeat("x", 100)},

		{"", "501 5.5.4 Syntax: MAIL FROM:<address>"},
		{"FROM:", "501 5.5.4 Syntax: MAIL FROM:<address>"},
		{"FROM <a@b>", "501 5.5.4 Syntax: MAIL FROM:<address>"},
		{"FROM :<a@b>", "501 5.5.4 Syntax: MAIL FROM:<address>"}, // refused by Postfix too
		{"TO:<a@b>", "501 5.5.4 Syntax: MAIL FROM:<address>"},
		{"FROM:<a@b", "501 5.1.7 Bad sender's mailbox address syntax"},
		{"FROM:a@b>", "501 5.1.7 Bad sender's mailbox address syntax"},
		{"FROM:<a@b>SIZE=1", "501 5.1.7 Bad sender's mailbox address syntax"},
		{"FROM:<<a@b>>", "501 5.1.7 Bad sender's mailbox address syntax"},
		{"FROM:<a b@c>", "501 5.1.7 Bad sender's mailbox address syntax"},
		{"FROM:< a@b>", "501 5.1.7 Bad sender's mailbox address syntax"},
		{"FROM:<a@>", "501 5.1.7 Bad sender's mailbox address syntax"},
		{"FROM:<@b>", "501 5.1.7 Bad sender's mailbox address syntax"},
		{"FROM:<@b:>", "501 5.1.7 Bad sender's mailbox address syntax"},
		{"FROM:<@b,c:a@d>", "501 5.1.7 Bad sender's mailbox address syntax"},
		{"FROM:<a@b@c>", "501 5.1.7 Bad sender's mailbox address syntax"},
		{"FROM:<a@b..c>", "501 5.1.7 Bad sender's mailbox address syntax"},
		{"FROM:<a@.b>", "501 5.1.7 Bad sender's mailbox address syntax"},
		{"FROM:<a@b.>", "501 5.1.7 Bad sender's mailbox address syntax"},
		{"FROM:<a@-b>", "501 5.1.7 Bad sender's mailbox address syntax"},
		{"FROM:<a@b-.c>", "501 5.1.7 Bad sender's mailbox address syntax"},
		{"FROM:<a@b-c-d.e->", "501 5.1.7 Bad sender's mailbox address syntax"},
		{"FROM:<a@b/c>", "501 5.1.7 Bad sender's mailbox address syntax"},
		{"FROM:<a,b@c>", "501 5.1.7 Bad sender's mailbox address syntax"},
		{"FROM:<a@[]>", "501 5.1.7 Bad sender's mailbox address syntax"},
		{"FROM:<a@[1>", "501 5.1.7 Bad sender's mailbox address syntax"},
		{"FROM:<a@[[1]>", "501 5.1.7 Bad sender's mailbox address syntax"},
		{`FROM:<"a@b>`, "501 5.1.7 Bad sender's mailbox address syntax"},
		{`FROM:<"a\`, "501 5.1.7 Bad sender's mailbox address syntax"},
		{`FROM:<"a"b@c>`, "501 5.1.7 Bad sender's mailbox address syntax"},
		{"FROM:<\"a\x01\"@b>", "501 5.1.7 Bad sender's mailbox address syntax"},
		{"FROM:<a\x00@b>", "501 5.1.7 Bad sender's mailbox address syntax"},
		{"FROM:<a\r@b>", "501 5.1.7 Bad sender's mailbox address syntax"},
		{"FROM:<a\xff@b> SMTPUTF8", "501 5.1.7 Bad sender's mailbox address syntax"},
		{"FROM:<gr\u00fc\u00df@b>", "553 5.6.7 Non-ASCII addresses not permitted for that sender/recipient"},
		{"FROM:<a@b\u00fccher.example> BODY=8BITMIME", "553 5.6.7 Non-ASCII addresses not permitted for that sender/recipient"},
		{"FROM:<a@b> FOO=bar", "555 5.5.4 MAIL FROM/RCPT TO parameters not recognized or not implemented"},
		{"FROM:<a@b> NOTIFY=NEVER", "555 5.5.4 MAIL FROM/RCPT TO parameters not recognized or not implemented"},
		{"FROM:<a@b> =x", "501 5.5.4 Bad parameter syntax, want keyword[=value]"},
		{"FROM:<a@b> SIZE=", "501 5.5.4 Bad parameter syntax, want keyword[=value]"},
		{"FROM:<a@b> -X=1", "501 5.5.4 Bad parameter syntax, want keyword[=value]"},
		{"FROM:<a@b> X_Y", "501 5.5.4 Bad parameter syntax, want keyword[=value]"},
		{"FROM:<a@b> ENVID=a=b", "501 5.5.4 Bad parameter syntax, want keyword[=value]"},
		{"FROM:<a@b> ENVID=a\x7f", "501 5.5.4 Bad parameter syntax, want keyword[=value]"},
		{"FROM:<a@b> SIZE", "501 5.5.4 Bad SIZE value, want 1 to 20 digits"},
		{"FROM:<a@b> SIZE=-1", "501 5.5.4 Bad SIZE value, want 1 to 20 digits"},
		{"FROM:<a@b> SIZE=100000000000000000000", "501 5.5.4 Bad SIZE value, want 1 to 20 digits"},
		{"FROM:<a@b> SIZE=1 SIZE=1", "501 5.5.4 Parameter given more than once"},
		{"FROM:<a@b> BODY=7BIT BODY=7BIT", "501 5.5.4 Parameter given more than once"},
		{"FROM:<a@b> SMTPUTF8 SMTPUTF8", "501 5.5.4 Parameter given more than once"},
		{"FROM:<a@b> RET=FULL RET=HDRS", "501 5.5.4 Parameter given more than once"},
		{"FROM:<a@b> ENVID=a ENVID=a", "501 5.5.4 Parameter given more than once"},
		{"FROM:<a@b> AUTH=<> AUTH=<>", "501 5.5.4 Parameter given more than once"},
		{"FROM:<a@b> BODY=9BIT", "501 5.5.4 Bad BODY value, want 7BIT, 8BITMIME or BINARYMIME"},
		{"FROM:<a@b> BODY", "501 5.5.4 Bad BODY value, want 7BIT, 8BITMIME or BINARYMIME"},
		{"FROM:<a@b> SMTPUTF8=yes", "501 5.5.4 SMTPUTF8 takes no value"},
		{"FROM:<a@b> RET=BODY", "501 5.5.4 Bad RET value, want FULL or HDRS"},
		{"FROM:<a@b> ENVID", "501 5.5.4 Bad ENVID value, want 1 to 100 characters of xtext"},
		{"FROM:<a@b> ENVID=a+b", "501 5.5.4 Bad ENVID value, want 1 to 100 characters of xtext"},
		{"FROM:<a@b> ENVID=" + strings.Repeat("x", 101), "501 5.5.4 Bad ENVID value, want 1 to 100 characters of xtext"},
		{"FROM:<a@b> AUTH=a+3db", "501 5.5.4 Bad AUTH value, want xtext or <>"}, // RFC 3461: capitals only
	} {
		var m MailArgs
		err := ParseMail([]byte(test.args), &m)
		got := mailLine(&m)
		if err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%q\ngives %q\nwant  %q", test.args, got, test.want)
		}
	}
}

func TestParseRcpt(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"TO:<a@b.example>", "TO:<a@b.example>"},
		{"to: a@b.example", "TO:<a@b.example>"},
		{"TO:<postmaster>", "TO:<postmaster>"},
		{"TO:<Postmaster@b>", "TO:<Postmaster@b>"},
		{"TO:<@relay.example:a@b>", "TO:<a@b>"},
		{"TO:<a@b> NOTIFY=NEVER", "TO:<a@b> NOTIFY=NEVER"},
		{"TO:<a@b> notify=delay,success,FAILURE orcpt=rfc822;a+2Bx@b", "TO:<a@b> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;a+2Bx@b"},
		{"TO:<\u00e4@b> ORCPT=utf-8;\u00e4@b", "TO:<\u00e4@b> ORCPT=utf-8;\u00e4@b"},

		{"", "501 5.5.4 Syntax: RCPT TO:<address>"},
		{"TO:", "501 5.5.4 Syntax: RCPT TO:<address>"},
		{"FROM:<a@b>", "501 5.5.4 Syntax: RCPT TO:<address>"},
		{"TO:<>", "501 5.1.3 Bad destination mailbox address syntax"},
		{"TO:<a@b", "501 5.1.3 Bad destination mailbox address syntax"},
		{"TO:<a@b><c@d>", "501 5.1.3 Bad destination mailbox address syntax"},
		{"TO:<a@b>,<c@d>", "501 5.1.3 Bad destination mailbox address syntax"},
		{"TO:<\xff@b>", "501 5.1.3 Bad destination mailbox address syntax"},
		{"TO:<a@b> SIZE=1", "555 5.5.4 MAIL FROM/RCPT TO parameters not recognized or not implemented"},
		{"TO:<a@b> x y", "555 5.5.4 MAIL FROM/RCPT TO parameters not recognized or not implemented"},
		{"TO:<a@b> NOTIFY", "501 5.5.4 Bad NOTIFY value, want NEVER or a list of SUCCESS, FAILURE, DELAY"},
		{"TO:<a@b> NOTIFY=NEVER,DELAY", "501 5.5.4 Bad NOTIFY value, want NEVER or a list of SUCCESS, FAILURE, DELAY"},
		{"TO:<a@b> NOTIFY=DELAY,", "501 5.5.4 Bad NOTIFY value, want NEVER or a list of SUCCESS, FAILURE, DELAY"},
		{"TO:<a@b> NOTIFY=DELAY NOTIFY=DELAY", "501 5.5.4 Parameter given more than once"},
		{"TO:<a@b> ORCPT=rfc822;a ORCPT=rfc822;a", "501 5.5.4 Parameter given more than once"},
		{"TO:<a@b> ORCPT=a@b", "501 5.5.4 Bad ORCPT value, want type;xtext of at most 500 characters"},
		{"TO:<a@b> ORCPT=;a@b", "501 5.5.4 Bad ORCPT value, want type;xtext of at most 500 characters"},
		{"TO:<a@b> ORCPT=rfc822;a+zz", "501 5.5.4 Bad ORCPT value, want type;xtext of at most 500 characters"},
		{"TO:<a@b> ORCPT=rf@c;a", "501 5.5.4 Bad ORCPT value, want type;xtext of at most 500 characters"},
		{"TO:<a@b> ORCPT=rfc822;" + strings.Repeat("x", 500), "501 5.5.4 Bad ORCPT value, want type;xtext of at most 500 characters"},
	} {
		var r RcptArgs
		err := ParseRcpt([]byte(test.args), &r)
		got := rcptLine(&r)
		if err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%q\ngives %q\nwant  %q", test.args, got, test.want)
		}
	}
}

func TestCheckUTF8(t *testing.T) {
	var r RcptArgs
	if err := ParseRcpt([]byte("TO:<gr\u00fc\u00df@b>"), &r); err != nil || !r.NonASCII {
		t.Fatalf("NonASCII = %v, %v", r.NonASCII, err)
	}
	if err := r.CheckUTF8(true); err != nil {
		t.Error(err)
	}
	err := r.CheckUTF8(false)
	var syntax *SyntaxError
	if !errors.As(err, &syntax) || syntax.Reply.Code != 553 || syntax.Reply.Enhanced != (Enhanced{5, 6, 7}) {
		t.Errorf("without SMTPUTF8: %v, want 553 5.6.7", err)
	}
	if err := ParseRcpt([]byte("TO:<a@b>"), &r); err != nil || r.CheckUTF8(false) != nil {
		t.Errorf("ASCII path: %v, %v", err, r.CheckUTF8(false))
	}
}

func TestSyntaxErrorsAreValidReplies(t *testing.T) {
	for _, err := range []*SyntaxError{
		errMailSyntax, errRcptSyntax, errBdatSyntax, errSender, errRecipient, errParamSyntax, errParamTwice, errParamUnknown, errSize,
		errBody, errSMTPUTF8, errRequireTLS, errRet, errEnvID, errAuthParam, errNotify, errORcpt, errNonASCII,
	} {
		if e := err.Reply.Validate(); e != nil {
			t.Error(e)
		}
	}
}

func TestNamesOfUnknownValues(t *testing.T) {
	for got, want := range map[string]string{
		Body(9).String(): "body(9)", Ret(9).String(): "ret(9)", BodyNone.String(): "", Notify(0).String(): "",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestXText(t *testing.T) {
	for decoded, encoded := range map[string]string{
		"":                 "",
		"a@b":              "a@b",
		"a+b=c d":          "a+2Bb+3Dc+20d",
		"\x00\xff~":        "+00+FF~",
		"<msg.1@host.tld>": "<msg.1@host.tld>",
	} {
		if got := string(AppendXText(nil, []byte(decoded))); got != encoded {
			t.Errorf("AppendXText(%q) = %q, want %q", decoded, got, encoded)
		}
		if got, ok := DecodeXText([]byte("x"), []byte(encoded)); !ok || string(got) != "x"+decoded {
			t.Errorf("DecodeXText(%q) = %q, %v; want %q", encoded, got, ok, "x"+decoded)
		}
	}
	for _, bad := range []string{"+", "+2", "+2b", "+GG", "a b", "a=b", "\x7f", "\xc3"} {
		if got, ok := DecodeXText(nil, []byte(bad)); ok {
			t.Errorf("DecodeXText(%q) = %q, want an error", bad, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SliceOf(rapid.Byte()).Draw(t, "text")
		encoded := AppendXText(nil, text)
		if decoded, ok := DecodeXText(encoded[:0], encoded); !ok || !bytes.Equal(decoded, text) {
			t.Fatalf("%q became %q", text, decoded)
		}
	})
}

func TestParsingEnvelopesDoesNotAllocate(t *testing.T) {
	mails := [][]byte{
		[]byte("FROM:<sender@example.com> SIZE=1000 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=x+2By AUTH=<>"),
		[]byte("FROM:<\"quoted local\"@[192.0.2.1]>"),
		[]byte("FROM:<sender@example.com> FOO"),
		[]byte("FROM:<sender@"),
	}
	rcpts := [][]byte{
		[]byte("TO:<@a,@b:recipient@example.com> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;a@b"),
		[]byte("TO:<\u00fc@example.com> NOTIFY=NEVER"),
		[]byte("TO:<>"),
	}
	var m MailArgs
	var r RcptArgs
	if n := testing.AllocsPerRun(100, func() {
		failed := 0
		for _, args := range mails {
			if ParseMail(args, &m) != nil {
				failed++
			}
		}
		for _, args := range rcpts {
			if ParseRcpt(args, &r) != nil {
				failed++
			}
		}
		if failed != 3 {
			t.Fatalf("%d errors, want 3", failed)
		}
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func FuzzParseMail(f *testing.F) {
	for _, args := range []string{
		"FROM:<a@b> SIZE=10 BODY=8BITMIME SMTPUTF8 RET=FULL ENVID=a+2Bb AUTH=<>", "FROM:<>", "from: a@b", `FROM:<"\\"@[1]>`,
		"FROM:<@a,@b:c@d>", "FROM:<\u00fc@\u00fc> SMTPUTF8", "FROM:<a@b> X=", "FROM:\"",
	} {
		f.Add([]byte(args))
	}
	f.Fuzz(func(t *testing.T, args []byte) {
		var m, again MailArgs
		if err := ParseMail(args, &m); err != nil {
			var syntax *SyntaxError
			if !errors.As(err, &syntax) || !syntax.Reply.Code.Permanent() {
				t.Fatalf("error %v", err)
			}
			return
		}
		for _, part := range [][]byte{m.Path, m.EnvID, m.Auth, DomainOf(m.Path)} {
			if !aliases(args, part) {
				t.Fatalf("%q is no part of %q", part, args)
			}
		}
		line := mailLine(&m)
		if err := ParseMail([]byte(line), &again); err != nil {
			t.Fatalf("%q became %q, which gives %v", args, line, err)
		}
		if got := mailLine(&again); got != line {
			t.Fatalf("%q became %q, then %q", args, line, got)
		}
	})
}

func FuzzParseRcpt(f *testing.F) {
	for _, args := range []string{
		"TO:<a@b> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a@b", "TO:<postmaster>", "to: a@b", "TO:<@a:b@c>", "TO:<\u00fc@b> ORCPT=utf-8;\u00fc",
	} {
		f.Add([]byte(args))
	}
	f.Fuzz(func(t *testing.T, args []byte) {
		var r, again RcptArgs
		if err := ParseRcpt(args, &r); err != nil {
			var syntax *SyntaxError
			if !errors.As(err, &syntax) || !syntax.Reply.Code.Permanent() {
				t.Fatalf("error %v", err)
			}
			return
		}
		if !aliases(args, r.Path) || !aliases(args, r.ORcpt) || len(r.Path) == 0 {
			t.Fatalf("%q and %q of %q", r.Path, r.ORcpt, args)
		}
		line := rcptLine(&r)
		if err := ParseRcpt([]byte(line), &again); err != nil {
			t.Fatalf("%q became %q, which gives %v", args, line, err)
		}
		if got := rcptLine(&again); got != line {
			t.Fatalf("%q became %q, then %q", args, line, got)
		}
	})
}

func BenchmarkParseMail(b *testing.B) {
	args := []byte("FROM:<sender-00042@domain-7.example.com> SIZE=10240 BODY=8BITMIME")
	var m MailArgs
	b.ReportAllocs()
	for b.Loop() {
		if err := ParseMail(args, &m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseRcpt(b *testing.B) {
	args := []byte("TO:<recipient-00042@domain-7.example.com>")
	var r RcptArgs
	b.ReportAllocs()
	for b.Loop() {
		if err := ParseRcpt(args, &r); err != nil {
			b.Fatal(err)
		}
	}
}

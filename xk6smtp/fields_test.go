package xk6smtp

import (
	"mime"
	"net/mail"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/smtpstorm/xk6-smtp/xk6smtp/client"
)

// withFields builds a message whose fields are "x" and "y", with defaults that stand anywhere.
func withFields(t *testing.T, change func(*messageOptions)) *message {
	t.Helper()
	o := options("from", "to")
	o.from, o.to, o.text = "a@src.test", []string{"b@dst.test"}, "hello\n"
	change(o)
	if o.raw != nil {
		o.given["raw"] = true
	}
	m, err := newMessage(o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestFieldsInAddresses has values count for the envelope, and stay in their place in the header.
func TestFieldsInAddresses(t *testing.T) {
	for _, test := range []struct {
		to, value string
		rcpt      string
		header    string
		problem   string
	}{
		{"{{x}}@dst.test", "ann", "ann@dst.test", "<ann@dst.test>", ""},
		{"{{x}}@dst.test", "ann@evil.test", `"ann@evil.test"@dst.test`, `<"ann@evil.test"@dst.test>`, ""},
		{"{{x}}@dst.test", `a b"c\`, `"a b\"c\\"@dst.test`, `<"a b\"c\\"@dst.test>`, ""},
		{"{{x}}@dst.test", "a> RCPT TO:<b", `"a> RCPT TO:<b"@dst.test`, `<"a> RCPT TO:<b"@dst.test>`, ""},
		{"{{x}}@dst.test", "", "", "", errHalf.Error()},
		{"{{x}}@dst.test", "a\r\nRSET", "", "", errControl.Error()},
		{`"{{x}}"@dst.test`, `ann"@evil.test,"`, `"ann\"@evil.test,\""@dst.test`, `<"ann\"@evil.test,\""@dst.test>`, ""},
		{"b+{{x}}@dst.test", "1", "b+1@dst.test", "<b+1@dst.test>", ""},
		{"b@{{x}}.test", "dst", "b@dst.test", "<b@dst.test>", ""},
		{"b@{{x}}.test", "c@dst", "", "", errTwoAts.Error()},
		{"b@{{x}}", "", "", "", errHalf.Error()},
		{"{{x}}", "b@dst.test", "b@dst.test", "<b@dst.test>", ""},
		{"{{x}}", `"Doe, Ann" <b@dst.test>`, "b@dst.test", `"Doe, Ann" <b@dst.test>`, ""},
		{"{{x}}", "b@dst.test, c@dst.test", "", "", errSpecial.Error()},
		{"{{x}}", "", "", "", errEmpty.Error()},
		{"Ann <{{x}}>", "b@dst.test", "b@dst.test", `"Ann" <b@dst.test>`, ""},
		{"Ann <{{x}}>", "B <b@dst.test>", "", "", errSpecial.Error()},
		{`"{{x}}" <b@dst.test>`, `Ann "The <Boss>", c@evil.test`, "b@dst.test", `"Ann \"The <Boss>\", c@evil.test" <b@dst.test>`, ""},
		{`"{{x}}" <b@dst.test>`, `\`, "b@dst.test", `"\\" <b@dst.test>`, ""},
		{"{{x}} <b@dst.test>", "Jörg", "b@dst.test", "=?utf-8?q?J=C3=B6rg?= <b@dst.test>", ""},
		{"=?utf-8?q?Fr=C3=A4ulein_{{x}}?= <b@dst.test>", "Ann Lee", "b@dst.test", "=?utf-8?q?Fr=C3=A4ulein_Ann_Lee?= <b@dst.test>", ""},
		{"{{x}} <b@dst.test>", "", "b@dst.test", "<b@dst.test>", ""},
		{"{{x}} <b@dst.test>", "a\nBcc: c@evil.test", "", "", errControl.Error()},
	} {
		m := withFields(t, func(o *messageOptions) { o.to, o.fields = []string{test.to}, []pair{{"x", "d@default.test"}} })
		wire, envelope, err := m.filledWith([]pair{{"x", test.value}})
		if test.problem != "" {
			if err == nil || !strings.HasSuffix(err.Error(), ": "+test.problem) {
				t.Errorf("%s with %q: %v, expected %s", test.to, test.value, err, test.problem)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s with %q: %v", test.to, test.value, err)
			continue
		}
		if !slices.Equal(envelope.to, []string{test.rcpt}) || !strings.Contains(wire, "\r\nTo: "+test.header+"\r\n") {
			t.Errorf("%s with %q: envelope %q, header\n%s", test.to, test.value, envelope.to, wire)
		}
		parsed, err := mail.ReadMessage(strings.NewReader(wire))
		if err != nil {
			t.Fatal(err)
		}
		if list, err := parsed.Header.AddressList("To"); err != nil || len(list) != 1 || len(parsed.Header["Bcc"]) != 0 {
			t.Errorf("%s with %q: net/mail reads %v, %v", test.to, test.value, list, err)
		}
	}
}

func TestFieldsInTheSender(t *testing.T) {
	m := withFields(t, func(o *messageOptions) {
		o.from, o.fields = "{{x}} <bounce+{{y}}@{{x}}.test>", []pair{{"x", "src"}, {"y", "0"}}
	})
	wire, envelope, err := m.filledWith([]pair{{"x", "other"}, {"y", "7"}})
	if err != nil || envelope.from != "bounce+7@other.test" || !strings.Contains(wire, "Message-ID: <run-1@other.test>\r\n") ||
		!strings.Contains(wire, "From: \"other\" <bounce+7@other.test>\r\n") {
		t.Errorf("%+v, %v\n%s", envelope, err, wire)
	}
	if m.from != "bounce+0@src.test" {
		t.Errorf("by default %q", m.from)
	}
}

// TestFieldsInHeaders has values of every kind in unstructured fields, in those of addresses, and in encoded words.
func TestFieldsInHeaders(t *testing.T) {
	longWord, longText := strings.Repeat("x", 2600), strings.TrimSpace(strings.Repeat("word ", 600))
	for _, test := range []struct{ name, text, value, want string }{
		{"X-A", "{{x}}", "plain", "plain"},
		{"X-A", "{{x}}", "Grüße", "Grüße"},
		{"X-A", "a {{x}} b", longText, "a " + longText + " b"},
		{"X-A", "a {{x}} b", longWord, "a " + longWord + " b"},
		{"X-A", "=?utf-8?q?{{x}}_=C3=BC?=", "Ann Lee? =", "Ann Lee? = ü"},
		{"Subject", "Hi {{x}}", "Zoë " + longWord, "Hi Zoë " + longWord},
		{"Reply-To", `"{{x}}" <r@x.test>`, `J"ürgen`, `J"ürgen`},
		{"Sender", `{{x}} <r@x.test>`, longText, longText},
		{"Resent-To", `Zoë <q@x.test>, {{x}} <r@x.test>`, "A, B", "A, B"},
	} {
		m := withFields(t, func(o *messageOptions) {
			o.fields = []pair{{"x", "default"}}
			if test.name == "Subject" {
				o.subject = test.text
			} else {
				o.headers = []pair{{test.name, test.text}}
			}
		})
		wire, _, err := m.filledWith([]pair{{"x", test.value}})
		if err != nil {
			t.Fatal(err)
		}
		if err := wellFormed(wire); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		parsed, err := mail.ReadMessage(strings.NewReader(wire))
		if err != nil {
			t.Fatal(err)
		}
		if isStructured(test.name) {
			list, err := parsed.Header.AddressList(test.name)
			if err != nil || list[len(list)-1].Name != test.want || list[len(list)-1].Address != "r@x.test" {
				t.Errorf("%s with %.40q is read as %v, %v", test.name, test.value, list, err)
			}
			continue
		}
		if got := decoded(t, parsed.Header.Get(test.name)); got != test.want {
			t.Errorf("%s with %.40q is read as %q", test.name, test.value, got)
		}
	}
}

func decoded(t *testing.T, text string) string {
	t.Helper()
	got, err := new(mime.WordDecoder).DecodeHeader(text)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestAddressesInOtherHeaders(t *testing.T) {
	for _, test := range []struct{ name, value, want string }{
		{"Reply-To", "Jürgen <r@x.test>", "=?utf-8?q?J=C3=BCrgen?= <r@x.test>"},
		{"reply-to", `"Doe, J" <r@x.test>, s@x.test`, `"Doe, J" <r@x.test>, <s@x.test>`},
		{"Resent-From", `"a@b"@x.test`, `<"a@b"@x.test>`},
		{"Resent-Cc", "r@x.test (Jürgen)", "=?utf-8?q?J=C3=BCrgen?= <r@x.test>"},
		{"Reply-To", "Team: a@x.test, b@x.test;", "Team: a@x.test, b@x.test;"},
		{"X-Reply-To", "Jürgen <r@x.test>", "=?utf-8?q?J=C3=BCrgen_=3Cr=40x=2Etest=3E?="},
	} {
		m := withFields(t, func(o *messageOptions) { o.headers = []pair{{test.name, test.value}} })
		if wire := m.sent(t, "t"); !strings.Contains(wire, "\r\n"+test.name+": "+test.want+"\r\n") {
			t.Errorf("%s: %s becomes\n%s", test.name, test.value, wire)
		}
	}
}

// TestRawStaysAsItIsAroundItsFields has values in a raw message's header and body: what needs no encoding changes nothing else.
func TestRawStaysAsItIsAroundItsFields(t *testing.T) {
	for _, test := range []struct{ raw, value, want string }{
		{"{{x}}.\r\nMAIL FROM:<evil@x.test>\r\n", "", ".\r\nMAIL FROM:<evil@x.test>\r\n"},
		{"{{x}}.\r\nMAIL FROM:<evil@x.test>\r\n", "a", "a.\r\nMAIL FROM:<evil@x.test>\r\n"},
		{"A: b\r\n\r\n{{x}}\r\n.\r\n", "", "A: b\r\n\r\n\r\n.\r\n"},
		{"A: b\r\n\r\n{{x}}\n.{{x}}", "\r", "A: b\r\n\r\n\r\n.\r\n"},
		{"A: b\r\n\r\n{{x}}{{x}}.{{x}}", ".\r", "A: b\r\n\r\n.\r\n.\r\n..\r\n"},
		{"Subject:  a\r\n\t{{x}}  b\r\nB: c\r\n\r\nx", "v", "Subject:  a\r\n\tv  b\r\nB: c\r\n\r\nx\r\n"},
		{"Subject: a\r\n {{x}}\r\n\r\nx", "ü", "Subject: =?utf-8?q?a_=C3=BC?=\r\n\r\nx\r\n"},
		{"To: \"{{x}}\" <b@x.test>,\r\n c@x.test\r\n\r\nx", `"`, "To: \"\\\"\" <b@x.test>, <c@x.test>\r\n\r\nx\r\n"},
		{"To: nobody in particular {{x}}\r\n\r\nx", "v", "To: nobody in particular v\r\n\r\nx\r\n"},
		{"X-{{x}}: a\r\n\r\n{{x}}", "v", "X-v: a\r\n\r\nv\r\n"},
		{"X-A: {{x}}", "v", "X-A: v\r\n"},
		{"\r\n{{x}}: b\r\n", "a\r\n.", "\r\na\r\n.: b\r\n"},
	} {
		m := withFields(t, func(o *messageOptions) { o.text, o.raw, o.fields = "", []byte(test.raw), []pair{{"x", "default"}} })
		_, values, err := m.prepare([]pair{{"x", test.value}})
		if err != nil {
			t.Fatal(err)
		}
		var body client.Body
		m.template.fill(&body, values)
		if got := string(body.Plain()); got != test.want {
			t.Errorf("%q with %q: %q, expected %q", test.raw, test.value, got, test.want)
		}
		if want := client.NewBody([]byte(test.want)); string(want.Wire()) != string(body.Wire()) {
			t.Errorf("%q with %q goes out as %q", test.raw, test.value, body.Wire())
		}
	}
	m := withFields(t, func(o *messageOptions) { o.text, o.raw, o.fields = "", []byte("X: {{x}}\r\n\r\n"), []pair{{"x", ""}} })
	if _, _, err := m.prepare([]pair{{"x", "a\r\n\r\nbody"}}); err == nil {
		t.Error("a value breaks out of the header")
	}
}

// TestRawFieldsAreStuffedAsOneStream fills a raw message's gaps, and compares the wire with what the simplest replacement gives. Where a value
// stands in a header field, and may be encoded, the message has to stay well-formed on the wire. (The native fuzz target of the stuffing is
// package client's: here it would have to instrument all of k6.)
func TestRawFieldsAreStuffedAsOneStream(t *testing.T) {
	part := rapid.SampledFrom([]string{"{{x}}", "{{y}}", ".", "\r", "\n", "\r\n", "a", ": ", "A: ", "To: ", " ", "\t", "ü", "\r\n\r\n", ".\r\n", "\"", "=?utf-8?q?", "?=", "@x.test", "<", ">", ","})
	text := rapid.Map(rapid.SliceOfN(part, 0, 24), func(parts []string) string { return strings.Join(parts, "") })
	value := rapid.Map(rapid.SliceOfN(part, 0, 5), func(parts []string) string { return strings.Join(parts, "") })
	plain, built := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		begin := rapid.SampledFrom([]string{"", "A: ", "Subject: a", "\r\n"}).Draw(t, "begin") // a field that is built is a matter of chance otherwise
		raw, x, y := begin+"{{x}}"+text.Draw(t, "raw")+"{{y}}"+text.Draw(t, "rest"), value.Draw(t, "x"), value.Draw(t, "y")
		o := options("from", "to", "raw")
		o.from, o.to, o.raw, o.fields = "a@src.test", []string{"b@dst.test"}, []byte(raw), []pair{{"x", ""}, {"y", ""}}
		m, err := newMessage(o)
		if err != nil {
			t.Fatal(err)
		}
		_, values, err := m.prepare([]pair{{"x", x}, {"y", y}})
		if err != nil {
			if !hasControl(x+y) && !strings.Contains(err.Error(), "makes no address of") {
				t.Fatalf("%q with %q and %q: %v", raw, x, y, err)
			}
			return
		}
		var body client.Body
		m.template.fill(&body, values)
		if again := client.NewBody(body.Plain()); string(again.Wire()) != string(body.Wire()) || again.Size() != body.Size() {
			t.Fatalf("%q with %q and %q goes out as %q", raw, x, y, body.Wire())
		}
		for _, s := range m.template.segments {
			if s.field != nil {
				built++
				return
			}
		}
		plain++
		want := client.NewBody([]byte(cutGaps(raw, []string{"{{x}}", "{{y}}"}).fill([]string{x, y})))
		if string(want.Wire()) != string(body.Wire()) || want.Size() != body.Size() || want.EightBit() != body.EightBit() {
			t.Fatalf("%q with %q and %q goes out as\n%q, expected\n%q", raw, x, y, body.Wire(), want.Wire())
		}
	})
	if plain == 0 || built == 0 {
		t.Errorf("%d messages without and %d with header fields that were built", plain, built)
	}
}

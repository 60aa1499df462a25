package xk6smtp

import (
	"net"
	"strings"
	"testing"
)

// TestPercentSignsInErrors has values with what looks like a format come back as they were.
func TestPercentSignsInErrors(t *testing.T) {
	v := newVU(t).activate()
	for call, want := range map[string]string{
		"new Client({host: '[fe80::1%lo]'})":                                 `Client: option "host" wants an address without brackets, "fe80::1%lo", not the string "[fe80::1%lo]"`,
		"new Message({from: 'a%d b%s', to: 'b'})":                            `not "a%d b%s": blanks`,
		"new Client({host: 'h', tags: {'100%!': null}})":                     `option "tags.100%!" wants`,
		"await new Client({host: 'h'}).send(new Message({from: '5%x y'}))":   `"5%x y"`,
		"await new Client({host: '127.0.0.1', port: 1}).raw('x', {'%d': 1})": `option "%d" is unknown`,
	} {
		if got := v.run(call); !strings.HasPrefix(got, "throws TypeError: ") || !strings.Contains(got, want) {
			t.Errorf("%s\ngives     %s\nexpected  %s", call, got, want)
		}
	}
}

// TestFieldsInEncodedWords has fields fill Q words, and refuses them where nothing can stand in for them: in base64, and in comments.
func TestFieldsInEncodedWords(t *testing.T) {
	const value = "a b=?é"
	for _, test := range []struct{ text, want string }{
		{"=?utf-8?q?a_{{x}}?=", "a " + value},
		{"=?iso-8859-1?Q?=FC{{x}}?= z", "ü" + value + " z"},
		{"=?utf-8?b?{{x}}?=", ""},
		{"=?utf-8?b?AA{{x}}?=", ""}, // twelve letters with the stand-in: base64
		{"=?utf-8?B?AA{{x}}?= {{x}}", ""},
		{"=?koi8-r?q?{{x}}?=", ""},
		{"=?koi8-r?q?=C1?= {{x}}", "=?koi8-r?q?=C1?= " + value},
		{"a=?{{x}}?=", "a=?" + value + "?="},
	} {
		for _, where := range []string{"subject", "X-Text", "name"} {
			o := options("from", "to")
			o.from, o.to, o.text = "a@src.test", []string{"b@dst.test"}, "hello\n"
			o.fields = []pair{{"x", value}}
			name := "Subject"
			switch where {
			case "subject":
				o.subject = test.text
			case "X-Text":
				o.headers, name = []pair{{where, test.text}}, where
			default:
				if test.text[0] == 'a' || strings.Contains(test.text, "koi8-r") {
					continue // no phrase, or one whose words nobody can read
				}
				o.headers, name = []pair{{"Reply-To", test.text + " <r@x.test>"}}, "Reply-To"
			}
			m, err := newMessage(o)
			if (err != nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), errNoGap.Error()) {
				t.Errorf("%s %q: error %v", where, test.text, err)
			}
			if err != nil {
				continue
			}
			start, end, _ := field(m.body.Plain(), name)
			got := decoded(t, string(m.body.Plain()[start+len(name)+2:end]))
			if want := test.want; !strings.HasPrefix(got, want) {
				t.Errorf("%s %q: got %q, expected %q", where, test.text, got, want)
			}
		}
	}
	o := options("from", "to")
	o.from, o.to, o.fields = "a@src.test", []string{"b@dst.test"}, []pair{{"x", value}}
	o.headers = []pair{{"Reply-To", "Team: {{x}}@a.test, b@a.test;"}}
	if _, err := newMessage(o); err == nil {
		t.Error("a field is taken in a group, where nothing keeps it in its place")
	}
	for _, to := range []string{"=?utf-8?b?{{x}}?= <{{x}}@dst.test>", "N (c {{x}}) <{{x}}@dst.test>"} {
		if _, err := cutAddress(to, []string{"{{x}}"}); err == nil {
			t.Errorf("%q is taken, and loses a field", to)
		}
	}
}

// TestNamesLikeEncodedWords are display names that only look encoded: readers decode them within quotes, too.
func TestNamesLikeEncodedWords(t *testing.T) {
	for _, name := range []string{"=?utf-8?q?x?=", "a =?utf-8?b?QQ==?= b", "=?"} {
		got := phrase(name, "To")
		if strings.HasPrefix(got, `"`) || decoded(t, got) != name {
			t.Errorf("%q stands as %s", name, got)
		}
	}
}

// TestAnEmptyTokenIsNone has messages whose own X-Storm-Id is empty be known by a fresh token, which the server gets.
func TestAnEmptyTokenIsNone(t *testing.T) {
	v := newVU(t).activate()
	got := v.run(`
		const data = await Sink.start({});
		const sink = Sink.attach(data);
		const client = new Client({host: data.host, port: data.port});
		const out = [];
		const all = {from: 'a@src.test', to: 'b@dst.test'};
		for (const [options, send] of [
			[{...all, text: 'x', headers: {'X-Storm-Id': ''}}],
			[{...all, text: 'x', headers: {'X-Storm-Id': ' \t '}}],
			[{...all, text: 'x', headers: {'X-Storm-Id': '{{id}}'}, fields: {id: 'own'}}, {fields: {id: ''}}],
			[{...all, text: 'x', headers: {'X-Storm-Id': '{{id}}'}, fields: {id: 'own'}}],
			[{...all, text: 'x', headers: {'X-Storm-Id': ''}, size: 1000}],
			[{...all, raw: 'X-Storm-Id:\r\nSubject: s\r\n\r\nx'}],
			[{...all, raw: 'X-Storm-Id:\r\n \r\nSubject: s\r\n\r\nx'}],
			[{...all, raw: 'X-Storm-Id:\nX-Storm-Id: second\nSubject: s\n\nx'}],
		]) {
			const r = await client.send(new Message(options), send);
			const d = await sink.waitFor(r.token, {timeout: '5s'});
			out.push([r.ok, d.ok, d.attempts, r.token === 'own'].join());
		}
		await client.mail('a@src.test');
		await client.rcpt('b@dst.test');
		const r = await client.data(new Message({...all, text: 'x', headers: {'X-Storm-Id': ''}}));
		out.push([r.ok, (await sink.waitFor(r.token, {timeout: '5s'})).ok].join());
		client.close();
		await sink.stop();
		return out.join(' ')`)
	fresh, own := "true,true,1,false", "true,true,1,true"
	if want := strings.Join([]string{fresh, fresh, fresh, own, fresh, fresh, fresh, fresh, "true,true"}, " "); got != want {
		t.Errorf("got      %s\nexpected %s", got, want)
	}
	o := options("from", "to")
	o.from, o.to, o.headers, o.size = "a@src.test", []string{"b@dst.test"}, []pair{{tokenHeader, ""}}, 2000
	m, err := newMessage(o)
	if err != nil {
		t.Fatal(err)
	}
	token, isFresh := m.token(m.body, newTokens().next())
	if n := len(m.appendHeader(nil, m.idDomain, token, isFresh, new(dateLine).at(epoch))) + m.body.Size(); n != o.size {
		t.Errorf("%d octets, expected %d", n, o.size)
	}
}

// TestRepliesThatComeApart has each reply come when the one before was read, and the next call find it there: the connection stays the same.
func TestRepliesThatComeApart(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	accepted := make(chan net.Conn, 2)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	v := newVU(t).activate().global("PORT", listener.Addr().(*net.TCPAddr).Port)
	v.run("globalThis.client = new Client({host: '127.0.0.1', port: PORT, timeout: '10s'}); await client.connect({greeting: false})")
	server := <-accepted
	t.Cleanup(func() { _ = server.Close() })
	// Loopback has the octets in the client's receive buffer when Write returns.
	say := func(text string) {
		t.Helper()
		if _, err := server.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct{ server, call, want string }{
		{"220 a\r\n", "raw(null)", "220"},
		{"", "raw('NOOP\\r\\nNOOP\\r\\nNOOP\\r\\n', {reply: false})", "0"},
		{"250 one\r\n", "raw(null)", "250"},
		{"251 two\r\n", "raw(null)", "251"},
		{"252 three\r\n", "raw('NOOP\\r\\n', {reply: false})", "0"},
		{"", "raw(null)", "252"},
		{"253 four\r\n", "raw(null)", "253"},
		{"421 unasked\r\n", "raw(null)", "421"},
	} {
		if step.server != "" {
			say(step.server)
		}
		if got := v.run("return String((await client." + step.call + ").code)"); got != step.want {
			t.Fatalf("%s after %q: code %s, expected %s", step.call, step.server, got, step.want)
		}
	}
	if len(accepted) > 0 {
		t.Error("there was a second connection")
	}
}

package xk6smtp

import (
	"strings"
	"testing"

	"go.k6.io/k6/v2/lib"

	"github.com/smtpstorm/xk6-smtp/sink/testkit"
)

func TestRawWritesAndReadsApart(t *testing.T) {
	v := newVU(t).activate()
	got := v.run(`
		const data = await Sink.start({reply: ['rcpt=550/5.1.1', 'connect=220']});
		const client = new Client({host: data.host, port: data.port, transcript: true});
		const out = [];
		const first = await client.raw('MAIL FROM:<a@src.test>\r\nRCPT TO:<b@dst.test>\r\nNO', {reply: false});
		out.push(first.ok, first.code, first.transcript.length > 2);
		await client.raw(new Uint8Array([79, 79, 80, 13, 10]).buffer, {reply: false});
		for (const phase of ['mail', 'rcpt', undefined]) {
			const r = await client.raw(null, phase ? {phase} : {});
			out.push([r.phase, r.code, r.enhancedCode].join(' '));
		}
		// half a body, and its other half
		for (const r of [await client.raw('RSET'), await client.mail('a@src.test'), await client.raw('DATA', {phase: 'data'})]) out.push(r.phase + ' ' + r.code);
		out.push((await client.send(new Message({from: 'a@src.test', to: 'b@dst.test', text: 'x'}))).code);
		client.close();
		// the greeting by hand
		const other = new Client({host: data.host, port: data.port});
		const dialled = await other.connect({greeting: false});
		const greeting = await other.raw(null);
		out.push([dialled.ok, dialled.code, dialled.banner, greeting.phase, greeting.code, (await other.ehlo()).code].join(' '));
		other.close();
		const third = new Client({host: data.host, port: data.port});
		await third.connect({greeting: false});
		const going = await third.connect();
		out.push([going.ok, going.phase, going.capabilities.length > 2, (await third.quit()).code].join(' '));
		const alone = new Client({host: data.host, port: data.port});
		out.push((await alone.raw(null)).phase);
		alone.close();
		await Sink.attach(data).stop();
		return out.join('|')`)
	want := "true|0|true|mail 250 2.1.0|rcpt 550 5.1.1|unknown 500 5.5.2|rset 250|mail 250|data 554|550|true 0  connect 220 250|true ehlo true 221|connect"
	if got != want {
		t.Errorf("got      %s\nexpected %s", got, want)
	}
	_, sums := v.collected()
	for series, n := range map[string]float64{
		"smtp_sessions": 4, "smtp_conn_failed": 0, "smtp_replies{code:220,enhanced:,phase:connect}": 4, "smtp_replies{code:550,enhanced:5.1.1,phase:rcpt}": 2,
	} {
		if sums[series] != n {
			t.Errorf("%s is %v, expected %v: %q", series, sums[series], n, counts(sums))
		}
	}
}

func TestWrongRawOptions(t *testing.T) {
	v := newVU(t).activate()
	for call, want := range map[string]string{
		"raw(undefined)":                             `raw: option "line" wants a string, not undefined`,
		"raw('', {reply: false})":                    `raw: option "octets" must not be empty`,
		"raw(null, {reply: false})":                  `raw: option "octets" wants a string or an ArrayBuffer, not null`,
		"raw(null, {phase: 'nowhere'})":              `raw: option "phase" wants a phase such as "rcpt" or "message", not the string "nowhere"`,
		"raw('x', {reply: false, phase: 'noop'})":    `raw: option "phase" is the reply's, and with reply: false none is read`,
		"raw('x', {read: false})":                    `raw: option "read" is unknown (valid: phase reply)`,
		"connect({greeting: 'no'})":                  `connect: option "greeting" wants true or false, not the string "no"`,
		"raw('NOOP\\r\\nNOOP\\r\\n', {reply: true})": `raw: option "line" command line: holds a line break`,
	} {
		if got := v.run("return await new Client({host: '127.0.0.1', port: 1})." + call); got != "throws TypeError: "+want {
			t.Errorf("%s\ngives     %s\nexpected  %s", call, got, want)
		}
	}
}

func TestReuseOptionsOfK6Hold(t *testing.T) {
	for _, test := range []struct {
		name string
		set  func(*lib.Options)
		want int // connections for two iterations of two messages each
	}{
		{"none", func(*lib.Options) {}, 1},
		{"noVUConnectionReuse", func(o *lib.Options) { o.NoVUConnectionReuse.Bool = true }, 2},
		{"noConnectionReuse", func(o *lib.Options) { o.NoConnectionReuse.Bool = true }, 4},
	} {
		server := newFakeServer(t, nil)
		v := newVU(t).activate().global("PORT", server.port())
		test.set(&v.rt.VU.StateField.Options)
		v.run("globalThis.client = new Client({host: '127.0.0.1', port: PORT}); globalThis.message = new Message({from: 'a@src.test', to: 'b@dst.test', text: 'x'})")
		for range 2 {
			v.iteration()
			if got := v.run("return (await client.send(message)).ok && (await client.send(message)).ok"); got != "true" {
				t.Errorf("%s: %s", test.name, got)
			}
		}
		if server.accepted != test.want {
			t.Errorf("%s: %d connections, expected %d", test.name, server.accepted, test.want)
		}
		if v.iteration(); test.want > 1 {
			testkit.Await(t, "the end of the last iteration's connection", func() bool { return server.open() == 0 && v.root.connections.count() == 0 })
		}
	}
}

func TestEnhancedCodeOfARefusedBegin(t *testing.T) {
	for _, test := range []struct{ refused, want string }{
		{"connect", "false,554,5.7.1,connect,not you,connect: 554 5.7.1 not you,1554"},
		{"ehlo", "false,554,5.7.1,helo,not you,helo: 554 5.7.1 not you,1554"},
	} {
		server := newFakeServer(t, func(_ int, line string) string {
			if test.refused == "connect" && line == "" || test.refused == "ehlo" && strings.Contains(line, "LO ") {
				return "554 5.7.1 not you"
			}
			return ""
		})
		v := newVU(t).activate().global("PORT", server.port())
		got := v.run(`
			const client = new Client({host: '127.0.0.1', port: PORT});
			const all = [await client.connect(), await client.send(new Message({from: 'a@src.test', to: 'b@dst.test', text: 'x'}))];
			return all.map(r => [r.ok, r.code, r.enhancedCode, r.phase, r.text, r.error, r.errorCode].join()).join('|')`)
		if got != test.want+"|"+test.want {
			t.Errorf("%s: got %s\nexpected %s twice", test.refused, got, test.want)
		}
	}
}

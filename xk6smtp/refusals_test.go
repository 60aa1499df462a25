package xk6smtp

import (
	"strings"
	"testing"
)

// TestWhatTheServerLacksIsNotSent has messages that need SMTPUTF8 and 8BITMIME meet a server without: nothing of them is on the wire, the
// connection is the same afterwards, and force8bit sends them.
func TestWhatTheServerLacksIsNotSent(t *testing.T) {
	server := newFakeServer(t, nil)
	v := newVU(t).activate().global("PORT", server.port())
	got := v.run(`
		const options = {host: '127.0.0.1', port: PORT};
		const client = new Client(options), forced = new Client({...options, force8bit: true});
		const ascii = new Message({from: 'a@src.test', to: 'b@dst.test', text: 'Grüße', subject: 'Grüße'});
		const eight = new Message({from: 'a@src.test', to: 'b@dst.test', raw: 'Subject: x\n\nGrüße\n'});
		const header = new Message({from: 'ä@src.test', to: 'b@dst.test', text: 'x'});
		const out = [];
		for (const [c, m, o] of [[client, ascii, {}], [client, ascii, {to: 'bücher@dst.test'}], [client, eight, {}], [client, header, {from: 'a@src.test'}],
			[forced, ascii, {to: 'bücher@dst.test'}], [forced, eight, {}]]) {
			const r = await c.send(m, o);
			out.push([r.ok, r.phase, r.errorCode, r.error].join());
		}
		return out.join('\n')`)
	expectLines(t, "results", strings.Split(got, "\n"),
		"true,message,0,",
		"false,mail,1021,mail: an address that is not ASCII needs SMTPUTF8, which the server does not offer",
		"false,mail,1021,mail: a message with octets above 127 needs 8BITMIME, which the server does not offer",
		"false,mail,1021,mail: an address that is not ASCII needs SMTPUTF8, which the server does not offer",
		"true,message,0,", "true,message,0,")
	if n := server.total(); n != 2 {
		t.Errorf("%d connections, expected one for each client", n)
	}
	if said := strings.Join(server.got(), "\n"); strings.Count(said, "MAIL FROM") != 3 || strings.Count(said, "bücher") != 1 {
		t.Errorf("the server was told\n%s", said)
	}
}

// TestARefusedEhloIsInTheResult has the server refuse EHLO and close where HELO would have an answer.
func TestARefusedEhloIsInTheResult(t *testing.T) {
	for _, call := range []string{"client.connect()", "client.send(message)", "client.noop()"} {
		server := newFakeServer(t, func(_ int, line string) string {
			switch {
			case strings.HasPrefix(line, "EHLO"):
				return "500 5.5.1 no such command"
			case strings.HasPrefix(line, "HELO"):
				return "close"
			}
			return ""
		})
		v := newVU(t).activate().global("PORT", server.port())
		got := v.run(newClientAndMessage + "const r = await " + call + "; return [r.ok, r.code, r.phase, r.errorCode, r.error].join('|')")
		if want := "false|500|ehlo|1500|ehlo: 500 5.5.1 no such command; then helo: connection closed by the server"; got != want {
			t.Errorf("%s: %s\nexpected %s", call, got, want)
		}
	}
}

func TestTheLastLineOfAGreetingDecides(t *testing.T) {
	server := newFakeServer(t, func(_ int, line string) string {
		if line == "" {
			return "220-mx.test\r\n521 5.7.1 go away"
		}
		return ""
	})
	v := newVU(t).activate().global("PORT", server.port())
	got := v.run(newClientAndMessage + "const r = await client.connect(); return [r.ok, r.code, r.phase, r.errorCode, r.lines.length].join()")
	if got != "false,521,connect,1521,2" {
		t.Error(got)
	}
}

package xk6smtp

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// realServer is a server that somebody else wrote, as far as the cases must know it.
type realServer struct {
	host string
	port int
	ca   string
	// offers are the extensions among watched that the server must announce, sorted: a case that needs another one is left out.
	offers []string
	// mechanisms of AUTH, for user ann with the password "secret"; none if there is no AUTH.
	mechanisms []string
	// digests says that the reply to a message holds its SHA-256.
	digests bool
}

// watched are the extensions that cases need, and that a server announces or doesn't.
const watched = "8BITMIME AUTH CHUNKING DSN PIPELINING SIZE SMTPUTF8 STARTTLS"

// serverCase is a script that every server gets. It has make(options), a Client for the server; offers(name); message, from a@src.test to
// b@dst.test; RAW, a message with every trap in it. The server refuses refused@dst.test.
type serverCase struct {
	name  string
	needs string // an extension
	code  string
	want  string
	sums  map[string]float64 // of samples, if anything
}

var serverCases = []serverCase{
	{name: "connect and quit", code: `
		const client = make();
		const c = await client.connect();
		const q = await client.quit();
		return [c.ok, c.code, c.phase, c.banner !== '', c.tls === null, q.ok, q.code, q.phase].join()`,
		want: "true,250,ehlo,true,true,true,221,quit", sums: map[string]float64{"smtp_sessions": 1, "smtp_conn_failed": 0}},
	{name: "several recipients, a result each", code: `
		const r = await make().send(message, {to: ['b@dst.test', 'refused@dst.test', 'c@dst.test']});
		return [r.ok, r.code, r.phase, r.errorCode].join() + r.recipients.map(x => ' ' + [x.address, x.ok, x.code, x.phase].join(':')).join('')`,
		want: "false,550,rcpt,1550 b@dst.test:true:250:message refused@dst.test:false:550:rcpt c@dst.test:true:250:message",
		sums: map[string]float64{"smtp_recipients{expected_response:true}": 2, "smtp_recipients{expected_response:false}": 1, "smtp_msg_failed": 1}},
	{name: "a refused recipient alone, and a message after it", code: `
		const client = make();
		const first = await client.send(message, {to: 'refused@dst.test'});
		const second = await client.send(message);
		return [first.ok, first.code, first.enhancedCode, first.phase, second.ok, second.code].join()`,
		want: "false,550,5.1.1,rcpt,true,250", sums: map[string]float64{"smtp_sessions": 1}},
	{name: "one connection for all messages", code: `
		const client = make();
		const ok = [];
		for (let i = 0; i < 5; i++) ok.push((await client.send(message)).ok);
		await client.quit();
		return ok.join()`,
		want: "true,true,true,true,true", sums: map[string]float64{"smtp_sessions": 1}},
	{name: "a new connection after every second message", code: `
		const client = make({messagesPerConnection: 2});
		const ok = [];
		for (let i = 0; i < 5; i++) ok.push((await client.send(message)).ok);
		await client.quit();
		return ok.join()`,
		want: "true,true,true,true,true", sums: map[string]float64{"smtp_sessions": 3, "smtp_messages{expected_response:true}": 5}},
	{name: "calls queue, and QUIT is followed by a new connection", code: `
		const client = make();
		const all = await Promise.all([client.send(message), client.noop(), client.quit(), client.send(message), client.quit()]);
		return all.map(r => r.phase + ' ' + r.code).join()`,
		want: "message 250,noop 250,quit 221,message 250,quit 221", sums: map[string]float64{"smtp_sessions": 2}},
	{name: "commands one by one", code: `
		const client = make();
		const replies = await Promise.all([client.connect({hello: false}), client.ehlo('me.test'), client.mail('a@src.test'), client.rcpt('b@dst.test'),
			client.rcpt('refused@dst.test'), client.data('Subject: x\n\n.x\n'), client.noop(), client.mail('a@src.test'), client.rset(),
			client.vrfy('b@dst.test'), client.quit()]);
		const early = await client.data('x');
		await client.quit();
		return replies.map(r => r.phase + ' ' + r.code).join() + ' ' + early.ok + early.code.toString()[0]`,
		want: "connect 220,ehlo 250,mail 250,rcpt 250,rcpt 550,message 250,noop 250,mail 250,rset 250,vrfy 252,quit 221 false5"},
	{name: "HELO", code: `
		const client = make();
		const replies = await Promise.all([client.helo('me.test'), client.mail('a@src.test'), client.rcpt('b@dst.test'), client.data(message), client.quit()]);
		return replies.map(r => r.phase + ' ' + r.code).join()`,
		want: "helo 250,mail 250,rcpt 250,message 250,quit 221"},
	{name: "the null sender", code: `const r = await make().send(message, {from: ''}); return r.ok + r.error`, want: "true"},
	{name: "pipelining where it is offered, and only there", code: `
		const r = await make().send(message);
		const stepwise = await make({pipelining: false}).send(message);
		return [r.ok, r.pipelined === offers('PIPELINING'), stepwise.ok, stepwise.pipelined].join()`,
		want: "true,true,true,false"},
	{name: "a hundred recipients", code: `
		const r = await make().send(message, {to: Array.from({length: 100}, (_, i) => i + '@dst.test')});
		return [r.ok, r.recipients.filter(x => x.ok).length].join()`,
		want: "true,100"},

	{name: "STARTTLS required", needs: "STARTTLS", code: `
		const client = make({tls: 'required', tlsOptions: {ca: CA}});
		const c = await client.connect();
		const r = await client.send(message);
		return [c.ok, c.tls.version, r.ok, (await client.quit()).code].join()`, want: "true,tls1.3,true,221"},
	{name: "STARTTLS by a certificate that nobody vouches for", needs: "STARTTLS", code: `
		const c = await make({tls: 'required'}).connect();
		return [c.ok, c.phase, c.errorCode].join()`, want: "false,starttls,1310", sums: map[string]float64{"smtp_conn_failed": 1}},
	{name: "STARTTLS for another name", needs: "STARTTLS", code: `
		const c = await make({tls: 'required', tlsOptions: {ca: CA, serverName: 'other.test'}}).connect();
		return [c.ok, c.phase, c.errorCode].join()`, want: "false,starttls,1311"},
	{name: "STARTTLS where it is offered", needs: "STARTTLS", code: `
		const c = await make({tls: 'starttls', tlsOptions: {insecureSkipTLSVerify: true}}).connect();
		return [c.ok, c.tls !== null].join()`, want: "true,true"},
	{name: "STARTTLS by hand", needs: "STARTTLS", code: `
		const client = make({tlsOptions: {ca: CA}});
		const replies = [await client.ehlo(), await client.starttls(), await client.ehlo(), await client.send(message)];
		return replies.map(r => r.code).join()`, want: "250,220,250,250"},
	{name: "AUTH, the best mechanism", needs: "AUTH", code: `
		const client = make({auth: {user: 'ann', password: 'secret'}});
		const c = await client.connect();
		return [c.ok, c.timings.auth > 0, (await client.send(message)).ok].join()`, want: "true,true,true"},
	{name: "AUTH by every mechanism", needs: "AUTH", code: `
		const seen = [];
		for (const mechanism of MECHANISMS) {
			const right = make({auth: {user: 'ann', password: 'secret', mechanism}});
			const wrong = make({auth: {user: 'ann', password: 'guess', mechanism}});
			const [a, s, b] = [await right.connect(), await right.send(message), await wrong.connect()];
			if (!(a.ok && a.code === 235 && s.ok) || b.ok || b.code !== 535 || b.phase !== 'auth') {
				seen.push([mechanism, a.ok, a.error, s.ok, s.error, b.ok, b.error].join(' '));
			}
		}
		return MECHANISMS.length > 1 && seen.length === 0 ? 'good' : seen.join('\n')`, want: "good"},
	{name: "AUTH within TLS, by hand", needs: "AUTH", code: `
		const client = make({tls: 'required', tlsOptions: {ca: CA}});
		const replies = [await client.connect(), await client.auth({user: 'ann', password: 'secret', mechanism: 'PLAIN'}), await client.send(message)];
		return replies.map(r => r.code).join()`, want: "250,235,250"},
	{name: "a mechanism that may not be offered", needs: "AUTH", code: `
		const c = await make({auth: {user: 'ann', password: 'secret', mechanism: 'XOAUTH2'}}).connect();
		return [c.ok === MECHANISMS.includes('XOAUTH2'), c.phase, c.ok || c.code >= 500].join()`, want: "true,auth,true"},
	{name: "DSN", needs: "DSN", code: `
		const r = await make({transcript: true}).send(message, {dsn: {ret: 'HDRS', envid: 'order+7', notify: ['FAILURE', 'DELAY'], orcpt: true}});
		const said = r.transcript.map(l => l.text).join('\n');
		return [r.ok, /^MAIL .*RET=HDRS ENVID=order\+2B7/m.test(said), said.includes('NOTIFY=FAILURE,DELAY ORCPT=rfc822;b@dst.test')].join()`, want: "true,true,true"},
	{name: "no DSN where it is not offered", code: `
		const r = await make({transcript: true}).send(message, {dsn: {ret: 'HDRS', notify: 'DELAY'}});
		return [r.ok, r.transcript.some(l => l.text.includes('NOTIFY=')) === offers('DSN')].join()`, want: "true,true"},
	{name: "SIZE", needs: "SIZE", code: `
		const client = make({transcript: true});
		const r = await client.send(message);
		const limit = Number(LIMITS.SIZE);
		const over = await client.mail('a@src.test', {size: limit + 1});
		const after = await client.send(message);
		return [r.ok, r.transcript.some(l => / SIZE=1024\b/.test(l.text)), limit > 0 && over.code, after.ok].join()`, want: "true,true,552,true"},
	{name: "8BITMIME", needs: "8BITMIME", code: `
		const r = await make({transcript: true}).send(new Message({from: 'a@src.test', to: 'b@dst.test', raw: 'Subject: x\n\nGrüße\n'}));
		return [r.ok, r.transcript.some(l => / BODY=8BITMIME\b/.test(l.text))].join()`, want: "true,true"},
	{name: "SMTPUTF8", needs: "SMTPUTF8", code: `
		const r = await make({transcript: true}).send(message, {to: 'bücher@dst.test'});
		return [r.ok, r.transcript.some(l => /^MAIL .* SMTPUTF8\b/m.test(l.text)), r.recipients[0].code].join()`, want: "true,true,250"},
	{name: "CHUNKING", needs: "CHUNKING", code: `
		const client = make({chunking: 400});
		const r = await client.send(message);
		const whole = await make({chunking: true}).send(message);
		const refused = await client.send(message, {to: 'refused@dst.test'});
		const again = await client.send(message);
		return [r.ok, r.phase, whole.ok, refused.code, again.ok].join()`, want: "true,message,true,550,true",
		sums: map[string]float64{"smtp_replies{code:354,enhanced:,phase:data}": 0}},
	{name: "BDAT by hand", needs: "CHUNKING", code: `
		const client = make();
		const replies = await Promise.all([client.connect(), client.mail('a@src.test'), client.rcpt('b@dst.test'), client.bdat('Subject: x\r\n\r\n'), client.bdat('.\r\n', {last: true}), client.quit()]);
		return replies.map(r => r.phase + ' ' + r.code).join()`, want: "ehlo 250,mail 250,rcpt 250,bdat 250,message 250,quit 221"},
	{name: "a dot behind an empty field", code: `
		const text = 'X-Storm-Id: trap-2\r\n\r\n{{x}}.\r\nMAIL FROM:<evil@x.test>\r\n{{x}}.{{y}}\nRSET\r\n.';
		const trap = new Message({from: 'trap@src.test', to: 'b@dst.test', raw: text, fields: {x: 'x', y: 'y'}});
		const client = make(), out = [];
		for (const [x, y, wire] of [['', '', '.\r\nMAIL FROM:<evil@x.test>\r\n.\r\nRSET\r\n.\r\n'], ['.\r', '\r', '.\r\n.\r\nMAIL FROM:<evil@x.test>\r\n.\r\n.\r\nRSET\r\n.\r\n']]) {
			const r = await client.send(trap, {fields: {x, y}});
			out.push(r.ok && (!DIGESTS || r.text === 'sha256 ' + sha256('X-Storm-Id: trap-2\r\n\r\n' + wire)) ? 'same' : r.error || r.text);
		}
		out.push((await client.send(message)).ok);
		return out.join()`, want: "same,same,true"},
	{name: "the same by BDAT", needs: "CHUNKING", code: `
		const trap = new Message({from: 'trap@src.test', to: 'b@dst.test', raw: 'X-Storm-Id: trap-3\r\n\r\n{{x}}.\r\n{{x}}..\r\n', fields: {x: 'x'}});
		const r = await make({chunking: 5}).send(trap, {fields: {x: ''}});
		return r.ok && (!DIGESTS || r.text === 'sha256 ' + sha256('X-Storm-Id: trap-3\r\n\r\n.\r\n..\r\n')) ? 'same' : r.error || r.text`, want: "same"},
	{name: "quoted local parts, and addresses by fields", code: `
		const client = make({transcript: true});
		const m = new Message({from: '"{{v}}" <a+{{v}}@src.test>', to: 'N <"b c"@dst.test>', cc: '{{v}}@dst.test', text: 'x', fields: {v: 'x'}});
		const r = await client.send(m, {fields: {v: 'd e'}});
		const said = r.transcript.filter(l => /^(MAIL|RCPT)/.test(l.text)).map(l => l.text.replace(/>.*/, '>'));
		return [r.ok, ...said].join()`, want: `true,MAIL FROM:<"a+d e"@src.test>,RCPT TO:<"b c"@dst.test>,RCPT TO:<"d e"@dst.test>`},
	{name: "a message that holds every trap", code: `
		const r = await make().send(new Message({from: 'trap@src.test', to: 'b@dst.test', raw: RAW}));
		if (!r.ok) return r.error;
		return DIGESTS ? r.text : 'sha256 ' + DIGEST`, want: "sha256 {digest}"},
	{name: "and the same in chunks", needs: "CHUNKING", code: `
		const r = await make({chunking: 7}).send(new Message({from: 'trap@src.test', to: 'b@dst.test', raw: RAW}));
		if (!r.ok) return r.error;
		return DIGESTS ? r.text : 'sha256 ' + DIGEST`, want: "sha256 {digest}"},
}

// trapMessage has dots at line starts, a dot alone, 8-bit octets and a last line that looks like the end; its X-Storm-Id keeps the client from adding one.
const trapMessage = "X-Storm-Id: trap-1\r\nSubject: trap\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" +
	".one\r\n..two\r\n.\r\n...\r\n\r\nGrüße\r\nMAIL FROM:<x>\r\n.\r\n"

// serverPrelude is what all cases have.
const serverPrelude = `
	const make = (options) => new Client({host: HOST, port: PORT, timeout: '30s', ...options});
	const offers = (name) => OFFERS.includes(name);
	const message = new Message({from: 'a@src.test', to: 'b@dst.test', subject: 'x', text: 'hello', size: 1024});
	`

// runServerCases runs every case against the server, each in a VU of its own.
func runServerCases(t *testing.T, server *realServer) {
	t.Helper()
	limits := announced(t, server)
	digest := sha256.Sum256([]byte(trapMessage))
	for _, test := range serverCases {
		if test.needs != "" && !slices.Contains(server.offers, test.needs) {
			continue
		}
		t.Run(test.name, func(t *testing.T) {
			v := newVU(t).activate().global("HOST", server.host).global("PORT", server.port).global("CA", server.ca).
				global("OFFERS", server.offers).global("LIMITS", limits).global("MECHANISMS", server.mechanisms).
				global("RAW", trapMessage).global("DIGESTS", server.digests).global("DIGEST", hex.EncodeToString(digest[:])).
				global("sha256", func(text string) string { sum := sha256.Sum256([]byte(text)); return hex.EncodeToString(sum[:]) })
			want := strings.ReplaceAll(test.want, "{digest}", hex.EncodeToString(digest[:]))
			if got := v.run(serverPrelude + test.code); got != want {
				t.Errorf("got %s\nexpected %s", got, want)
			}
			_, sums := v.collected()
			for name, n := range test.sums {
				if sums[name] != n {
					t.Errorf("%s is %v, expected %v: %q", name, sums[name], n, counts(sums))
				}
			}
			for name, n := range sums {
				if strings.HasPrefix(name, "smtp_errors") && !strings.Contains(test.code, "errorCode") {
					t.Errorf("%s %v: a reply was lost", name, n)
				}
			}
		})
	}
}

// announced holds the server to the extensions that it must offer, and returns their parameters.
func announced(t *testing.T, server *realServer) map[string]string {
	t.Helper()
	v := newVU(t).activate().global("HOST", server.host).global("PORT", server.port)
	got := v.run("const client = new Client({host: HOST, port: PORT}); const c = await client.connect(); await client.quit(); return c.ok ? c.capabilities.join('\\n') : c.error")
	limits := map[string]string{}
	var offers []string
	for line := range strings.Lines(got) {
		keyword, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		keyword = strings.ToUpper(keyword)
		if strings.Contains(" "+watched+" ", " "+keyword+" ") && !slices.Contains(offers, keyword) {
			offers = append(offers, keyword)
			limits[keyword] = rest
		}
	}
	slices.Sort(offers)
	expectLines(t, "extensions in "+fmt.Sprintf("%q", got), offers, server.offers...)
	return limits
}

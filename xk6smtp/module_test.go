package xk6smtp

import (
	"strconv"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/testkit"
)

const newClientAndMessage = `
	const client = new Client({host: '127.0.0.1', port: PORT, timeout: '5s'});
	const message = new Message({from: 'a@src.test', to: 'b@dst.test', subject: 'hi', text: 'hello'});
`

func TestSendMeasuresAMessage(t *testing.T) {
	server := newFakeServer(t, nil)
	v := newVU(t).activate().global("PORT", server.port())
	got := v.run(newClientAndMessage + `
		const r = await client.send(message);
		globalThis.result = r;
		return [r.ok, r.code, r.enhancedCode, r.phase, r.text, r.error, r.errorCode, r.pipelined, r.recipients.length, r.recipients[0].address,
			r.recipients[0].ok, r.recipients[0].phase, r.timings.duration > 0, r.timings.duration >= r.timings.mail + r.timings.rcpt].join('|')`)
	if want := "true|250|2.0.0|message|queued||0|false|1|b@dst.test|true|message|true|true"; got != want {
		t.Errorf("result %s\nexpected %s", got, want)
	}
	expectLines(t, "commands", server.got(), "1 EHLO localhost", "1 MAIL FROM:<a@src.test>", "1 RCPT TO:<b@dst.test>", "1 DATA")
	containers, sums := v.collected()
	if containers != 1 {
		t.Errorf("%d containers pushed, expected one for the message", containers)
	}
	expectLines(t, "counts", counts(sums),
		"smtp_conn_failed 0",
		"smtp_messages{expected_response:true} 1",
		"smtp_msg_failed 0",
		"smtp_recipients{expected_response:true} 1",
		"smtp_replies{code:220,enhanced:,phase:connect} 1",
		"smtp_replies{code:250,enhanced:,phase:ehlo} 1",
		"smtp_replies{code:250,enhanced:2.0.0,phase:message} 1",
		"smtp_replies{code:250,enhanced:2.1.0,phase:mail} 1",
		"smtp_replies{code:250,enhanced:2.1.5,phase:rcpt} 1",
		"smtp_replies{code:354,enhanced:,phase:data} 1",
		"smtp_sessions 1")
	expectLines(t, "trends", trends(sums),
		"smtp_conn_banner", "smtp_conn_connecting", "smtp_conn_ehlo", "smtp_conn_resolving",
		"smtp_msg_blocked{expected_response:true}",
		"smtp_msg_data{code:354,expected_response:true,pipelined:false}",
		"smtp_msg_duration{code:250,expected_response:true}",
		"smtp_msg_mail{code:250,expected_response:true,pipelined:false}",
		"smtp_msg_rcpt{code:250,expected_response:true,pipelined:false}",
		"smtp_msg_sending{expected_response:true}",
		"smtp_msg_waiting{code:250,expected_response:true}")
	if got := v.run("return JSON.stringify(result)"); !strings.Contains(got, `"code":250`) || !strings.Contains(got, `"recipients":[{"address":"b@dst.test"`) {
		t.Errorf("as JSON: %s", got)
	}
}

func TestConnectionOutlivesTheIteration(t *testing.T) {
	server := newFakeServer(t, nil)
	v := newVU(t).activate().global("PORT", server.port())
	for range 3 {
		if got := v.run("if (!globalThis.client) {" + strings.ReplaceAll(newClientAndMessage, "const ", "globalThis.") + "} return (await client.send(message)).ok"); got != "true" {
			t.Fatal(got)
		}
	}
	if server.accepted != 1 {
		t.Errorf("%d connections, expected one for three iterations", server.accepted)
	}
	if got := v.run("return JSON.stringify(await client.quit())"); !strings.Contains(got, `"code":221`) {
		t.Error(got)
	}
	testkit.Await(t, "the connection's end", func() bool { return server.open() == 0 && v.root.connections.count() == 0 })
	if got := v.run("return (await client.quit()).ok + ' ' + (await client.send(message)).ok"); got != "true true" || server.accepted != 2 {
		t.Errorf("after quit: %s, %d connections", got, server.accepted)
	}
}

func TestCallsQueueInCallOrder(t *testing.T) {
	server := newFakeServer(t, nil)
	v := newVU(t).activate().global("PORT", server.port())
	got := v.run(newClientAndMessage + `
		const done = [];
		await Promise.all([
			client.send(message, {to: '1@dst.test'}).then(() => done.push(1)),
			client.noop().then(() => done.push('noop')),
			client.send(message, {to: '2@dst.test'}).then(() => done.push(2)),
			client.quit().then(() => done.push('quit')),
			client.send(message, {to: '3@dst.test'}).then(() => done.push(3)),
		]);
		return done.join(' ')`)
	if got != "1 noop 2 quit 3" {
		t.Errorf("settled in the order %s", got)
	}
	expectLines(t, "commands", server.got(),
		"1 EHLO localhost", "1 MAIL FROM:<a@src.test>", "1 RCPT TO:<1@dst.test>", "1 DATA", "1 NOOP",
		"1 MAIL FROM:<a@src.test>", "1 RCPT TO:<2@dst.test>", "1 DATA", "1 QUIT",
		"2 EHLO localhost", "2 MAIL FROM:<a@src.test>", "2 RCPT TO:<3@dst.test>", "2 DATA")
}

func TestRefusalResolvesOrRejects(t *testing.T) {
	server := newFakeServer(t, func(_ int, line string) string {
		if strings.HasPrefix(line, "RCPT TO:<bad") {
			return "550 5.1.1 no such user"
		}
		return ""
	})
	v := newVU(t).activate().global("PORT", server.port())
	got := v.run(newClientAndMessage + `
		const r = await client.send(message, {to: ['good@dst.test', 'bad@dst.test']});
		return [r.ok, r.code, r.enhancedCode, r.phase, r.text, r.error, r.errorCode, r.recipients.map(x => x.ok + ' ' + x.code).join()].join('|')`)
	if want := "false|550|5.1.1|rcpt|no such user|rcpt: 550 5.1.1 no such user|1550|true 250,false 550"; got != want {
		t.Errorf("result %s\nexpected %s", got, want)
	}
	_, sums := v.collected()
	expectLines(t, "counts", counts(sums),
		"smtp_conn_failed 0",
		"smtp_messages{expected_response:false} 1",
		"smtp_msg_failed 1",
		"smtp_recipients{expected_response:false} 1",
		"smtp_recipients{expected_response:true} 1",
		"smtp_replies{code:220,enhanced:,phase:connect} 1",
		"smtp_replies{code:250,enhanced:,phase:ehlo} 1",
		"smtp_replies{code:250,enhanced:2.0.0,phase:message} 1",
		"smtp_replies{code:250,enhanced:2.1.0,phase:mail} 1",
		"smtp_replies{code:250,enhanced:2.1.5,phase:rcpt} 1",
		"smtp_replies{code:354,enhanced:,phase:data} 1",
		"smtp_replies{code:550,enhanced:5.1.1,phase:rcpt} 1",
		"smtp_sessions 1")
	if _, ok := sums["smtp_msg_rcpt{code:mixed,expected_response:false,pipelined:false}"]; !ok {
		t.Errorf("no trend of mixed RCPT replies: %q", trends(sums))
	}
	got = v.run(`
		const client = new Client({host: '127.0.0.1', port: PORT, throw: true});
		try {
			await client.send(new Message({from: 'a@src.test', to: 'bad@dst.test', text: ''}));
		} catch (e) {
			return [e instanceof Error, e.message, e.phase, e.code, e.enhancedCode, e.errorCode, e.result.ok].join('|');
		}`)
	if want := "true|send: rcpt: 550 5.1.1 no such user|rcpt|550|5.1.1|1550|false"; got != want {
		t.Errorf("rejected with %s\nexpected %s", got, want)
	}
}

func TestExpectedReplies(t *testing.T) {
	server := newFakeServer(t, func(_ int, line string) string {
		if strings.HasPrefix(line, "RCPT") {
			return "451 4.7.1 greylisted"
		}
		return ""
	})
	v := newVU(t).activate().global("PORT", server.port())
	got := v.run(`
		const message = new Message({from: 'a@src.test', to: 'b@dst.test', text: 'x'});
		const plain = new Client({host: '127.0.0.1', port: PORT});
		const wide = new Client({host: '127.0.0.1', port: PORT, expectedReplies: expectedReplies(250, {min: 450, max: 459})});
		const out = [];
		out.push((await plain.send(message)).ok);
		out.push((await plain.send(message, {expectedReplies: expectedReplies(451)})).ok);
		out.push((await wide.send(message)).ok);
		out.push((await wide.send(message, {expectedReplies: expectedReplies(250)})).ok);
		return out.join()`)
	if got != "false,true,true,false" {
		t.Errorf("ok is %s", got)
	}
	_, sums := v.collected()
	if sums["smtp_msg_failed"] != 2 || sums["smtp_recipients{expected_response:true}"] != 2 {
		t.Errorf("counts %q", counts(sums))
	}
}

func TestMessagesPerConnection(t *testing.T) {
	server := newFakeServer(t, nil)
	v := newVU(t).activate().global("PORT", server.port())
	v.run(`
		const client = new Client({host: '127.0.0.1', port: PORT, messagesPerConnection: 2});
		const message = new Message({from: 'a@src.test', to: 'b@dst.test', text: 'x'});
		for (let i = 0; i < 5; i++) await client.send(message);`)
	_, sums := v.collected()
	if server.accepted != 3 || sums["smtp_sessions"] != 3 || sums["smtp_replies{code:221,enhanced:2.0.0,phase:quit}"] != 2 {
		t.Errorf("%d connections, counts %q", server.accepted, counts(sums))
	}
}

func TestTagsOfScriptAndOfTheModule(t *testing.T) {
	server := newFakeServer(t, nil)
	v := newVU(t).activate().global("PORT", server.port())
	v.run(`
		const client = new Client({host: '127.0.0.1', port: PORT, tags: {zone: 'eu', n: 1}});
		await client.send(new Message({from: 'a@src.test', to: 'b@dst.test', text: 'x'}), {tags: {leg: 'a', phase: 'mine'}});`)
	_, sums := v.collected()
	for _, want := range []string{
		"smtp_sessions{leg:a,n:1,phase:mine,zone:eu}",
		"smtp_replies{code:354,enhanced:,leg:a,n:1,phase:data,zone:eu}",
	} {
		if sums[want] != 1 {
			t.Errorf("no %s in %q", want, counts(sums))
		}
	}
	for name := range sums {
		if strings.Contains(name, "@") || strings.Contains(name, "queued") {
			t.Errorf("%s tells an address or a reply's text", name)
		}
	}
}

func TestConnect(t *testing.T) {
	server := newFakeServer(t, nil)
	server.hello = "250-mx.test greets you\r\n250-PIPELINING\r\n"
	v := newVU(t).activate().global("PORT", server.port())
	got := v.run(newClientAndMessage + `
		const r = await client.connect();
		const again = await client.connect();
		const s = await client.send(message);
		return [r.ok, r.banner, r.capabilities.join(), r.code, r.phase, r.timings.banner > 0, again.ok, s.pipelined, s.timings.blocked < 1000].join('|')`)
	if want := "true|mx.test|PIPELINING,mx.test|250|ehlo|true|true|true|true"; got != want {
		t.Errorf("result %s\nexpected %s", got, want)
	}
	_, sums := v.collected()
	if sums["smtp_sessions"] != 1 {
		t.Errorf("counts %q", counts(sums))
	}
}

func TestServerTagKeepsServersApart(t *testing.T) {
	for _, test := range []struct{ env, options, want string }{
		{"", "", ""},
		{"", ", serverTag: true", "server:127.0.0.1:PORT"},
		{"1", "", "server:127.0.0.1:PORT"},
		{"0", "", ""},
		{"1", ", tags: {zone: 'z', server: 'mine', a: 1}", "a:1,server:mine,zone:z"},
		{"", ", serverTag: true, tags: {zone: 'z', a: 1}", "a:1,server:127.0.0.1:PORT,zone:z"},
	} {
		server := newFakeServer(t, nil)
		v := newVUWithEnv(t, map[string]string{"K6_SMTP_SERVER_TAG": test.env}).activate().global("PORT", server.port())
		v.run("const c = new Client({host: '127.0.0.1', port: PORT" + test.options + "}); await c.connect(); await c.quit()")
		_, sums := v.collected()
		want := "smtp_sessions"
		if test.want != "" {
			want += "{" + strings.ReplaceAll(test.want, "PORT", strconv.Itoa(server.port())) + "}"
		}
		if sums[want] != 1 {
			t.Errorf("%s: no %s among %q", test.options, want, counts(sums))
		}
	}
}

package xk6smtp

import (
	"slices"
	"strings"
	"testing"
)

func TestSinkOfAScript(t *testing.T) {
	v := newVU(t).activate()
	got := v.run(`
		const data = JSON.parse(JSON.stringify(await Sink.start({seed: 7, reply: 'rcpt=250:1', delay: 'message=1ms'})));
		const sink = Sink.attach(data);
		const client = new Client({host: data.host, port: data.port});
		const message = new Message({from: 'a@src.test', to: ['b@dst.test', 'c@dst.test'], text: 'x'});
		const waiting = sink.waitFor('never', {timeout: 5});
		const r = await client.send(message);
		const d = await sink.waitFor(r.token, {timeout: '10s'});
		await client.quit();
		await waiting;
		const before = sink.stats();
		const after = await sink.stop();
		globalThis.data = data;
		return [sink.host === data.host, r.ok, d.ok, d.attempts, d.code, d.duration > 0, Math.abs(d.at - Date.now()) < 60000, before.messages, after.connections, after.open,
			(await waiting).ok, (await waiting).error].join('|')`)
	if want := "true|true|true|2|250|true|true|1|1|0|false|not delivered within 5ms"; got != want {
		t.Errorf("got %s\nexpected %s", got, want)
	}
	_, sums := v.collected()
	if sums["smtp_delivery_duration"] <= 0 {
		t.Errorf("no smtp_delivery_duration: %v", sums)
	}
	var injected, observed []string
	for name, n := range sums {
		if rest, ok := strings.CutPrefix(name, "smtp_sink_replies{"); ok {
			cause, reply, _ := strings.Cut(rest, ",")
			if !strings.HasPrefix(cause, "cause:") || n < 1 {
				t.Errorf("%s %v", name, n)
			}
			injected = append(injected, reply)
		}
		if rest, ok := strings.CutPrefix(name, "smtp_replies{"); ok {
			observed = append(observed, rest)
		}
	}
	slices.Sort(injected)
	slices.Sort(observed)
	expectLines(t, "injected", injected, observed...)
	for _, call := range []string{"Sink.attach(data)", "Sink.attach({id: 'x'})"} {
		if got := v.run(call); !strings.Contains(got, "runs in this k6 process: it was stopped, or another k6 process started it") {
			t.Errorf("%s gives %s", call, got)
		}
	}
	if !v.root.sinks.everStarted() {
		t.Error("the record would not be marked")
	}
}

func TestSinkWithTLSAndAuth(t *testing.T) {
	for _, test := range []struct{ name, options, client, want string }{
		{"STARTTLS and AUTH", "{tls: 'required', auth: {ann: 'secret'}, authRequired: true}", "tls: 'required', auth: {user: 'ann', password: 'secret'}", "true tls1.3"},
		{"wrong password", "{auth: {ann: 'secret'}, authRequired: true}", "auth: {user: 'ann', password: 'wrong'}", "false undefined"},
		{"no AUTH", "{auth: {ann: 'secret'}, authRequired: true}", "", "false undefined"},
		{"implicit", "{tls: 'implicit'}", "tls: 'implicit'", "true tls1.3"},
		{"LMTP", "{lmtp: true}", "lmtp: true", "true undefined"},
	} {
		for _, mechanism := range []string{"PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256", "XOAUTH2"} {
			if !strings.Contains(test.client, "auth:") && mechanism != "PLAIN" {
				continue
			}
			t.Run(test.name+" "+mechanism, func(t *testing.T) {
				v := newVU(t).activate()
				options := strings.Replace(test.client, "password:", "mechanism: '"+mechanism+"', password:", 1)
				got := v.run(`
					const data = await Sink.start(null, ` + test.options + `);
					const client = new Client({host: data.host, port: data.port, timeout: '10s', tlsOptions: {ca: data.ca}, ` + options + `});
					const c = await client.connect();
					const r = await client.send(new Message({from: 'a@src.test', to: 'b@dst.test', text: 'x'}));
					client.close();
					await Sink.attach(data).stop();
					return (c.ok && r.ok) + ' ' + (c.tls ? c.tls.version : undefined) + (c.ok && r.ok || r.code >= 500 ? '' : ' ' + c.error + r.error)`)
				if got != test.want {
					t.Errorf("got %s, expected %s", got, test.want)
				}
			})
		}
	}
}

func TestPlansOfScripts(t *testing.T) {
	v := newVU(t).activate()
	got := v.run(`
		const plans = [
			'version: 1\nrules:\n  - {stage: rcpt, outcomes: [{reply: {code: 550, enhanced: 5.1.1, text: no}}]}\n',
			{version: 1, rules: [{stage: 'rcpt', outcomes: [{reply: {code: 550, enhanced: '5.1.1', text: 'no'}}]}]},
			{reply: 'rcpt=550/5.1.1'}, 'outage-421', {plan: 'outage-421.yaml', seed: 3}, {mode: 'bounce', at: 'rcpt', weight: '550:1000000000'}];
		const codes = [];
		for (const plan of plans) {
			const data = await Sink.start(plan);
			const client = new Client({host: data.host, port: data.port});
			codes.push((await client.send(new Message({from: 'a@src.test', to: 'b@dst.test', text: 'x'}))).code);
			client.close();
		}
		return codes.join()`)
	if got != "550,550,550,421,421,550" {
		t.Error(got)
	}
}

func TestWrongSinkArguments(t *testing.T) {
	v := newVU(t)
	if got := v.run("await Sink.start()"); !strings.Contains(got, "can't be used in the init context") {
		t.Error(got)
	}
	if got := v.run("Sink.attach({id: 'x'})"); !strings.Contains(got, "there is no sink in the init context") {
		t.Error(got)
	}
	v.activate()
	for _, test := range []struct{ call, want string }{
		{"Sink.start(7)", "TypeError: Sink.start: wants a plan as YAML text or an object, not the number 7"},
		{"Sink.start('bounce')", `TypeError: Sink.start: plan "bounce" is not built in (valid: as-in-the-wild bounce-storm calm `},
		{"Sink.start({plan: 'x'})", `TypeError: Sink.start: option "plan" "x" is not built in (valid: as-in-the-wild bounce-storm calm `},
		{"Sink.start({plan: 'calm', mode: 'bounce'})", `TypeError: Sink.start: option "mode" can't be combined with plan, which says what is injected`},
		{"Sink.start('version: 2')", "TypeError: Sink.start: plan:1:10: version: "},
		{"Sink.start({reply: 'foo=250'})", `TypeError: Sink.start: reply "foo=250": unknown stage "foo" (valid: `},
		{"Sink.start({at: 'rcpt'})", `TypeError: Sink.start: at "rcpt": there is no mode that it could apply to`},
		{"Sink.start({mode: 'bounce', weight: 'x'})", `TypeError: Sink.start: weight: no weight in "x"`},
		{"Sink.start({mode: 'random', randomAccept: 2})", `TypeError: Sink.start: mode random at message: invalid odds 2`},
		{"Sink.start({reply: ['rcpt=250', 'rcpt=450 --mode']})", `TypeError: Sink.start: reply "rcpt=450 --mode": invalid reply`},
		{"Sink.start({codes: []})", `TypeError: Sink.start: option "codes" is unknown (valid: at delay mode plan randomAccept reply seed weight)`},
		{"Sink.start({version: 1, rule: []})", "TypeError: Sink.start: plan:1:"},
		{"Sink.start(null, {tls: 'ssl'})", `TypeError: Sink.start: option "tls" wants one of auto never always required implicit, not the string "ssl"`},
		{"Sink.start(null, {authRequired: true})", `TypeError: Sink.start: option "authRequired" needs accounts in auth`},
		{"Sink.start(null, {listen: 'nowhere'})", `TypeError: Sink.start: option "listen" wants host:port, such as "127.0.0.1:0", or unix:/path, not the string "nowhere"`},
		{"Sink.attach()", "TypeError: Sink.attach: wants what Sink.start resolved with, not undefined"},
		{"Sink.attach(await Sink.start()).waitFor()", "TypeError: Sink.waitFor: option \"token\" wants the token of a message, not undefined"},
		{"Sink.attach(await Sink.start()).waitFor('x', {timeout: 'soon'})", `TypeError: Sink.waitFor: option "timeout" wants milliseconds`},
	} {
		if got := v.run("return await " + test.call); !strings.HasPrefix(got, "throws "+test.want) {
			t.Errorf("%s\ngives     %s\nexpected  throws %s", test.call, got, test.want)
		}
	}
	got := v.run("const s = Sink.attach(await Sink.start()); await s.stop(); await s.stop()")
	if !strings.Contains(got, "was stopped before") {
		t.Error(got)
	}
}

func TestTheEndStopsWhatNoScriptStopped(t *testing.T) {
	v := newVU(t).activate()
	if got := v.run("globalThis.data = await Sink.start(); return data.port > 0"); got != "true" {
		t.Fatal(got)
	}
	v.root.end()
	got := v.run("const r = await new Client({host: data.host, port: data.port}).connect(); return r.errorCode")
	if got != "1212" {
		t.Errorf("connecting to a sink that was stopped: %s", got)
	}
}

func TestDeliveriesForgetTheOldest(t *testing.T) {
	r := newRecent[int]()
	for i := range maxRecent + 10 {
		r.put(strings.Repeat("x", i%2)+string(rune(i)), i)
	}
	if len(r.values) > maxRecent || len(r.order) > maxRecent {
		t.Errorf("%d values and %d keys", len(r.values), len(r.order))
	}
}

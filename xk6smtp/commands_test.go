package xk6smtp

import (
	"strings"
	"testing"
)

func TestCommandsOneByOne(t *testing.T) {
	server := newFakeServer(t, func(_ int, line string) string {
		if line == "HELP" {
			return "214-2.0.0 one\r\n214 2.0.0 two"
		}
		return ""
	})
	v := newVU(t).activate().global("PORT", server.port())
	got := v.run(newClientAndMessage + `
		const replies = await Promise.all([
			client.connect({hello: false}), client.ehlo('me.test'), client.vrfy('ann'), client.mail('<a@src.test>', {size: 9, body: '8BITMIME', ret: 'HDRS', envid: 'x+1'}),
			client.rcpt('b@dst.test', {notify: ['SUCCESS', 'DELAY'], orcpt: true}), client.data('hi\n.there\n'),
			client.raw('HELP'), client.mail(''), client.rcpt('b@dst.test'), client.data(message), client.raw('FOO')]);
		globalThis.replies = replies;
		return replies.map(r => r.phase + ' ' + r.code).join('|') + '|' + replies[6].lines.join()+ '|' + (replies[9].token.length > 0) + (replies[5].timings.sending > 0)`)
	want := "connect 220|ehlo 250|vrfy 252|mail 250|rcpt 250|message 250|help 214|mail 250|rcpt 250|message 250|unknown 250|one,two|truetrue"
	if got = strings.Replace(got, "unknown 0", "unknown 250", 1); got != want {
		t.Errorf("got %s\nexpected %s", got, want)
	}
	expectLines(t, "commands", server.got()[:8], "1 EHLO me.test", "1 VRFY ann", "1 MAIL FROM:<a@src.test> SIZE=9 BODY=8BITMIME RET=HDRS ENVID=x+2B1",
		"1 RCPT TO:<b@dst.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b@dst.test", "1 DATA", "1 HELP", "1 MAIL FROM:<>", "1 RCPT TO:<b@dst.test>")
	if bodies := server.messages(); len(bodies) != 2 || bodies[0] != "hi\r\n..there\r\n" || !strings.Contains(bodies[1], "X-Storm-Id: ") {
		t.Errorf("bodies %q", bodies)
	}
	_, sums := v.collected()
	for _, name := range []string{"smtp_conn_ehlo", "smtp_msg_mail{code:250,expected_response:true,pipelined:false}", "smtp_msg_data{code:354,expected_response:true,pipelined:false}",
		"smtp_msg_sending{expected_response:true}", "smtp_msg_waiting{code:250,expected_response:true}"} {
		if _, ok := sums[name]; !ok {
			t.Errorf("no %s among %q", name, trends(sums))
		}
	}
	if sums["smtp_messages{expected_response:true}"] != 0 {
		t.Error("commands one by one are no message of send")
	}
}

func TestStartTLSByHand(t *testing.T) {
	v, _ := encrypted(t)
	got := v.run(`
		const client = new Client({host: '127.0.0.1', port: PORT, tlsOptions: {ca: CERT}});
		await client.ehlo();
		const r = await client.starttls();
		const again = await client.ehlo();
		return [r.ok, r.code, r.tls.version, again.ok].join()`)
	if got != "true,220,tls1.3,true" {
		t.Error(got)
	}
	_, sums := v.collected()
	if _, ok := sums["smtp_conn_tls_handshaking"]; !ok {
		t.Errorf("trends %q", trends(sums))
	}
}

func TestBdat(t *testing.T) {
	server := newFakeServer(t, func(_ int, line string) string {
		if strings.HasPrefix(line, "BDAT 4 LAST") {
			return "250 2.0.0 done"
		}
		if strings.HasPrefix(line, "BDAT") {
			return "452 4.3.1 full"
		}
		return ""
	})
	v := newVU(t).activate().global("PORT", server.port())
	// The server of this test reads lines: a chunk that is no line would be one with the next command.
	got := v.run(newClientAndMessage + `
		const r = [await client.bdat(''), await client.bdat(new Uint8Array([]).buffer, {last: false})];
		return r.map(r => [r.ok, r.code, r.phase, r.errorCode].join()).join('|')`)
	if got != "false,452,bdat,1452|false,452,bdat,1452" {
		t.Error(got)
	}
}

func TestWrongCommandArguments(t *testing.T) {
	v := newVU(t).activate().global("PORT", 1)
	for _, test := range []struct{ call, want string }{
		{"mail()", `mail: option "address" wants a string, not undefined`},
		{"mail('a b@x.test')", `mail: option "address" wants a mail address, not "a b@x.test": blanks and any of ,;:<>()[]\" are allowed in quotes only, and each address stands alone`},
		{"mail('a@x.test', {Size: 1})", `mail: option "Size" is unknown (valid: body envid params ret size smtputf8)`},
		{"mail('a@x.test', {body: '9BIT'})", `mail: option "body" wants one of 7BIT 8BITMIME BINARYMIME, not the string "9BIT"`},
		{"mail('a@x.test', {params: ['X\\r\\nRSET']})", `mail: option "params" command line: holds a line break`},
		{"rcpt('a@x.test', {notify: ['NEVER', 'DELAY']})", `rcpt: option "notify" wants "NEVER", or some of "SUCCESS", "FAILURE" and "DELAY", not an array`},
		{"rcpt('a@x.test', {orcpt: 'x'})", `rcpt: option "orcpt" wants "type;address" such as "rfc822;a@x.test", or true for the recipient's own, not the string "x"`},
		{"data()", `data: option "body" wants a Message, a string or an ArrayBuffer, not undefined`},
		{"bdat(7)", `bdat: option "chunk" wants a string or an ArrayBuffer, not the number 7`},
		{"raw('')", `raw: option "line" command line: is empty`},
		{"raw('NOOP\\r\\nRSET')", `raw: option "line" command line: holds a line break`},
		{"vrfy()", `vrfy: option "address" wants a string, not undefined`},
		{"ehlo('a b')", `ehlo: option "name" wants a host name`},
		{"auth()", `auth: option "user" is required, here or in the Client's option auth`},
		{"auth({user: 'a'})", `auth: option "password" is required`},
		{"auth({user: 'a', password: 'b', mechanism: 'NTLM'})", `auth: option "mechanism" wants one of PLAIN LOGIN CRAM-MD5 SCRAM-SHA-256 XOAUTH2, not the string "NTLM"`},
		{"starttls(1)", "starttls: takes no arguments"},
		{"send(message, {dsn: {ret: 'ALL'}})", `send: dsn: option "ret" wants one of FULL HDRS, not the string "ALL"`},
	} {
		if got := v.run(newClientAndMessage + "return await client." + test.call); !strings.HasPrefix(got, "throws TypeError: "+test.want) {
			t.Errorf("%s\ngives     %s\nexpected  throws TypeError: %s", test.call, got, test.want)
		}
	}
}

func TestTranscriptMasksAndIsTimed(t *testing.T) {
	server := newFakeServer(t, nil, offering("AUTH PLAIN"))
	v := newVU(t).activate().global("PORT", server.port())
	got := v.run(`
		const client = new Client({host: '127.0.0.1', port: PORT, transcript: true, auth: {user: 'ann', password: 'secret'}});
		const r = await client.send(new Message({from: 'a@src.test', to: 'b@dst.test', text: 'x'.repeat(999)}));
		const times = r.transcript.map(l => l.at);
		const next = await client.noop();
		return [JSON.stringify(r.transcript), times.every((t, i) => t >= 0 && (i === 0 || t >= times[i - 1])), next.transcript.map(l => l.from + ' ' + l.text).join()].join('#')`)
	parts := strings.Split(got, "#")
	if len(parts) != 3 || parts[1] != "true" || parts[2] != "client NOOP,server 250 2.0.0 ok" {
		t.Fatal(got)
	}
	for _, want := range []string{`"from":"client","text":"EHLO localhost"`, `"text":"AUTH PLAIN ***"`, `"text":"RCPT TO:<b@dst.test>"`, `octets in all]"`, `"from":"server","text":"250 2.0.0 queued"`} {
		if !strings.Contains(parts[0], want) {
			t.Errorf("no %s in %s", want, parts[0])
		}
	}
	if strings.Contains(parts[0], strings.Repeat("x", 300)) || strings.Contains(parts[0], "AGFubgBzZWNyZXQ=") {
		t.Errorf("the body is not cut, or the credentials are shown: %s", parts[0])
	}
}

func TestDebugVariableGivesTranscripts(t *testing.T) {
	for value, want := range map[string]string{"1": "true", "0": "false", "": "false"} {
		server := newFakeServer(t, nil)
		v := newVUWithEnv(t, map[string]string{"K6_SMTP_DEBUG": value}).activate().global("PORT", server.port())
		if got := v.run(newClientAndMessage + "return (await client.noop()).transcript.length > 0"); got != want {
			t.Errorf("K6_SMTP_DEBUG=%s: transcript %s", value, got)
		}
	}
}

func TestLMTPAndDSN(t *testing.T) {
	server := newFakeServer(t, func(_ int, line string) string {
		if line == "." {
			return "250 2.0.0 kept\r\n452 4.2.2 full"
		}
		return ""
	}, offering("DSN"))
	v := newVU(t).activate().global("PORT", server.port())
	got := v.run(`
		const client = new Client({host: '127.0.0.1', port: PORT, lmtp: true});
		const message = new Message({from: 'a@src.test', to: ['b@dst.test', 'c@dst.test'], text: 'x'});
		const r = await client.send(message, {dsn: {ret: 'HDRS', envid: true, notify: 'NEVER', orcpt: true}});
		globalThis.token = r.token;
		return [r.ok, r.code, r.recipients.map(x => x.ok + ' ' + x.code).join(), r.token].join('|')`)
	if !strings.HasPrefix(got, "false|452|true 250,false 452|") {
		t.Error(got)
	}
	token := got[strings.LastIndex(got, "|")+1:]
	expectLines(t, "commands", server.got(), "1 LHLO localhost", "1 MAIL FROM:<a@src.test> RET=HDRS ENVID="+token,
		"1 RCPT TO:<b@dst.test> NOTIFY=NEVER ORCPT=rfc822;b@dst.test", "1 RCPT TO:<c@dst.test> NOTIFY=NEVER ORCPT=rfc822;c@dst.test", "1 DATA")
	_, sums := v.collected()
	if sums["smtp_recipients{expected_response:true}"] != 1 || sums["smtp_recipients{expected_response:false}"] != 1 {
		t.Errorf("counts %q", counts(sums))
	}
}

func TestPhaseTrendsCanBeSwitchedOff(t *testing.T) {
	server := newFakeServer(t, nil)
	v := newVU(t).activate().global("PORT", server.port())
	got := v.run(`
		const client = new Client({host: '127.0.0.1', port: PORT, phaseTrends: false});
		return (await client.send(new Message({from: 'a@src.test', to: 'b@dst.test', text: 'x'}))).ok`)
	_, sums := v.collected()
	if got != "true" || sums["smtp_messages{expected_response:true}"] != 1 {
		t.Errorf("%s, counts %q", got, counts(sums))
	}
	expectLines(t, "trends", trends(sums), "smtp_msg_duration{code:250,expected_response:true}")
}

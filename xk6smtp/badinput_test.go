package xk6smtp

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/testkit"
)

func TestWrongOptionsAreTypeErrorsThatNameTheKey(t *testing.T) {
	v := newVU(t)
	const message = "{from: 'a@x.test', to: 'b@x.test', text: 'x'}"
	for _, test := range []struct{ code, want string }{
		{"new Client()", `Client: option "host" is required`},
		{"new Client('mx.test')", `Client: wants an object of options, not the string "mx.test"`},
		{"new Client(7)", `Client: wants an object of options, not the number 7`},
		{"new Client({host: 'x', prot: 25})", `Client: option "prot" is unknown (valid: auth chunking expectedReplies force8bit host idleTimeout lmtp localName messagesPerConnection phaseTrends pipelining port serverTag tags throw timeout tls tlsOptions transcript)`},
		{"new Client({host: 7})", `Client: option "host" wants a string, not the number 7`},
		{"new Client({host: ''})", `Client: option "host" is required`},
		{"new Client({host: null})", `Client: option "host" wants a string, not null`},
		{"new Client({host: 'x', port: '25'})", `Client: option "port" wants a whole number from 1 to 65535, not the string "25"`},
		{"new Client({host: 'x', port: 70000})", `Client: option "port" wants a whole number from 1 to 65535, not the number 70000`},
		{"new Client({host: 'x', port: 25.5})", `Client: option "port" wants a whole number from 1 to 65535, not the number 25.5`},
		{"new Client({host: 'x', port: NaN})", `Client: option "port" wants a whole number from 1 to 65535, not the number NaN`},
		{"new Client({host: 'x', tls: 'ssl'})", `Client: option "tls" wants "none", "starttls", "required" or "implicit", not the string "ssl"`},
		{"new Client({host: 'x', tls: true})", `Client: option "tls" wants "none", "starttls", "required" or "implicit", not true`},
		{"new Client({host: 'x', tlsOptions: {cacert: 'x'}})", `Client: tlsOptions: option "cacert" is unknown (valid: ca cert insecureSkipTLSVerify key minVersion resumption serverName)`},
		{"new Client({host: 'x', tlsOptions: {ca: 'x'}})", `Client: tlsOptions: option "ca" holds no certificate in PEM`},
		{"new Client({host: 'x', tlsOptions: {cert: 'x'}})", `Client: tlsOptions: option "cert" and key are wanted together`},
		{"new Client({host: 'x', tlsOptions: {cert: 'x', key: 'y'}})", `Client: tlsOptions: option "cert" and key don't fit: tls: failed to find any PEM data`},
		{"new Client({host: 'x', tlsOptions: {minVersion: 'ssl3'}})", `Client: tlsOptions: option "minVersion" wants "tls1.0", "tls1.1", "tls1.2" or "tls1.3", not the string "ssl3"`},
		{"new Client({host: 'x', auth: {}})", `Client: auth: option "user" is required`},
		{"new Client({host: 'x', auth: 'ann'})", `Client: auth: wants an object of options, not the string "ann"`},
		{"new Client({host: 'x', auth: {user: 'ann', password: 'x', mechanism: 'plain'}})", `Client: auth: option "mechanism" wants one of PLAIN LOGIN CRAM-MD5 SCRAM-SHA-256 XOAUTH2, not the string "plain"`},
		{"new Client({host: 'x', chunking: 0})", `Client: option "chunking" wants true, false, or the octets of a chunk, not the number 0`},
		{"new Client({host: 'x', lmtp: 'yes'})", `Client: option "lmtp" wants true or false`},
		{"new Client({host: 'x', localName: 'a b'})", `Client: option "localName" wants a host name or an address literal`},
		{"new Client({host: 'x', pipelining: 1})", `Client: option "pipelining" wants true or false, not the number 1`},
		{"new Client({host: 'x', messagesPerConnection: -1})", `Client: option "messagesPerConnection" wants a whole number from 0 to`},
		{"new Client({host: 'x', timeout: 'soon'})", `Client: option "timeout" wants milliseconds, a duration such as "30s", or an object of phases`},
		{"new Client({host: 'x', timeout: {rcpt: 'soon'}})", `Client: timeout: option "rcpt" wants milliseconds or a duration such as "30s", not the string "soon"`},
		{"new Client({host: 'x', timeout: {dot: 1}})", `Client: timeout: option "dot" is unknown (valid: auth bdat connect data ehlo mail message noop quit rcpt rset starttls vrfy)`},
		{"new Client({host: 'x', idleTimeout: -1})", `Client: option "idleTimeout" wants milliseconds`},
		{"new Client({host: 'x', expectedReplies: 250})", `Client: option "expectedReplies" wants the result of expectedReplies(), not the number 250`},
		{"new Client({host: 'x', tags: ['a']})", `Client: option "tags" wants an object of strings, numbers and booleans, not an array`},
		{"new Client({host: 'x', tags: {a: {}}})", `Client: option "tags.a" wants a string, a number or a boolean, not an object`},
		{"new Client({host: 'x', throw: 'yes'})", `Client: option "throw" wants true or false`},
		{"expectedReplies()", `expectedReplies: wants at least one reply code or {min, max} range`},
		{"expectedReplies('250')", `expectedReplies: option "argument 1" wants a whole number from 200 to 599, not the string "250"`},
		{"expectedReplies(250, {min: 400})", `expectedReplies: option "argument 2" wants both min and max`},
		{"expectedReplies({min: 500, max: 400})", `expectedReplies: option "argument 1" wants both min and max, min not above max`},
		{"new Message()", `Message: option "from" is required`},
		{"new Message({from: 'a@x.test', body: 'x'})", `Message: option "body" is unknown (valid: attachments bcc cc fields from headers html inline raw replyTo size subject text to)`},
		{"new Message({from: 'no body', to: 'b@x.test', text: 'x'})", `Message: option "from" wants a mail address, not "no body": blanks and any of`},
		{"new Message({from: 'a@b@x.test', text: 'x'})", `Message: option "from" wants a mail address, not "a@b@x.test": it has two "@": put the local part in quotes`},
		{"new Message({from: 'a@x.test', to: 'b@x.test, c@x.test'})", `each address stands alone`},
		{"new Message({from: 'a@x.test', to: 'Doe, John <b@x.test>'})", `Message: option "to" wants mail addresses, not "Doe, John <b@x.test>": its display name needs quotes`},
		{"new Message({from: 'a@x.test', to: '@x.test'})", `nothing stands before or behind the "@"`},
		{"new Message({from: 'a@x.test', cc: ''})", `Message: option "cc" wants mail addresses, not "": it is empty`},
		{"new Message({from: 'a@x.test', bcc: '\"a@x.test'})", `a quoted string does not end where it must`},
		{"new Message({from: 'a@x.test', replyTo: 7})", `Message: option "replyTo" wants a string or an array of strings`},
		{"new Message({from: 'a@x.test', replyTo: 'x y@z'})", `Message: option "replyTo" wants mail addresses, not "x y@z"`},
		{"new Message({from: 'a@x.test', replyTo: 'r@x.test', headers: {'reply-to': 'r@x.test'}})", `Message: option "headers.reply-to" is given by replyTo`},
		{"new Message({from: 'a@x.test', replyTo: 'r@x.test', raw: 'x'})", `Message: option "replyTo" can't be combined with raw`},
		{"new Message({from: 'a@x.test', headers: {Sender: 'x y@z'}})", `Message: option "headers.Sender" wants mail addresses, not "x y@z"`},
		{"new Message({from: 'a@x.test', headers: {'X-A': 'a\u0001b'}})", `Message: option "headers.X-A" wants a value without line breaks and control characters`},
		{"new Message({from: 'a@x.test', headers: {['X-' + 'a'.repeat(100)]: 'a'}})", `is no name for a header field (printable ASCII without blanks and ":", at most 48 octets)`},
		{"new Message({from: 'a@x.test', headers: {'X-\\r\\nB': 'a'}})", `is no name for a header field`},
		{"new Message({from: 'a@x.test', subject: 'a\\r\\nBcc: b@x.test'})", `Message: option "subject" must not hold line breaks or control characters`},
		{"new Client({host: '[::1]'})", `Client: option "host" wants an address without brackets, "::1", not the string "[::1]"`},
		{"new Client({host: '127.0.0.1:2525'})", `Client: option "host" wants the host alone, {host: "127.0.0.1", port: 2525}, not the string "127.0.0.1:2525"`},
		{"new Client({host: '[::1]:2525'})", `Client: option "host" wants the host alone, {host: "::1", port: 2525}`},
		{"new Client({host: 'smtp://mx.test'})", `Client: option "host" wants a host name or an address, such as`},
		{"new Client({host: 'a@mx.test'})", `Client: option "host" wants a host name or an address, such as`},
		{"new Client({host: 'mx test'})", `Client: option "host" wants a host name or an address, such as`},
		{"new Client({host: 'mx.test', force8bit: 1})", `Client: option "force8bit" wants true or false`},
		{"new Message({from: '', to: 'b@x.test', text: 'x'})", `Message: option "from" wants a mail address`},
		{"new Message({from: 'a@x.test', to: ['b@x.test', 7]})", `Message: option "to" wants a string or an array of strings`},
		{"new Message({from: 'a@x.test', to: 'b@x.test\\r\\nRSET'})", `Message: option "to" wants mail addresses`},
		{"new Message({from: 'a@x.test', to: 'Bob <b@x'})", `Message: option "to" wants mail addresses, not "Bob <b@x"`},
		{"new Message({from: 'a@x.test', headers: {'X-A': 'a\\r\\nX-B: b'}})", `Message: option "headers.X-A" wants a value without line breaks`},
		{"new Message({from: 'a@x.test', headers: {'X A': 'a'}})", `Message: option "headers.X A" is no name for a header field`},
		{"new Message({from: 'a@x.test', headers: {Subject: 'a'}})", `Message: option "headers.Subject" has an option of its own`},
		{"new Message({from: 'a@x.test', headers: {'X-A': 7}})", `Message: option "headers.X-A" wants a string, not the number 7`},
		{"new Message({from: 'a@x.test', size: 10})", `Message: option "size" wants at least`},
		{"new Message({from: 'a@x.test', text: 'x', fields: {name: 'you'}})", `Message: option "fields.name" stands nowhere as {{name}}`},
		{"new Message({from: 'a@x.test', text: '{{name}}', fields: {name: {}}})", `Message: option "fields.name" wants a string, a number or a boolean, not an object`},
		{"new Message({from: 'a@x.test', text: '{{name}}', fields: {name: 'x'}, size: 9000})", `Message: option "size" can't be combined with fields`},
		{"new Message({from: 'a@x.test', attachments: {}})", `Message: option "attachments" wants an array of objects, not an object`},
		{"new Message({from: 'a@x.test', attachments: [{content: 'x'}]})", `Message: attachments[0]: option "filename" is required`},
		{"new Message({from: 'a@x.test', attachments: [{filename: 'x'}]})", `Message: attachments[0]: option "content" is required`},
		{"new Message({from: 'a@x.test', attachments: [{filename: 'x', content: 'y', cid: 'z'}]})", `Message: attachments[0]: option "cid" is unknown (valid: content contentType filename)`},
		{"new Message({from: 'a@x.test', attachments: [{filename: 'x', content: 'y', contentType: 'z'}]})", `Message: attachments[0]: option "contentType" wants a media type such as "image/png", in printable ASCII, not the string "z"`},
		{"new Message({from: 'a@x.test', attachments: [{filename: 'x', content: 'y', contentType: 'text/plain;\\r\\n x=y'}]})", `Message: attachments[0]: option "contentType" wants a media type`},
		{"new Message({from: 'a@x.test', attachments: [{filename: 'x', content: 'y', contentType: 'text/plain; x=\"a\\u0001\"'}]})", `Message: attachments[0]: option "contentType" wants a media type`},
		{"new Message({from: 'a@x.test', attachments: [{filename: 'x', content: 'y', contentType: 'text/plain; charset=ü'}]})", `Message: attachments[0]: option "contentType" wants a media type`},
		{"new Message({from: 'a@x.test', attachments: [{filename: 'a\\u0000b', content: 'y'}]})", `Message: attachments[0]: option "filename" wants a name without line breaks, control characters`},
		{"new Message({from: 'a@x.test', attachments: [{filename: 'a\\tb', content: 'y'}]})", `Message: attachments[0]: option "filename" wants a name without line breaks, control characters`},
		{"new Message({from: 'a@x.test', inline: [{filename: 'x', content: 'y', cid: 'a\\u0001b'}]})", `Message: inline[0]: option "cid" wants a content ID`},
		{"new Message({from: 'a@x.test', attachments: [{filename: 'a\\r\\nb', content: 'y'}]})", `Message: attachments[0]: option "filename" wants a name without line breaks`},
		{"new Message({from: 'a@x.test', inline: [{filename: 'x', content: 'y'}]})", `Message: inline[0]: option "cid" is required`},
		{"new Message({from: 'a@x.test', raw: ''})", `Message: option "raw" must not be empty`},
		{"new Message({from: 'a@x.test', raw: {}})", `Message: option "raw" wants a string or an ArrayBuffer, not an object`},
		{"new Message({from: 'a@x.test', raw: 'x', subject: 'y'})", `Message: option "subject" can't be combined with raw`},
	} {
		_, err := v.eval("try { " + test.code + "; 'no error' } catch (e) { if (!(e instanceof TypeError)) throw new Error('not a TypeError: ' + e); throw e }")
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s\ngives     %v\nexpected  %s", test.code, err, test.want)
		}
	}
	if _, err := v.eval("new Message(" + message + ")"); err != nil {
		t.Error(err)
	}
}

func TestWrongArgumentsReject(t *testing.T) {
	server := newFakeServer(t, nil)
	v := newVU(t).activate().global("PORT", server.port())
	for _, test := range []struct{ call, want string }{
		{"client.send()", "TypeError: send: wants a Message, not undefined"},
		{"client.send({from: 'a@x.test'})", "TypeError: send: wants a Message, not an object"},
		{"client.send(message, {cc: 'x'})", `TypeError: send: option "cc" is unknown (valid: dsn expectedReplies fields from tags to)`},
		{"client.send(message, 'x')", `TypeError: send: wants an object of options, not the string "x"`},
		{"client.send(message, {fields: {name: 'x'}})", `TypeError: send: option "fields.name" is no field of the message (valid: )`},
		{"client.send(new Message({from: 'a@x.test', to: 'b@x.test', subject: '{{s}}', fields: {s: ''}}), {fields: {s: 'a\\r\\nBcc: c@x.test'}})", `TypeError: send: option "fields" must not hold line breaks or control characters where it stands in a header`},
		{"client.send(new Message({from: 'a@x.test', to: '{{u}}@x.test', fields: {u: ''}}))", `TypeError: send: option "fields" must be given for this message: its default makes no address of To: nothing stands before or behind the "@"`},
		{"client.send(new Message({from: 'a@x.test', to: 'b@{{d}}', fields: {d: 'x.test'}}), {fields: {d: 'x.test> RCPT TO:<c@x.test'}})", `TypeError: send: option "fields" makes no address of To: blanks and any of ,;:<>()[]\" are allowed in quotes only, and each address stands alone`},
		{"client.send(new Message({from: 'a@x.test', bcc: '{{u}}@x.test', fields: {u: 'b'}}), {fields: {u: 'a\\r\\nb'}})", `TypeError: send: option "fields" makes no address of a recipient: it holds a control character`},
		{"client.send(message, {dsn: {orcpt: 'a b;c@x.test'}})", `TypeError: send: dsn: option "orcpt" wants "type;address" such as "rfc822;a@x.test", or true for the recipient's own, not the string "a b;c@x.test"`},
		{"client.send(message, {dsn: {orcpt: 'a\tb;c@x.test'}})", `TypeError: send: dsn: option "orcpt" wants "type;address" such as "rfc822;a@x.test", or true for the recipient's own, not the string "a\tb;c@x.test"`},
		{"client.rcpt('b@x.test', {orcpt: 'rfc\t822;c@x.test'})", `TypeError: rcpt: option "orcpt" wants "type;address" such as "rfc822;a@x.test", or true for the recipient's own, not the string "rfc\t822;c@x.test"`},
		{"client.mail('a b@x.test')", `TypeError: mail: option "address" wants a mail address, not "a b@x.test": blanks and any of ,;:<>()[]\" are allowed in quotes only, and each address stands alone`},
		{"client.send(message, {to: []})", `TypeError: send: option "to" a message needs a recipient`},
		{"client.send(message, {to: 'b c@x.test'})", `TypeError: send: option "to" wants a mail address, not "b c@x.test": blanks and any of ,;:<>()[]\" are allowed in quotes only, and each address stands alone`},
		{"client.send(message, {from: 'a\\r\\n@x.test'})", `TypeError: send: option "from" wants a mail address, not "a\r\n@x.test": it holds a control character`},
		{"client.send(new Message({from: 'a@x.test'}))", `TypeError: send: option "to" a message needs a recipient`},
		{"client.connect(1)", "TypeError: connect: wants an object of options, not the number 1"},
		{"client.quit({})", "TypeError: quit: takes no arguments"},
	} {
		got := v.run(newClientAndMessage + "return await " + test.call)
		if got != "throws "+test.want {
			t.Errorf("%s\ngives     %s\nexpected  throws %s", test.call, got, test.want)
		}
	}
	if containers, _ := v.collected(); containers != 0 || server.accepted != 0 {
		t.Errorf("%d containers and %d connections for calls that were refused", containers, server.accepted)
	}
}

func TestCallsInTheInitContextReject(t *testing.T) {
	v := newVU(t).global("PORT", 25)
	for _, call := range []string{"connect()", "send(message)", "rset()", "noop()", "quit()", "ehlo()", "helo()", "starttls()", "auth({user: 'a', password: 'b'})",
		"mail('a@x.test')", "rcpt('a@x.test')", "data(message)", "bdat('x')", "vrfy('a')", "raw('HELP')"} {
		got := v.run(newClientAndMessage + "return await client." + call)
		if !strings.HasPrefix(got, "throws Error: ") || !strings.Contains(got, "can't be used in the init context") {
			t.Errorf("%s gives %s", call, got)
		}
	}
}

func TestCallsAfterCloseReject(t *testing.T) {
	server := newFakeServer(t, nil)
	v := newVU(t).activate().global("PORT", server.port())
	got := v.run(newClientAndMessage + "await client.send(message); client.close(); client.close(); return await client.send(message)")
	if got != "throws Error: send: the client was closed" {
		t.Error(got)
	}
	testkit.Await(t, "the connection's end", func() bool { return server.open() == 0 })
	expectLines(t, "commands", server.got(), "1 EHLO localhost", "1 MAIL FROM:<a@src.test>", "1 RCPT TO:<b@dst.test>", "1 DATA")
}

func TestCloseEndsWhatIsUnderWay(t *testing.T) {
	server := newFakeServer(t, func(_ int, line string) string {
		if line == "DATA" {
			return "hang"
		}
		return ""
	})
	v := newVU(t).activate().global("PORT", server.port())
	v.global("reached", func() { testkit.Await(t, "DATA", func() bool { return len(server.got()) == 4 }) })
	got := v.run(newClientAndMessage + `
		const sending = client.send(message), queued = client.send(message);
		reached();
		client.close();
		return [await sending, await queued].map(r => [r.ok, r.phase, r.errorCode].join()).join('|')`)
	if got != "false,data,1060|false,connect,1060" {
		t.Error(got)
	}
}

func TestBrokenServers(t *testing.T) {
	at := func(line, reply string) func(int, string) string {
		return func(_ int, got string) string {
			if strings.HasPrefix(got, line) && (line != "" || got == "") {
				return reply
			}
			return ""
		}
	}
	for _, test := range []struct {
		name      string
		answer    func(int, string) string
		ok        string
		errorCode string
		phase     string
		lost      []string
	}{
		{"garbage for a greeting", at("", "SSH-2.0-OpenSSH_9.2"), "false", "1070", "connect", []string{"smtp_errors{error_code:1070,phase:connect} 1"}},
		{"greeting refuses", at("", "554 5.7.1 go away"), "false", "1554", "connect", nil},
		{"closed at once", at("", "close"), "false", "1230", "connect", []string{"smtp_errors{error_code:1230,phase:connect} 1"}},
		{"half-closed", at("MAIL", "half"), "false", "1230", "mail", []string{"smtp_errors{error_code:1230,phase:mail} 1"}},
		{"silence", at("RCPT", "hang"), "false", "1050", "rcpt", []string{"smtp_errors{error_code:1050,phase:rcpt} 1"}},
		{"garbage for a reply", at("DATA", "yes please"), "false", "1070", "data", []string{"smtp_errors{error_code:1070,phase:data} 1"}},
		{"long reply line", at("DATA", "354 "+strings.Repeat("x", 1<<20)), "false", "1070", "data", []string{"smtp_errors{error_code:1070,phase:data} 1"}},
		{"closed after the dot", at(".", "close"), "false", "1230", "message", []string{"smtp_errors{error_code:1230,phase:message} 1"}},
		{"421 after the dot", at(".", "421 4.3.2 bye"), "false", "1421", "message", nil},
		{"250 to DATA", at("DATA", "250 2.0.0 fine"), "false", "1030", "data", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := newFakeServer(t, test.answer)
			v := newVU(t).activate().global("PORT", server.port())
			timeout := "{}" // 60 s
			if test.name == "silence" {
				timeout = "{rcpt: 300}"
			}
			got := v.run(`
				const client = new Client({host: '127.0.0.1', port: PORT, timeout: ` + timeout + `});
				const r = await client.send(new Message({from: 'a@src.test', to: 'b@dst.test', text: 'x'}));
				return [r.ok, r.errorCode, r.phase, r.error.startsWith(r.phase + ': ')].join()`)
			if want := strings.Join([]string{test.ok, test.errorCode, test.phase, "true"}, ","); got != want {
				t.Errorf("got %s, expected %s", got, want)
			}
			_, sums := v.collected()
			var lost []string
			for _, line := range counts(sums) {
				if strings.HasPrefix(line, "smtp_errors") {
					lost = append(lost, line)
				}
			}
			expectLines(t, "errors", lost, test.lost...)
			// A wait that the client ended has lasted its timeout; one that the server ended is none.
			unanswered := sums["smtp_msg_unanswered{error_code:1050,phase:rcpt}"]
			if waited := test.name == "silence"; waited != (unanswered >= 300) || !waited && strings.Contains(strings.Join(trends(sums), " "), "unanswered") {
				t.Errorf("%v ms for which nobody waited longer; trends %q", unanswered, trends(sums))
			}
			if sums["smtp_msg_failed"] != 1 || sums["smtp_messages{expected_response:false}"] != 1 {
				t.Errorf("counts %q", counts(sums))
			}
			if !strings.HasPrefix(test.name, "250") {
				testkit.Await(t, "the connection's end", func() bool { return v.root.connections.count() == 0 })
			}
		})
	}
}

func TestNothingListens(t *testing.T) {
	server := newFakeServer(t, nil)
	port := server.port()
	_ = server.listener.Close()
	v := newVU(t).activate().global("PORT", port)
	got := v.run(newClientAndMessage + "const r = await client.connect(); return [r.ok, r.errorCode, r.phase, r.error].join('|')")
	if !strings.HasPrefix(got, "false|1212|connect|connect: dial tcp 127.0.0.1:") || !strings.HasSuffix(got, "connection refused") {
		t.Error(got)
	}
	_, sums := v.collected()
	expectLines(t, "counts", counts(sums), "smtp_conn_failed 1", "smtp_errors{error_code:1212,phase:connect} 1")
}

func TestUnknownHost(t *testing.T) {
	v := newVU(t).activate()
	got := v.run(`const c = new Client({host: 'mx.invalid', port: 25, timeout: '20s'}); const r = await c.connect(); return [r.ok, r.errorCode >= 1100 && r.errorCode < 1200].join()`)
	if got != "false,true" {
		t.Error(got)
	}
}

func TestLaterMessageNeverReadsAnEarlierReply(t *testing.T) {
	server := newFakeServer(t, func(connection int, line string) string {
		if connection == 1 && line == "." {
			return "250 2.0.0 first\r\n250 2.0.0 first again"
		}
		return ""
	})
	v := newVU(t).activate().global("PORT", server.port())
	got := v.run(newClientAndMessage + `
		const first = await client.send(message);
		const second = await client.send(message);
		return [first.text, second.text, second.ok].join()`)
	if got != "first,queued,true" || server.accepted != 2 {
		t.Errorf("got %s over %d connections", got, server.accepted)
	}
}

func TestAbortedIterationCountsAndCloses(t *testing.T) {
	server := newFakeServer(t, func(_ int, line string) string {
		if line == "." {
			return "hang"
		}
		return ""
	})
	v := newVU(t).activate().global("PORT", server.port())
	ctx, cancel := context.WithCancel(context.Background())
	v.rt.VU.CtxField = ctx
	time.AfterFunc(100*time.Millisecond, cancel)
	got := v.run(newClientAndMessage + "const r = await client.send(message); return [r.ok, r.errorCode, r.phase].join()")
	if got != "false,1060,message" {
		t.Error(got)
	}
	_, sums := v.collected()
	if sums["smtp_errors{error_code:1060,phase:message}"] != 1 || sums["smtp_replies{code:354,enhanced:,phase:data}"] != 1 {
		t.Errorf("counts %q", counts(sums))
	}
	if n := v.root.connections.count(); n != 0 {
		t.Errorf("%d connections still open", n)
	}
}

func TestSetupPushesNothingAfterItsEnd(t *testing.T) {
	server := newFakeServer(t, nil)
	v := newVU(t).activate().global("PORT", server.port())
	v.rt.VU.StateField.VUID = 0
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	v.rt.VU.CtxField = ctx
	if got := v.run(newClientAndMessage + "return (await client.send(message)).errorCode"); got != "1060" {
		t.Error(got)
	}
	if containers, _ := v.collected(); containers != 0 {
		t.Errorf("%d containers pushed", containers)
	}
}

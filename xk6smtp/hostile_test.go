package xk6smtp

import (
	"context"
	"crypto/tls"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/testkit"
)

// plainAndEncrypted runs a test against a server in plaintext and within TLS; the script's client takes the options MODE.
func plainAndEncrypted(t *testing.T, answer func(connection int, line string) string, test func(t *testing.T, v *vu, server *fakeServer)) {
	t.Helper()
	t.Run("plain", func(t *testing.T) {
		server := newFakeServer(t, answer)
		test(t, newVU(t).activate().global("PORT", server.port()).global("MODE", map[string]any{}), server)
	})
	t.Run("TLS", func(t *testing.T) {
		pair, cert, _ := certificate(t)
		server := newFakeServer(t, answer, offering("STARTTLS"), func(s *fakeServer) {
			s.tls = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
		})
		v := newVU(t).activate().global("PORT", server.port())
		test(t, v.global("MODE", map[string]any{"tls": "required", "tlsOptions": map[string]any{"ca": cert}}), server)
	})
}

// TestAReplyWithoutEndIsCutOff sends 100 MB as one line, and as lines of one reply: neither is read to its end or kept.
func TestAReplyWithoutEndIsCutOff(t *testing.T) {
	for _, flood := range []string{"flood", "flood lines"} {
		t.Run(flood, func(t *testing.T) {
			plainAndEncrypted(t, func(_ int, line string) string {
				if strings.HasPrefix(line, "MAIL") {
					return flood
				}
				return ""
			}, func(t *testing.T, v *vu, server *fakeServer) {
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				got := v.run(`
					const client = new Client({host: '127.0.0.1', port: PORT, timeout: '20s', ...MODE});
					const r = await client.send(new Message({from: 'a@src.test', to: 'b@dst.test', text: 'x'}));
					return [r.ok, r.errorCode, r.phase, r.error.length < 300].join()`)
				runtime.ReadMemStats(&after)
				if got != "false,1070,mail,true" {
					t.Errorf("got %s", got)
				}
				testkit.Await(t, "the connection's end", func() bool { return server.open() == 0 && v.root.connections.count() == 0 })
				// What was written and not read fills the socket's buffers.
				if n := server.flooded.Load(); n > floodSize/4 {
					t.Errorf("%d octets of the reply were taken", n)
				}
				if n := after.TotalAlloc - before.TotalAlloc; n > 8<<20 {
					t.Errorf("%d octets were allocated", n)
				}
			})
		})
	}
}

// TestNoMessageReadsTheReplyOfAnEarlierOne has the first message go wrong in every way, and its reply come late: the next message must
// have its own.
func TestNoMessageReadsTheReplyOfAnEarlierOne(t *testing.T) {
	for _, test := range []struct {
		name, stage string
		reply       string // of the first connection at the stage; "late" comes when the first message is over
		first       string
		connections int
	}{
		{"reply after the timeout", ".", "late", "false,1050,", 2},
		{"reply to MAIL after the timeout", "MAIL", "late", "false,1050,", 2},
		{"two replies to the message", ".", "250 2.0.0 first\r\n250 2.0.0 first", "true,0,first", 2},
		{"two replies to RCPT", "RCPT", "250 2.1.5 ok\r\n250 2.1.5 ok", "false,1070,", 2},
		{"half a reply", ".", "250-2.0.0 first", "false,1050,", 2},
		{"garbage, then a reply", "DATA", "\x00\xff\r\n354 first\r\n250 2.0.0 first", "false,1070,", 2},
		{"the final reply before the body", "DATA", "354 go\r\n250 2.0.0 first", "false,1070,", 2},
		{"250 to DATA, the rest late", "DATA", "250 2.0.0 ok", "false,1030,ok", 2},
		{"354 to RCPT", "RCPT", "354 go", "false,1030,go", 2},
		{"421 after the dot, then a reply", ".", "421 4.3.2 bye\r\n250 2.0.0 first", "false,1421,bye", 2},
		{"a refusal, cleanly", "RCPT", "550 5.1.1 no", "false,1550,no", 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			over := make(chan struct{})
			plainAndEncrypted(t, func(connection int, line string) string {
				verb, _, _ := strings.Cut(line, " ")
				switch {
				case connection == 1 && verb == test.stage && test.reply == "late":
					<-over
					return "250 2.0.0 first"
				case connection == 1 && verb == test.stage && test.connections > 1:
					return test.reply
				case connection == 1 && verb == test.stage && strings.Contains(line, "first"):
					return test.reply
				case verb == ".":
					return "250 2.0.0 second"
				}
				return ""
			}, func(t *testing.T, v *vu, server *fakeServer) {
				over = make(chan struct{})
				v.global("firstIsOver", func() { close(over) })
				timeout := "{}" // 60 s
				if strings.Contains(test.first, "1050") {
					timeout = map[string]string{".": "{message: 500}", "MAIL": "{mail: 500}"}[test.stage]
				}
				got := v.run(`
					const client = new Client({host: '127.0.0.1', port: PORT, timeout: ` + timeout + `, ...MODE});
					const message = new Message({from: 'a@src.test', to: 'b@dst.test', text: 'x'});
					const first = await client.send(message, {to: 'first@dst.test'});
					firstIsOver();
					const second = await client.send(message);
					return [first.ok, first.errorCode, first.text].join() + '|' + [second.ok, second.text].join()`)
				first, second, _ := strings.Cut(got, "|")
				if first != test.first {
					t.Errorf("the first message: %s, expected %s", first, test.first)
				}
				if second != "true,second" {
					t.Errorf("the second message: %s, after %s", second, first)
				}
				if n := server.total(); n != test.connections {
					t.Errorf("%d connections, expected %d", n, test.connections)
				}
			})
		})
	}
}

// TestAbortInTheMiddleOfTheBody ends the iteration while the server doesn't read a body that no buffer holds.
func TestAbortInTheMiddleOfTheBody(t *testing.T) {
	abort := func() {}
	plainAndEncrypted(t, func(connection int, line string) string {
		switch {
		case connection == 1 && line == "DATA":
			time.AfterFunc(50*time.Millisecond, func() { abort() })
			return "stall"
		case line == ".":
			return "250 2.0.0 second"
		}
		return ""
	}, func(t *testing.T, v *vu, server *fakeServer) {
		ctx, cancel := context.WithCancel(t.Context())
		abort = cancel
		v.rt.VU.CtxField = ctx
		got := v.run(`
			globalThis.client = new Client({host: '127.0.0.1', port: PORT, timeout: '20s', ...MODE});
			const r = await client.send(new Message({from: 'a@src.test', to: 'b@dst.test', size: 64 * 1024 * 1024}));
			return [r.ok, r.errorCode, r.phase, r.recipients[0].code, r.timings.sending].join()`)
		if got != "false,1060,message,0,0" {
			t.Errorf("got %s", got)
		}
		if n := v.root.connections.count(); n != 0 {
			t.Errorf("%d connections still open", n)
		}
		_, sums := v.collected()
		if lasted := sums["smtp_msg_unanswered{error_code:1060,phase:message}"]; lasted < 49 {
			t.Errorf("the message is said to have lasted %v ms until the abort, 50 ms after DATA; trends %q", lasted, trends(sums))
		}
		if sums["smtp_errors{error_code:1060,phase:message}"] != 1 || sums["smtp_msg_failed"] != 1 {
			t.Errorf("counts %q", counts(sums))
		}
		v.rt.VU.CtxField = t.Context()
		got = v.run("const r = await client.send(new Message({from: 'a@src.test', to: 'b@dst.test', text: 'x'})); return [r.ok, r.text].join()")
		if got != "true,second" || server.total() != 2 {
			t.Errorf("the next iteration: %s over %d connections", got, server.total())
		}
	})
}

// TestHalfClosedAtEveryStage has the server end its own direction instead of a reply, and the client's still open: each is an end of the
// connection, found at once.
func TestHalfClosedAtEveryStage(t *testing.T) {
	for _, stage := range []string{"", "EHLO", "MAIL", "RCPT", "DATA", ".", "RSET", "QUIT"} {
		t.Run(stage, func(t *testing.T) {
			server := newFakeServer(t, func(connection int, line string) string {
				if verb, _, _ := strings.Cut(line, " "); connection == 1 && verb == stage {
					return "half"
				}
				return ""
			})
			v := newVU(t).activate().global("PORT", server.port())
			got := v.run(`
				const client = new Client({host: '127.0.0.1', port: PORT, timeout: '20s'});
				const message = new Message({from: 'a@src.test', to: 'b@dst.test', text: 'x'});
				const all = [await client.send(message)];
				if (all[0].ok) all.push(await client.rset());
				if (all.every(r => r.ok)) all.push(await client.quit());
				const broken = all.filter(r => !r.ok);
				const again = await client.send(message);
				return [broken.length, broken[0].errorCode, again.ok].join()`)
			if got != "1,1230,true" || server.total() != 2 {
				t.Errorf("got %s over %d connections", got, server.total())
			}
		})
	}
}

package xk6smtp

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/sirupsen/logrus"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/ledger"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// claiming is a VU whose process claims what it sends, and the file.
func claiming(t testing.TB) (v *vu, file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "sent.jsonl")
	return newVUWithEnv(t, map[string]string{sentVariable: file}).activate(), file
}

// claimsIn reads the file as it is now.
func claimsIn(t testing.TB, file string) (claims []reconcile.Claim) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Error(err) // a server's goroutine may ask
	}
	if _, err := reconcile.ReadClaims(bytes.NewReader(text), file, func(c *reconcile.Claim) error {
		claims = append(claims, *c)
		return nil
	}); err != nil {
		t.Error(err)
	}
	return claims
}

// acks are the claims' recipients and what is known of their replies.
func acks(claims []reconcile.Claim) (list []string) {
	for _, c := range claims {
		list = append(list, fmt.Sprintf("%s %v %d", c.Recipient, c.Ack, c.Code))
	}
	return list
}

func TestClaimsAreWrittenBeforeTheDotAndAfterTheReply(t *testing.T) {
	v, file := claiming(t)
	var before [][]string
	server := newFakeServer(t, func(_ int, line string) string {
		switch line {
		case "RCPT TO:<c@dst.test>":
			return "550 5.1.1 unknown"
		case ".":
			before = append(before, acks(claimsIn(t, file)))
		}
		return ""
	})
	got := v.global("PORT", server.port()).run(`
		const client = new Client({host: '127.0.0.1', port: PORT});
		const message = new Message({from: 'a@src.test', to: ['b@dst.test', 'c@dst.test'], text: 'x'});
		await client.send(message);
		return (await client.send(message, {from: 's+2@src.test', to: 'd@dst.test', dsn: {envid: 'my envid', notify: 'NEVER'}})).token`)
	v.root.end()
	first := []string{"b@dst.test unknown 0", "c@dst.test unknown 0"}
	replies := slices.Concat(first, []string{"b@dst.test yes 250", "c@dst.test no 550", "d@dst.test unknown 0"})
	expectLines(t, "before the first dot", before[0], first...)
	expectLines(t, "before the second dot", before[1], replies...)
	claims := claimsIn(t, file)
	expectLines(t, "at the end", acks(claims), append(replies, "d@dst.test yes 250")...)
	last := claims[len(claims)-1]
	if last.Token != "my envid" || last.Sender != "s+2@src.test" || last.StormID != got || last.MessageID != "<"+got+"@src.test>" || last.Notify != "NEVER" ||
		last.Run != v.root.tokens.run || !strings.HasPrefix(got, last.Run) || last.Sent.IsZero() || last.Replied.Before(last.Sent) {
		t.Errorf("token %s is claimed as %+v", got, last)
	}
}

func TestWhatNoReplyTellsStaysUnknown(t *testing.T) {
	for _, test := range []struct{ name, at, says, options, want string }{
		{"silence after the dot", ".", "hang", "", "b@dst.test unknown 0|c@dst.test unknown 0"},
		{"the end after the dot", ".", "close", "", "b@dst.test unknown 0|c@dst.test unknown 0"},
		{"a reply that is none", ".", "25o what", "", "b@dst.test unknown 0|c@dst.test unknown 0"},
		{"a reply out of place", ".", "354 again", "", "b@dst.test unknown 0|c@dst.test unknown 0"},
		{"2xx to DATA", "DATA", "250 taken", "", "b@dst.test unknown 0|c@dst.test unknown 0"},
		{"the end before the dot", "DATA", "close", "", "b@dst.test unknown 0|c@dst.test unknown 0"},
		{"421 instead of a reply", ".", "421 4.3.2 shutting down", "", "b@dst.test unknown 0|c@dst.test unknown 0|b@dst.test no 421|c@dst.test no 421"},
		{"a refused MAIL", "MAIL FROM:<a@src.test>", "451 4.3.0 later", "", "b@dst.test unknown 0|c@dst.test unknown 0|b@dst.test no 451|c@dst.test no 451"},
		{"a refused greeting", "", "554 5.3.2 no mail here", "", "b@dst.test unknown 0|c@dst.test unknown 0|b@dst.test no 554|c@dst.test no 554"},
		{"LMTP, whose replies are one for each", ".", "250 2.0.0 ok\r\n452 4.2.2 full", "lmtp: true", "b@dst.test unknown 0|c@dst.test unknown 0|b@dst.test yes 250|c@dst.test no 452"},
		{"LMTP, which breaks after one", ".", "250 2.0.0 ok\r\n421 4.3.0 bye", "lmtp: true", "b@dst.test unknown 0|c@dst.test unknown 0|b@dst.test yes 250|c@dst.test no 421"},
	} {
		t.Run(test.name, func(t *testing.T) {
			v, file := claiming(t)
			server := newFakeServer(t, func(_ int, line string) string {
				if line == test.at {
					return test.says
				}
				return ""
			})
			timeout := "{}" // 60 s
			if test.says == "hang" {
				timeout = "{message: '200ms'}"
			}
			v.global("PORT", server.port()).run(`
				const client = new Client({host: '127.0.0.1', port: PORT, timeout: ` + timeout + `, ` + test.options + `});
				await client.send(new Message({from: 'a@src.test', to: ['b@dst.test', 'c@dst.test'], text: 'x'}))`)
			v.root.end()
			if got := strings.Join(acks(claimsIn(t, file)), "|"); got != test.want {
				t.Errorf("got      %s\nexpected %s", got, test.want)
			}
		})
	}
}

// TestTheSinkFindsWhatWasClaimed sends messages of all kinds to a sink with a ledger: one judge must find each of them delivered, with its own body and its
// own header.
func TestTheSinkFindsWhatWasClaimed(t *testing.T) {
	v, file := claiming(t)
	book := filepath.Join(t.TempDir(), "ledger.jsonl")
	server := sinktest.Start(t, sinktest.With(func(cfg *sink.Config) { cfg.Ledger = sink.LedgerConfig{Path: book, Durability: event.Batch} }))
	got := v.global("ADDRESS", server.Addr("").String()).run(`
		const [host, port] = ADDRESS.split(':');
		const to = 'b@dst.test', text = 'x';
		const messages = {
			plain: {text}, html: {text: 'ä', html: '<p>ä'}, sized: {size: 100000}, empty: {text: ''}, dots: {text: '.\n..\n\n.x\n\n\n'},
			'own ids': {text, headers: {'message-id': ' <own@src.test> ', 'X-Storm-ID': 'own id'}},
			'raw': {raw: 'Subject: x\n\n8 bit: \u00e4\n.\n.line\n\n\n'}, 'raw without a body': {raw: 'Subject: x'}, 'raw without a header': {raw: '\n\nbody\n'},
			'raw 8-bit header': {raw: 'X: \u00e4\n\nseven\n'}, folded: {raw: 'Message-ID:\n <folded@src.test>\nx-storm-id: fold\n ed\n\nx\n'},
			attached: {text, attachments: [{filename: 'a.bin', content: new Uint8Array(70000).buffer}]},
			fields: {text: 'dear {{name}}', fields: {name: 'nobody'}}, 'raw fields': {raw: 'X-Storm-Id: f-{{n}}\n\n{{n}}\n.{{n}}', fields: {n: 0}},
		};
		let n = 0;
		for (const options of [{}, {pipelining: false}, {chunking: true}, {chunking: 1000}]) {
			const client = new Client({host, port: Number(port), ...options});
			for (const [name, message] of Object.entries(messages)) {
				const m = new Message({from: 'a@src.test', to, ...message});
				for (const fields of message.fields ? [{}, {[Object.keys(message.fields)[0]]: String(++n)}] : [undefined]) {
					const r = await client.send(m, {from: 's+' + ++n + '@src.test', to: n + '@dst.test', fields});
					if (!r.ok) throw name + ': ' + r.error;
				}
			}
			for (const octets of ['X-Storm-Id: h' + ++n + '\nMessage-ID: <h@src.test>\n\n.\n..x', 'no header\n\n\n\u00e4']) {
				await client.mail('h+' + ++n + '@src.test'); await client.rcpt(n + '@dst.test');
				if (!(await client.data(octets)).ok) throw octets;
			}
			await client.raw('MAIL FROM:<m@src.test> ENVID=hand+2B' + ++n); await client.rcpt(n + '@dst.test');
			if (!(await client.data(new Message({from: 'm@src.test', to: 'x@y.test', text: 'by hand'}))).ok) throw n;
			await client.mail('b+' + ++n + '@src.test'); await client.rcpt(n + '@dst.test');
			await client.bdat('Subject: x\r\n\r\n.line\r');
			if (!(await client.bdat('\n\r\n.\r\n\u00e4\r\n\r\n', {last: true})).ok) throw n;
			await client.quit();
		}
		return n`)
	v.root.end()
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	result := verdictOn(t, file, book)
	if want := fmt.Sprintf("%d units, %v delivered", 4*20, 4*20); fmt.Sprintf("%d units, %d delivered", result.Units, result.Fates[reconcile.Delivered]) != want {
		t.Errorf("%s: %d units, fates %v, expected %s", got, result.Units, result.Fates, want)
	}
	for _, f := range result.Findings {
		if f.Kind != reconcile.KindSplit { // those with an id of their own are one message each
			t.Errorf("%s: %d units, %+v", f.Kind, f.Units, f.Evidence)
		}
	}
}

// verdictOn judges claims and a ledger whose sender has nothing queued.
func verdictOn(t testing.TB, sent, book string) *reconcile.Result {
	t.Helper()
	open := func(name string) ledger.Input {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		return ledger.Input{Name: name, R: f}
	}
	result, err := reconcile.Reconcile(reconcile.Inputs{
		Claims: open(sent), Ledgers: []ledger.Input{open(book)}, Queue: ledger.Input{Name: "queue", R: strings.NewReader("")}, KnowNotifications: true,
	}, reconcile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// TestMessagesLedByHandAreClaimed has the commands one by one: what is claimed is what their envelope was.
func TestMessagesLedByHandAreClaimed(t *testing.T) {
	const mail = "await c.mail('a@src.test', {envid: 'e=1'}); await c.rcpt('b@dst.test', {notify: 'DELAY'}); await c.rcpt('c@dst.test'); "
	for _, test := range []struct{ name, script, answers, want string }{
		{"data", mail + "return (await c.data(m)).token", "", "b@dst.test unknown 0|c@dst.test unknown 0|b@dst.test yes 250|c@dst.test yes 250"},
		{"a refused RCPT", mail + "await c.data(m)", "RCPT TO:<c@dst.test>=550 5.1.1 no", "b@dst.test unknown 0|c@dst.test unknown 0|b@dst.test yes 250|c@dst.test no 550"},
		{"a refused DATA", mail + "await c.data('x')", "DATA=451 4.3.0 no", "b@dst.test unknown 0|c@dst.test unknown 0|b@dst.test no 451|c@dst.test no 451"},
		{"no reply", mail + "await c.data('x')", ".=close", "b@dst.test unknown 0|c@dst.test unknown 0"},
		{"lines", "await c.raw('MAIL from:<a@src.test> ENVID=e+3D1'); await c.raw('RCPT TO:<b@dst.test> NOTIFY=DELAY'); await c.data(m)", "", "b@dst.test unknown 0|b@dst.test yes 250"},
		{"RSET in between", mail + "await c.rset(); await c.data('x')", "", ""},
		{"EHLO in between", mail + "await c.ehlo(); await c.data('x')", "", ""},
		{"another connection", mail + "await c.quit(); await c.data('x')", "", ""},
		{"nothing behind RCPT", mail, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			v, file := claiming(t)
			at, says, _ := strings.Cut(test.answers, "=")
			server := newFakeServer(t, func(_ int, line string) string {
				if line == at && at != "" {
					return says
				}
				return ""
			})
			got := v.global("PORT", server.port()).run("const c = new Client({host: '127.0.0.1', port: PORT}); const m = new Message({from: 'a@src.test', to: 'x@y.test', text: 'x'}); " + test.script)
			v.root.end()
			claims := claimsIn(t, file)
			if list := strings.Join(acks(claims), "|"); list != test.want {
				t.Errorf("got      %s\nexpected %s (%s)", list, test.want, got)
			}
			for i, c := range claims {
				if c.Token != "e=1" || c.Sender != "a@src.test" || (c.Notify == "DELAY") != (c.Recipient == "b@dst.test") || test.name == "data" && c.StormID != got {
					t.Errorf("row %d is %+v", i, c)
				}
			}
		})
	}
}

// A send whose recipients, or whose DATA, were refused leaves its transaction open (RFC 5321 section 4.1.1.4): what commands by hand add to it
// goes out under its sender, and is claimed so.
func TestWhatIsAddedToATransactionThatSendLeftIsClaimed(t *testing.T) {
	const nested = "503 5.5.1 nested MAIL"
	for _, test := range []struct{ name, refused, script, want string }{
		{"all recipients refused", "RCPT TO:<x@y.test>", "await c.send(m); await c.mail('b@src.test'); await c.rcpt('b@dst.test'); await c.data('x')",
			"x@y.test unknown 0|x@y.test no 450|b@dst.test unknown 0|b@dst.test yes 250"},
		{"DATA refused", "DATA", "await c.send(m); await c.rcpt('b@dst.test'); await c.data('x')",
			"x@y.test unknown 0|x@y.test no 450|x@y.test unknown 0|b@dst.test unknown 0|x@y.test yes 250|b@dst.test yes 250"},
	} {
		t.Run(test.name, func(t *testing.T) {
			v, file := claiming(t)
			var refusedOnce, begun atomic.Bool
			server := newFakeServer(t, func(_ int, line string) string {
				switch {
				case strings.HasPrefix(line, "MAIL") && begun.Swap(true):
					return nested
				case line == test.refused && !refusedOnce.Swap(true):
					return "450 4.2.0 no"
				}
				return ""
			})
			v.global("PORT", server.port()).run("const c = new Client({host: '127.0.0.1', port: PORT, pipelining: false}); const m = new Message({from: 'a@src.test', to: 'x@y.test', text: 'x'}); " + test.script)
			v.root.end()
			claims := claimsIn(t, file)
			if got := strings.Join(acks(claims), "|"); got != test.want {
				t.Errorf("got      %s\nexpected %s", got, test.want)
			}
			for i, c := range claims {
				if c.Sender != "a@src.test" {
					t.Errorf("row %d is of the sender %s, want that of the transaction", i, c.Sender)
				}
			}
		})
	}
}

func TestAClaimsFileTakesTheRightPlace(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	row := (&reconcile.Claim{Token: "t", Recipient: "r", HasSender: true, Run: "x"}).Append(nil)
	ours, others := write("sent.jsonl", string(row)), write("notes.txt", "mine")
	start := func(name string) (failure string) {
		defer func() {
			if r := recover(); r != nil {
				failure = fmt.Sprint(r)
			}
		}()
		newVUWithEnv(t, map[string]string{sentVariable: name})
		return ""
	}
	for _, test := range []struct{ name, want string }{
		{others, "K6_SMTPSTORM_SENT: " + others + " can't be written: it exists and is not a file of claims: remove it, or name another file"},
		{dir, "K6_SMTPSTORM_SENT: " + dir + " can't be written: it is a directory"},
		{filepath.Join(dir, "none", "x"), "K6_SMTPSTORM_SENT: " + filepath.Join(dir, "none", "x") + " can't be written: no such file or directory"},
	} {
		if got := start(test.name); !strings.Contains(got, test.want) {
			t.Errorf("%s: %q", test.name, got)
		}
	}
	if text, err := os.ReadFile(others); err != nil || string(text) != "mine" {
		t.Errorf("%q, %v", text, err)
	}
	v := newVUWithEnv(t, map[string]string{sentVariable: ours})
	if got, want := start(ours), ours+" can't be written: another process is writing to it: name another file"; !strings.Contains(got, want) {
		t.Errorf("two write to one file: %q, want %q", got, want)
	}
	if text, _ := os.ReadFile(ours); !bytes.Equal(text, row) {
		t.Errorf("the init context alone has made it %q", text)
	}
	v.root.begin()
	if text, _ := os.ReadFile(ours); len(text) != 0 {
		t.Errorf("the run begins with %q", text)
	}
}

func TestClaimsThatAreLostAreTold(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full")
	}
	v := newVUWithEnv(t, map[string]string{sentVariable: "/dev/full"})
	var log bytes.Buffer
	v.rt.VU.InitEnvField.TestPreInitState.Logger.(*logrus.Logger).SetOutput(&log)
	v.activate()
	status := 0
	v.root.exitProcess = func(s int) { status = s }
	got := v.global("PORT", newFakeServer(t, nil).port()).run(`
		const client = new Client({host: '127.0.0.1', port: PORT});
		for (let i = 0; i < 3; i++) await client.send(new Message({from: 'a@src.test', to: 'b@dst.test', text: 'x'}));
		return (await client.quit()).ok`)
	v.root.end()
	v.root.exit()
	if got != "true" || status != lostStatus || strings.Count(log.String(), "no space left on device: claims are missing") != 1 {
		t.Errorf("%s, status %d, log %s", got, status, log.String())
	}
}

// BenchmarkSentFile is what one message costs the file of claims, with many VUs at once.
func BenchmarkSentFile(b *testing.B) {
	file, err := os.Create(filepath.Join(b.TempDir(), "sent.jsonl"))
	if err != nil {
		b.Fatal(err)
	}
	s := &sentFile{file: file, failed: func(err error) { b.Error(err) }}
	claim := reconcile.Claim{Token: "abcdefgh-000000001", Recipient: "1@dst.test", HasSender: true, Sender: "s+1@src.test", Run: "abcdefgh", Hashed: true, Size: 1024}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		var row []byte
		for pb.Next() {
			row = claim.Append(row[:0])
			s.save(row)
			s.add(row)
		}
	})
	s.close()
}

// fullFile takes so many octets and no more, as a file on a full disk does.
type fullFile struct {
	text []byte
	room int
}

func (f *fullFile) Write(p []byte) (int, error) {
	n := min(len(p), f.room)
	f.text, f.room = append(f.text, p[:n]...), f.room-n
	if n < len(p) {
		return n, syscall.ENOSPC
	}
	return n, nil
}

func (f *fullFile) Truncate(size int64) error { f.text = f.text[:size]; return nil }
func (*fullFile) Close() error                { return nil }

// Wherever a disk is full, a reader learns that claims are missing, if there are any.
func TestAFullDiskTearsTheLastClaim(t *testing.T) {
	row := (&reconcile.Claim{Token: "t", Recipient: "r@x.test"}).Append(nil)
	for room := 1; room < 3*len(row); room++ {
		file := &fullFile{room: room}
		told := 0
		s := &sentFile{file: file, failed: func(error) { told++ }}
		for range 4 {
			s.save(row)
		}
		s.close()
		claims := 0
		torn, err := reconcile.ReadClaims(bytes.NewReader(file.text), "sent.jsonl", func(*reconcile.Claim) error { claims++; return nil })
		if want := max(0, room/len(row)-1); err != nil || !torn || told != 1 || claims < want {
			t.Fatalf("room for %d octets: torn %v, told %d times, %d claims, %v; want %d or more\n%s", room, torn, told, claims, err, want, file.text)
		}
	}
}

package mtalog

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/jsonl"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

var update = flag.Bool("update", false, "write the golden files anew")

// newYear is shortly after the golden logs were written, which have no year in some formats.
var newYear = Options{Until: time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC), Location: time.UTC}

// events reads a log and returns its events as lines of mta.jsonl.
func events(t testing.TB, format, log string) string {
	t.Helper()
	var out []byte
	err := Read(format, strings.NewReader(log), "log", newYear, func(e *Event) error {
		out = e.Append(out)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// Each format's golden log was written by the MTA itself, which relayed to a sink that defers and refuses, until a message expired.
func TestGoldenLogs(t *testing.T) {
	for _, format := range Formats() {
		t.Run(format, func(t *testing.T) {
			log, err := os.ReadFile(filepath.Join("testdata", format+".log"))
			if err != nil {
				t.Fatal(err)
			}
			got := events(t, format, string(log))
			golden := filepath.Join("testdata", format+".jsonl")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil || got != string(want) {
				t.Errorf("%v; the events are now\n%s", err, got)
			}
			for _, event := range []string{Accepted, Deferred, Sent, Bounced, Expired} {
				if !strings.Contains(got, `"event":"`+event+`"`) {
					t.Errorf("nothing was %s", event)
				}
			}
			// What is written is read back the same.
			var again []byte
			err = reconcile.ReadLog(strings.NewReader(got), "mta.jsonl", func(e *reconcile.LogEvent) error {
				again = e.Append(again)
				return nil
			})
			if err != nil || string(again) != got {
				t.Errorf("read back: %v\n%s", err, again)
			}
		})
	}
}

func TestALogOfAnotherFormatIsRefused(t *testing.T) {
	for _, format := range Formats() {
		err := Read(format, strings.NewReader("GET / HTTP/1.1\nHost: x\n"), "access.log", newYear, nil)
		var input *jsonl.InputError
		if !errors.As(err, &input) || !strings.HasPrefix(err.Error(), "access.log:2: ") {
			t.Errorf("%s: %v", format, err)
		}
		if err := Read(format, strings.NewReader(""), "empty.log", newYear, nil); err != nil {
			t.Errorf("%s: an empty log: %v", format, err)
		}
	}
	if err := Read("exchange", strings.NewReader(""), "x", newYear, nil); err == nil || !strings.Contains(err.Error(), "valid: "+strings.Join(Formats(), " ")) {
		t.Errorf("an unknown format: %v", err)
	}
}

func TestPostfixLines(t *testing.T) {
	for _, tt := range []struct{ what, log, want string }{
		{"syslog with RFC 3339 times, a name of its own, a suspended recipient",
			`2026-11-27T01:02:03.5+01:00 mx postfix-out/smtp[1]: 3F2A1: to=<"a>, b"@x.test>, orig_to=<r@y.test>, relay=none, delay=1, delays=1/0/0/0, dsn=4.4.1, status=deferred (delivery temporarily suspended: connect to h[1.2.3.4]:25: Connection refused)`,
			`{"time":"2026-11-27T00:02:03.5Z","queue_id":"3F2A1","event":"suspended","recipient":"\"a>, b\"@x.test","text":"delivery temporarily suspended: connect to h[1.2.3.4]:25: Connection refused"}`},
		{"a line of last December, read in January",
			`Dec 31 23:59:59 mx postfix/smtp[1]: 3F2A1: to=<r@x.test>, relay=h[1.2.3.4]:25, delay=1, delays=1/0/0/0, dsn=2.0.0, status=sent (250 ok)`,
			`{"time":"2025-12-31T23:59:59Z","queue_id":"3F2A1","event":"sent","recipient":"r@x.test","code":250,"text":"250 ok","connection":"h[1.2.3.4]:25"}`},
		{"a probe of verify(8), a rejection, and another program",
			"Nov 27 00:00:00 mx postfix/smtp[1]: 3F2A1: to=<r@x.test>, relay=h[1.2.3.4]:25, delay=1, delays=1/0/0/0, dsn=2.0.0, status=deliverable (250 ok)\n" +
				"Nov 27 00:00:00 mx postfix/smtpd[1]: NOQUEUE: reject: RCPT from h[1.2.3.4]: 550 5.1.1 <r@x.test>: no\nNov 27 00:00:00 mx sshd[1]: hello", ""},
	} {
		if got := events(t, "postfix", tt.log+"\n"); strings.TrimSpace(got) != tt.want {
			t.Errorf("%s:\ngot  %swant %s", tt.what, got, tt.want)
		}
	}
}

func TestEximLines(t *testing.T) {
	for _, tt := range []struct{ what, log, want string }{
		{"a time without a zone, a process, a recipient that became another",
			`2026-11-27 01:02:03 [77] 1xWkPq-0007RW-1M => local <list+x@x.test> R=r T=t H=mx.x.test [192.0.2.1] C="250 2.0.0 taken as 4711" QT=1s`,
			`{"time":"2026-11-27T01:02:03Z","queue_id":"1xWkPq-0007RW-1M","event":"sent","recipient":"list+x@x.test","code":250,"text":"250 2.0.0 taken as 4711","connection":"mx.x.test [192.0.2.1]"}`},
		{"a quoted local part, an additional recipient",
			`2026-11-27 01:02:03.5 +0100 1xWkPq-0007RW-1M -> "a b"@x.test F=<s@x.test> R=r T=t H=mx.x.test [192.0.2.1]:25 C="250 ok"`,
			`{"time":"2026-11-27T00:02:03.5Z","queue_id":"1xWkPq-0007RW-1M","event":"sent","recipient":"\"a b\"@x.test","code":250,"text":"250 ok","connection":"mx.x.test [192.0.2.1]:25"}`},
		{"a reply that names the recipient",
			`2026-11-27 01:02:03 1xWkPq-0007RW-1M ** r@x.test F=<s@x.test> R=r T=t H=mx [192.0.2.1]: SMTP error from remote mail server after RCPT TO:<r@x.test>: 550 5.1.1 <r@x.test>: unknown`,
			`{"time":"2026-11-27T01:02:03Z","queue_id":"1xWkPq-0007RW-1M","event":"bounced","recipient":"r@x.test","code":550,"text":"SMTP error from remote mail server after RCPT TO:<r@x.test>: 550 5.1.1 <r@x.test>: unknown","connection":"mx [192.0.2.1]"}`},
		{"nobody listens at the next hop",
			`2026-11-27 01:02:03 1xWkPq-0007RW-1M == r@x.test R=r T=t defer (111): Connection refused`,
			`{"time":"2026-11-27T01:02:03Z","queue_id":"1xWkPq-0007RW-1M","event":"deferred","recipient":"r@x.test","text":"Connection refused"}`},
		{"the host's retry time is not reached",
			`2026-11-27 01:02:03 1xWkPq-0007RW-1M == r@x.test R=r T=t defer (-53): retry time not reached for any host for 'x.test'`,
			`{"time":"2026-11-27T01:02:03Z","queue_id":"1xWkPq-0007RW-1M","event":"suspended","recipient":"r@x.test","text":"retry time not reached for any host for 'x.test'"}`},
		{"the daemon, a frozen message, a rejection",
			"2026-11-27 01:02:03 exim 4.96 daemon started: pid=1\n2026-11-27 01:02:03 1xWkPq-0007RW-1M Frozen\n2026-11-27 01:02:03 H=(x) [192.0.2.1] F=<s@x.test> rejected RCPT <r@x.test>: no", ""},
	} {
		if got := events(t, "exim", tt.log+"\n"); strings.TrimSpace(got) != tt.want {
			t.Errorf("%s:\ngot  %swant %s", tt.what, got, tt.want)
		}
	}
}

func TestHarakaLines(t *testing.T) {
	const (
		at  = "2026-11-27T01:02:03.004Z "
		msg = "0DC4E8D0-2012-42DD-89C0-52625969D39D.1"
	)
	taken := at + "[NOTICE] [" + msg + "] [core] sender <s@x.test> code=CONT msg=\"\"\n" +
		at + "[NOTICE] [" + msg + "] [core] recipient <a@x.test> code=OK msg=\"\" sender=s@x.test\n" +
		at + "[NOTICE] [" + msg + "] [core] recipient <no@x.test> code=DENY msg=\"\" sender=s@x.test\n" +
		at + "[NOTICE] [" + msg + "] [core] recipient <b@x.test> code=OK msg=\"\" sender=s@x.test\n"
	event := func(event, recipient, rest string) string {
		return `{"time":"2026-11-27T01:02:03.004Z","queue_id":"` + msg + `","event":"` + event + `","sender":"s@x.test","recipient":"` + recipient + `"` + rest + "}\n"
	}
	for _, tt := range []struct{ what, log, want string }{
		{"the second part of a split message, of which the first is still there",
			at + "[INFO] [" + msg + ".2] [outbound] Temp failing 1_1_0_1_x_1_vm for 5 seconds: Tried all MXs\n",
			event("deferred", "b@x.test", `,"text":"Tried all MXs"`)},
		{"a message that isn't split",
			at + "[NOTICE] [" + msg + ".1] [outbound]  delivered file=x domain=x.test host=mx ip=192.0.2.1 port=25 mode=SMTP tls=N auth=N response=\"2.0.0 Ok: queued\" delay=1 fails=0 rcpts=2/0/0\n",
			event("sent", "a@x.test", `,"text":"2.0.0 Ok: queued","connection":"192.0.2.1:25"`) + event("sent", "b@x.test", `,"text":"2.0.0 Ok: queued","connection":"192.0.2.1:25"`)},
		{"a refusal after the dot, and recipients that were named before",
			at + "[INFO] [" + msg + ".1] [outbound] bouncing mail: 554 5.6.0 bad body\n" + at + "[INFO] [" + msg + ".2] [outbound] bouncing mail: Some recipients failed: <b@x.test>\n",
			event("bounced", "a@x.test", `,"code":554,"text":"554 5.6.0 bad body"`)},
	} {
		if got := events(t, "haraka", taken+tt.log); got != tt.want {
			t.Errorf("%s:\ngot  %swant %s", tt.what, got, tt.want)
		}
	}
}

// fuzz holds that a parser doesn't panic, and that what it tells can be read as mta.jsonl.
func fuzz(f *testing.F, format string) {
	f.Helper()
	log, err := os.ReadFile(filepath.Join("testdata", format+".log"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(log)
	for _, line := range bytes.SplitAfter(log, []byte("\n")) {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, log []byte) {
		var out []byte
		_ = Read(format, bytes.NewReader(log), "log", newYear, func(e *Event) error { // any error will do
			if e.Took < -1 || e.Connecting < -1 || e.NullSender && e.Sender != "" {
				t.Errorf("%+v", e)
			}
			if a, ok := e.Attempt(); ok && len(a.Lines) == 0 && a.Failure == Answered {
				t.Errorf("%+v is answered without a line", e)
			}
			out = e.Append(out)
			return nil
		})
		if err := reconcile.ReadLog(bytes.NewReader(out), "mta.jsonl", func(*reconcile.LogEvent) error { return nil }); err != nil {
			t.Errorf("%v, of\n%s", err, out)
		}
	})
}

func FuzzPostfix(f *testing.F)    { fuzz(f, "postfix") }
func FuzzExim(f *testing.F)       { fuzz(f, "exim") }
func FuzzHaraka(f *testing.F)     { fuzz(f, "haraka") }
func FuzzSendmail(f *testing.F)   { fuzz(f, "sendmail") }
func FuzzOpensmtpd(f *testing.F)  { fuzz(f, "opensmtpd") }
func FuzzNullmailer(f *testing.F) { fuzz(f, "nullmailer") }
func FuzzChasquid(f *testing.F)   { fuzz(f, "chasquid") }
func FuzzDma(f *testing.F)        { fuzz(f, "dma") }

// TestEveryFormatIsFuzzed: each has a target of its own, which make fuzz finds.
func TestEveryFormatIsFuzzed(t *testing.T) {
	source, err := os.ReadFile("log_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range Formats() {
		if !bytes.Contains(source, []byte(`fuzz(f, "`+format+`")`)) {
			t.Errorf("no fuzz target for %s", format)
		}
	}
}

// TestSendmailReplyOfSeveralLines: of a reply of several lines sendmail logs the first.
func TestSendmailReplyOfSeveralLines(t *testing.T) {
	const log = "2026-11-27T08:54:10.977587Z localhost sendmail[48]: 6AR8sAKi000043: to=<r@x.test>, delay=00:00:00, xdelay=00:00:00, mailer=relay, pri=31961, relay=[127.0.0.1] [127.0.0.1], " +
		"dsn=5.1.1, reply=550-5.1.1 The email account that you tried to reach does not exist., stat=User unknown\n"
	const want = `{"time":"2026-11-27T08:54:10.977587Z","queue_id":"6AR8sAKi000043","event":"bounced","recipient":"r@x.test","code":550,"text":"User unknown","connection":"[127.0.0.1] [127.0.0.1]"}`
	if got := events(t, "sendmail", log); strings.TrimSpace(got) != want {
		t.Errorf("got  %swant %s", got, want)
	}
}

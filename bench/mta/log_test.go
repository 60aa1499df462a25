package mta

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
var newYear = LogOptions{Until: time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC), Location: time.UTC}

// events reads a log and returns its events as lines of mta.jsonl.
func events(t testing.TB, format, log string) string {
	t.Helper()
	var out []byte
	err := ReadLog(format, strings.NewReader(log), "log", newYear, func(e *reconcile.LogEvent) error {
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
	for _, format := range LogFormats() {
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
			for _, event := range []string{accepted, deferred, sent, bounced, expired} {
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
	for _, format := range LogFormats() {
		err := ReadLog(format, strings.NewReader("GET / HTTP/1.1\nHost: x\n"), "access.log", newYear, nil)
		var input *jsonl.InputError
		if !errors.As(err, &input) || !strings.HasPrefix(err.Error(), "access.log:2: ") {
			t.Errorf("%s: %v", format, err)
		}
		if err := ReadLog(format, strings.NewReader(""), "empty.log", newYear, nil); err != nil {
			t.Errorf("%s: an empty log: %v", format, err)
		}
	}
	if err := ReadLog("exchange", strings.NewReader(""), "x", newYear, nil); err == nil || !strings.Contains(err.Error(), "valid: "+names()) {
		t.Errorf("an unknown format: %v", err)
	}
}

func TestPostfixLines(t *testing.T) {
	for _, tt := range []struct{ what, log, want string }{
		{"syslog with RFC 3339 times, a name of its own, a suspended recipient",
			`2026-11-27T01:02:03.5+01:00 mx postfix-out/smtp[1]: 3F2A1: to=<"a>, b"@x.test>, orig_to=<r@y.test>, relay=none, delay=1, delays=1/0/0/0, dsn=4.4.1, status=deferred (delivery temporarily suspended: connect to h[1.2.3.4]:25: Connection refused)`,
			`{"time":"2026-11-27T01:02:03.5+01:00","queue_id":"3F2A1","event":"suspended","recipient":"\"a>, b\"@x.test","text":"delivery temporarily suspended: connect to h[1.2.3.4]:25: Connection refused"}`},
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

// FuzzLog holds that no parser panics, and that what it tells can be read as mta.jsonl.
func FuzzLog(f *testing.F) {
	for i, format := range LogFormats() {
		log, err := os.ReadFile(filepath.Join("testdata", format+".log"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(i, log)
		for _, line := range bytes.SplitAfter(log, []byte("\n")) {
			f.Add(i, line)
		}
	}
	f.Fuzz(func(t *testing.T, i int, log []byte) {
		formats := LogFormats()
		format := formats[uint(i)%uint(len(formats))]
		var out []byte
		_ = ReadLog(format, bytes.NewReader(log), "log", newYear, func(e *reconcile.LogEvent) error { // any error will do
			out = e.Append(out)
			return nil
		})
		if err := reconcile.ReadLog(bytes.NewReader(out), "mta.jsonl", func(*reconcile.LogEvent) error { return nil }); err != nil {
			t.Errorf("%v, of\n%s", err, out)
		}
	})
}

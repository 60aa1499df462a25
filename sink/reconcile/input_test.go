package reconcile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/jsonl"
	"github.com/smtpstorm/xk6-smtp/sink/ledger"
)

// TestQueueListings reads what MTAs print as it is.
func TestQueueListings(t *testing.T) {
	const want = "a@x>r1@y a@x>r2@y >b@z"
	for name, text := range map[string]string{
		"ours": `{"sender":"a@x","recipient":"r1@y"}` + "\n\n" + `{"token":"","sender":"a@x","recipient":"r2@y","kind":"message","extra":[1]}` + "\n" + `{"sender":"","recipient":"b@z"}`,
		"postqueue -j": `{"queue_name": "deferred", "queue_id": "4Zq1", "arrival_time": 1769854830, "message_size": 500, "forced_expire": false, "sender": "a@x", "recipients": [{"address": "r1@y", "delay_reason": "busy"}, {"address": "r2@y"}]}
{"queue_name": "active", "queue_id": "4Zq2", "arrival_time": 1769854830, "message_size": 500, "sender": "MAILER-DAEMON", "recipients": [{"address": "b@z"}]}
`,
		"exim -bp": ` 2m  1.2K 1vLxYz-0000Ab-Cd <a@x>
          r1@y
        D done@y
          r2@y

 3h   800 1vLxYz-000000001Ab-Cd3E <> *** frozen ***
          b@z

`,
		"smtpctl show queue": `1f0e|inet4|mta||a@x|r1@y|r1@y|1769854830|1770200430|0|1|pending|1200|
1f0f|inet4|mta||a@x|R2@y|r2@y|1769854830|1770200430|0|1|inflight|12|busy
1f10|local|bounce|||b@z|b@z|1769854830|1770200430|0|1|pending|1200|
`,
	} {
		var got []string
		err := ReadQueue(strings.NewReader(text), name, func(q *QueueEntry) error {
			if q.Sender == "" && !q.NullSender && !q.DSN {
				t.Errorf("%s: %+v has no sender", name, q)
			}
			got = append(got, q.Sender+">"+q.Recipient)
			return nil
		})
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: %q, %v; want %s", name, got, err, want)
		}
	}
	if err := ReadQueue(strings.NewReader("Mail queue is empty\n\nMail queue is empty\n"), "q", nil); err != nil {
		t.Error(err)
	}
	for _, text := range []string{"hello\n", `{"recipient":"r"}`, `{"sender":"a"}`, `{"sender":"a","recipient":"r","kind":"bounce"}`, "1769854830123_1769854890123_1_42_abc_7_host\nhello\n", " 2m  1.2K 1vLxYz-0000Ab-Cd <a@x>\n what is this\n",
		"Mail queue is empty\n-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------\n"} {
		var input *jsonl.InputError
		if err := ReadQueue(strings.NewReader(text), "q", func(*QueueEntry) error { return nil }); !errors.As(err, &input) || input.Line == 0 {
			t.Errorf("%q: %v, want an error that names the line", text, err)
		}
	}
}

// A listing of Haraka's directory says how many messages there are, and not which: nothing is called lost then.
func TestUnnamedListing(t *testing.T) {
	b := newHistory().claim(tok, rcpt).claim(tok, "r2@a.example").attempt(1, 1, tok, rcpt, 250).close(1, yes)
	err := ReadQueue(strings.NewReader("/var/haraka/queue/1769854830123_1769854890123_1_42_abcDEF_7_host.example\n"), "q", func(q *QueueEntry) error {
		b.queue = append(b.queue, *q)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := b.judge(t); said(got) != "1 delivered, 1 undetermined, exit 3" || !strings.Contains(strings.Join(got.Lacking, " "), "entries that don't say whose they are (1)") {
		t.Errorf("got %s, lacking %v", said(got), got.Lacking)
	}
}

// TestBadInputs names file, line and key.
func TestBadInputs(t *testing.T) {
	read := map[string]func(io.Reader) error{
		"sent":      func(r io.Reader) error { _, err := ReadClaims(r, "f", func(*Claim) error { return nil }); return err },
		"dsn":       func(r io.Reader) error { return ReadNotifications(r, "f", func(*Notification) error { return nil }) },
		"incidents": func(r io.Reader) error { return ReadIncidents(r, "f", func(*Incident) error { return nil }) },
		"mta":       func(r io.Reader) error { return ReadLog(r, "f", func(*LogEvent) error { return nil }) },
	}
	for _, test := range []struct{ file, line, want string }{
		{"sent", `{"recipient":"r"}`, `f:1: key "token": missing`}, {"sent", `{"token":"a","recipient":""}`, `f:1: key "recipient": is empty`},
		{"sent", `{"token":"a","recipient":1}`, `f:1: key "recipient": a number where a string is due`}, {"sent", `{"token":"a","recipient":"r","ack":"maybe"}`, `f:1: key "ack": unknown value "maybe" (valid: yes no unknown)`}, {"sent", `{"token":"a","recipient":"r","ack":true}`, `f:1: key "ack": a boolean where a string is due (valid: yes no unknown)`},
		{"sent", `{"token":"a","recipient":"r","body_xxh64":"12"}`, `f:1: key "body_xxh64": "12" is not a hash`}, {"sent", `{"token":"a","recipient":"r","sent":"now"}`, `f:1: key "sent": "now" is no time`},
		{"sent", `{"token":"a","recipient":"r","delivered_to":[1]}`, `f:1: key "delivered_to": neither`}, {"sent", `{"token":"a","recipient":"r","eight_bit":1}`, `f:1: key "eight_bit"`},
		{"sent", `nonsense`, `f:1: not a JSON object`}, {"sent", `{"token":null,"recipient":"r"}`, `f:1: key "token": missing`},
		{"dsn", `{"recipient":"r"}`, `f:1: key "action": missing`}, {"dsn", `{"recipient":"r","action":"bounced"}`, `f:1: key "action": unknown action "bounced"`},
		{"incidents", `{"what":"kill","who":"mta"}`, `f:1: key "time": missing`}, {"incidents", `{"time":"2026-01-31T10:20:30Z","what":"crash","who":"mta"}`, `f:1: key "what": unknown value "crash" (valid: kill`},
		{"mta", `{"time":"2026-01-31T10:20:30Z","queue_id":"1","event":"lost"}`, `f:1: key "event": unknown value "lost"`},
	} {
		err := read[test.file](strings.NewReader(test.line))
		var input *jsonl.InputError
		if !errors.As(err, &input) || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s of %s: %v, want %s", test.line, test.file, err, test.want)
		}
	}
}

// Statuses and recipients may be written as RFC 3464 allows; a status that can't be read is a finding, and no reason to stop.
func TestNotificationsAsRFC3464WritesThem(t *testing.T) {
	var got []string
	text := `{"recipient":"rfc822; r1@x","action":"Failed (permanently)","status":"5.1.1 (user unknown)"}
{"recipient":"r2@x","action":"failed","status":"550","original_recipient":"rfc822;o@x"}
{"recipient":"RFC822 (x) ;<r3@x>","action":"delayed"}
`
	err := ReadNotifications(strings.NewReader(text), "f", func(n *Notification) error {
		got = append(got, fmt.Sprintf("%s %s %s %v", n.Recipient, n.Action, n.Status, n.Malformed != ""))
		return nil
	})
	if want := "[r1@x failed 5.1.1 false r2@x failed  true r3@x delayed  false]"; err != nil || fmt.Sprint(got) != want {
		t.Errorf("got %v, %v; want %s", got, err, want)
	}
	b := newHistory().claim(tok, rcpt).attempt(1, 1, tok, rcpt, 451, atRcpt).close(1, yes)
	b.dsns = []Notification{{Recipient: rcpt, Action: "failed", Malformed: "x"}}
	if r, _ := b.judge(t); said(r) != "1 expired, warning dsn-malformed 1, exit 0" {
		t.Errorf("got %s", said(r))
	}
}

func FuzzInputs(f *testing.F) {
	for _, name := range []string{"sent.jsonl", "queue.jsonl", "dsn.jsonl", "incidents.jsonl", "mta.jsonl", "ledger.jsonl"} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(" 2m  1.2K 1vLxYz-0000Ab-Cd <a@x>\n          r1@y\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		in := func() ledger.Input { return ledger.Input{Name: "file", R: bytes.NewReader(text)} }
		none := func() ledger.Input { return ledger.Input{Name: "none", R: strings.NewReader("")} }
		for _, inputs := range []Inputs{{Claims: in()}, {Claims: none(), Queue: in()}, {Claims: none(), DSNs: in()}, {Claims: none(), Incidents: in()}, {Claims: none(), Log: in()}, {Claims: none(), Ledgers: []ledger.Input{in()}}} {
			got, err := Reconcile(inputs, Options{})
			var input *jsonl.InputError
			if err != nil && (!errors.As(err, &input) || input.File != "file" || strings.Contains(err.Error(), "\n")) {
				t.Errorf("not one line about the file: %q", err)
			}
			if err != nil {
				continue
			}
			var sum uint64
			for _, n := range got.Fates {
				sum += n
			}
			if sum != got.Units {
				t.Errorf("%d units have %d fates", got.Units, sum)
			}
		}
	})
}

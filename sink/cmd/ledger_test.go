package cmd

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// example returns the path of an example that sink/ledger keeps.
func example(name string) string { return filepath.Join("..", "reconcile", "testdata", name) }

func TestLedgerReconcile(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	arrived := write("arrived.jsonl", `{"token":"s+run-1@src.bench.test","recipient":"r1@a.bench.test"}`+"\n")
	misspelt := write("misspelt.jsonl", "\n"+`{"token":"s+run-1@src.bench.test","recipent":"r1@a.bench.test"}`+"\n")
	postqueue := write("postqueue.json", `{"queue_name": "deferred", "queue_id": "4Zq1", "arrival_time": 1769854830, "message_size": 500, "forced_expire": false, "sender": "s+run-1@src.bench.test", "recipients": [{"address": "r1@a.bench.test", "delay_reason": "busy"}]}`+"\n")
	watched := write("watched.jsonl", `{"listing":"2026-01-31T10:20:30Z"}`+"\n")
	eml := write("dsn.eml", "From: MAILER-DAEMON@mx.example\r\nTo: s+run-1@src.bench.test\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=\"b\"\r\n\r\n"+
		"--b\r\n\r\nIt failed.\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example\r\n\r\nFinal-Recipient: rfc822; r1@a.bench.test\r\n"+
		"Action: failed\r\nStatus: 5.1.1 (user unknown)\r\n--b--\r\n")
	notEML := write("not.eml", "Subject: hello\r\n\r\nhello\r\n")
	torn := write("torn.jsonl", "hello")
	tests := []struct {
		name   string
		args   []string
		status int
		out    string
		err    string
	}{
		{"something is lost", []string{"reconcile", example("ledger.jsonl"), "--sent", example("sent.jsonl"), "--queue", example("queue.jsonl"), "--dsn", example("dsn.jsonl")},
			exitFailed, "FAULTS in 8 units: 1 lost, 1 duplicated; 1 still queued\n", "smtpsink: FAULTS in 8 units: 1 lost, 1 duplicated"},
		{"the sender's own listing", []string{"reconcile", example("ledger.jsonl"), "--sent", arrived, "--queue", postqueue}, 0, "warning: queued-although-delivered, 1 unit", ""},
		{"the sender's own listing, of before the delivery", []string{"reconcile", example("ledger.jsonl"), "--sent", arrived, "--queue", postqueue, "--queue-at", "2020-01-31T10:20:30Z"}, 0, "SOUND: all 1 unit accounted for", ""},
		{"a time of no listing", []string{"reconcile", example("ledger.jsonl"), "--sent", arrived, "--queue-at", "2020-01-31T10:20:30Z"}, exitUsage, "", "--queue-at: it says when the file of --queue was listed"},
		{"a time that is none", []string{"reconcile", example("ledger.jsonl"), "--sent", arrived, "--queue", postqueue, "--queue-at", "now"}, exitUsage, "", `--queue-at: "now" is no time such as`},
		{"a listing of two times", []string{"reconcile", example("ledger.jsonl"), "--sent", arrived, "--queue", watched, "--queue-at", "2020-01-31T10:20:30Z"}, exitUsage, "", watched + `:1: key "listing": the file says itself`},
		{"nothing is known of the queue", []string{"reconcile", example("ledger.jsonl"), "--sent", example("sent.jsonl"), "--dsn", example("dsn.jsonl"), "--fail-on", "undetermined"},
			3, "not known: the queue was not seen empty", "smtpsink: FAULTS in 8 units: 1 duplicated; 2 more undetermined"},
		{"a notification as it came", []string{"reconcile", example("ledger.jsonl"), "--sent", arrived, "--dsn", eml}, exitFailed, "fault: dsn-forged, 1 unit", "1 dsn-forged"},
		{"a policy that was broken", []string{"reconcile", example("ledger.jsonl"), "--sent", arrived, "--minimal-backoff", "-1s"}, exitUsage, "", "want 0 or more"},
		{"an unknown finding", []string{"reconcile", example("ledger.jsonl"), "--sent", arrived, "--fail-on", "loss"}, exitUsage, "", `--fail-on: unknown name "loss" (valid: faults`},
		{"no notification", []string{"reconcile", example("ledger.jsonl"), "--sent", arrived, "--dsn", notEML}, exitUsage, "", notEML + ": no multipart message"},
		{"all arrived", []string{"reconcile", example("ledger.jsonl"), "--sent", arrived}, 0, "SOUND: all 1 unit accounted for", ""},
		{"no claims", []string{"reconcile", example("ledger.jsonl")}, exitUsage, "", "--sent FILE is missing"},
		{"no ledger", []string{"reconcile", "--sent", arrived}, exitUsage, "", "no file given (want a ledger, or several)"},
		{"missing file", []string{"reconcile", example("ledger.jsonl"), "--sent", "nowhere.jsonl"}, exitUsage, "", "nowhere.jsonl: no such file"},
		{"key misspelt, and units wanted", []string{"reconcile", example("ledger.jsonl"), "--sent", misspelt, "--units", filepath.Join(t.TempDir(), "units.jsonl")}, exitUsage, "", "smtpsink: " + misspelt + `:2: key "recipient": missing`},
		{"key misspelt", []string{"reconcile", example("ledger.jsonl"), "--sent", misspelt}, exitUsage, "", misspelt + `:2: key "recipient": missing`},
		{"not a ledger", []string{"summarize", torn}, exitUsage, "", torn + ":1: not a ledger"},
		{"no command", nil, exitUsage, "", "valid: summarize reconcile"},
		{"summary", []string{"summarize", example("ledger.jsonl")}, 0, "rows of kind attempt                12", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			out, errs, status := invoke(t, append([]string{"ledger"}, test.args...)...)
			if status != test.status || !strings.Contains(out, test.out) || !strings.Contains(errs, test.err) || strings.Count(errs, "\n") > 1 {
				t.Errorf("status %d, want %d\nstdout (want %q):\n%s\nstderr (want %q):\n%s", status, test.status, test.out, out, test.err, errs)
			}
		})
	}
}

func TestLedgerAsJSON(t *testing.T) {
	for _, args := range [][]string{
		{"ledger", "summarize", "--json", example("ledger.jsonl")},
		{"ledger", "reconcile", "--json", example("ledger.jsonl"), "--sent", example("sent.jsonl")},
	} {
		out, _, _ := invoke(t, args...)
		var value struct {
			Runs    int            `json:"runs"`
			Figures map[string]int `json:"figures"`
		}
		if err := json.Unmarshal([]byte(out), &value); err != nil || value.Runs+value.Figures["runs"] != 2 {
			t.Errorf("%v: %v, %+v, want 2 runs", args, err, value)
		}
	}
}

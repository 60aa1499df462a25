package dsn

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/count"
	"github.com/smtpstorm/xk6-smtp/sink/event"
)

func open(t *testing.T, path string) *Dir {
	t.Helper()
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func keep(t *testing.T, d *Dir, to, text string) {
	t.Helper()
	octets := []byte(crlf(text))
	if err := d.Keep(&Message{To: to, Octets: octets, Size: int64(len(octets)), Time: time.Date(2026, 1, 31, 10, 20, 31, 500, time.UTC)}, nil); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, elem ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(elem...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// rows reads dsn.jsonl.
func rows(t *testing.T, path string) (all []event.Notification) {
	t.Helper()
	for line := range strings.Lines(read(t, path, RowsFile)) {
		var n event.Notification
		if err := json.Unmarshal([]byte(line), &n); err != nil {
			t.Fatal(err)
		}
		all = append(all, n)
	}
	return all
}

// TestKeep: a notification is kept as it came, with a row for each recipient; its sender's name and time are those of the envelope.
func TestKeep(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new")
	d := open(t, path)
	keep(t, d, "s+run-1@envelope.example", postfix)
	if got := read(t, path, WholeDir, "000001.eml"); got != crlf(postfix) {
		t.Errorf("the notification is kept as %q", got)
	}
	all := rows(t, path)
	if len(all) != 4 {
		t.Fatalf("%d rows, want 4: %+v", len(all), all)
	}
	want := event.Notification{
		ID:    "<20260131102030.9F1A@mx.example>",
		Token: "order+2B17", Sender: "s+run-1@envelope.example", StormID: "run-1", MessageID: "<1@src.example>",
		Recipient: "r1@a.example", Original: "r1+x@a.example", Action: "failed", Status: "5.1.1", Time: time.Date(2026, 1, 31, 10, 20, 31, 500, time.UTC),
	}
	if all[0] != want {
		t.Errorf("the first row is\n%+v, want\n%+v", all[0], want)
	}
	if all[3].Malformed == "" || !strings.Contains(read(t, path, RowsFile), `"file":"dsn/000001.eml"`) {
		t.Errorf("the rows are\n%s", read(t, path, RowsFile))
	}
	if got := d.Stats(); got != (count.Notifications{Notifications: 1, Recipients: 4, Malformed: 2}) {
		t.Errorf("the counts are %+v", got)
	}
}

// A report of another kind is kept, but has no row.
func TestKeepOtherReport(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notifications")
	d := open(t, path)
	keep(t, d, "s@c.example", "Content-Type: multipart/report; report-type=disposition-notification; boundary=b\n\n--b\nContent-Type: message/disposition-notification\n\nDisposition: x\n\n--b--\n")
	if text := read(t, path, RowsFile); text != "" {
		t.Errorf("rows %q, want none", text)
	}
	if got := d.Stats(); got != (count.Notifications{Notifications: 1}) {
		t.Errorf("counted %+v", got)
	}
}

// TestKeepMalformed: what can't be read is kept as well, and its row says why, so that nobody claims that there was none.
func TestKeepMalformed(t *testing.T) {
	report := func(fields string) string {
		return "Content-Type: multipart/report; boundary=b\n\n--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; x\n\n" + fields + "\n--b--\n"
	}
	for _, test := range []struct{ name, text, says, recipient, action string }{
		{"no message", "no message at all", "not a message", "", ""},
		{"empty", "", "not a message", "", ""},
		{"in words only", "Subject: failure notice\n\nSorry, it wasn't delivered.\n", "no multipart message", "", ""},
		{"unknown action", report("Final-Recipient: rfc822; r@a.example\nAction: gone\nStatus: 5.0.0\n"), `unknown action "gone"`, "r@a.example", "failed"},
		{"no recipient", report("Action: failed\nStatus: 5.0.0\n"), "no Final-Recipient", "", "failed"},
		{"endless recipient", report("Final-Recipient: rfc822; " + strings.Repeat("r", 2000) + "@a.example\nAction: failed\n"), "998", strings.Repeat("r", 998), "failed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := t.TempDir()
			d := open(t, path)
			keep(t, d, "s@c.example", test.text)
			all := rows(t, path)
			if len(all) != 1 || !strings.Contains(all[0].Malformed, test.says) || all[0].Recipient != test.recipient || all[0].Action != test.action || all[0].Sender != "s@c.example" {
				t.Errorf("the rows are %+v, want one for %q that says %q", all, test.recipient, test.says)
			}
			if got := d.Stats().Malformed; got != 1 {
				t.Errorf("%d malformed were counted, want 1", got)
			}
		})
	}
}

// TestGoOn: a directory of an earlier sink is gone on with, and what that has left unfinished is dropped.
func TestGoOn(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	keep(t, d, "s@c.example", postfix)
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), "another sink") {
		t.Errorf("a second sink got %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	before := read(t, path, RowsFile)
	if err := os.WriteFile(filepath.Join(path, RowsFile), []byte(before+`{"sender":"s@c.ex`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(path, WholeDir, ".000002.eml"), []byte("a part"), 0o600); err != nil {
		t.Fatal(err)
	}
	d = open(t, path)
	if got := read(t, path, RowsFile); got != before {
		t.Errorf("the rows are\n%s, want\n%s", got, before)
	}
	keep(t, d, "s@c.example", postfix)
	if got := len(rows(t, path)); got != 8 {
		t.Errorf("%d rows, want 8", got)
	}
	files, err := os.ReadDir(filepath.Join(path, WholeDir))
	if err != nil || len(files) != 2 || files[1].Name() != "000002.eml" {
		t.Errorf("the notifications are %v, %v", files, err)
	}
}

// TestOpenReplacesNothing: what is no directory of notifications stays as it is.
func TestOpenReplacesNothing(t *testing.T) {
	file := func(t *testing.T, elem ...string) string {
		t.Helper()
		path := filepath.Join(elem...)
		if err := os.WriteFile(path, []byte("the user's own\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, test := range []struct {
		name, says string
		make       func(dir string) (path, own string)
	}{
		{"a file", "not a directory", func(dir string) (string, string) { f := file(t, dir, "f"); return f, f }},
		{"a file in the place of dsn", "not a directory", func(dir string) (string, string) { return dir, file(t, dir, WholeDir) }},
		{"a file in the place of dsn.jsonl", "does not hold rows", func(dir string) (string, string) { return dir, file(t, dir, RowsFile) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			path, own := test.make(t.TempDir())
			if _, err := Open(path); err == nil || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v, want an error that says %q and names the path", err, test.says)
			}
			if got := read(t, own); got != "the user's own\n" {
				t.Errorf("the file holds %q now", got)
			}
		})
	}
	if _, err := Open(filepath.Join(t.TempDir(), "no", "such")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v for a directory below one that isn't there", err)
	}
}

// TestKeepFails: a notification that could not be kept leaves nothing, and the next one is kept.
func TestKeepFails(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	whole := filepath.Join(path, WholeDir)
	if err := os.Rename(whole, whole+"-away"); err != nil {
		t.Fatal(err)
	}
	m := &Message{To: "s@c.example", Octets: []byte(crlf(postfix)), Time: time.Now()}
	if err := d.Keep(m, nil); err == nil {
		t.Error("nothing failed without a directory")
	}
	if err := os.Rename(whole+"-away", whole); err != nil {
		t.Fatal(err)
	}
	if err := d.Keep(m, func() bool { return false }); !errors.Is(err, ErrUnwanted) {
		t.Errorf("got %v for what nobody waits for", err)
	}
	if files, err := os.ReadDir(whole); err != nil || len(files) != 0 || len(rows(t, path)) != 0 {
		t.Errorf("left are %v, %v", files, err)
	}
	if err := d.Keep(m, nil); err != nil {
		t.Error(err)
	}
	if got := d.Stats(); got.Failed != 1 || got.Notifications != 1 || got.Error == "" || len(rows(t, path)) != 4 {
		t.Errorf("the counts are %+v", got)
	}
}

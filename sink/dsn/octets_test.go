package dsn

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A row holds any octets, and every key that there is.
func TestRowsHoldOctets(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	keep(t, d, "s\xff\"@src.test", "Message-ID: <n1@mx.test>\nFrom: mx\nTo: x@y\nContent-Type: multipart/report; boundary=b\n\n--b\nContent-Type: message/delivery-status\n\nOriginal-Envelope-Id: e1\n\n"+
		"Final-Recipient: rfc822; r\xfe@a.test\nOriginal-Recipient: rfc822; o@a.test\nAction: failed\nStatus: 5.1.1\n\n--b\nContent-Type: text/rfc822-headers\n\nX-Storm-Id: st\nMessage-Id: <m@x>\n\n--b--\n")
	text, err := os.ReadFile(filepath.Join(dir, RowsFile))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"notification_id":"<n1@mx.test>","token":"e1","sender":"s\udcff\"@src.test","storm_id":"st","message_id":"<m@x>","recipient":"r\udcfe@a.test",` +
		`"original_recipient":"o@a.test","action":"failed","status":"5.1.1","time":"2026-01-31T10:20:31.0000005Z","file":"dsn/000001.eml"}` + "\n"
	if string(text) != want || !json.Valid([]byte(strings.TrimSpace(string(text)))) {
		t.Errorf("got  %swant %s", text, want)
	}
	_ = d.Close()
	open(t, dir)
}

package mta

import (
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// What a daemon says to syslog(3) becomes a line with a precise time, whatever it has in it.
func TestSyslogLines(t *testing.T) {
	now := time.Date(2026, 11, 27, 3, 25, 30, 123456000, time.UTC)
	for _, tt := range []struct{ said, want string }{
		{"<22>Nov 27 03:25:30 sendmail[13]: text", "2026-11-27T03:25:30.123456Z localhost sendmail[13]: text\n"},
		{"<22>Nov  7 03:25:30 smtpd[1]: two\nlines\n\x00", "2026-11-27T03:25:30.123456Z localhost smtpd[1]: two lines\n"},
		{"bare", "2026-11-27T03:25:30.123456Z localhost bare\n"},
		{"<22>", "2026-11-27T03:25:30.123456Z localhost \n"},
	} {
		if got := string(syslogLine([]byte(tt.said), now)); got != tt.want {
			t.Errorf("%q becomes %q, want %q", tt.said, got, tt.want)
		}
	}
}

// All that was said before Close is in the file.
func TestSyslogLosesNothingOnClose(t *testing.T) {
	dir := t.TempDir()
	s, err := openSyslog(dir+"/log", dir+"/file")
	if err != nil {
		t.Fatal(err)
	}
	const n = 5
	for range n {
		sayTo(t, dir+"/log", "<22>Nov 27 03:25:30 x[1]: y")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	text, err := os.ReadFile(dir + "/file")
	if got := strings.Count(string(text), "localhost x[1]: y\n"); got != n || err != nil {
		t.Errorf("%d lines of %d, %v", got, n, err)
	}
}

func sayTo(t *testing.T, socket, text string) {
	t.Helper()
	conn, err := net.Dial("unixgram", socket)
	if err == nil {
		_, err = conn.Write([]byte(text))
		err = errors.Join(err, conn.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

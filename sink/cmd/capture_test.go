package cmd

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/capture"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// TestCaptureFiles: each message is a file with its own octets, and beside it stands what is known of it.
func TestCaptureFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mail")
	p := start(t, 1, "--listen", "127.0.0.1:0", "--capture", dir, "--capture-count", "2", "--reply", "message=550/5.7.1", "--json")
	for range 3 {
		if err := deliver(t, p.addr[0]); err == nil {
			t.Fatal("the message is refused after its body")
		}
	}
	stdout, stderr, status := p.stop(syscall.SIGTERM)
	var stats sink.Stats
	if err := json.Unmarshal([]byte(stdout), &stats); err != nil || status != 0 {
		t.Fatal(err, status, stderr)
	}
	if c := stats.Captures; c == nil || c.Messages != 3 || c.Kept != 2 || c.Dropped != 1 {
		t.Errorf("the counts are %+v", c)
	}
	names, err := filepath.Glob(filepath.Join(dir, "0*")) // in order; the first message may have had to go before it was written
	if err != nil || len(names) != 4 || filepath.Ext(names[2]) != ".eml" || filepath.Ext(names[3]) != ".json" {
		t.Fatal(err, names)
	}
	var known capture.Message
	text, err := os.ReadFile(names[3])
	if err == nil {
		err = json.Unmarshal(text, &known)
	}
	octets, err2 := os.ReadFile(names[2])
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	if known.Size != int64(len(octets)) || len(known.Recipients) != 1 || known.Recipients[0].Code != 550 || known.Recipients[0].Delivered {
		t.Errorf("known is %s of %q", text, octets)
	}
}

// TestCaptureOnAFullDisk: mail goes on, and what could not be kept is counted and told once.
func TestCaptureOnAFullDisk(t *testing.T) {
	unshare := sinktest.RequireTool(t, "unshare", "util-linux")
	if os.Getuid() != 0 {
		sinktest.Missing(t, "no right to mount a small disk")
	}
	dir := t.TempDir()
	p := startIn(t, []string{unshare, "--mount", "sh", "-c", `mount -t tmpfs -o size=64k none "$0" && exec "$@"`, dir}, 1,
		"--listen", "127.0.0.1:0", "--capture", filepath.Join(dir, "mail"), "--json")
	c, in := dial(t, p.addr[0])
	readReply(t, in, "220 ")
	say(t, c, "HELO client.test\r\n")
	readReply(t, in, "250 ")
	for range 20 {
		for _, s := range [][2]string{{"MAIL FROM:<a@sender.test>\r\n", "250 "}, {"RCPT TO:<b@recipient.test>\r\n", "250 "}, {"DATA\r\n", "354 "},
			{strings.Repeat("0123456\r\n", 1000) + ".\r\n", "250 "}} {
			say(t, c, s[0])
			readReply(t, in, s[1])
		}
	}
	stdout, stderr, status := p.stop(syscall.SIGTERM)
	var stats sink.Stats
	if err := json.Unmarshal([]byte(stdout), &stats); err != nil || status != 0 {
		t.Fatal(err, status, stderr)
	}
	captures := stats.Captures
	if captures.Failed == 0 || captures.Kept == 0 || captures.Kept+captures.Failed != 20 || !strings.Contains(captures.Error, "no space left") {
		t.Errorf("the counts are %+v", captures)
	}
	if n := strings.Count(stderr, "messages can't be captured"); n != 1 {
		t.Errorf("it is told %d times: %s", n, stderr)
	}
}

func TestCaptureFlags(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"--capture", "memory:1"}, `--capture: "1" is too little, or no bound (want 64KiB or more)`},
		{[]string{"--capture", "memory:none"}, `--capture: "none" is too little, or no bound (want 64KiB or more)`},
		{[]string{"--capture", "memory:x"}, `--capture: invalid size "x" (want octets such as 1000000, or 64KiB, 50MiB, 1GiB, or none)`},
		{[]string{"--capture", "memory"}, `--capture: "memory" without a size (want a directory, or memory:SIZE such as memory:64MiB; a directory of that name is ./memory)`},
		{[]string{"--capture", "d", "--capture-size", "1KiB"}, `--capture-size: "1KiB" is too little, or no bound (want 64KiB or more)`},
		{[]string{"--capture", "memory:1MiB", "--capture-size", "1MiB"}, `--capture-size: it goes with a directory only; --capture memory:SIZE says how much itself`},
		{[]string{"--capture-count", "5"}, `--capture-count: there is no --capture that it could apply to`},
		{[]string{"--capture", "d", "--capture-count", "0"}, `--capture-count: invalid number 0 (want 1 or more)`},
		{[]string{"--capture", file}, fmt.Sprintf("--capture %s: %s: it is not a directory", file, file)},
	} {
		_, stderr, status := invoke(t, append(test.args, "--listen", "127.0.0.1:0")...)
		if got := oneLine(t, stderr); status != 2 || !strings.HasPrefix(got, test.want) {
			t.Errorf("%v: status %d, %q, want %q", test.args, status, got, test.want)
		}
	}
}

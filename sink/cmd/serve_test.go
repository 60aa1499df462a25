package cmd

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink"
)

func TestServe(t *testing.T) {
	plan := filepath.Join(t.TempDir(), "plan.yaml")
	if err := os.WriteFile(plan, []byte("version: 1\nname: no-six\nseed: 3\nrules:\n  - {name: six, stage: rcpt, match: {listener: six}, reply: 550}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name  string
		args  []string
		says  string // on stderr, after what it listens on
		codes []int  // per listener: the code that a client gets; 0 is success
	}{
		{"default", []string{"--listen", "127.0.0.1:0"}, "accepting everything", []int{0}},
		{"net driver", []string{"--listen", "127.0.0.1:0", "--driver", "net"}, "accepting everything", []int{0}},
		{"two loops", []string{"--listen", "127.0.0.1:0", "--loops", "2"}, "accepting everything", []int{0}},
		{"mode", []string{"--listen", "127.0.0.1:0", "--mode", "offline", "--at", "connect"}, `connect: 521 100% (rule "mode offline at connect", seed 0)`, []int{521}},
		{"replies", []string{"--listen", "127.0.0.1:0", "--reply", "rcpt=550/5.1.1", "--seed", "9"}, `rcpt: 550 100% (rule "reply rcpt", seed 9)`, []int{550}},
		{"delay", []string{"--listen", "127.0.0.1:0", "--delay", "data=uniform(1ms,2ms)"}, `data: 354 100% after uniform(1ms,2ms) (rule "delay data", seed 0)`, []int{0}},
		{"plan, two listeners", []string{"--listen", "four=127.0.0.1:0", "--listen", "six=[::1]:0", "--plan", plan}, `rcpt: 550 100% (rule "six", seed 3)`, []int{0, 550}},
		{"plan with another seed", []string{"--listen", "127.0.0.1:0", "--plan", plan, "--seed", "4"}, `rcpt: 550 100% (rule "six", seed 4)`, []int{0}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := start(t, len(test.codes), append(test.args, "--json")...)
			if line := p.line(); line != "smtpsink: "+test.says+"\n" {
				t.Errorf("the program says %q, want %q", line, test.says)
			}
			for i, code := range test.codes {
				checkCode(t, deliver(t, p.addr[i]), code)
			}
			stdout, stderr, status := p.stop(syscall.SIGTERM)
			if status != 0 || !strings.Contains(stderr, "terminated") {
				t.Errorf("after SIGTERM: exit status %d, stderr %q", status, stderr)
			}
			var stats sink.Stats
			if err := json.Unmarshal([]byte(stdout), &stats); err != nil {
				t.Fatalf("--json: %v in %q", err, stdout)
			}
			if stats.Connections != uint64(len(test.codes)) || stats.Open != 0 || len(stats.Replies) == 0 {
				t.Errorf("counters: %+v", stats)
			}
		})
	}
}

// checkCode checks the error of net/smtp, which begins with the code.
func checkCode(t *testing.T, err error, want int) {
	t.Helper()
	if want == 0 && err != nil {
		t.Errorf("delivery failed: %v", err)
	}
	if want != 0 && (err == nil || !strings.HasPrefix(err.Error(), fmt.Sprint(want))) {
		t.Errorf("delivery ended with %v, want code %d", err, want)
	}
}

func TestSignalsDrain(t *testing.T) {
	for _, signal := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		p := start(t, 1, "--listen", "127.0.0.1:0")
		idle, idleIn := dial(t, p.addr[0])
		busy, busyIn := dial(t, p.addr[0])
		readReply(t, idleIn, "220 ")
		readReply(t, busyIn, "220 ")
		say(t, busy, "HELO client.test\r\n")
		readReply(t, busyIn, "250 ")
		say(t, busy, "MAIL FROM:<a@sender.test>\r\n")
		readReply(t, busyIn, "250 ")

		if err := p.cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		readReply(t, idleIn, "421 ")
		_ = idle.Close()
		say(t, busy, "RCPT TO:<b@recipient.test>\r\n")
		readReply(t, busyIn, "250 ")
		say(t, busy, "DATA\r\n")
		readReply(t, busyIn, "354 ")
		say(t, busy, "body\r\n.\r\n")
		readReply(t, busyIn, "250 ")
		readReply(t, busyIn, "421 ")
		_ = busy.Close()

		stdout, _, status := p.wait()
		if status != 0 {
			t.Errorf("%v: exit status %d, want 0", signal, status)
		}
		for _, want := range []string{"2 connections, 1 transaction, 1 message accepted", "recipients: 1 delivered", "message  250"} {
			if !strings.Contains(stdout, want) {
				t.Errorf("%v: the counters don't say %q:\n%s", signal, want, stdout)
			}
		}
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	p := start(t, 1, "--listen", "127.0.0.1:0", "--drain-timeout", "1h")
	busy, in := dial(t, p.addr[0])
	readReply(t, in, "220 ")
	say(t, busy, "HELO client.test\r\n")
	readReply(t, in, "250 ")
	say(t, busy, "MAIL FROM:<a@sender.test>\r\n")
	readReply(t, in, "250 ")
	_ = p.line() // accepting everything
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if line := p.line(); !strings.Contains(line, "a second signal ends them at once") {
		t.Errorf("after the first signal the program says %q", line)
	}
	stdout, stderr, status := p.stop(syscall.SIGTERM)
	if status != exitFailed || !strings.Contains(oneLine(t, stderr), "cut off") {
		t.Errorf("exit status %d, stderr %q; want %d and that connections were cut off", status, stderr, exitFailed)
	}
	if !strings.Contains(stdout, "1 connection, 1 transaction") {
		t.Errorf("the counters are missing:\n%s", stdout)
	}
}

func TestQuiet(t *testing.T) {
	port := freePort(t)
	p := start(t, 0, "--listen", port, "--quiet")
	awaitListener(t, port)
	stdout, stderr, status := p.stop(os.Interrupt)
	if stdout != "" || stderr != "" || status != 0 {
		t.Errorf("--quiet: exit status %d, stdout %q, stderr %q; want 0 and silence", status, stdout, stderr)
	}
}

// awaitListener waits until somebody listens at the address.
func awaitListener(t *testing.T, address string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// freePort returns an address on which nothing listens.
func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func say(t *testing.T, w io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
}

func readReply(t *testing.T, in interface{ ReadString(byte) (string, error) }, prefix string) {
	t.Helper()
	line, err := in.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, prefix) {
		t.Fatalf("got %q and error %v, want %s", line, err, prefix)
	}
}

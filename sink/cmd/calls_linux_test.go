package cmd

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
	"github.com/smtpstorm/xk6-smtp/sink/testkit"
)

// The control API, /metrics and the events add no system call to a message, be they off, or on with nobody asking: strace sees as many reads
// and writes, and nothing else. How often the loop waits depends on how fast the client is, which strace makes slow.
func TestControlAddsNoSystemCalls(t *testing.T) {
	strace := sinktest.RequireTool(t, "strace", "strace")
	const messages = 200
	count := func(args ...string) map[string]int {
		t.Helper()
		trace := filepath.Join(t.TempDir(), "trace")
		// -D: the sink is this process's child, and strace its grandchild.
		p := startIn(t, []string{strace, "-D", "-f", "-qq", "-s", "64", "-e", "trace=%desc,%network", "-o", trace}, 1, append([]string{"--listen", "127.0.0.1:0", "--driver", "epoll"}, args...)...)
		conn, in := dial(t, p.addr[0])
		readReply(t, in, "220 ")
		exchange := func(command, prefix string) {
			t.Helper()
			say(t, conn, command+"\r\n")
			readReply(t, in, prefix)
		}
		exchange("HELO client.test", "250 ")
		exchange("NOOP first", "250 ")
		for i := range messages {
			exchange("MAIL FROM:<a@s.test>", "250 ")
			exchange(fmt.Sprintf("RCPT TO:<b%d@r.test>", i), "250 ")
			exchange("DATA", "354 ")
			exchange("Subject: x\r\n\r\ntext\r\n.", "250 ")
		}
		exchange("NOOP last", "250 ")
		exchange("QUIT", "221 ")
		_ = conn.Close()
		if _, stderr, status := p.stop(os.Interrupt); status != 0 {
			t.Fatalf("the sink ended with status %d: %s", status, stderr)
		}
		var text []byte
		testkit.Await(t, "strace has ended", func() bool {
			text, _ = os.ReadFile(trace)
			return strings.Contains(string(text), "QUIT") && strings.Contains(string(text), "221 ")
		}, func() string {
			return fmt.Sprintf("the last of %d octets: %.500s", len(text), text[max(0, len(text)-500):])
		})
		_, during, _ := strings.Cut(string(text), "NOOP first")
		during, _, _ = strings.Cut(during, "NOOP last")
		// Go's runtime wakes its own poller by an eventfd.
		call := regexp.MustCompile(`(?m)^\d+ +(\w+)\(`)
		calls := map[string]int{}
		for _, found := range call.FindAllStringSubmatch(regexp.MustCompile(`(?m)^.*"\\1\\0\\0\\0\\0\\0\\0\\0".*$`).ReplaceAllString(during, ""), -1) {
			calls[found[1]]++
		}
		return calls
	}
	off := count()
	t.Logf("off: %v", off)
	if off["recvfrom"] < 4*messages || off["sendto"] < 4*messages {
		t.Fatalf("strace saw too little: %v", off)
	}
	for name, args := range map[string][]string{
		"monitoring is on": {"--metrics-listen", "127.0.0.1:0"}, "the API is on": {"--control", "127.0.0.1:0"},
	} {
		on := count(args...)
		t.Logf("%s: %v", name, on)
		for call, n := range on {
			switch call {
			case "epoll_pwait2": // with a timer
			case "epoll_pwait": // Go's runtime has a poller, too
				if n > off[call]+messages {
					t.Errorf("%s: %d waits, %d without", name, n, off[call])
				}
			case "recvfrom", "sendto":
				if n != off[call] {
					t.Errorf("%s: %d times %s, want %d as without", name, n, call, off[call])
				}
			default: // what the API does once, as it starts
				if n-off[call] > messages/20 {
					t.Errorf("%s: %d times %s, want %d as without, or next to it", name, n, call, off[call])
				}
			}
		}
	}
}

package mta

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// nextHop is a minimal SMTP server that reports every delivered recipient, and defers each recipient's first attempt when
// deferFirst is set. It stands in for the sink so that this package is tested without it.
type nextHop struct {
	listener   net.Listener
	deferFirst bool
	delivered  chan string

	mu   sync.Mutex
	seen map[string]bool
}

func startNextHop(t *testing.T, deferFirst bool) *nextHop {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &nextHop{listener: l, deferFirst: deferFirst, delivered: make(chan string, 1000), seen: map[string]bool{}}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go h.serve(conn)
		}
	}()
	return h
}

func (h *nextHop) refuse(recipient string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	first := !h.seen[recipient]
	h.seen[recipient] = true
	return h.deferFirst && first
}

func (h *nextHop) serve(conn net.Conn) {
	defer conn.Close()
	lines := bufio.NewScanner(conn)
	say := func(reply string) { fmt.Fprintf(conn, "%s\r\n", reply) }
	say("220 next.hop.test ESMTP")
	var recipients []string
	body := false
	for lines.Scan() {
		line := lines.Text()
		verb, _, _ := strings.Cut(strings.ToUpper(line), " ")
		switch {
		case body && line == ".":
			body = false
			for _, r := range recipients {
				h.delivered <- r
			}
			recipients = nil
			say("250 taken")
		case body:
		case verb == "RCPT":
			recipient := line[strings.IndexByte(line, '<')+1 : strings.IndexByte(line, '>')]
			if h.refuse(recipient) {
				say("450 later")
				continue
			}
			recipients = append(recipients, recipient)
			say("250 ok")
		case verb == "DATA" && len(recipients) == 0:
			say("554 no recipients")
		case verb == "DATA":
			body = true
			say("354 go on")
		case verb == "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

// openDir returns a directory for an instance that user postfix can reach: testing makes its own private.
func openDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "pf")
}

// fingerprint lists the system's own Postfix directories with sizes and times of change.
func fingerprint(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, root := range []string{"/etc/postfix", "/var/spool/postfix", "/var/lib/postfix", "/var/log/mail.log"} {
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return nil // absent on this machine
			}
			info, err := entry.Info()
			if err != nil {
				return nil
			}
			fmt.Fprintln(&b, path, info.Mode(), info.Size(), info.ModTime().UnixNano())
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

func TestPostfixDeliversThroughAStormAndLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"postfix", "postconf"} {
		sinktest.RequireTool(t, tool, "postfix")
	}
	sinktest.RequireRoot(t, "a private Postfix")
	const messages = 20
	before := fingerprint(t)
	hop := startNextHop(t, true)
	dir := openDir(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	p, err := StartPostfix(ctx, Options{Dir: dir, Relay: hop.listener.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	defer func() {
		if !stopped {
			_ = p.Stop()
		}
	}()
	if host, _, _ := net.SplitHostPort(p.Addr()); host != "127.0.0.1" {
		t.Errorf("listens on %s, want a port of 127.0.0.1", p.Addr())
	}
	if !strings.HasPrefix(p.Version(), "Postfix 3.") {
		t.Errorf("version %q, want Postfix 3.x", p.Version())
	}
	want := map[string]bool{}
	for i := range messages {
		recipient := fmt.Sprintf("r%d@dst.bench.test", i)
		want[recipient] = true
		err := smtp.SendMail(p.Addr(), nil, fmt.Sprintf("s+run-%d@src.bench.test", i), []string{recipient}, []byte("Subject: x\r\n\r\nbody\r\n"))
		if err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
	}
	for len(want) > 0 {
		select {
		case r := <-hop.delivered:
			if !want[r] {
				t.Errorf("%s was delivered twice or never sent", r)
			}
			delete(want, r)
		case <-ctx.Done():
			depth, _ := p.QueueDepth()
			t.Fatalf("%d of %d messages were not delivered; queue %+v", len(want), messages, depth)
		}
	}
	log, err := os.ReadFile(p.LogPath())
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(log), "status=deferred"); n < messages {
		t.Errorf("log shows %d deferrals, want at least %d: each first attempt got 450", n, messages)
	}
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	stopped = true
	if pids := p.processes(); len(pids) != 0 {
		t.Errorf("processes %v are left", pids)
	}
	if depth, err := p.QueueDepth(); err != nil || depth.Total() != 0 {
		t.Errorf("queue after the drain: %+v, %v; want it empty", depth, err)
	}
	if after := fingerprint(t); after != before {
		t.Errorf("the system's own Postfix was touched:\nbefore:\n%s\nafter:\n%s", before, after)
	}
	if _, err := net.DialTimeout("tcp", p.Addr(), time.Second); err == nil {
		t.Errorf("%s still accepts connections", p.Addr())
	}
}

func TestQueueDepthCountsWhatTheNextHopRefuses(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"postfix", "postconf"} {
		sinktest.RequireTool(t, tool, "postfix")
	}
	sinktest.RequireRoot(t, "a private Postfix")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	closed, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	p, err := StartPostfix(ctx, Options{Dir: openDir(t), Relay: closed})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	}()
	for i := range 3 {
		if err := smtp.SendMail(p.Addr(), nil, "s@src.bench.test", []string{fmt.Sprintf("r%d@dst.bench.test", i)}, []byte("\r\n")); err != nil {
			t.Fatal(err)
		}
	}
	if depth, err := p.QueueDepth(); err != nil || depth.Total() != 3 {
		t.Errorf("queue %+v, %v; want 3 messages, as nothing listens at the next hop", depth, err)
	}
	if !strings.Contains(p.Config(), "relayhost = [127.0.0.1]:") || !strings.Contains(p.Config(), "smtpd\n") {
		t.Errorf("Config holds neither main.cf nor master.cf:\n%s", p.Config())
	}
}

func TestStartPostfixRefusesBadOptions(t *testing.T) {
	for _, tool := range []string{"postfix", "postconf"} {
		sinktest.RequireTool(t, tool, "postfix")
	}
	sinktest.RequireRoot(t, "a private Postfix")
	dir, private := openDir(t), t.TempDir()
	if err := os.Chmod(private, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		o    Options
		want string
	}{
		{"no directory", Options{Relay: "127.0.0.1:1"}, `directory ""`},
		{"blank in directory", Options{Dir: "/a b", Relay: "127.0.0.1:1"}, "blank"},
		{"unreachable directory", Options{Dir: filepath.Join(private, "pf"), Relay: "127.0.0.1:1"}, "can't enter " + private},
		{"next hop missing", Options{Dir: dir}, `next hop ""`},
		{"next hop elsewhere", Options{Dir: dir, Relay: "192.0.2.1:25"}, "not a loopback address"},
		{"next hop by name", Options{Dir: dir, Relay: "mx.example.org:25"}, "not a loopback address"},
		{"listens everywhere", Options{Dir: dir, Relay: "127.0.0.1:1", Listen: "0.0.0.0:2525"}, "not a loopback address"},
		{"half a second", Options{Dir: dir, Relay: "127.0.0.1:1", Policy: Policy{QueueRunDelay: time.Second / 2}}, "queue run delay 500ms"},
		{"backoff upside down", Options{Dir: dir, Relay: "127.0.0.1:1", Policy: Policy{MinimalBackoff: time.Minute}}, "shorter than minimal backoff"},
		{"no concurrency", Options{Dir: dir, Relay: "127.0.0.1:1", Policy: Policy{Concurrency: -1}}, "concurrency -1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := StartPostfix(t.Context(), tt.o)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got error %v, want one line with %q", err, tt.want)
			}
		})
	}
}

func TestStartPostfixReportsAPortInUse(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"postfix", "postconf"} {
		sinktest.RequireTool(t, tool, "postfix")
	}
	sinktest.RequireRoot(t, "a private Postfix")
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, err = StartPostfix(t.Context(), Options{Dir: openDir(t), Listen: taken.Addr().String(), Relay: "127.0.0.1:1"})
	if err == nil || !strings.Contains(err.Error(), "postfix start") || !strings.Contains(err.Error(), "in use") {
		t.Errorf("got %v, want an error of postfix start that says that the port is in use", err)
	}
	if errors.Is(err, ErrMissing) || errors.Is(err, ErrNeedsRoot) {
		t.Errorf("wrong kind of error: %v", err)
	}
}

func TestFindNamesThePackage(t *testing.T) {
	found := Find()
	if len(found) == 0 || found[0].Name != "postfix" {
		t.Fatalf("Find() = %v, want postfix first", found)
	}
	if got := found[0].InstallCommand(); got != "apt-get install -y postfix" {
		t.Errorf("InstallCommand() = %q", got)
	}
}

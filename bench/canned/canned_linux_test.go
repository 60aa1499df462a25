package canned

import (
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/reactor"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(tb testing.TB) *Server {
	tb.Helper()
	s, err := Listen("127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Errorf("Close: %v", err)
		}
		if err := <-served; err != nil {
			tb.Errorf("Serve: %v", err)
		}
	})
	return s
}

var dialogues = []struct {
	name, client, server string
	messages             int
}{
	{"one message", "EHLO me\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nSubject: x\r\n\r\nbody\r\n.\r\nQUIT\r\n",
		okReply + okReply + okReply + dataReply + okReply + quitReply, 1},
	{"empty body, lower case", "data\r\n.\r\nquit\r\n", dataReply + okReply + quitReply, 1},
	{"no false end", "DATA\r\n..\r\n.x\r\n\r\n.\r\r\n.\n\r\n.\r.\r\n.\r\nDATA\r\n\r\n\r\n.\r\nQUIT\r\n",
		dataReply + okReply + dataReply + okReply + quitReply, 2},
	{"commands in the body", "DATA\r\nQUIT\r\nDATA\r\n.\r\nNOOP\r\nQUIT\r\n", dataReply + okReply + okReply + quitReply, 1},
}

// Replies don't depend on how the input is cut.
func TestDialogues(t *testing.T) {
	for _, d := range dialogues {
		for size := 1; size <= len(d.client); size++ {
			var s Dialogue
			var out []byte
			messages := 0
			for p := []byte(d.client); len(p) > 0; {
				n := min(size, len(p))
				var m int
				out, m = s.Answer(out, p[:n])
				messages += m
				p = p[n:]
			}
			if string(out) != d.server || messages != d.messages || !s.quit {
				t.Fatalf("%s in pieces of %d: %q, %d messages, quit %v; expected %q, %d, true", d.name, size, out, messages, s.quit, d.server, d.messages)
			}
		}
	}
}

func TestServer(t *testing.T) {
	s := start(t)
	want := 0
	for _, d := range dialogues {
		for _, size := range []int{7, len(d.client)} {
			nc, err := net.Dial("tcp", s.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			if err := nc.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			for p := d.client; len(p) > 0; {
				n := min(size, len(p))
				if _, err := io.WriteString(nc, p[:n]); err != nil {
					t.Fatal(err)
				}
				p = p[n:]
			}
			got, err := io.ReadAll(nc)
			if err != nil || string(got) != Greeting+d.server {
				t.Errorf("%s: %q, error %v; expected %q", d.name, got, err, Greeting+d.server)
			}
			_ = nc.Close()
			want += d.messages
		}
	}
	if got := s.Messages(); got != uint64(want) {
		t.Errorf("%d messages, expected %d", got, want)
	}
	// One that stays open is closed with the server.
	nc, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = nc.Close() }()
	if _, err := io.ReadFull(nc, make([]byte, len(Greeting))); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := nc.Read(make([]byte, 1)); err == nil {
		t.Error("the connection outlived the server")
	}
	if _, err := Listen("127.0.0.1:none"); err == nil {
		t.Error("no error for a bad address")
	}
}

// cannedHandler gives the same replies on the reactor: the difference is the reactor's price.
type cannedHandler struct {
	c *reactor.Conn
	s Dialogue
	b *[]byte
}

func (h *cannedHandler) Data(_ time.Time, p []byte) int {
	*h.b, _ = h.s.Answer((*h.b)[:0], p)
	if len(*h.b) > 0 {
		h.c.Write(*h.b)
	}
	if h.s.quit {
		h.c.Close(reactor.CloseFIN)
	}
	return len(p)
}
func (h *cannedHandler) EOF(time.Time)           { h.c.Close(reactor.CloseFIN) }
func (h *cannedHandler) Timer(time.Time)         {}
func (h *cannedHandler) Drained(time.Time)       {}
func (h *cannedHandler) Closed(time.Time, error) {}

func startReactor(b *testing.B) net.Addr {
	b.Helper()
	var out []byte // of the only loop
	r, err := reactor.New(reactor.Config{NewHandler: func(_ int, c *reactor.Conn, now time.Time) reactor.Handler {
		c.Write([]byte(Greeting))
		c.SetDeadline(now.Add(5 * time.Minute))
		return &cannedHandler{c: c, b: &out}
	}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = r.Close() })
	ln, err := r.Listen(reactor.ListenConfig{Network: "tcp", Address: "127.0.0.1:0"})
	if err != nil {
		b.Fatal(err)
	}
	return ln.Addr()
}

func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkSMTPSource drives the canned server, and the reactor with the same
// replies, by Postfix's smtp-source in a process of its own: cpu-ns/msg is the
// server's alone.
func BenchmarkSMTPSource(b *testing.B) {
	source, err := exec.LookPath("smtp-source")
	if err != nil {
		b.Skip("needs smtp-source: apt-get install postfix")
	}
	for _, load := range []struct {
		name string
		args []string
	}{
		{"reused/1KiB", []string{"-d", "-l", "1024"}},
		{"new/1KiB", []string{"-l", "1024"}},
		{"reused/rcpt=50", []string{"-d", "-l", "1024", "-r", "50"}},
		{"reused/256KiB", []string{"-d", "-l", "262144"}},
	} {
		for _, server := range []string{"canned", "reactor"} {
			b.Run(fmt.Sprintf("%s/server=%s", load.name, server), func(b *testing.B) {
				var addr net.Addr
				if server == "canned" {
					addr = start(b).Addr()
				} else {
					addr = startReactor(b)
				}
				args := append([]string{"-s", "100", "-m", fmt.Sprint(max(b.N, 100)), "-f", "a@example.com", "-t", "b@example.com"}, load.args...)
				cmd := exec.Command(source, append(args, "inet:"+addr.String())...)
				b.ResetTimer()
				before := cpu(b)
				if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "fatal") {
					b.Fatalf("smtp-source: %v: %s", err, out)
				}
				b.ReportMetric(float64(cpu(b)-before)/float64(max(b.N, 100)), "cpu-ns/msg")
			})
		}
	}
}

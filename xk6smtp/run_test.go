package xk6smtp_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
	"github.com/smtpstorm/xk6-smtp/sink/testkit"
)

// wire stands between k6 and a server and counts the octets that pass, below any TLS.
type wire struct {
	listener       net.Listener
	sent, received atomic.Int64 // by k6
	done           sync.WaitGroup
}

func newWire(t *testing.T, target string) *wire {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: listener}
	t.Cleanup(func() { _ = listener.Close() })
	w.done.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			w.done.Go(func() { w.pass(conn, target) })
		}
	})
	return w
}

// pass copies both directions until both have ended.
func (w *wire) pass(conn net.Conn, target string) {
	defer conn.Close()
	server, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer server.Close()
	copied := func(to, from net.Conn, n *atomic.Int64) {
		buf := make([]byte, 64<<10)
		for {
			m, err := from.Read(buf)
			n.Add(int64(m))
			if _, e := to.Write(buf[:m]); err != nil || e != nil {
				break
			}
		}
		// The other end may be gone already.
		_ = to.(*net.TCPConn).CloseWrite()
	}
	var both sync.WaitGroup
	both.Go(func() { copied(server, conn, &w.sent) })
	both.Go(func() { copied(conn, server, &w.received) })
	both.Wait()
}

// counted waits for the connections' end.
func (w *wire) counted() (sent, received int64) {
	_ = w.listener.Close()
	w.done.Wait()
	return w.sent.Load(), w.received.Load()
}

// testOctets compares k6's own metrics data_sent and data_received with what passed, for connections that quit in their iteration.
func testOctets(t *testing.T, binary string) {
	for _, mode := range []struct {
		name      string
		tls       string // the client's option
		offer     bool
		listeners []sink.Listener
	}{
		{"plain", "none", false, nil},
		{"STARTTLS", "required", true, nil},
		{"implicit TLS", "implicit", true, []sink.Listener{{Address: "127.0.0.1:0", ImplicitTLS: true}}},
	} {
		t.Run(mode.name, func(t *testing.T) {
			server := sinktest.Start(t, sinktest.With(func(cfg *sink.Config) {
				if mode.offer {
					cfg.TLS.Offer = sink.TLSOfferAlways
				}
				if mode.listeners != nil {
					cfg.Listeners = mode.listeners
				}
			}))
			w := newWire(t, server.Addr("").String())
			name := script(t, `
				import { Client, Message } from 'k6/x/smtp';
				export const options = { scenarios: { s: { executor: 'shared-iterations', vus: 4, iterations: 40 } } };
				const message = new Message({ from: 'a@src.test', to: ['b@dst.test', 'c@dst.test'], text: 'x', size: 20000 });
				export default async function () {
					const client = new Client({ host: '127.0.0.1', port: `+strconv.Itoa(w.listener.Addr().(*net.TCPAddr).Port)+`, tls: '`+mode.tls+`', tlsOptions: { insecureSkipTLSVerify: true } });
					for (const r of [await client.connect(), await client.send(message), await client.quit()]) if (!r.ok) throw new Error(r.error);
				}`)
			record := filepath.Join(t.TempDir(), "run.json")
			cmd, out := k6(t, binary, "run", "--quiet", "--no-color", "-o", "smtpstorm="+record, name)
			if err := cmd.Run(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			got, err := result.Read(record)
			if err != nil {
				t.Fatal(err)
			}
			sent, received := w.counted()
			if n := got.Client.Sum("smtp_messages", nil); n != 40 || sent < 40*20000 {
				t.Fatalf("%v messages, %d octets\n%s", n, sent, out)
			}
			if n := got.Client.Sum("data_sent", nil); n != float64(sent) {
				t.Errorf("data_sent is %v, %d octets passed", n, sent)
			}
			if n := got.Client.Sum("data_received", nil); n != float64(received) {
				t.Errorf("data_received is %v, %d octets passed", n, received)
			}
		})
	}
}

// testForgottenSink keeps k6 alive after a test whose teardown forgets the sink: TestEnd must have stopped it nevertheless.
func testForgottenSink(t *testing.T, binary string) {
	if runtime.GOOS == "windows" {
		t.Skip("no interrupt signal on windows")
	}
	told := filepath.Join(t.TempDir(), "told.txt")
	name := script(t, `
		import { Client, Message } from 'k6/x/smtp';
		import { Sink } from 'k6/x/smtp/sink';
		export const options = { vus: 2, iterations: 4 };
		export async function setup() {
			const data = await Sink.start({ reply: 'rcpt=250' });
			console.log('sink at ' + data.host + ':' + data.port);
			return data;
		}
		export default async function (data) {
			const client = new Client({ host: data.host, port: data.port });
			if (!(await client.send(new Message({ from: 'a@src.test', to: 'b@dst.test', text: 'x' }))).ok) throw new Error('not sent');
		}
		export function teardown() { console.log('teardown is over'); }`)
	cmd, out := k6(t, binary, "run", "--linger", "--no-color", "--console-output", told, name)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var address string
	testkit.Await(t, "the sink's address and the end of teardown", func() bool {
		text, err := os.ReadFile(told)
		if found := regexp.MustCompile(`sink at (127\.0\.0\.1:\d+)`).FindSubmatch(text); err == nil && found != nil {
			address = string(found[1])
		}
		return address != "" && strings.Contains(string(text), "teardown is over")
	})
	testkit.Await(t, "the end of the sink at "+address, func() bool {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			_ = conn.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatalf("k6 did not linger: %v\n%s", err, out)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// ownSinkScript runs a sink of its own and stops it in teardown.
const ownSinkScript = `
	import { check } from 'k6';
	import { Client, Message } from 'k6/x/smtp';
	import { Sink } from 'k6/x/smtp/sink';
	export const options = { scenarios: { s: { executor: 'shared-iterations', vus: 5, iterations: 200 } }, thresholds: { checks: ['rate==1'] } };
	const message = new Message({ from: 'a@src.test', to: ['b@dst.test', 'c@dst.test'], text: 'x' });
	export const setup = () => Sink.start({ seed: 3, reply: ['rcpt=250:8,450/4.2.0:2', 'message=250:9,451/4.3.0:1'] });
	export default async function (data) {
		const client = new Client({ host: data.host, port: data.port });
		const r = await client.send(message, { from: __VU + '-' + __ITER + '@src.test' });
		const q = await client.quit();
		check(r, { answered: () => r.code > 0, quit: () => q.code === 221 });
	}
	export async function teardown(data) {
		const stats = await Sink.attach(data).stop();
		check(stats, { 'all connections': (s) => s.connections === 200 });
	}`

// testSinkReplies has a script stop its own sink: what the sink injected reaches outputs as smtp_sink_replies, and equals what the clients
// observed, reply by reply.
func testSinkReplies(t *testing.T, binary string) {
	record := filepath.Join(t.TempDir(), "run.json")
	cmd, out := k6(t, binary, "run", "--quiet", "--no-color", "-o", "smtpstorm="+record, script(t, ownSinkScript))
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	got, err := result.Read(record)
	if err != nil {
		t.Fatal(err)
	}
	counted := func(metric string) map[string]uint64 {
		n := map[string]uint64{}
		for _, s := range got.Client.Find(metric, nil) {
			n[fmt.Sprintf("%s %s %s", s.Tags["phase"], s.Tags["code"], s.Tags["enhanced"])] += uint64(s.Summary().Sum)
		}
		return n
	}
	injected := counted("smtp_sink_replies")
	compareCounts(t, injected, counted("smtp_replies"))
	for _, reply := range []string{"connect 220 ", "rcpt 450 4.2.0", "message 451 4.3.0", "quit 221 2.0.0"} {
		if injected[reply] == 0 {
			t.Errorf("no %q among %v", reply, injected)
		}
	}
}

// testNothingPhonesOut runs a script with its own sink where loopback is the only interface, and reads from strace every address that k6
// tried to reach.
func testNothingPhonesOut(t *testing.T, binary string) {
	if runtime.GOOS != "linux" {
		t.Skip("network namespaces are Linux's")
	}
	unshare := sinktest.RequireTool(t, "unshare", "util-linux")
	ip := sinktest.RequireTool(t, "ip", "iproute2")
	strace := sinktest.RequireTool(t, "strace", "strace")
	namespace := []string{"-n"}
	if os.Geteuid() != 0 {
		namespace = []string{"-rn"}
	}
	if out, err := exec.Command(unshare, append(namespace, ip, "link", "set", "lo", "up")...).CombinedOutput(); err != nil {
		sinktest.Missing(t, "this machine allows no network namespace: unshare: %v: %s", err, out)
	}
	trace := filepath.Join(t.TempDir(), "connects")
	record := filepath.Join(t.TempDir(), "run.json")
	inside := ip + ` link set lo up && exec "$@"`
	args := append(namespace, "sh", "-c", inside, "sh",
		strace, "-f", "--seccomp-bpf", "-e", "trace=connect,sendto,sendmsg", "-o", trace, binary, "run", "--no-color", "-o", "smtpstorm="+record, script(t, ownSinkScript))
	cmd, out := k6(t, unshare, args...)
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, level := range []string{"level=error", "level=warning"} {
		if strings.Contains(out.String(), level) {
			t.Errorf("k6 complains:\n%s", out)
		}
	}
	got, err := result.Read(record)
	if err != nil || got.Client.Sum("smtp_messages", nil) != 200 {
		t.Errorf("%v messages, %v", got.Client.Sum("smtp_messages", nil), err)
	}
	text, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	loopback := regexp.MustCompile(`sin_addr=inet_addr\("127\.[0-9.]+"\)|inet_pton\(AF_INET6, "::1"`)
	reached := 0
	for line := range strings.Lines(string(text)) {
		switch {
		case !strings.Contains(line, "AF_INET"): // unix and netlink sockets end in this kernel
		case loopback.MatchString(line):
			reached++
		default:
			t.Errorf("k6 tried to reach another machine: %s", line)
		}
	}
	if reached < 200 {
		t.Errorf("strace saw %d of 200 connections: it doesn't see them all", reached)
	}
}

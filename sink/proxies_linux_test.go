package sink_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// proxyPorts opens n ports for a proxy, which inherits them as descriptors from 3 on: clients may connect before it has started.
func proxyPorts(t *testing.T, n int) (addresses []string, files []*os.File) {
	t.Helper()
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		file, err := ln.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		addresses, files = append(addresses, ln.Addr().String()), append(files, file)
		t.Cleanup(func() { _, _ = ln.Close(), file.Close() })
	}
	return addresses, files
}

// runProxy runs a proxy in the foreground until stop is called, or the test is over.
func runProxy(t *testing.T, cmd *exec.Cmd, files []*os.File) (stop func()) {
	t.Helper()
	var said strings.Builder
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles, cmd.WaitDelay = &said, &said, files, 5*time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); t.Failed() {
			t.Logf("%s ended: %v\n%s", cmd.Args[0], err, said.String())
		}
	})
	t.Cleanup(stop)
	return stop
}

// dialFrom connects from another address of the loopback network.
func dialFrom(t *testing.T, from, to string) *rawClient {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: patience}
	conn, err := dialer.Dial("tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &rawClient{t: t, conn: conn, in: bufio.NewReader(conn)}
}

// HAProxy, the author of the protocol, says by both versions whose connections it passes on, and its health checks are its own.
func TestHAProxy(t *testing.T) {
	program := sinktest.RequireTool(t, "haproxy", "haproxy")
	server := faulty(t, sink.DriverAuto, `
listeners: [{name: v1, address: "127.0.0.1:0", proxy_protocol: true}, {name: v2, address: "127.0.0.1:0", proxy_protocol: true}]
rules:
  - {stage: rcpt, match: {client: 127.0.0.2}, reply: 550}
  - {stage: rcpt, match: {client: 127.0.0.3, connection: 2}, reply: 451}`, func(cfg *sink.Config) { cfg.Listeners = nil })
	addresses, files := proxyPorts(t, 2)
	config := filepath.Join(t.TempDir(), "haproxy.cfg")
	text := "defaults\n  mode tcp\n  timeout connect 20s\n  timeout client 60s\n  timeout server 60s\n  option smtpchk EHLO proxy.test\n"
	for i, how := range []string{"send-proxy", "send-proxy-v2"} {
		text += fmt.Sprintf("listen v%d\n  bind fd@%d\n  server sink %s %s check check-send-proxy inter 500ms\n", i+1, i+3, server.Addr(fmt.Sprintf("v%d", i+1)), how)
	}
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	stop := runProxy(t, exec.CommandContext(t.Context(), program, "-db", "-f", config), files)
	var want []string
	for i, address := range addresses {
		for _, client := range []struct{ from, reply string }{{"127.0.0.2", "550 "}, {"127.0.0.4", "250 "}} {
			c := dialFrom(t, client.from, address)
			c.expect("220 ")
			c.command("EHLO client.test", "250-")
			c.command("MAIL FROM:<a@sender.test>", "250 ")
			c.command("RCPT TO:<b@recipient.test>", client.reply)
			want = append(want, fmt.Sprintf("v%d %s via 127.0.0.1 quit", i+1, c.conn.LocalAddr()))
			c.quit()
		}
	}
	// Both ports' clients are counted together: the second connection of one is the second, by whatever version.
	for i, reply := range []string{"250 ", "451 "} {
		c := dialFrom(t, "127.0.0.3", addresses[i])
		c.expect("220 ")
		c.command("EHLO client.test", "250-")
		c.command("MAIL FROM:<a@sender.test>", "250 ")
		c.command("RCPT TO:<b@recipient.test>", reply)
		want = append(want, fmt.Sprintf("v%d %s via 127.0.0.1 quit", i+1, c.conn.LocalAddr()))
		c.quit()
	}
	eventually(t, server.Server, "health checks have come by both versions", func(s *sink.Stats) bool { return s.Connections >= 6+4 })
	stop()
	server.rows()
	var others []string
	checks := map[string]bool{}
	for _, row := range whose(t, server.path) {
		if listener, ok := strings.CutSuffix(row, " via 127.0.0.1 quit"); ok && strings.Contains(row, " 127.0.0.1:") {
			checks[listener[:2]] = true
		} else if !strings.Contains(row, " 127.0.0.1:") { // one that was under way at the end said no QUIT
			others = append(others, row)
		}
	}
	slices.Sort(others)
	slices.Sort(want)
	if !slices.Equal(others, want) {
		t.Errorf("the connections are\n%s\nwant\n%s", strings.Join(others, "\n"), strings.Join(want, "\n"))
	}
	if len(checks) != 2 {
		t.Errorf("health checks came to %v, want both listeners: all rows are\n%s", checks, strings.Join(whose(t, server.path), "\n"))
	}
}

// nginx's mail proxy says by XCLIENT, or by a PROXY header, whose connection it passes on; it has asked for the envelope before.
func TestNginx(t *testing.T) {
	program := sinktest.RequireTool(t, "nginx", "nginx libnginx-mod-mail")
	const module = "/usr/lib/nginx/modules/ngx_mail_module.so"
	if _, err := os.Stat(module); err != nil {
		sinktest.Missing(t, "nginx's mail module is not installed: apt-get install -y --no-install-recommends libnginx-mod-mail")
	}
	server := faulty(t, sink.DriverAuto, `
listeners:
  - {name: xclient, address: "127.0.0.1:0", xclient: loopback}
  - {name: proxy, address: "127.0.0.1:0", proxy_protocol: true}
rules: [{stage: rcpt, match: {client: 127.0.0.2}, reply: 550}]`, func(cfg *sink.Config) { cfg.Listeners = nil })
	addresses, files := proxyPorts(t, 2)
	// nginx asks a web server where a client belongs.
	directory := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, port, _ := net.SplitHostPort(server.Addr(strings.TrimPrefix(r.URL.Path, "/")).String())
		w.Header().Set("Auth-Status", "OK")
		w.Header().Set("Auth-Server", "127.0.0.1")
		w.Header().Set("Auth-Port", port)
	}))
	t.Cleanup(directory.Close)
	dir := t.TempDir()
	text := fmt.Sprintf("load_module %s;\ndaemon off;\nuser root;\npid %s/pid;\nerror_log stderr info;\nevents {}\nmail {\n  server_name proxy.test;\n", module, dir)
	for i, how := range []string{"xclient on;", "xclient off; proxy_protocol on;"} {
		text += fmt.Sprintf("  server { listen %s; protocol smtp; smtp_auth none; auth_http %s/%s; %s }\n", addresses[i], directory.URL[len("http://"):], []string{"xclient", "proxy"}[i], how)
	}
	config := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(config, []byte(text+"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "-p", dir, "-e", "stderr", "-c", config)
	cmd.Env = append(os.Environ(), "NGINX=3;4;") // as it hands its ports to another version of itself
	runProxy(t, cmd, files)
	var want []string
	for i, address := range addresses {
		for _, client := range []struct{ from, reply string }{{"127.0.0.2", "550 "}, {"127.0.0.4", "250 "}} {
			c := dialFrom(t, client.from, address)
			c.expect("220 ")
			c.command("EHLO client.test", "250")
			c.command("MAIL FROM:<a@sender.test>", "250 ")
			c.command("RCPT TO:<b@recipient.test>", client.reply)
			c.command("QUIT", "221 ")
			_ = c.conn.Close()
			from := c.conn.LocalAddr().String()
			if i == 0 {
				from = client.from + ":0" // nginx says no port
			}
			want = append(want, fmt.Sprintf("%s %s via 127.0.0.1 quit", []string{"xclient", "proxy"}[i], from))
		}
	}
	server.rows()
	got := whose(t, server.path)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the connections are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

package sink_test

import (
	"bytes"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/ledger"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// anotherPlan answers by the client's address: that of a PROXY header, or of XCLIENT.
const anotherPlan = `
listeners:
  - {name: proxy, address: "127.0.0.1:0", proxy_protocol: true}
  - {name: secure, address: "127.0.0.1:0", tls: implicit, proxy_protocol: true}
  - {name: xclient, address: "127.0.0.1:0", xclient: loopback}
rules:
  - {stage: rcpt, match: {client: 198.51.100.7}, reply: 550}
  - {stage: rcpt, match: {client: 198.51.100.8, connection: 2-}, reply: 451}`

const proxyHeader = "PROXY TCP4 198.51.100.7 198.51.100.1 4711 25\r\n"

// whose returns, for each connection in a ledger, its client, who connected, and why it ended.
func whose(t *testing.T, path string) (all []string) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows := ledger.NewReader(file, path)
	for {
		var row event.Row
		if err := rows.Read(&row); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		if c := &row.Connection; row.Kind == event.KindConnection {
			via := ""
			if c.Via.IsValid() {
				via = c.Via.Addr().String()
			}
			all = append(all, c.Listener+" "+c.Client.String()+" via "+via+" "+c.Reason)
		}
	}
}

// Whatever carries a connection, its PROXY header says whose it is, in a segment of its own, in pieces, and in one with the hello of TLS.
func TestProxyProtocol(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		server := faulty(t, kind, anotherPlan, func(cfg *sink.Config) { cfg.Listeners = nil })
		config := trusting(t, server.Server)
		finish := func(c *rawClient) {
			c.expect("220 ")
			c.command("EHLO client.test", "250-")
			c.command("MAIL FROM:<a@sender.test>", "250 ")
			c.command("RCPT TO:<b@recipient.test>", "550 ")
			c.quit()
		}
		c := dial(t, server.Server, "proxy")
		for _, piece := range []string{proxyHeader[:9], proxyHeader[9:]} {
			c.send(piece)
		}
		finish(c)

		c = dial(t, server.Server, "secure")
		c.conn = &prefixed{Conn: c.conn, prefix: []byte(proxyHeader)}
		if err := c.secure(config); err != nil {
			t.Fatal(err)
		}
		finish(c)

		for i, want := range []string{"250 ", "451 "} { // the client's n-th connection is counted as the header says
			c := dial(t, server.Server, "proxy")
			c.send(strings.Replace(proxyHeader, "100.7", "100.8", 1))
			c.expect("220 ")
			c.command("EHLO client.test", "250-")
			c.command("MAIL FROM:<a@sender.test>", "250 ")
			if got := c.command("RCPT TO:<b@recipient.test>", ""); !strings.HasPrefix(got, want) {
				t.Errorf("connection %d got %q, want %s", i+1, got, want)
			}
			c.quit()
		}

		c = dial(t, server.Server, "proxy")
		c.send("EHLO client.test\r\n")
		c.expectEOF()
		_ = c.conn.Close()

		server.rows()
		want := []string{
			"proxy 198.51.100.7:4711 via 127.0.0.1 quit", "proxy 198.51.100.8:4711 via 127.0.0.1 quit", "proxy 198.51.100.8:4711 via 127.0.0.1 quit",
			"secure 198.51.100.7:4711 via 127.0.0.1 quit",
		}
		got := whose(t, server.path)
		slices.Sort(got)
		if len(got) != 5 || !slices.Equal(got[1:], want) || !strings.HasSuffix(got[0], " via  proxy") {
			t.Errorf("connections are\n%s\nwant\n%s\nand one that ended by proxy", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// prefixed writes something before, and in one segment with, the first octets.
type prefixed struct {
	net.Conn
	prefix []byte
}

func (p *prefixed) Write(b []byte) (int, error) {
	if p.prefix == nil {
		return p.Conn.Write(b)
	}
	whole := append(p.prefix, b...)
	p.prefix = nil
	_, err := p.Conn.Write(whole)
	return len(b), err
}

// Real clients say whose connection it is.
func TestClientsOfProxyAndXClient(t *testing.T) {
	for _, c := range []struct {
		name, listener string
		program        func(host, port string) *exec.Cmd
		want           string // of the connection's client
	}{
		{"swaks, version 1", "proxy", func(host, port string) *exec.Cmd {
			return exec.Command(sinktest.RequireTool(t, "swaks", "swaks"), "--server", host, "--port", port, "--from", "a@sender.test", "--to", "b@recipient.test",
				"--proxy-version", "1", "--proxy-family", "TCP4", "--proxy-source", "198.51.100.7", "--proxy-source-port", "4711", "--proxy-dest", "198.51.100.1", "--proxy-dest-port", "25")
		}, "198.51.100.7:4711"},
		{"swaks, version 2", "proxy", func(host, port string) *exec.Cmd {
			return exec.Command(sinktest.RequireTool(t, "swaks", "swaks"), "--server", host, "--port", port, "--from", "a@sender.test", "--to", "b@recipient.test",
				"--proxy-version", "2", "--proxy-family", "AF_INET", "--proxy-command", "PROXY", "--proxy-protocol", "STREAM", "--proxy-source", "198.51.100.7", "--proxy-source-port", "4711", "--proxy-dest", "198.51.100.1", "--proxy-dest-port", "25")
		}, "198.51.100.7:4711"},
		{"swaks, XCLIENT", "xclient", func(host, port string) *exec.Cmd {
			return exec.Command(sinktest.RequireTool(t, "swaks", "swaks"), "--server", host, "--port", port, "--from", "a@sender.test", "--to", "b@recipient.test",
				"--xclient-addr", "198.51.100.7", "--xclient-port", "4711", "--xclient-name", "client.test", "--xclient-helo", "client.test", "--xclient-login", "ann")
		}, "198.51.100.7:4711"},
		{"curl", "proxy", func(host, port string) *exec.Cmd { // it says where it comes from itself
			cmd := exec.Command(sinktest.RequireTool(t, "curl", "curl"), "-sS", "--haproxy-protocol", "--url", "smtp://"+net.JoinHostPort(host, port), "--mail-from", "a@sender.test", "--mail-rcpt", "b@recipient.test", "-T", "-")
			cmd.Stdin = strings.NewReader("Subject: test\r\n\r\ntext\r\n")
			return cmd
		}, "127.0.0.1:"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := faulty(t, sink.DriverAuto, anotherPlan, func(cfg *sink.Config) { cfg.Listeners = nil })
			host, port, err := net.SplitHostPort(server.Addr(c.listener).String())
			if err != nil {
				t.Fatal(err)
			}
			out, err := c.program(host, port).CombinedOutput()
			refused := bytes.Contains(out, []byte("550"))
			if want := c.want == "198.51.100.7:4711"; refused != want {
				t.Errorf("refused is %v, want %v (%v):\n%s", refused, want, err, out)
			}
			server.rows()
			if got := whose(t, server.path); len(got) != 1 || !strings.HasPrefix(got[0], c.listener+" "+c.want) || !strings.Contains(got[0], " via 127.0.0.1 ") {
				t.Errorf("connections are %q, want one of %s via 127.0.0.1; the client said\n%s", got, c.want, out)
			}
		})
	}
}

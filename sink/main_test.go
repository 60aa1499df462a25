package sink_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/testkit"
)

func TestMain(m *testing.M) {
	if serveInstead != nil && serveInstead() {
		return
	}
	if overLink != nil && os.Getenv(linkServer) != "" {
		os.Exit(overLink(m))
	}
	goleak.VerifyTestMain(m)
}

// linkServer and linkPeer are variables of the environment: where sinks listen, and what clients connect to instead, at the other end of
// a slow link.
const (
	linkServer = "SMTPSTORM_TEST_LINK_SERVER"
	linkPeer   = "SMTPSTORM_TEST_LINK_PEER"
)

// overLink, where it is set, runs the tests with that link.
var overLink func(m *testing.M) (status int)

// serveInstead, where it is set, makes this process a server for the benchmarks, if the environment says so. The benchmarks need
// one in another process, so that its CPU time and allocations can be told from the client's.
var serveInstead func() bool

// patience bounds every wait of these tests; only a broken sink makes one as long.
const patience = testkit.Patience

// eachDriver runs a test on every driver that this system has.
func eachDriver(t *testing.T, test func(t *testing.T, kind sink.DriverKind)) {
	t.Helper()
	for _, kind := range []sink.DriverKind{sink.DriverEpoll, sink.DriverNet} {
		if _, err := sink.New(sink.Config{Driver: kind, Listeners: []sink.Listener{{Address: "127.0.0.1:0"}}}); err != nil {
			continue // no epoll here
		}
		t.Run("driver="+kind.String(), func(t *testing.T) { test(t, kind) })
	}
}

// swap puts a plan into force.
func swap(t testing.TB, server *sink.Server, plan *fault.Plan) {
	t.Helper()
	if err := server.Swap(plan, ""); err != nil {
		t.Fatal(err)
	}
}

// rawClient is a client that sends what it is told, right or wrong.
type rawClient struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
}

// dial connects to a listener of the server; the empty name means the first.
func dial(t testing.TB, server *sink.Server, listener string) *rawClient {
	t.Helper()
	addr := server.Addr(listener)
	if addr == nil {
		t.Fatalf("no listener %q", listener)
	}
	address := addr.String()
	if host, port, _ := net.SplitHostPort(address); host != "" && host == os.Getenv(linkServer) {
		address = net.JoinHostPort(os.Getenv(linkPeer), port)
	}
	conn, err := net.DialTimeout(addr.Network(), address, patience)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &rawClient{t, conn, bufio.NewReader(conn)}
}

// send writes octets as they are.
func (c *rawClient) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, text); err != nil {
		c.t.Fatalf("sending %.60q: %v", text, err)
	}
}

// reply reads one reply, all its lines, with their CRLFs.
func (c *rawClient) reply() string {
	c.t.Helper()
	var b strings.Builder
	for {
		line, err := c.in.ReadString('\n')
		b.WriteString(line)
		if err != nil {
			c.t.Fatalf("reading a reply, after %q: %v", b.String(), err)
		}
		if len(line) < 4 || line[3] != '-' {
			return b.String()
		}
	}
}

// expect reads one reply and checks how it begins.
func (c *rawClient) expect(prefix string) string {
	c.t.Helper()
	got := c.reply()
	if !strings.HasPrefix(got, prefix) {
		c.t.Fatalf("got the reply %q, want %q...", got, prefix)
	}
	return got
}

// command sends a line and checks how the reply begins.
func (c *rawClient) command(line, prefix string) string {
	c.t.Helper()
	c.send(line + "\r\n")
	return c.expect(prefix)
}

// deliver runs a transaction and returns its final reply.
func (c *rawClient) deliver(sender, recipient string) string {
	c.t.Helper()
	c.command("MAIL FROM:<"+sender+">", "250 ")
	c.command("RCPT TO:<"+recipient+">", "250 ")
	c.command("DATA", "354 ")
	c.send("Subject: test\r\n\r\nbody\r\n.\r\n")
	return c.reply()
}

// expectEOF checks that the server closes now, in good order, without a further word.
func (c *rawClient) expectEOF() {
	c.t.Helper()
	rest, err := io.ReadAll(c.in)
	if err != nil || len(rest) > 0 {
		c.t.Fatalf("got %.100q and error %v, want the end of the connection", rest, err)
	}
}

// quit ends the connection as a polite client does.
func (c *rawClient) quit() {
	c.t.Helper()
	c.command("QUIT", "221 ")
	c.expectEOF()
	_ = c.conn.Close()
}

// reset ends the connection by RST.
func (c *rawClient) reset() {
	c.t.Helper()
	if err := c.conn.(*net.TCPConn).SetLinger(0); err != nil {
		c.t.Fatal(err)
	}
	_ = c.conn.Close()
}

// greeted connects and says EHLO.
func greeted(t testing.TB, server *sink.Server) *rawClient {
	t.Helper()
	c := dial(t, server, "")
	c.expect("220 ")
	c.command("EHLO client.test", "250-")
	return c
}

// eventually waits until what it asks for is so. The sink learns of a client's deeds on goroutines of its own.
func eventually(t testing.TB, server *sink.Server, what string, so func(*sink.Stats) bool) *sink.Stats {
	t.Helper()
	var stats *sink.Stats
	testkit.Await(t, what, func() bool {
		stats = server.Stats()
		return so(stats)
	}, func() string { return fmt.Sprintf("the counters are\n%+v", stats) })
	return stats
}

// replyCount returns how often a code was decided at a stage.
func replyCount(s *sink.Stats, stage, code string) (n uint64) {
	for _, r := range s.Replies {
		if r.Stage.String() == stage && fmt.Sprint(uint16(r.Code)) == code {
			n += r.Decided
		}
	}
	return n
}

// inFlight lists the replies of which the sink doesn't know that they were read.
func inFlight(s *sink.Stats) string {
	var rows []string
	for _, r := range s.InFlight() {
		rows = append(rows, fmt.Sprintf("%v %v %v: %d unsent, %d unread", r.Stage, r.Code, r.Enhanced, r.Unsent(), r.Unread))
	}
	return strings.Join(rows, "; ")
}

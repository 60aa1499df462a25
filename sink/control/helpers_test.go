package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/control/api"
	"github.com/smtpstorm/xk6-smtp/sink/plan"
	"github.com/smtpstorm/xk6-smtp/sink/testkit"
)

func TestMain(m *testing.M) {
	flag.Parse()
	status := m.Run()
	whole := flag.Lookup("test.run").Value.String() == "" && flag.Lookup("test.skip").Value.String() == "" && flag.Lookup("test.list").Value.String() == "" &&
		flag.Lookup("test.fuzz").Value.String() == ""
	err := goleak.Find()
	if status == 0 && err == nil && whole {
		err = everythingSeen()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = max(status, 1)
	}
	os.Exit(status)
}

// patience bounds every wait.
const patience = testkit.Patience

// rig is a sink with its control API on loopback.
type rig struct {
	t      testing.TB
	sink   *sink.Server
	tail   *sink.Tail
	api    *Server
	base   string // http://127.0.0.1:PORT
	client *http.Client
	token  string // that call sends, if there is one
	other  bool   // what answers is not the API: the document says nothing of it
}

// start starts a sink with a plan ("" for none) and its API.
func start(t testing.TB, text string, change func(*sink.Config, *Config)) *rig {
	t.Helper()
	g := &rig{t: t, tail: sink.NewTail(0)}
	cfg := sink.Config{Hostname: "sink.test", Listeners: []sink.Listener{{Name: "mx", Address: "127.0.0.1:0"}}}
	if text != "" {
		file := parse(t, text)
		cfg.Plan, cfg.PlanHash, cfg.PlanText = file.Plan, file.SHA256, file.Text
	}
	control := Config{Tail: g.tail, KeepPorts: true}
	cfg.Observer = sink.Observers{g.tail}
	if change != nil {
		change(&cfg, &control)
	}
	server, err := sink.New(cfg)
	if err == nil {
		err = server.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	control.Sink, control.Ledger = server, cfg.Ledger.Path
	g.sink = server
	if g.api, err = New(control); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.serve(l)
	g.base = "http://" + l.Addr().String()
	transport := &http.Transport{ExpectContinueTimeout: patience}
	g.client = &http.Client{Transport: transport, Timeout: patience}
	t.Cleanup(transport.CloseIdleConnections)
	return g
}

// serve has the API served until the test ends.
func (g *rig) serve(l net.Listener) {
	served := make(chan error, 1)
	go func() { served <- g.api.Serve(l) }()
	g.t.Cleanup(func() {
		_ = g.api.Close()
		if err := <-served; err != nil {
			g.t.Errorf("serving: %v", err)
		}
	})
}

func parse(t testing.TB, text string) *plan.File {
	t.Helper()
	if !strings.HasPrefix(text, "version:") {
		text = "version: 1\n" + text
	}
	file, err := plan.Parse("plan", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// request makes a request; change may add to it.
func (g *rig) request(method, path, body string, change func(*http.Request)) answer {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var in io.Reader
	if body != "" {
		in = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(ctx, method, g.base+path, in)
	if err != nil {
		g.t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", api.TypeJSON)
	}
	if g.token != "" {
		r.Header.Set("Authorization", "Bearer "+g.token)
	}
	if change != nil {
		change(r)
	}
	out, err := g.client.Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	defer out.Body.Close()
	got, err := io.ReadAll(out.Body)
	if err != nil {
		g.t.Fatalf("%s %s: reading the answer: %v", method, path, err)
	}
	a := answer{out.StatusCode, out.Header, got}
	if g.other {
		return a
	}
	theContract().check(g.t, method, r.URL.EscapedPath(), r.Header.Get("Content-Type"), []byte(body), a)
	return a
}

// call makes a request that must be answered with a status, and decodes what came into out unless that is nil.
func (g *rig) call(method, path, body string, status int, out any) answer {
	g.t.Helper()
	a := g.request(method, path, body, nil)
	g.check(a, method+" "+path, status, out)
	return a
}

func (g *rig) check(a answer, what string, status int, out any) {
	g.t.Helper()
	if a.status != status {
		g.t.Fatalf("%s: status %d, want %d: %s", what, a.status, status, a.body)
	}
	if out != nil {
		if err := json.Unmarshal(a.body, out); err != nil {
			g.t.Fatalf("%s: %v in %s", what, err, a.body)
		}
	}
}

// refused makes a request that must be refused with a problem of that kind, whose status follows from it, and returns it.
func (g *rig) refused(method, path, body, slug string, change func(*http.Request)) *api.Problem {
	g.t.Helper()
	a := g.request(method, path, body, change)
	return g.problem(a, method+" "+path+" "+body, slug)
}

func (g *rig) problem(a answer, what, slug string) *api.Problem {
	g.t.Helper()
	var p api.Problem
	if err := json.Unmarshal(a.body, &p); err != nil {
		g.t.Fatalf("%.200s: status %d, %v in %q", what, a.status, err, a.body)
	}
	if p.Slug() != slug || p.Status != a.status || a.status != statusOf[slug] || a.header.Get("Content-Type") != api.TypeProblem || p.Detail == "" {
		g.t.Errorf("%.200s: status %d, %+v, want %s with %d", what, a.status, p, slug, statusOf[slug])
	}
	return &p
}

// mailer is a client of the sink.
type mailer struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
}

// dial connects to the sink and greets it.
func (g *rig) dial() *mailer {
	g.t.Helper()
	conn, err := net.Dial("tcp", g.sink.Addr("").String())
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	c := &mailer{g.t, conn, bufio.NewReader(conn)}
	c.reply("220")
	c.do("250", "EHLO client.test")
	return c
}

// reply reads a reply, which must begin with the code.
func (c *mailer) reply(code string) string {
	c.t.Helper()
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			c.t.Fatalf("reading a reply, want %s: %v", code, err)
		}
		if len(line) > 3 && line[3] == '-' {
			continue
		}
		if !strings.HasPrefix(line, code) {
			c.t.Fatalf("reply %q, want %s", line, code)
		}
		return line
	}
}

// do sends a command, which must be answered with the code.
func (c *mailer) do(code, format string, args ...any) {
	c.t.Helper()
	if _, err := fmt.Fprintf(c.conn, format+"\r\n", args...); err != nil {
		c.t.Fatal(err)
	}
	c.reply(code)
}

// deliver sends a message to recipients that are all accepted.
func (c *mailer) deliver(sender string, recipients ...string) {
	c.t.Helper()
	c.do("250", "MAIL FROM:<%s>", sender)
	for _, to := range recipients {
		c.do("250", "RCPT TO:<%s>", to)
	}
	c.do("354", "DATA")
	c.do("250", "Message-ID: <%s.1@sender.test>\r\n\r\nhello\r\n.", sender)
}

// events reads all events that there are, by the parameters given.
func (g *rig) events(parameters string) (events []api.Event) {
	g.t.Helper()
	a := g.call("GET", "/v1/events?"+parameters, "", 200, nil)
	for line := range bytes.Lines(a.body) {
		var e api.Event
		if err := json.Unmarshal(line, &e); err != nil {
			g.t.Fatalf("%v in %q", err, line)
		}
		events = append(events, e)
	}
	return events
}

// eventually polls the API until something holds that the sink brings about by itself.
func (g *rig) eventually(what string, holds func() bool) {
	g.t.Helper()
	testkit.Await(g.t, what, holds, func() string { return "stats " + string(g.call("GET", "/v1/stats", "", 200, nil).body) })
}

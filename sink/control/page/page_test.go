package page_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/control"
	"github.com/smtpstorm/xk6-smtp/sink/control/page"
	"github.com/smtpstorm/xk6-smtp/sink/plan"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// browserPackages drive a browser, and look for what keeps people from using a page.
var browserPackages = []string{"puppeteer-core@24.8.2", "axe-core@4.14.1"}

const stormPlan = `version: 1
name: friday
limits:
  - {name: pace, kind: rate, stage: rcpt, scope: recipient-domain, rate: 3000/m, burst: 20, except: {recipient: ["*@tail.test", "victim@recipient.test"]}}
rules:
  - {name: slow, stage: data, match: {recipient: "*@recipient.test", sender: "*@load.test"}, reply: 354, delay: 3ms}
phases:
  - {name: calm, duration: 30m}
  - name: outage
    duration: 20m
    rules:
      - {name: busy, stage: rcpt, match: {sender: "*@load.test"}, outcomes: [{weight: 2, reply: 250}, {weight: 1, reply: 450}, {weight: 1, reply: 550}]}
  - {name: brownout, duration: 10m}
  - {name: recovery, duration: 1h}
`

// cuttable is a listener whose connections can be cut off.
type cuttable struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn
}

func (c *cuttable) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		c.mu.Lock()
		c.conns = append(c.conns, conn)
		c.mu.Unlock()
	}
	return conn, err
}

func (c *cuttable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.conns = nil
}

// start starts a sink with a control API and the page.
func start(t testing.TB, tokens []control.Token) (server *sink.Server, listener *cuttable, url string) {
	t.Helper()
	file, err := plan.Parse("plan", []byte(stormPlan))
	if err != nil {
		t.Fatal(err)
	}
	tail := sink.NewTail(0)
	server = sinktest.Start(t, sinktest.With(func(cfg *sink.Config) {
		cfg.Plan, cfg.PlanHash, cfg.PlanText, cfg.Observer = file.Plan, file.SHA256, file.Text, tail
	}))
	api, err := control.New(control.Config{Sink: server, Tail: tail, KeepPorts: true, Tokens: tokens})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range page.Paths() {
		api.Handle("GET "+path, page.Handler(), control.Public)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener = &cuttable{Listener: l}
	served := make(chan error, 1)
	go func() { served <- api.Serve(listener) }()
	t.Cleanup(func() {
		if err := api.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return server, listener, "http://" + l.Addr().String()
}

// send sends a message, and returns the code that decided.
func send(address, from, to string) (code int, err error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return 0, err
	}
	c := textproto.NewConn(conn)
	defer c.Close()
	for _, line := range []string{"", "EHLO client.test", "MAIL FROM:<" + from + ">", "RCPT TO:<" + to + ">", "DATA", "text\r\n.", "QUIT"} {
		if line != "" {
			if err := c.PrintfLine("%s", line); err != nil {
				return 0, err
			}
		}
		got, _, err := c.ReadResponse(0)
		if err != nil && got == 0 {
			return 0, err
		}
		if line == "QUIT" {
			break
		}
		if code = got; code >= 400 {
			break
		}
	}
	return code, nil
}

// TestPageInABrowser: with a sink under load, the figures on the page are those of /v1/stats; its buttons do what they say, by keyboard; the
// events survive a break; and it can be used on a telephone, in the dark, and with a screen reader.
func TestPageInABrowser(t *testing.T) {
	chromium := sinktest.RequireTool(t, "chromium", "chromium")
	node := sinktest.RequireTool(t, "node", "nodejs")
	npm := sinktest.RequireTool(t, "npm", "npm")
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	install := exec.CommandContext(ctx, npm, append([]string{"install", "--no-audit", "--no-fund", "--ignore-scripts"}, browserPackages...)...)
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		sinktest.Missing(t, "npm can't install %v: %v\n%s", browserPackages, err, out)
	}
	script, err := os.ReadFile("testdata/browse.mjs")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "browse.mjs"), script, 0o600); err != nil {
		t.Fatal(err)
	}

	server, listener, url := start(t, nil)
	address := server.Addr("").String()
	quit := make(chan struct{})
	var load sync.WaitGroup
	for i := range 2 {
		load.Go(func() {
			pace := time.NewTicker(20 * time.Millisecond)
			defer pace.Stop()
			for n := 0; ; n++ {
				select {
				case <-quit:
					return
				case <-pace.C:
				}
				if _, err := send(address, fmt.Sprintf("a%d@load.test", i), fmt.Sprintf("r%d@recipient.test", n%7)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	hooks := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/cut" {
			listener.cut()
			return
		}
		code, err := send(address, "a@sender.test", r.URL.Query().Get("to"))
		if err != nil {
			t.Error(err)
		}
		fmt.Fprint(w, code)
	}))
	defer hooks.Close()
	const token = "0123456789abcdefghijklmnopqrstuv"
	tokens, err := control.ParseTokens(strings.NewReader("write "+token), "test")
	if err != nil {
		t.Fatal(err)
	}
	_, _, guarded := start(t, tokens)

	pictures := os.Getenv("SMTPSTORM_PICTURES") // to look at; a directory that is there
	if pictures == "" {
		pictures = dir
	}
	cmd := exec.CommandContext(ctx, node, "browse.mjs", url, hooks.URL, chromium, pictures, guarded, token)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+dir)
	cmd.WaitDelay = time.Minute
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	close(quit)
	load.Wait()
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, stderr.String())
	}
	var said struct {
		Wrong    []string
		Measured map[string]any
	}
	if err := json.Unmarshal(out, &said); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, wrong := range said.Wrong {
		t.Error(wrong)
	}
	if said.Measured["compared"] != 4.0 {
		t.Errorf("measured: %v", said.Measured)
	}
}

// TestAssets: what the page names is there, and nothing else is served.
func TestAssets(t *testing.T) {
	h := page.Handler()
	get := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w
	}
	for path, kind := range map[string]string{"/": "text/html", "/assets/app.js": "text/javascript", "/assets/page.css": "text/css", "/assets/icon.svg": "image/svg+xml"} {
		if w := get(path); w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), kind) {
			t.Errorf("%s: %d %s", path, w.Code, w.Header().Get("Content-Type"))
		}
	}
	for _, path := range []string{"/assets/none.js", "/assets/../page.go", "/assets/.."} {
		if w := get(path); w.Code == http.StatusOK {
			t.Errorf("%s is served: %.80s", path, w.Body)
		}
	}
	for path := range map[string]bool{"/": true, "/assets/app.js": true, "/assets/page.css": true} {
		if text := get(path).Body.String(); strings.Contains(text, "//cdn") || strings.Contains(text, "https://") {
			t.Errorf("%s names another host", path)
		}
	}
}

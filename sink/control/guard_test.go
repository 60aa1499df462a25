package control

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/control/api"
)

// A page in a developer's browser can have a request sent here, by a name that resolves to this address. The name gives it away, on GET,
// too, and before anything else is looked at.
func TestForeignHosts(t *testing.T) {
	g := start(t, "", func(_ *sink.Config, c *Config) { c.Hosts = []string{"Sink.example", "other.example."} })
	_, port, _ := strings.Cut(strings.TrimPrefix(g.base, "http://"), ":")
	host := func(name string) func(*http.Request) { return func(r *http.Request) { r.Host = name } }
	for _, name := range []string{"localhost", "localhost:" + port, "127.0.0.1:" + port, "127.0.0.1", "LocalHost.", "[::1]:" + port, "sink.example:1", "OTHER.example", "[::ffff:127.0.0.1]"} {
		if a := g.request("GET", "/v1/stats", "", host(name)); a.status != 200 {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	for _, name := range []string{"evil.example", "evil.example:" + port, "127.0.0.1.evil.example", "localhost.evil.example", "192.0.2.1", "sink.example.evil", "0.0.0.0", "[::]:" + port, "127.0.0.1:" + port + ".evil"} {
		g.refused("OPTIONS", "/v1/plan", "", api.ForeignHost, host(name))
		g.refused("GET", "/nowhere", "", api.ForeignHost, host(name))
		for path, methods := range g.api.routes {
			for method := range methods {
				g.refused(method, strings.NewReplacer("{", "", "}", "").Replace(path), "", api.ForeignHost, host(name))
			}
		}
	}
	raw := func(request string) string {
		conn, err := net.Dial("tcp", strings.TrimPrefix(g.base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(patience))
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		line, _ := bufio.NewReader(conn).ReadString('\n')
		return line
	}
	for request, want := range map[string]string{
		"GET /v1/stats HTTP/1.0\r\n\r\n":                                                               "403",
		"GET /v1/stats HTTP/1.1\r\n\r\n":                                                               "400",
		"GET /v1/stats HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n":                                 "403",
		"GET http://evil.example/v1/stats HTTP/1.1\r\nHost: localhost\r\n\r\n":                         "403",
		"GET /v1/stats HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n":                      "400",
		"GET /v1/stats HTTP/1.1\r\nHost: a, localhost\r\n\r\n":                                         "40",
		"PUT /v1/plan HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-Host: x\r\nContent-Length: 0\r\n\r\n": "428",
	} {
		if line := raw(request); !strings.HasPrefix(line, "HTTP/1.1 "+want) && !strings.HasPrefix(line, "HTTP/1.0 "+want) {
			t.Errorf("%q is answered %q, want %s", request, line, want)
		}
	}
}

// What comes from a page of another origin is refused, whatever it is; there is no CORS by which it could be allowed.
func TestForeignOrigins(t *testing.T) {
	g := start(t, "", nil)
	with := func(headers ...string) func(*http.Request) {
		return func(r *http.Request) {
			for i := 0; i < len(headers); i += 2 {
				r.Header.Set(headers[i], headers[i+1])
			}
		}
	}
	own := g.base
	for _, foreign := range []func(*http.Request){
		with("Origin", "https://evil.example"), with("Origin", "null"), with("Sec-Fetch-Site", "cross-site"), with("Sec-Fetch-Site", "same-site"),
		with("Origin", "http://127.0.0.1:1"), with("Sec-Fetch-Site", "cross-site", "Origin", own),
	} {
		for _, what := range []string{"POST /v1/reset", "PUT /v1/plan", "DELETE /v1/next", "POST /v1/next", "POST /v1/storm", "POST /v1/session", "POST /v1/judge", "GET /v1/stats", "GET /v1/events", "GET /v1/messages", "GET /v1/ledger"} {
			method, path, _ := strings.Cut(what, " ")
			body := ""
			if method == "POST" {
				body = `{"what": ["counts"]}`
			}
			a := g.request(method, path, body, foreign)
			if a.status != 403 || !strings.Contains(string(a.body), api.ForeignOrigin) {
				t.Errorf("%s: %d %s", what, a.status, a.body)
			}
			for name := range a.header {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("%s: %s is sent", what, name)
				}
			}
		}
	}
	for _, same := range []func(*http.Request){with("Origin", own), with("Sec-Fetch-Site", "same-origin", "Origin", own), with("Sec-Fetch-Site", "none"), nil} {
		if a := g.request("POST", "/v1/reset", `{"what": ["counts"]}`, same); a.status != 200 {
			t.Errorf("from its own page: %d %s", a.status, a.body)
		}
		if a := g.request("GET", "/v1/stats", "", same); a.status != 200 {
			t.Errorf("from its own page: %d %s", a.status, a.body)
		}
	}
	g.refused("OPTIONS", "/v1/plan", "", api.MethodNotAllowed, with("Access-Control-Request-Method", "PUT"))
	if a := g.request("GET", "/v1/stats", "", nil); a.header.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(a.header.Get("Content-Security-Policy"), "frame-ancestors 'none'") ||
		a.header.Get("Cache-Control") != "no-store" || a.header.Get("Cross-Origin-Resource-Policy") != "same-origin" {
		t.Errorf("headers %v", a.header)
	}
}

// Neither a body that any page can send, nor a path or a method with a second name, leads anywhere.
func TestBodiesPathsAndMethods(t *testing.T) {
	g := start(t, "", nil)
	contentType := func(value string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("Content-Type", value)
			r.Header.Set("If-Match", "*")
		}
	}
	bodies := map[string]string{
		"POST /v1/next": `{"stage": "noop", "outcome": {}}`, "PUT /v1/next/a": `{"stage": "noop", "outcome": {}}`, "POST /v1/storm": `{"action": "start"}`,
		"POST /v1/reset": `{"what": ["next"]}`, "POST /v1/session": `{"token": "x"}`, "PUT /v1/plan": `{"version": 1}`, "POST /v1/judge": `{"token": "x"}`,
	}
	for what, body := range bodies {
		method, path, _ := strings.Cut(what, " ")
		for _, value := range []string{"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json, text/plain", "text/json", "application/xml"} {
			g.refused(method, path, body, api.MediaType, contentType(value))
		}
		g.refused(method, path, body, api.MediaType, func(r *http.Request) {
			r.Header.Set("If-Match", "*")
			r.Header.Set("Content-Encoding", "gzip")
			if path == "/v1/judge" {
				r.Header.Set("Content-Type", api.TypeNDJSON)
			}
		})
		if path == "/v1/judge" {
			continue
		}
		g.refused(method, path, "x", api.TooLarge, func(r *http.Request) { contentType(api.TypeJSON)(r); long(r, DefaultBody+1) })
		g.refused(method, path, `{"what": "`, api.BadRequest, contentType(api.TypeJSON))
	}
	chunked := g.request("POST", "/v1/reset", "x", func(r *http.Request) { // whose length nobody says
		r.ContentLength, r.Body = -1, io.NopCloser(io.LimitReader(zeros{}, DefaultBody+1))
	})
	g.problem(chunked, "a long body in chunks", api.TooLarge)
	for _, path := range []string{"/v1/../v1/stats", "//v1/stats", "/v1//stats", "/v1/./stats", "/v1/stats/", "/V1/stats", "/v1/plan/../stats", "/v1/%2e%2e/v1/stats", "/v1/stats%00", "/v1/stats;x", "/v1/next/a/b", "/etc/passwd", "/v1/ledger/../../etc/passwd", "/v2", "/"} {
		g.refused("GET", path, "", api.NotFound, nil)
	}
	override := func(r *http.Request) {
		r.Header.Set("X-HTTP-Method-Override", "DELETE")
		r.Header.Set("X-Method-Override", "DELETE")
	}
	g.call("PUT", "/v1/next/kept", `{"stage": "noop", "outcome": {"reply": 421}}`, 200, nil)
	if a := g.request("GET", "/v1/next/kept?_method=DELETE", "", override); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	g.call("GET", "/v1/next/kept", "", 200, nil)
	for _, what := range []string{"POST /v1/stats", "PATCH /v1/plan", "TRACE /v1", "CONNECT /v1", "DELETE /v1/plan", "GET /v1/reset", "POST /healthz", "get /v1"} {
		method, path, _ := strings.Cut(what, " ")
		if method == "CONNECT" {
			continue // the client library has its own idea of it
		}
		if a := g.request(method, path, "", nil); a.status != 405 || a.header.Get("Allow") == "" {
			t.Errorf("%s: %d %v", what, a.status, a.header)
		}
	}
	if a := g.request("HEAD", "/v1/stats", "", nil); a.status != 200 || len(a.body) != 0 {
		t.Errorf("HEAD: %d, %d octets", a.status, len(a.body))
	}
	for _, path := range []string{"/v1?x=1", "/v1/storm?x=1", "/v1/next?x", "/v1/stats?since=-1", "/v1/stats?since=1&since=2", "/v1/stats?windows=yes", "/v1/standings?x=1", "/v1/stats?%zz",
		"/v1/messages?limit=x", "/v1/messages?x=1", "/v1/messages?sender=@@@@", "/v1/ledger?x=1"} {
		g.refused("GET", path, "", api.BadRequest, nil)
	}
	g.refused("DELETE", "/v1/next?all=true", "", api.BadRequest, nil)
	g.refused("DELETE", "/v1/messages?recipient=x", "", api.BadRequest, nil)
}

// long gives a request a body of so many octets, which the client sends once it is asked to go on.
func long(r *http.Request, n int64) {
	r.ContentLength, r.Body = n, io.NopCloser(io.LimitReader(zeros{}, n))
	r.Header.Set("Expect", "100-continue")
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

const (
	readToken  = "read-0123456789-abcdefgh"
	writeToken = "write-0123456789-abcdefgh"
)

// tokens gives a server a token for each role.
func tokens(t testing.TB) func(*sink.Config, *Config) {
	all, err := ParseTokens(strings.NewReader("# two\n\nread "+readToken+"\nwrite "+writeToken+"\n"), "tokens")
	if err != nil {
		t.Fatal(err)
	}
	return func(_ *sink.Config, c *Config) { c.Tokens = all }
}

// With tokens nothing but health and what signs in is to be had without, and each does what its role says: for every route there is.
func TestTokens(t *testing.T) {
	g := start(t, threePhases, tokens(t))
	fill := strings.NewReplacer("{id}", "x", "{react}", "x", "{key}", "x")
	for _, methods := range g.api.routes {
		for _, r := range methods {
			path := fill.Replace(r.path)
			for _, wrong := range []string{"", "Bearer ", "Bearer x", "Bearer " + writeToken + "x", "Basic " + writeToken, writeToken, "Bearer " + strings.ToUpper(writeToken)} {
				a := g.request(r.method, path, "", func(q *http.Request) {
					if wrong != "" {
						q.Header.Set("Authorization", wrong)
					}
				})
				open := r.access == Public || r.access == Probe
				if (a.status == 401) == open && path != "/v1/session" || a.status == 401 && !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Bearer") {
					t.Errorf("%s %s with %q: %d %v", r.method, path, wrong, a.status, a.header)
				}
				if strings.Contains(string(a.body), writeToken) {
					t.Errorf("%s %s: the answer has the token: %s", r.method, path, a.body)
				}
			}
			if r.method == "GET" && strings.HasSuffix(path, "events") {
				continue
			}
			g.token = readToken
			if a := g.request(r.method, path, "", nil); (a.status == 403) != (r.access == Write) || a.status == 401 {
				t.Errorf("%s %s with the token to read: %d %s", r.method, path, a.status, a.body)
			}
			g.token = writeToken
			if a := g.request(r.method, path, "", nil); a.status == 401 || a.status == 403 {
				t.Errorf("%s %s with the token to write: %d %s", r.method, path, a.status, a.body)
			}
			g.token = ""
		}
	}
	g.refused("GET", "/v1/stats?token="+writeToken, "", api.TokenNeeded, nil) // never in a URL
}

func TestTokensThatAreNone(t *testing.T) {
	for text, want := range map[string]string{
		"":            "tokens: there is no token",
		"# nothing\n": "there is no token",
		"write " + "aaaaaaaaaaaaaaaaaaaaaaaaaaaa": "tokens:1: the token is too easy to guess",
		"write secret":                               "too easy to guess",
		"write 0123456789abcdef01234567":             "too easy to guess", // 96 bits
		"admin " + writeToken:                        "unknown role (valid: read write)",
		writeToken:                                   "tokens:1: want two words",
		"\nread " + readToken + " x":                 "tokens:2: want two words",
		"read " + readToken + "\nwrite " + readToken: "tokens:2: the token is there already",
		"read " + readToken + "é":                    "letters, digits",
		"read x" + strings.Repeat(readToken, 30):     "longer than",
	} {
		if _, err := ParseTokens(strings.NewReader(text), "tokens"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		} else if strings.Contains(err.Error(), readToken) || strings.Contains(err.Error(), writeToken) || strings.Contains(err.Error(), "secret") {
			t.Errorf("the error has the token: %v", err)
		}
	}
	for range 100 {
		if _, err := ParseTokens(strings.NewReader("read "+NewToken()), "made"); err != nil {
			t.Fatal(err)
		}
	}
}

// A page signs in and out; its cookie has the role of its token, and no script and no other site gets at it.
func TestSessions(t *testing.T) {
	now := time.Now()
	g := start(t, "", func(s *sink.Config, c *Config) {
		tokens(t)(s, c)
		c.Now = func() time.Time { return now }
	})
	g.refused("POST", "/v1/session", `{"token": "wrong"}`, api.TokenNeeded, nil)
	g.refused("POST", "/v1/session", `{}`, api.InvalidRequest, nil)
	signIn := func(token, role string) func(*http.Request) {
		t.Helper()
		var s api.Session
		a := g.call("POST", "/v1/session", `{"token": "`+token+`"}`, 200, &s)
		cookie := a.header.Get("Set-Cookie")
		for _, want := range []string{plainName + "=", "; HttpOnly", "; Secure", "; SameSite=Strict", "; Path=/"} {
			if !strings.Contains(cookie, want) {
				t.Errorf("the cookie %q lacks %q", cookie, want)
			}
		}
		if s.Role != role || strings.Contains(cookie, token) || strings.Contains(cookie, "Domain") {
			t.Errorf("%+v, %q", s, cookie)
		}
		pair, _, _ := strings.Cut(cookie, ";")
		return func(r *http.Request) { r.Header.Set("Cookie", pair) }
	}
	reader, writer := signIn(readToken, "read"), signIn(writeToken, "write")
	for who, want := range map[*func(*http.Request)]int{&reader: 403, &writer: 200} {
		if a := g.request("GET", "/v1/stats", "", *who); a.status != 200 {
			t.Errorf("%d %s", a.status, a.body)
		}
		if a := g.request("POST", "/v1/reset", `{"what": ["next"]}`, *who); a.status != want {
			t.Errorf("%d, want %d: %s", a.status, want, a.body)
		}
		if a := g.request("POST", "/v1/reset", `{"what": ["next"]}`, func(r *http.Request) { (*who)(r); r.Header.Set("Origin", "https://evil.example") }); a.status != 403 {
			t.Errorf("with the cookie, of another site: %d", a.status)
		}
	}
	if a := g.request("DELETE", "/v1/session", "", writer); a.status != 204 {
		t.Errorf("%d %s", a.status, a.body)
	}
	g.refused("GET", "/v1/stats", "", api.TokenNeeded, writer)
	now = now.Add(sessionTime)
	g.refused("GET", "/v1/stats", "", api.TokenNeeded, reader)
	first := signIn(writeToken, "write")
	for range maxSessions {
		now = now.Add(time.Second)
		signIn(writeToken, "write")
	}
	g.refused("GET", "/v1/stats", "", api.TokenNeeded, first)
}

// TestCookieNames: over TLS the name has the prefix that keeps other hosts and plain connections out; without TLS no browser would take it.
func TestCookieNames(t *testing.T) {
	if name := cookieName(&http.Request{TLS: &tls.ConnectionState{}}); name != secureName || !strings.HasPrefix(name, "__Host-") {
		t.Errorf("over TLS: %s", name)
	}
	if name := cookieName(&http.Request{}); name != plainName || strings.HasPrefix(name, "__") {
		t.Errorf("without: %s", name)
	}
}

// Who can open a unix socket has been let in by its file's permissions: no token, and no host name.
func TestUnixSocket(t *testing.T) {
	g := start(t, "", tokens(t))
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	g.serve(l)
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
	defer transport.CloseIdleConnections()
	g.client = &http.Client{Transport: transport, Timeout: patience}
	g.base = "http://smtpsink"
	g.call("POST", "/v1/reset", `{"what": ["next"]}`, 200, nil)
	g.refused("POST", "/v1/reset", `{"what": ["next"]}`, api.ForeignOrigin, func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") })
}

// Monitoring alone is served without token and by any name: none of it tells of a peer.
func TestScraped(t *testing.T) {
	g := start(t, "", tokens(t))
	g.api.Handle("GET /metrics", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "up 1") }), Scraped)
	g.other = true
	g.refused("GET", "/metrics", "", api.TokenNeeded, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- g.api.ServeScraped(l) }()
	g.base = "http://" + l.Addr().String()
	name := func(r *http.Request) { r.Host = "sink.namespace.svc:9090" }
	for path, want := range map[string]int{"/metrics": 200, "/healthz": 200, "/readyz": 200, "/v1": 404, "/v1/stats": 404, "/v1/session": 404, "/nowhere": 404, "/v1/../metrics": 404} {
		if a := g.request("GET", path, "", name); a.status != want {
			t.Errorf("%s: %d %s, want %d", path, a.status, a.body, want)
		}
	}
	if a := g.request("POST", "/metrics", "", name); a.status != 405 {
		t.Errorf("POST: %d", a.status)
	}
	_ = g.api.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// A plan that comes by the API opens no port and makes no socket file, unless it may.
func TestListenersByPlan(t *testing.T) {
	match := func(r *http.Request) { r.Header.Set("If-Match", "*") }
	socket := filepath.Join(t.TempDir(), "by-plan")
	open := []string{
		`{"version": 1, "listeners": [{"name": "more", "address": "127.0.0.1:0"}]}`,
		`{"version": 1, "listeners": [{"name": "more", "address": "unix:` + socket + `"}]}`,
		`{"version": 1, "listeners": [{"name": "more", "address": "0.0.0.0:0"}]}`,
	}
	g := start(t, "", nil)
	for _, body := range open {
		for _, path := range []string{"/v1/plan", "/v1/plan?dry-run=true"} {
			g.refused("PUT", path, body, api.Listeners, match)
		}
	}
	if n := len(g.sink.Listeners()); n != 1 || g.sink.PlanInForce().Generation != 1 {
		t.Errorf("%d listeners", n)
	}
	var warned []string
	may := start(t, "", func(_ *sink.Config, c *Config) {
		c.KeepPorts, c.Warn = false, func(line string) { warned = append(warned, line) }
	})
	var done api.PlanChange
	may.check(may.request("PUT", "/v1/plan", open[2], match), "a listener that may be", 200, &done)
	const warning = "other machines can reach listener more"
	if len(done.Opened) != 1 || !strings.Contains(strings.Join(done.Warnings, "\n"), warning) || !strings.Contains(strings.Join(warned, "\n"), warning) {
		t.Errorf("%+v, and said %q; want a warning", done, warned)
	}
	may.check(may.request("PUT", "/v1/plan", `{"version": 1}`, match), "closed again", 200, &done)
	if len(done.Closed) != 1 {
		t.Errorf("%+v", done)
	}
}

// A client that is slow to ask, or to say what it wants, is cut off; past the bound of connections one that waits makes room.
func TestConnectionsAreBounded(t *testing.T) {
	g := start(t, "", func(_ *sink.Config, c *Config) { c.Bounds.Connections = 3 })
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", strings.TrimPrefix(g.base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(patience))
		return conn
	}
	ask := func(conn net.Conn) error {
		if _, err := io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			return err
		}
		in := bufio.NewReader(conn)
		r, err := http.ReadResponse(in, nil)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, r.Body)
		return err
	}
	idle := dial()
	if err := ask(idle); err != nil {
		t.Fatal(err)
	}
	busy := []net.Conn{dial(), dial()}
	for _, conn := range busy { // their requests are under way
		if _, err := io.WriteString(conn, "GET /healthz HTTP/1.1\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	// The server must have seen them, and that the first one waits for its next request.
	g.eventually("a fourth is let in", func() bool { return ask(dial()) == nil })
	if _, err := idle.Read(make([]byte, 1)); err == nil {
		t.Error("the one that waited is still there")
	}
}

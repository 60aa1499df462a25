package control

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/control/api"
)

// Whatever is asked, the answer is one that the API has, and a problem where it is none of success; what was refused has changed nothing.
func FuzzRequest(f *testing.F) {
	for _, seed := range []struct{ what, query, header, body string }{
		{"GET /v1/stats", "since=1", "", ""}, {"GET /v1/events", "kind=attempt&code=4xx&client=192.0.2.0/24&sender=*@a.test&recipient=<>&rule=x&limit=3", "", ""},
		{"GET /v1/messages", "recipient=x@a.test&after=R-1-1", "", ""}, {"PUT /v1/plan", "dry-run=true", "*", "version: 1\nrules: [{stage: rcpt, reply: 450}]\n"},
		{"PUT /v1/plan", "", "*", `{"version": 1, "phases": [{"name": "a", "duration": "1s"}]}`}, {"POST /v1/next", "", "", `{"stage": "rcpt", "match": {"recipient": "x@a.test"}, "outcome": {"reply": {"code": 550, "text": ["a", "b"]}, "delay": "uniform(1s,2s)"}, "times": 2, "ttl": "5s"}`},
		{"POST /v1/storm", "", "", `{"action": "jump", "index": 1, "generation": 1}`}, {"POST /v1/reset", "", "", `{"what": ["counts"]}`}, {"POST /v1/session", "", "", `{"token": "x"}`},
		{"POST /v1/judge", "", "", `{"token": "a", "recipient": "b", "ack": "yes"}`}, {"GET /v1/ledger", "", "", ""}, {"PUT /v1/plan", "", "*", "a: &a [*a]"},
	} {
		f.Add(seed.what, seed.query, seed.header, seed.body)
	}
	g := start(f, threePhases, nil)
	handler := g.api.guarded(nil)
	f.Fuzz(func(t *testing.T, what, query, header, body string) {
		method, path, _ := strings.Cut(what, " ")
		before := g.sink.PlanInForce()
		r := httptest.NewRequest("GET", "http://localhost/", strings.NewReader(body))
		r.Method, r.URL.Path, r.URL.RawPath, r.URL.RawQuery = method, path, "", query
		r = r.WithContext(context.WithValue(t.Context(), http.LocalAddrContextKey, net.Addr(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1})))
		r.Header.Set("If-Match", header)
		r.Header.Set("Content-Type", api.TypeJSON)
		if strings.HasPrefix(body, "version") {
			r.Header.Set("Content-Type", api.TypeYAML)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code >= 400 {
			var p api.Problem
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || statusOf[p.Slug()] != w.Code || p.Status != w.Code {
				t.Errorf("%d %v: %s", w.Code, err, w.Body)
			}
		}
		switch {
		case w.Code >= 500:
			t.Errorf("%d %s", w.Code, w.Body)
		case w.Code >= 300 && g.sink.PlanInForce().Generation != before.Generation:
			t.Errorf("%d, and another plan is in force", w.Code)
		case method == "PUT" && path == "/v1/plan" && w.Code == 200: // and it can be read again
			for _, read := range []string{"/v1/plan", "/v1/plan/check"} {
				again := httptest.NewRecorder()
				q := httptest.NewRequest("GET", "http://localhost"+read, nil).WithContext(r.Context())
				if handler.ServeHTTP(again, q); again.Code != 200 {
					t.Errorf("%s: %d %s", read, again.Code, again.Body)
				}
			}
		}
	})
}

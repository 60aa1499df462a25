package control

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/capture"
	"github.com/smtpstorm/xk6-smtp/sink/control/api"
	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

// Messages are known by their rows, and by what was captured.
func TestMessages(t *testing.T) {
	g := start(t, "", func(s *sink.Config, _ *Config) {
		s.Capture = sink.CaptureConfig{Memory: true, Octets: capture.MinOctets}
	})
	c := g.dial()
	g.call("POST", "/v1/next", `{"stage": "rcpt", "match": {"recipient": "no@b.test"}, "outcome": {"reply": "550/5.1.1"}}`, 201, nil)
	c.do("250", "MAIL FROM:<first@sender.test>")
	c.do("250", "RCPT TO:<yes@a.test>")
	c.do("550", "RCPT TO:<no@b.test>")
	c.do("354", "DATA")
	c.do("250", "Message-ID: <1@x>\r\nX-Storm-Id: storm-1\r\n\r\nhello\r\n.")
	c.do("250", "MAIL FROM:<second@sender.test>")
	c.do("250", "RCPT TO:<yes@a.test>")
	c.do("250", "RSET")
	var all api.Messages
	g.eventually("both are known", func() bool {
		g.call("GET", "/v1/messages", "", 200, &all)
		return len(all.Messages) == 2 && all.Messages[0].Captured
	})
	m := all.Messages[0]
	if m.Sender != "first@sender.test" || m.Token != "first@sender.test" || len(m.Attempts) != 2 || m.Deliveries != 1 || !m.Captured || m.Time.IsZero() || m.Client == "" {
		t.Errorf("%+v", m)
	}
	if all.Messages[1].Captured || all.Messages[1].Deliveries != 0 {
		t.Errorf("%+v", all.Messages[1])
	}
	var one api.Message
	if g.call("GET", "/v1/messages/"+m.ID, "", 200, &one); one.ID != m.ID || len(one.Attempts) != 2 {
		t.Errorf("%+v", one)
	}
	for query, want := range map[string]int{
		"recipient=yes@a.test": 2, "recipient=*@b.test": 1, "recipient=x@a.test": 0, "sender=second@sender.test": 1, "sender=*@sender.test": 2, "token=first@sender.test": 1,
		"after=" + m.ID: 1, "limit=1": 1, "limit=0": 0, "sender=first@sender.test&recipient=no@b.test": 1, "storm_id=none": 0,
	} {
		if g.call("GET", "/v1/messages?"+query, "", 200, &all); len(all.Messages) != want {
			t.Errorf("%s: %d messages, want %d", query, len(all.Messages), want)
		}
	}
	raw := g.call("GET", "/v1/messages/"+m.ID+"/raw", "", 200, nil)
	if !strings.Contains(string(raw.body), "hello\r\n") || raw.header.Get("Content-Type") != api.TypeMessage || !strings.HasPrefix(raw.header.Get("Content-Disposition"), "attachment") ||
		!strings.HasPrefix(raw.header.Get("Content-Security-Policy"), "sandbox") || raw.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%q, %v", raw.body, raw.header)
	}
	g.refused("GET", "/v1/messages/nothing", "", api.NotFound, nil)
	g.refused("GET", "/v1/messages/nothing/raw", "", api.NotFound, nil)
	g.refused("GET", "/v1/messages/..%2f..%2fetc%2fpasswd/raw", "", api.NotFound, nil)
	g.refused("GET", "/v1/messages?after=nothing", "", api.EventsGone, nil)
	g.call("POST", "/v1/reset", `{"what": ["capture"]}`, 200, nil)
	g.refused("GET", "/v1/messages/"+m.ID+"/raw", "", api.NotFound, nil)
	g.call("DELETE", "/v1/messages", "", 204, nil)

	none := start(t, "", nil)
	none.refused("GET", "/v1/messages/x/raw", "", api.WrongState, nil)
	none.refused("DELETE", "/v1/messages", "", api.WrongState, nil)
}

// The ledger can be had as a whole or in parts, and claims are judged by it.
func TestLedgerAndJudge(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.jsonl")
	g := start(t, "", func(s *sink.Config, _ *Config) { s.Ledger = sink.LedgerConfig{Path: path, Durability: event.Ack} })
	c := g.dial()
	c.deliver("token-1@sender.test", "b@recipient.test")
	c.do("221", "QUIT")
	g.eventually("the connection's row is on disk", func() bool {
		return strings.Contains(string(g.call("GET", "/v1/ledger", "", 200, nil).body), `"kind":"connection"`)
	})
	whole := g.call("GET", "/v1/ledger", "", 200, nil)
	part := g.request("GET", "/v1/ledger", "", func(r *http.Request) { r.Header.Set("Range", "bytes=10-19") })
	if part.status != 206 || string(part.body) != string(whole.body[10:20]) {
		t.Errorf("%d %q", part.status, part.body)
	}
	if a := g.request("GET", "/v1/ledger", "", func(r *http.Request) { r.Header.Set("Range", "bytes=99999999-") }); a.status != 416 {
		t.Errorf("%d", a.status)
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString(`{"kind":"att`); err != nil { // a row that is being written
		t.Fatal(err)
	}
	if a := g.call("GET", "/v1/ledger", "", 200, nil); string(a.body) != string(whole.body) {
		t.Errorf("with half a row at its end: %q", a.body)
	}
	ndjson := func(r *http.Request) { r.Header.Set("Content-Type", api.TypeNDJSON) }
	claim := func(token string) string {
		return fmt.Sprintf(`{"token":%q,"recipient":"b@recipient.test","ack":"yes"}`+"\n", token)
	}
	var summary reconcile.Summary
	g.check(g.request("POST", "/v1/judge", claim("token-1@sender.test"), ndjson), "judge", 200, &summary)
	if summary.Units != 1 || summary.Fates["delivered"] != 1 {
		t.Errorf("%+v", summary)
	}
	g.check(g.request("POST", "/v1/judge", claim("token-1@sender.test")+claim("token-2@sender.test"), ndjson), "judge", 200, &summary)
	if summary.Units != 2 || summary.Fates["undetermined"] != 1 {
		t.Errorf("%+v", summary)
	}
	p := g.problem(g.request("POST", "/v1/judge", claim("x")+"{\"token\": 7}\n", ndjson), "bad claims", api.InvalidRequest)
	if len(p.Errors) != 1 || p.Errors[0].Line != 2 {
		t.Errorf("%+v", p)
	}
	g.problem(g.request("POST", "/v1/judge?x=1", claim("x"), ndjson), "a parameter", api.BadRequest)
	g.problem(g.request("POST", "/v1/judge", "", func(r *http.Request) { ndjson(r); long(r, DefaultClaims+1) }), "too many claims", api.TooLarge)
	g.api.judging <- struct{}{}
	g.problem(g.request("POST", "/v1/judge", claim("x"), ndjson), "another", api.TooMany)
	<-g.api.judging
	none := start(t, "", nil)
	none.refused("GET", "/v1/ledger", "", api.WrongState, nil)
	none.problem(none.request("POST", "/v1/judge", claim("x"), ndjson), "without a ledger", api.WrongState)
}

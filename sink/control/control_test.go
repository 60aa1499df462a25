package control

import (
	"net/http"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/control/api"
)

const threePhases = "start: clock\nphases: [{name: calm, duration: 1h}, {name: outage, duration: 2h, rules: [{stage: mail, reply: 451}]}, {name: recovery, duration: 1h}]\n"

func TestInfo(t *testing.T) {
	g := start(t, "", nil)
	var info api.Info
	g.call("GET", "/v1", "", 200, &info)
	if info.API != 1 || info.Instance != g.sink.Run() || info.Epoch != 1 || info.Generation != 1 || len(info.Listeners) != 1 || info.Listeners[0].Name != "mx" || info.Schemas["plan"] != "1" {
		t.Errorf("%+v", info)
	}
}

// The plan is read and replaced as a whole, in JSON or YAML, bound to what it replaces.
func TestPlan(t *testing.T) {
	const text = "version: 1\nname: first\n# a comment\nlimits: [{name: pace, kind: rate, rate: 100/s, stage: mail}]\nrules: [{stage: rcpt, match: {recipient: 'x@a.test'}, reply: 450}]\n"
	g := start(t, text, nil)
	yaml := g.request("GET", "/v1/plan", "", func(r *http.Request) { r.Header.Set("Accept", api.TypeYAML) })
	if string(yaml.body) != text || yaml.header.Get("Content-Type") != api.TypeYAML {
		t.Errorf("as YAML: %q", yaml.body)
	}
	var document map[string]any
	asJSON := g.call("GET", "/v1/plan", "", 200, &document)
	tag := asJSON.header.Get("ETag")
	if document["name"] != "first" || tag == "" || tag != yaml.header.Get("ETag") || asJSON.header.Get(api.HeaderGeneration) != "1" {
		t.Errorf("as JSON: %v, %v", document, asJSON.header)
	}
	changed := strings.Replace(string(asJSON.body), `"first"`, `"second"`, 1)
	match := func(tag string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("If-Match", tag) }
	}
	g.refused("PUT", "/v1/plan", changed, api.IfMatchNeeded, nil)
	g.refused("PUT", "/v1/plan", changed, api.PlanChanged, match(`"sha256:00"`))
	g.refused("PUT", "/v1/plan", changed, api.PlanChanged, match(`W/`+tag))
	var done api.PlanChange
	g.check(g.request("PUT", "/v1/plan?dry-run=true", changed, match(tag)), "dry run", 200, &done)
	if !done.DryRun || done.Generation != 2 || len(done.LimitsKept) != 1 || done.LimitsKept[0] != "pace" || g.sink.PlanInForce().Generation != 1 {
		t.Errorf("dry run: %+v, in force %+v", done, g.sink.PlanInForce())
	}
	a := g.request("PUT", "/v1/plan", changed, match(`"sha256:00", `+tag))
	g.check(a, "PUT", 200, &done)
	if done.Generation != 2 || done.ETag != a.header.Get("ETag") || done.ETag == tag || g.sink.PlanInForce().Name != "second" {
		t.Errorf("put: %+v, in force %+v", done, g.sink.PlanInForce())
	}
	g.refused("PUT", "/v1/plan", changed, api.PlanChanged, match(tag))
	g.check(g.request("PUT", "/v1/plan", text, func(r *http.Request) {
		r.Header.Set("If-Match", "*")
		r.Header.Set("Content-Type", api.TypeYAML)
	}), "PUT YAML", 200, &done)
	if again := g.call("GET", "/v1/plan", "", 200, nil); again.header.Get("ETag") != tag || done.Generation != 3 {
		t.Errorf("put back: %+v, %v", done, again.header)
	}
	var check struct{ Periods []any }
	g.call("GET", "/v1/plan/check", "", 200, &check)
	if len(check.Periods) == 0 {
		t.Error("the check says nothing")
	}
	for body, want := range map[string]api.Flaw{
		`{"version": 1, "rules": [{"stage": "rcpt", "repply": 550}]}`:                         {Pointer: "/rules/0", Line: 1, Column: 44, Message: `unknown key "repply"`},
		`{"version": 1, "rules": [{"stage": "rcpt", "outcomes": [{"weight": 0}]}]}`:           {Pointer: "/rules/0", Message: "weight"},
		"{\"version\": 1,\n \"rules\": [{\"stage\": \"rcpt\", \"reply\": 999}]}":              {Pointer: "/rules/0/reply", Line: 2, Message: "999"},
		`{"version": 1, "phases": [{"name": "a", "duration": "1s", "rules": [{"mode": 7}]}]}`: {Pointer: "/phases/0/rules/0", Line: 1},
	} {
		p := g.refused("PUT", "/v1/plan", body, api.InvalidPlan, match("*"))
		if len(p.Errors) != 1 {
			t.Fatalf("%s: %+v", body, p)
		}
		got := p.Errors[0]
		if !strings.HasPrefix(got.Pointer, want.Pointer) || want.Line != 0 && got.Line != want.Line || want.Column != 0 && got.Column != want.Column || !strings.Contains(got.Message, want.Message) {
			t.Errorf("%s: %+v, want %+v", body, got, want)
		}
	}
	g.refused("PUT", "/v1/plan", `{"version": 1,`, api.BadRequest, match("*"))
	g.refused("PUT", "/v1/plan?dryrun=true", `{"version": 1}`, api.BadRequest, match("*"))
	if got := g.sink.PlanInForce(); got.Generation != 3 {
		t.Errorf("after all that was refused: generation %d, want 3", got.Generation)
	}
}

func TestStorm(t *testing.T) {
	g := start(t, threePhases, nil)
	var storm api.Storm
	g.call("GET", "/v1/storm", "", 200, &storm)
	if storm.State != "running" || storm.Phase != "calm" || *storm.Index != 0 || storm.Round != 1 || len(storm.Phases) != 3 || storm.Phases[1].Begin != 3600 {
		t.Errorf("%+v", storm)
	}
	c := g.dial()
	c.do("250", "MAIL FROM:<a@sender.test>")
	c.do("250", "RSET")
	g.call("POST", "/v1/storm", `{"action": "jump", "phase": "outage", "generation": 1}`, 200, &storm)
	if storm.Phase != "outage" || *storm.Index != 1 {
		t.Errorf("after the jump: %+v", storm)
	}
	c.do("451", "MAIL FROM:<a@sender.test>")
	g.call("POST", "/v1/storm", `{"action": "extend", "by": "1h"}`, 200, &storm)
	if *storm.Remaining < 2.5*3600 || storm.Phases[1].Duration != 3*3600 {
		t.Errorf("after the extension: %+v", storm)
	}
	storm = api.Storm{}
	g.call("POST", "/v1/storm", `{"action": "stop"}`, 200, &storm)
	if storm.State != "over" || storm.Index != nil {
		t.Errorf("after the stop: %+v", storm)
	}
	g.refused("POST", "/v1/storm", `{"action": "stop"}`, api.WrongState, nil)
	g.refused("POST", "/v1/storm", `{"action": "start", "generation": 7}`, api.WrongState, nil)
	g.call("POST", "/v1/storm", `{"action": "start"}`, 200, &storm)
	for _, body := range []string{
		`{"action": "rewind"}`, `{"action": "jump"}`, `{"action": "jump", "phase": "nowhere"}`, `{"action": "jump", "index": 3}`, `{"action": "jump", "index": -1}`,
		`{"action": "jump", "index": 1, "phase": "calm"}`, `{"action": "extend"}`, `{"action": "extend", "by": "-1s"}`, `{"action": "extend", "by": "soon"}`,
		`{"action": "stop", "by": "1s"}`, `{"action": "stop", "phase": "calm"}`, `{"action": "start", "generation": 0}`, `{}`, `[]`, `null`, `{"action": 7}`, `{"action": null}`,
		`{"Action": "stop"}`, `{"action": "stop", "force": true}`, `{"action": "stop", "action": "stop"}`, `{"action": "jump", "index": 1.5}`,
	} {
		g.refused("POST", "/v1/storm", body, api.InvalidRequest, nil)
	}
	kinds := ""
	for _, e := range g.events("kind=storm,phase") {
		kinds += string(e.Row[:16])
	}
	if n := strings.Count(kinds, `"storm"`); n != 4 {
		t.Errorf("%d rows of the storm's clock, want 4", n)
	}
	if none := start(t, "", nil); true {
		none.call("GET", "/v1/storm", "", 200, &storm)
		if storm.State != "none" {
			t.Errorf("without a storm: %+v", storm)
		}
		none.refused("POST", "/v1/storm", `{"action": "start"}`, api.WrongState, nil)
	}
}

// The next mail fails as it was asked for, and only that.
func TestNext(t *testing.T) {
	g := start(t, "", nil)
	var n api.NextStatus
	a := g.call("POST", "/v1/next", `{"stage": "rcpt", "match": {"recipient": "x@a.test"}, "outcome": {"reply": "550/5.1.1"}, "times": 2}`, 201, &n)
	if n.ID == "" || n.Remaining != 2 || n.Hits != 0 || string(n.Match) != `{"recipient":"x@a.test"}` || string(n.Outcome) != `{"reply":"550/5.1.1"}` || a.header.Get("Location") != "/v1/next/"+n.ID {
		t.Errorf("%+v, %v", n, a.header)
	}
	c := g.dial()
	c.do("250", "MAIL FROM:<a@sender.test>")
	c.do("250", "RCPT TO:<y@a.test>")
	c.do("550", "RCPT TO:<x@a.test>")
	g.call("GET", "/v1/next/"+n.ID, "", 200, &n)
	if n.Remaining != 1 || n.Hits != 1 {
		t.Errorf("after one: %+v", n)
	}
	g.call("DELETE", "/v1/next/"+n.ID, "", 204, nil)
	g.refused("DELETE", "/v1/next/"+n.ID, "", api.NotFound, nil)
	g.refused("GET", "/v1/next/"+n.ID, "", api.NotFound, nil)
	c.do("250", "RCPT TO:<x@a.test>")

	const put = `{"stage": "noop", "outcome": {"reply": 421}, "ttl": "30s"}`
	for range 2 { // as often as one likes
		g.call("PUT", "/v1/next/mine", put, 200, &n)
	}
	g.refused("POST", "/v1/next", `{"id": "mine", "stage": "noop", "outcome": {}}`, api.WrongState, nil)
	var all api.NextList
	if g.call("GET", "/v1/next", "", 200, &all); len(all.Next) != 1 || all.Next[0].ID != "mine" || string(all.Next[0].Outcome) != `{"reply":"421"}` {
		t.Errorf("%+v", all)
	}
	g.call("DELETE", "/v1/next", "", 204, nil)
	if g.call("GET", "/v1/next", "", 200, &all); len(all.Next) != 0 {
		t.Errorf("%+v", all)
	}
	for body, at := range map[string]string{
		`{"stage": "rcpt", "outcome": {"reply": 999}}`:                                     "/outcome/reply",
		`{"stage": "mail", "match": {"recipient": "x@a.test"}, "outcome": {"reply": 450}}`: "/match/recipient",
		`{"stage": "rcpt", "match": {"attempt": 1}, "outcome": {"reply": 450}}`:            "/match/attempt",
		`{"stage": "rcpt", "outcome": {"reply": 450}, "times": 0}`:                         "/times",
		`{"stage": "rcpt", "outcome": {"reply": 450}, "ttl": "25h"}`:                       "/ttl",
		`{"stage": "rcpt", "outcome": {"reply": 450}, "id": "a b"}`:                        "/id",
		`{"stage": "rcpt", "match": {"listener": "nowhere"}, "outcome": {"reply": 450}}`:   "/match/listener",
		`{"stage": "rcpt"}`: "/outcome",
		`{"stage": "rcpt", "outcome": {"reply": 450}, "forever": true}`:                          "",
		`[{"stage": "rcpt", "outcome": {"reply": 450}}]`:                                         "",
		`{"stage": "rcpt", "outcome": {"reply": {"code": 450, "text": "x", "enhanced": "5.1"}}}`: "/outcome/reply/enhanced",
	} {
		if p := g.refused("POST", "/v1/next", body, api.InvalidOutcome, nil); len(p.Errors) != 1 || p.Errors[0].Pointer != at {
			t.Errorf("%s: %+v, want %q", body, p.Errors, at)
		}
	}
	for body, want := range map[string]string{ // in the words of the document: not how the sink calls it, and no id that nobody gave
		`{"stage": "rcpt", "outcome": {"reply": 450}, "ttl": "25h"}`:                     "ttl: 25h0m0s is out of range (want above 0s, at most 24h0m0s)",
		`{"stage": "rcpt", "outcome": {"reply": "550/4.1.1"}}`:                           "outcome.reply: enhanced status code 4.1.1 contradicts reply code 550: its class must be 5",
		`{"stage": "rcpt", "match": {"listener": "nowhere"}, "outcome": {"reply": 450}}`: "match.listener: there is no listener nowhere (valid: mx)",
	} {
		if p := g.refused("POST", "/v1/next", body, api.InvalidOutcome, nil); p.Detail != want {
			t.Errorf("%s: %q, want %q", body, p.Detail, want)
		}
	}
	g.refused("PUT", "/v1/next/other", `{"id": "mine", "stage": "noop", "outcome": {}}`, api.InvalidRequest, nil)
	g.refused("PUT", "/v1/next/a%20b", put, api.InvalidOutcome, nil)
	g.refused("PUT", "/v1/next/a%2Fb", put, api.InvalidOutcome, nil)
	for i := range 1000 {
		a := g.request("POST", "/v1/next", `{"stage": "noop", "outcome": {"reply": 421}}`, nil)
		if a.status != 201 {
			t.Fatalf("%d: %d %s", i, a.status, a.body)
		}
	}
	g.refused("POST", "/v1/next", `{"stage": "noop", "outcome": {"reply": 421}}`, api.TooMany, nil)
	g.refused("PUT", "/v1/next/another", put, api.TooMany, nil)
}

// A plan that a program has given as a value has no text to show, nor to compare with.
func TestPlanWithoutText(t *testing.T) {
	g := start(t, "rules: [{stage: noop, reply: 450}]", func(s *sink.Config, _ *Config) { s.PlanText = nil })
	g.refused("GET", "/v1/plan", "", api.NotFound, nil)
	g.refused("GET", "/v1/plan/check", "", api.NotFound, nil)
	match := func(tag string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("If-Match", tag) }
	}
	g.refused("PUT", "/v1/plan", `{"version": 1}`, api.PlanChanged, match(etag(noPlan)))
	g.check(g.request("PUT", "/v1/plan", `{"version": 1}`, match("*")), "PUT", 200, nil)
	g.call("GET", "/v1/plan", "", 200, nil)
}

// A reset begins an epoch; the counts before it go on where they were for monitoring.
func TestReset(t *testing.T) {
	g := start(t, "", nil)
	c := g.dial()
	c.deliver("a@sender.test", "b@recipient.test")
	c.do("221", "QUIT")
	var s api.Stats
	g.eventually("the connection has ended", func() bool { g.call("GET", "/v1/stats", "", 200, &s); return s.Rows.Connections == 1 })
	var epoch api.Epoch
	g.call("POST", "/v1/reset", `{"what": ["counts", "next", "state"]}`, 200, &epoch)
	g.call("GET", "/v1/stats", "", 200, &s)
	if epoch.Epoch != 2 || s.Epoch != 2 || s.Counts.Connections != 0 || s.Counts.Attempts.Total() != 0 || s.Rows.Connections != 1 || s.Rows.Deliveries != 1 || s.Rows.Messages != 1 {
		t.Errorf("epoch %+v, stats %+v, counts %+v", epoch, s, s.Counts)
	}
	g.refused("POST", "/v1/reset", `{"what": ["capture"]}`, api.WrongState, nil)
	if p := g.refused("POST", "/v1/reset", `{}`, api.InvalidRequest, nil); p.Detail != "nothing is named (valid: counts state next capture)" || p.Errors[0].Pointer != "/what" {
		t.Errorf("%+v", p)
	}
	for _, body := range []string{`{"what": []}`, `{"what": ["everything"]}`, `{}`, `{"what": "counts"}`} {
		g.refused("POST", "/v1/reset", body, api.InvalidRequest, nil)
	}
	if g.call("GET", "/v1/stats", "", 200, &s); s.Epoch != 2 {
		t.Errorf("what was refused has begun epoch %d", s.Epoch)
	}
}

func TestHealth(t *testing.T) {
	g := start(t, "", nil)
	g.call("GET", "/healthz", "", 200, nil)
	g.call("GET", "/readyz", "", 200, nil)
	g.api.Stop()
	g.call("GET", "/healthz", "", 200, nil)
	g.refused("GET", "/readyz", "", api.Stopping, nil)
	for path, methods := range g.api.routes {
		for method, r := range methods {
			if r.access == Write {
				g.refused(method, strings.NewReplacer("{", "", "}", "").Replace(path), "", api.Stopping, nil)
			}
		}
	}
	g.call("GET", "/v1/stats", "", 200, nil)

	refused := start(t, "version: 1\nlistener_faults: {mx: refused}\n", nil)
	refused.call("GET", "/readyz", "", 200, nil) // as it should be
}

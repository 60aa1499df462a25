package control

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/control/api"
)

// Unknown recipients block a client, and its network is marked.
const harvesters = `
rules: [{stage: rcpt, match: {recipient: "*@gone.test"}, reply: 550/5.1.1}]
react:
  - {name: harvester, of: client, when: {code: 550/5.1.1}, after: 2, for: [1h, 1d], worse: {stage: mail, after: 2}, then: {rules: [{stage: mail, reply: 421/4.7.0}]}}
  - {name: its network, of: network, when: {react: harvester}}
  - {name: domain, of: [client, sender-domain], when: {code: 550/5.1.1}, after: 3}
`

// A client is blocked, is forgiven, and passes; what was counted towards its standing is forgotten, too.
func TestStandings(t *testing.T) {
	g := start(t, harvesters, nil)
	list := func(parameters string) (names []string, all api.Standings) {
		t.Helper()
		g.call("GET", "/v1/standings"+parameters, "", 200, &all)
		for _, x := range all.Standings {
			names = append(names, fmt.Sprintf("%s %d %s", x.React, x.Level, x.Key))
		}
		return names, all
	}
	guess := func(c *mailer, name string) {
		c.do("250", "MAIL FROM:<a@sender.test>")
		c.do("550", "RCPT TO:<%s@gone.test>", name)
		c.do("250", "RSET")
	}
	want := func(parameters string, want ...string) {
		t.Helper()
		if got, _ := list(parameters); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", parameters, got, want)
		}
	}
	c := g.dial()
	guess(c, "one")
	want("")
	guess(c, "two")
	want("", "harvester 1 127.0.0.1")
	c.do("421", "MAIL FROM:<a@sender.test>")
	_, all := list("?react=harvester&key=127.0.0.1")
	if x := all.Standings[0]; x.Until == nil || x.Until.Sub(x.Changed).Hours() != 1 || !x.Returned || all.Next != "" {
		t.Errorf("%+v, next %q", x, all.Next)
	}
	want("", "harvester 1 127.0.0.1", "its network 1 127.0.0.0/24")
	want("?react=its+network", "its network 1 127.0.0.0/24")
	want("?key=127.0.0.0/24", "its network 1 127.0.0.0/24")
	want("?key=192.0.2.1")
	want("?react=domain")
	want("?after=harvester/127.0.0.1", "its network 1 127.0.0.0/24")
	want("?after=" + url.QueryEscape("its%20network/127.0.0.0%2F24"))
	c = g.dial()
	c.do("421", "MAIL FROM:<a@sender.test>")
	want("?react=harvester", "harvester 2 127.0.0.1")

	for path, detail := range map[string]string{
		"/v1/standings?react=harvesters":        `unknown reaction "harvesters" (valid: "harvester" "its network" "domain")`,
		"/v1/standings/harvesters/127.0.0.1":    `unknown reaction "harvesters" (valid: "harvester" "its network" "domain")`,
		"/v1/standings/harvester/127.0.0.2":     `no standing of reaction "harvester" is in force for the key "127.0.0.2" (GET /v1/standings lists them)`,
		"/v1/standings/domain/127.0.0.1":        `no standing of reaction "domain" is in force for the key "127.0.0.1" (GET /v1/standings lists them)`,
		"/v1/standings/its%20network/127.0.0.0": `no standing of reaction "its network" is in force for the key "127.0.0.0" (GET /v1/standings lists them)`,
		"/v1/standings/harvester/%2E%2E":        `no standing of reaction "harvester" is in force for the key ".." (GET /v1/standings lists them)`,
	} {
		method := "DELETE"
		if strings.Contains(path, "?") {
			method = "GET"
		}
		if p := g.refused(method, path, "", api.NotFound, nil); p.Detail != detail {
			t.Errorf("%s: %q, want %q", path, p.Detail, detail)
		}
	}
	for _, after := range []string{"x", "", "/y", "a%25zz/y", "a/%25zz"} {
		g.refused("GET", "/v1/standings?after="+after, "", api.BadRequest, nil)
	}
	g.call("DELETE", "/v1/standings/its%20network/127.0.0.0%2F24", "", 204, nil)
	want("", "harvester 2 127.0.0.1")
	g.call("DELETE", "/v1/standings/harvester/127.0.0.1", "", 204, nil)
	g.refused("DELETE", "/v1/standings/harvester/127.0.0.1", "", api.NotFound, nil)
	want("")
	c = g.dial()
	c.deliver("a@sender.test", "b@recipient.test")
	guess(c, "three")
	want("", "domain 1 127.0.0.1 sender.test") // its third, and the first of the other
	g.call("DELETE", "/v1/standings/domain/127.0.0.1%20sender.test", "", 204, nil)
	guess(c, "four")
	want("", "harvester 1 127.0.0.1")

	var s api.Stats
	g.call("GET", "/v1/stats", "", 200, &s)
	if r := s.Counts.Reactions[0]; r.Begun != 2 || r.Keys != 1 {
		t.Errorf("%+v, want two standings of one key", r)
	}
}

// Keys are what peers say: octets that are no text, and what looks like a way through paths, are named and forgiven as others are.
func TestStandingsOfHostileKeys(t *testing.T) {
	g := start(t, "react: [{name: greeted, of: helo, when: {stage: ehlo}}]", nil)
	c := g.dial()
	for _, name := range []string{"..", ".", "a//b", "a/../b", "%2e%2e", "a?b#c", "a b", "x\xffy", "\xc3\xa4.test"} {
		c.do("250", "EHLO %s", name)
	}
	var all api.Standings
	g.call("GET", "/v1/standings", "", 200, &all)
	if len(all.Standings) < 9 {
		t.Errorf("%d standings of ten names: %+v", len(all.Standings), all)
	}
	for _, x := range all.Standings {
		path := "/v1/standings/greeted/" + strings.ReplaceAll(url.PathEscape(x.Key), ".", "%2E")
		if a := g.request("DELETE", path, "", nil); a.status != http.StatusNoContent {
			t.Errorf("%q: status %d: %s", x.Key, a.status, a.body)
		}
	}
	if g.call("GET", "/v1/standings", "", 200, &all); len(all.Standings) != 0 {
		t.Errorf("after all were forgiven: %+v", all)
	}
}

// An answer is bounded, and goes on where the one before ended. A plan without reactions has none.
func TestStandingsInPages(t *testing.T) {
	const keys = 2*standingsPage + 1
	g := start(t, "react: [{name: a/b, of: sender, when: {stage: mail}}]", nil)
	c := g.dial()
	for i := range keys {
		c.do("250", "MAIL FROM:<%04d/x@sender.test>", keys-i)
		c.do("250", "RSET")
	}
	var seen []string
	var pages []int
	for after := ""; ; {
		var all api.Standings
		g.call("GET", "/v1/standings"+after, "", 200, &all)
		for _, x := range all.Standings {
			seen = append(seen, x.Key)
		}
		pages = append(pages, len(all.Standings))
		if all.Next == "" || len(pages) > 3 {
			break
		}
		after = "?after=" + url.QueryEscape(all.Next)
	}
	if !slices.Equal(pages, []int{standingsPage, standingsPage, 1}) || !slices.IsSorted(seen) || len(slices.Compact(seen)) != keys {
		t.Errorf("pages of %v, %d keys from %q to %q", pages, len(seen), seen[0], seen[len(seen)-1])
	}
	var all api.Standings
	none := start(t, "", nil)
	if none.call("GET", "/v1/standings", "", 200, &all); len(all.Standings) != 0 {
		t.Errorf("%+v", all)
	}
	if p := none.refused("DELETE", "/v1/standings/harvester/192.0.2.1", "", api.NotFound, nil); p.Detail != `unknown reaction "harvester" (the plan in force has none)` {
		t.Errorf("%q", p.Detail)
	}
}

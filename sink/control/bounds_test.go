package control

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/control/api"
)

// Bodies, and claims apart from them, may be as long as was said, and no longer; what is refused names the bound.
func TestBodiesHaveTheBoundThatIsGiven(t *testing.T) {
	const most = 2000
	g := start(t, "", func(_ *sink.Config, c *Config) { c.Bounds.Body, c.Bounds.Claims = most, 2*most })
	padded := func(n int) string {
		const body = `{"what": ["counts"]}`
		return body + strings.Repeat(" ", n-len(body))
	}
	g.call("POST", "/v1/reset", padded(most), 200, nil)
	p := g.refused("POST", "/v1/reset", padded(most+1), api.TooLarge, nil)
	if !strings.Contains(p.Detail, "2000 octets") {
		t.Errorf("%q doesn't name the bound", p.Detail)
	}
	ndjson := func(r *http.Request) { r.Header.Set("Content-Type", api.TypeNDJSON) }
	if a := g.request("POST", "/v1/judge", strings.Repeat("\n", 2*most+1), ndjson); a.status != http.StatusRequestEntityTooLarge {
		t.Errorf("too many claims: %d %s", a.status, a.body)
	}
	if a := g.request("POST", "/v1/judge", strings.Repeat("\n", 2*most), ndjson); a.status == http.StatusRequestEntityTooLarge {
		t.Errorf("claims that may be: %d %s", a.status, a.body)
	}
}

// Of the events as many octets are kept as was said: who comes too late is told which are gone.
func TestEventsAreBounded(t *testing.T) {
	const most = 8 << 10
	g := start(t, "", func(s *sink.Config, c *Config) {
		c.Tail = sink.NewTail(most)
		s.Observer = c.Tail
	})
	c := g.dial()
	for i := range 100 {
		c.deliver("a@sender.test", fmt.Sprintf("b%d@recipient.test", i))
	}
	a := g.request("GET", "/v1/events?limit=100000", "", nil)
	if kept := len(a.body); a.status != 200 || kept > 2*most || kept < most/2 {
		t.Errorf("%d, and %d octets of events with their ids, of 100 messages; want about %d", a.status, kept, most)
	}
	g.problem(g.request("GET", "/v1/events?after="+g.sink.Run()+"-1", "", nil), "an event that is gone", api.EventsGone)
}

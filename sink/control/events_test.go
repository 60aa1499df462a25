package control

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/control/api"
)

// sse is a client of a stream.
type sse struct {
	t      testing.TB
	body   *bufio.Reader
	cancel context.CancelFunc
}

type streamed struct{ id, event, data string }

// stream opens a stream; last, if not empty, is the Last-Event-ID.
func (g *rig) stream(parameters, last string) *sse {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	g.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, "GET", g.base+"/v1/events?"+parameters, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	r.Header.Set("Accept", api.TypeStream)
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	a, err := g.client.Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { _ = a.Body.Close() })
	if a.StatusCode != 200 || a.Header.Get("Content-Type") != api.TypeStream {
		g.t.Fatalf("status %d, %v", a.StatusCode, a.Header)
	}
	return &sse{g.t, bufio.NewReader(a.Body), cancel}
}

// next reads the next event; comments are passed over, and end says that the stream has ended.
func (s *sse) next() (e streamed, end bool) {
	for {
		line, err := s.body.ReadString('\n')
		if err != nil {
			return e, true
		}
		line = strings.TrimSuffix(line, "\n")
		name, value, _ := strings.Cut(line, ": ")
		switch {
		case line == "" && e.event != "":
			return e, false
		case name == "id":
			e.id = value
		case name == "event":
			e.event = value
		case name == "data":
			e.data = value
		}
	}
}

// must reads the next event, which must be of that kind.
func (s *sse) must(kind string) streamed {
	s.t.Helper()
	e, end := s.next()
	if end || e.event != kind {
		s.t.Fatalf("%+v, end %v; want %s", e, end, kind)
	}
	return e
}

// Events come as they happen; who comes again with the last id has all since, once and in order; what is gone is told.
func TestStream(t *testing.T) {
	g := start(t, threePhases, nil)
	s := g.stream("", "")
	c := g.dial()
	c.deliver("a@sender.test", "b@recipient.test")
	message := s.must("message")
	attempt := s.must("attempt")
	var row struct{ Recipient string }
	if err := json.Unmarshal([]byte(attempt.data), &row); err != nil || row.Recipient != "b@recipient.test" || !strings.HasPrefix(attempt.id, g.sink.Run()+"-") {
		t.Errorf("%+v, %v", attempt, err)
	}
	s.cancel()
	g.call("POST", "/v1/reset", `{"what": ["counts"]}`, 200, nil)
	g.call("POST", "/v1/storm", `{"action": "jump", "phase": "recovery"}`, 200, nil)
	again := g.stream("", message.id)
	if e := again.must("attempt"); e != attempt {
		t.Errorf("%+v, want %+v", e, attempt)
	}
	again.must("reset")
	again.must("storm")
	again.must("phase")
	g.stream("after="+attempt.id, "").must("reset")

	// What is missed through filters doesn't come, and rows of other kinds have no reply code.
	filtered := g.stream("kind=attempt&code=4xx,550&recipient=*@a.test", "")
	c.do("250", "MAIL FROM:<a@sender.test>")
	g.call("POST", "/v1/next", `{"stage": "rcpt", "outcome": {"reply": 450}, "times": 2}`, 201, nil)
	c.do("450", "RCPT TO:<y@b.test>")
	c.do("450", "RCPT TO:<y@a.test>")
	c.do("250", "RCPT TO:<z@a.test>")
	if e := filtered.must("attempt"); !strings.Contains(e.data, "y@a.test") {
		t.Errorf("%+v", e)
	}
	other := g.stream("", strings.Repeat("A", 26)+"-7") // of a run before
	if e := other.must("gap"); !strings.Contains(e.data, `"from":"`+strings.Repeat("A", 26)+`-7"`) {
		t.Errorf("%+v", e)
	}
	other.must("start")
	for _, bad := range []string{"after=7", "after=x-y", "after=-1", "kind=dinner", "code=9xx", "code=", "code=45", "client=here", "limit=1", "sender=@@@@", "recipient=", "x=1", "after=" + g.sink.Run() + "-18446744073709551615"} {
		a := g.request("GET", "/v1/events?"+bad, "", func(r *http.Request) { r.Header.Set("Accept", api.TypeStream) })
		g.problem(a, bad, api.BadRequest)
	}
	if a := g.request("HEAD", "/v1/events", "", func(r *http.Request) { r.Header.Set("Accept", api.TypeStream) }); a.status != 200 {
		t.Errorf("HEAD: %d", a.status)
	}
	open := g.stream("", "")
	_ = g.api.Close()
	if e, end := open.next(); !end {
		t.Errorf("%+v after the server's end", e)
	}
}

// The tail is bounded: a reader that comes too late is told which events are gone, and a list that would have to begin with them is refused.
func TestEventsThatAreGone(t *testing.T) {
	g := start(t, "", func(s *sink.Config, c *Config) {
		c.Tail = sink.NewTail(2000)
		s.Observer = c.Tail
	})
	first := g.sink.Run() + "-1"
	c := g.dial()
	for i := range 20 {
		c.deliver(fmt.Sprintf("a%d@sender.test", i), "b@recipient.test")
	}
	var gap api.Gap
	s := g.stream("", first)
	if err := json.Unmarshal([]byte(s.must("gap").data), &gap); err != nil || gap.From != g.sink.Run()+"-2" {
		t.Errorf("%+v, %v", gap, err)
	}
	next, _ := s.next()
	var from, to uint64
	_, _ = fmt.Sscanf(gap.To[len(g.sink.Run()):], "-%d", &from)
	_, _ = fmt.Sscanf(next.id[len(g.sink.Run()):], "-%d", &to)
	if to != from+1 {
		t.Errorf("gap %+v, then %s", gap, next.id)
	}
	g.refused("GET", "/v1/events?after="+first, "", api.EventsGone, nil)
	for query, want := range map[string]string{
		"kind=foo": `kind: unknown kind "foo" (valid: start `, "code=99": `code: invalid reply code "99" (want 200 to 599)`, "limit=x": `limit: invalid number "x" (want `,
		"client=zzz": `client: invalid address or network "zzz" (want for example 192.0.2.1`, "recipient=a%20b": `recipient: invalid pattern "a b" (want `, "sort=x": `unknown parameter "sort" (valid: `,
	} {
		if p := g.refused("GET", "/v1/events?"+query, "", api.BadRequest, nil); !strings.HasPrefix(p.Detail, want) || len(p.Errors) != 1 || p.Errors[0].Message != p.Detail {
			t.Errorf("%s: %+v, want %q, once", query, p, want)
		}
	}
	g.refused("GET", "/v1/events?after=OTHER-1", "", api.EventsGone, nil)
	g.refused("GET", "/v1/events?after="+g.sink.Run()+"-9999", "", api.BadRequest, nil)
	if events := g.events("limit=3"); len(events) != 3 || events[0].ID != next.id {
		t.Errorf("%d events, the first %+v; want 3 from %s on", len(events), events, next.id)
	}
	var messages api.Messages
	if g.call("GET", "/v1/messages", "", 200, &messages); !messages.Missing || len(messages.Messages) == 0 {
		t.Errorf("%+v", messages)
	}
}

// There are as many streams as there may be, and one that was left is free again.
func TestStreamsAreBounded(t *testing.T) {
	g := start(t, "", func(_ *sink.Config, c *Config) { c.Bounds.Streams, c.beatEvery = 2, time.Millisecond })
	streams := []*sse{g.stream("", ""), g.stream("", "")}
	accept := func(r *http.Request) { r.Header.Set("Accept", api.TypeStream) }
	g.problem(g.request("GET", "/v1/events", "", accept), "a third", api.TooMany)
	for range 3 {
		if line, err := streams[0].body.ReadString('\n'); err != nil || line == "" {
			t.Fatalf("%q, %v", line, err)
		}
	}
	streams[0].cancel()
	g.eventually("a place is free", func() bool { return len(g.api.streams) < 2 })
	g.stream("", "")
}

// A client that takes nothing costs so much memory and no more, and is cut off; the sink goes on.
func TestSlowReadersAreCutOff(t *testing.T) {
	g := start(t, "", func(_ *sink.Config, c *Config) { c.Bounds.Backlog, c.writeWait = 4<<10, 200*time.Millisecond })
	conn, err := net.Dial("tcp", strings.TrimPrefix(g.base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.(*net.TCPConn).SetReadBuffer(1 << 10)
	fmt.Fprintf(conn, "GET /v1/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n")
	g.eventually("the stream is open", func() bool { return len(g.api.streams) == 1 })
	c := g.dial()
	for i := 0; len(g.api.streams) > 0; i++ {
		if c.deliver("a@sender.test", "b@recipient.test"); i > 100_000 {
			t.Fatal("a reader that takes nothing is still there")
		}
	}
}

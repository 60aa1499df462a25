package control

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/capture"
	"github.com/smtpstorm/xk6-smtp/sink/control/api"
	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/ledger"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
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

// GET /v1/stats is exact at its sequence number under load: rows are those of the events up to it, and of the ledger in the end.
func TestStatsAreExact(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.jsonl")
	g := start(t, "rules: [{stage: rcpt, outcomes: [{weight: 3}, {weight: 1, reply: 450}]}]", func(s *sink.Config, _ *Config) {
		s.Ledger.Path, s.Loops = path, 2
	})
	const clients, rounds = 4, 60
	stream := g.stream("", g.sink.Run()+"-0")
	rowsAt := []api.Rows{{}} // by sequence number
	seen := make(chan struct{})
	go func() {
		defer close(seen)
		var rows api.Rows
		for {
			e, end := stream.next()
			if end || e.event == "stop" {
				return
			}
			switch e.event {
			case "connection":
				rows.Connections++
			case "transaction":
				rows.Transactions++
			case "message":
				rows.Messages++
			case "attempt":
				rows.Attempts++
				if strings.Contains(e.data, `"delivered":true`) {
					rows.Deliveries++
				}
			}
			rowsAt = append(rowsAt, rows)
		}
	}()
	var all sync.WaitGroup
	for i := range clients {
		c := g.dial()
		all.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(i)))
			for j := range rounds {
				_, _ = fmt.Fprintf(c.conn, "RSET\r\nMAIL FROM:<s%d-%d@sender.test>\r\nRCPT TO:<r%d@a.test>\r\nRCPT TO:<q%d@b.test>\r\n", i, j, j, j)
				taken := 0
				for k := range 4 {
					line, err := c.in.ReadString('\n')
					if err != nil {
						t.Error(err)
						return
					}
					if k > 1 && strings.HasPrefix(line, "250") {
						taken++
					}
				}
				if taken > 0 && random.IntN(4) > 0 {
					c.do("354", "DATA")
					c.do("250", "Subject: x\r\n\r\nx\r\n.")
				}
			}
			c.do("221", "QUIT")
		})
	}
	var samples []api.Stats
	var since []api.Stats
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		var s, d api.Stats
		g.call("GET", "/v1/stats", "", 200, &s)
		if n := len(samples); n > 0 {
			g.call("GET", fmt.Sprintf("/v1/stats?since=%d", samples[n-1].Seq), "", 200, &d)
			since = append(since, d)
		}
		samples = append(samples, s)
	}
	var last api.Stats
	g.eventually("all connections have ended", func() bool { g.call("GET", "/v1/stats", "", 200, &last); return last.Rows.Connections == clients })
	samples = append(samples, last)
	if err := g.sink.Close(); err != nil {
		t.Fatal(err)
	}
	<-seen
	for _, s := range samples {
		if s.Seq >= uint64(len(rowsAt)) || s.Rows != rowsAt[s.Seq] {
			t.Fatalf("at %d: %+v, and the events up to it are %+v", s.Seq, s.Rows, rowsAt[min(s.Seq, uint64(len(rowsAt)-1))])
		}
		if n := s.Counts.Attempts.Total(); n < s.Rows.Attempts {
			t.Errorf("at %d: counters are behind the events: %d attempts of %d", s.Seq, n, s.Rows.Attempts)
		}
	}
	for _, d := range since {
		if want := rowsAt[d.Seq].Attempts - rowsAt[d.Since].Attempts; d.Rows.Attempts != want {
			t.Errorf("from %d to %d: %d attempts, want %d", d.Since, d.Seq, d.Rows.Attempts, want)
		}
	}
	var kept api.Rows
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := ledger.Each(ledger.Input{Name: path, R: file}, func(row *event.Row) error {
		switch row.Kind {
		case event.KindConnection:
			kept.Connections++
		case event.KindTransaction:
			kept.Transactions++
		case event.KindMessage:
			kept.Messages++
		case event.KindAttempt:
			kept.Attempts++
			if row.Attempt.Delivered {
				kept.Deliveries++
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	a := last.Counts.Attempts
	if last.Rows != kept || a.Total() != kept.Attempts || a.Delivered != kept.Deliveries || last.Counts.Connections != kept.Connections || kept.Attempts != clients*rounds*2 {
		t.Errorf("rows %+v, counts %+v, the ledger %+v", last.Rows, a, kept)
	}
	t.Logf("%d samples over %d events", len(samples), len(rowsAt)-1)
	g.refused("GET", "/v1/stats?since=123456789", "", api.EventsGone, nil)
	var windows api.Stats
	if g.call("GET", "/v1/stats?windows=true", "", 200, &windows); len(windows.Counts.Windows) == 0 || len(last.Counts.Windows) != 0 {
		t.Error("the time series is there although nobody asked, or not although somebody did")
	}
}

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

// Of plans that are swapped at the same time, each bound to what it replaces, exactly one wins each round.
func TestConcurrentSwaps(t *testing.T) {
	g := start(t, "name: start\n", nil)
	const writers, rounds = 6, 20
	var won [writers]int
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() {
			for j := range rounds {
				tag := g.request("GET", "/v1/plan", "", nil).header.Get("ETag")
				a := g.request("PUT", "/v1/plan", fmt.Sprintf(`{"version": 1, "name": "w%d-%d", "rules": [{"stage": "noop", "reply": 450}]}`, i, j), func(r *http.Request) { r.Header.Set("If-Match", tag) })
				switch a.status {
				case 200:
					won[i]++
				case 412:
				default:
					t.Errorf("%d %s", a.status, a.body)
				}
			}
		})
	}
	c := g.dial()
	for range 50 {
		_, _ = fmt.Fprint(c.conn, "NOOP\r\n")
		if _, err := c.in.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	all.Wait()
	sum := 0
	for _, n := range won {
		sum += n
	}
	if got := g.sink.PlanInForce().Generation; got != uint64(sum+1) || sum < rounds {
		t.Errorf("generation %d after %d swaps that were told", got, sum)
	}
}

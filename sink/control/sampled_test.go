package control

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/control/api"
)

// A stream for eyes shows the newest events of each turn, as many as were asked for, in order, and names what it has left out: together they
// are all that came.
func TestStreamsForEyes(t *testing.T) {
	for name, query := range map[string]string{"all": "rate=40", "filtered": "rate=40&recipient=b1@recipient.test"} {
		t.Run(name, func(t *testing.T) {
			g := start(t, "", nil)
			c := g.dial()
			for i := range 300 {
				c.deliver("a@sender.test", fmt.Sprintf("b%d@recipient.test", i%2))
			}
			seq := func(id string) uint64 {
				n, err := strconv.ParseUint(id[strings.LastIndexByte(id, '-')+1:], 10, 64)
				if err != nil {
					t.Fatalf("%q: %v", id, err)
				}
				return n
			}
			g.eventually("all rows are there", func() bool { return g.tail.Counts().Attempts == 300 })
			last := g.tail.Last()
			s := g.stream(query, g.sink.Run()+"-0")
			at, events, skipped := uint64(0), 0, uint64(0)
			for at < last {
				e, end := s.next()
				if end {
					t.Fatalf("the stream has ended at %d of %d", at, last)
				}
				if e.event == "skipped" {
					var gap api.Gap
					if err := json.Unmarshal([]byte(e.data), &gap); err != nil || seq(gap.From) != at+1 || seq(gap.To) <= at {
						t.Fatalf("%s after %d: %v", e.data, at, err)
					}
					skipped += seq(gap.To) - at
					at = seq(gap.To)
					continue
				}
				if events++; name == "all" && seq(e.id) != at+1 || seq(e.id) <= at {
					t.Fatalf("event %s after %d", e.id, at)
				}
				at = seq(e.id)
				if name == "filtered" && !strings.Contains(e.data, `"recipient":"b1@recipient.test"`) {
					t.Errorf("%s isn't wanted", e.data)
				}
			}
			if events != 10 || skipped < 500 {
				t.Errorf("%d events, %d left out; want 10 of the first turn, and most of %d left out", events, skipped, last)
			}
			c.deliver("a@sender.test", "b1@recipient.test") // of a later turn
			for {
				if e, end := s.next(); end {
					t.Fatal("the stream has ended")
				} else if e.event == "attempt" && seq(e.id) > last {
					break
				}
			}
		})
	}
	g := start(t, "", nil)
	c := g.dial()
	for i := range 300 { // the one that is wanted is far back, and comes still
		c.deliver("a@sender.test", fmt.Sprintf("b%d@recipient.test", i))
	}
	s := g.stream("rate=4&recipient=b3@recipient.test", g.sink.Run()+"-0")
	if e := s.must("attempt"); !strings.Contains(e.data, `"recipient":"b3@recipient.test"`) {
		t.Errorf("%+v", e)
	}
	g.refused("GET", "/v1/events?rate=10", "", api.BadRequest, nil)
	g.refused("GET", "/v1/events?rate=10001", "", api.BadRequest, nil)
}

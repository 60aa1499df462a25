package control

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
)

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

package control

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/control/api"
)

// A large plan is taken, but none that could not be shown again: neither by its length, nor by what aliases stand for, nor by
// its depth.
func TestHugePlans(t *testing.T) {
	g := start(t, "", nil)
	yaml := func(r *http.Request) {
		r.Header.Set("If-Match", "*")
		r.Header.Set("Content-Type", api.TypeYAML)
	}
	var rules strings.Builder
	rules.WriteString("version: 1\nrules:\n")
	for i := 0; rules.Len() < DefaultBody/4; i++ {
		fmt.Fprintf(&rules, "- {name: r%d, stage: rcpt, match: {recipient: \"u%d@a.test\"}, reply: 450}\n", i, i)
	}
	g.check(g.request("PUT", "/v1/plan", rules.String(), yaml), "a large plan", 200, nil)
	g.call("GET", "/v1/plan", "", 200, nil)

	bomb := "version: 1\nname: &a " + strings.Repeat("x", 1<<16) + "\nrules:\n- &r {stage: rcpt, reply: {code: 550, text: [*a, *a, *a, *a, *a, *a, *a, *a]}}\n" + strings.Repeat("- *r\n", 1000)
	for name, text := range map[string]string{
		"aliases in aliases": bomb,
		"an endless alias":   "version: 1\nrules: &a [*a]\n",
		"deep brackets":      "version: 1\nrules: " + strings.Repeat("[", 200_000),
		"deep mappings":      "version: 1\nrules: " + strings.Repeat("{a: ", 100_000),
		"a billion laughs":   "version: 1\na: &a [x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b, *b, *b]\nrules: [*c, *c, *c, *c, *c, *c, *c, *c]\n",
		"octets":             "version: 1\nname: \"\x00\xff\"\n",
		"another tag":        "version: 1\nname: !!binary aGVsbG8=\n# \nrules: !!python/object:os.system [rm]\n",
	} {
		before := g.sink.PlanInForce().Generation
		a := g.request("PUT", "/v1/plan", text, yaml)
		if a.status == 200 {
			g.call("GET", "/v1/plan", "", 200, nil) // what was taken can be shown
			g.call("GET", "/v1/plan/check", "", 200, nil)
			continue
		}
		g.problem(a, name, api.InvalidPlan)
		if got := g.sink.PlanInForce().Generation; got != before {
			t.Errorf("%s: refused, and in force", name)
		}
	}
	deep := g.request("PUT", "/v1/plan", strings.Repeat(`{"a":`, 100_000)+"1"+strings.Repeat("}", 100_000), func(r *http.Request) { r.Header.Set("If-Match", "*") })
	g.problem(deep, "deep JSON", api.BadRequest)
	g.problem(g.request("POST", "/v1/next", `{"stage": "rcpt", "outcome": `+strings.Repeat("[", 100_000)+strings.Repeat("]", 100_000)+"}", nil), "deep JSON", api.BadRequest)
}

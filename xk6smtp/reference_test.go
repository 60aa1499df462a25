package xk6smtp

import (
	"fmt"
	"strings"
	"testing"

	"go.k6.io/k6/v2/metrics"

	"github.com/smtpstorm/xk6-smtp/sink/testkit"
)

// TestReference holds docs/reference/k6-metrics.md to what both modules register.
func TestReference(t *testing.T) {
	registered := map[string]*metrics.Metric{}
	for _, m := range newVU(t).rt.VU.InitEnvField.Registry.All() {
		if strings.HasPrefix(m.Name, "smtp_") {
			registered[m.Name] = m
		}
	}
	var b strings.Builder
	b.WriteString("# Metrics of the k6 modules\n\n<!-- Made from the code by make docs: change the code, not this page. -->\n\n" +
		"Trends are fractional milliseconds. The tags are those that the modules give; yours, and k6's own, come on top. [The k6 API](../api.md#clocks) says more.\n\n" +
		"| metric | type | tags | meaning |\n|---|---|---|---|\n")
	for _, row := range append(new(smtpMetrics).table(), new(sinkMetrics).table()...) {
		if registered[row.name] == nil {
			t.Errorf("%s is not registered", row.name)
		}
		delete(registered, row.name)
		tags, known := carried[row.name]
		if !known {
			t.Errorf("thresholds.go has no tags of %s", row.name)
		}
		quoted := strings.Fields(tags)
		for i, tag := range quoted {
			quoted[i] = "`" + tag + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", row.name, row.typ, strings.Join(quoted, " "), row.about)
	}
	for name := range registered {
		t.Errorf("%s has no row in a table", name)
	}
	testkit.Generated(t, "..", "k6-metrics.md", b.String())
}

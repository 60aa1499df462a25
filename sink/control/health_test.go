package control

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/control/api"
	"github.com/smtpstorm/xk6-smtp/sink/count"
)

// TestReadiness: a sink whose ledger is broken takes no mail that would be written down, and says so; one that has lost rows to a full disk goes on.
func TestReadiness(t *testing.T) {
	started := func(l *count.Ledger) *count.Counts {
		c := count.New()
		c.Started, c.Ledger = time.Unix(1, 0), l
		return c
	}
	for what, test := range map[string]struct {
		counts   *count.Counts
		stopping bool
		want     string
	}{
		"serves":              {started(nil), false, ""},
		"keeps a ledger":      {started(&count.Ledger{Rows: 3}), false, ""},
		"has lost rows":       {started(&count.Ledger{Lost: 3, Error: "no space left on device"}), false, ""},
		"has a broken ledger": {started(&count.Ledger{Lost: 3, Broken: true}), false, "ledger"},
		"stops":               {started(nil), true, "stopping"},
		"has not started":     {count.New(), false, "not started"},
	} {
		err := readiness(test.counts, test.stopping)
		var p *api.Problem
		switch {
		case test.want == "":
			if err != nil {
				t.Errorf("a sink that %s: %v", what, err)
			}
		case !errors.As(err, &p) || p.Status != 503 || p.Slug() != api.Stopping || !strings.Contains(p.Detail, test.want):
			t.Errorf("a sink that %s: %v", what, err)
		}
	}
}

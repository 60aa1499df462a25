package storm

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/storm/measure"
)

// TestRemarks: a record is marked when the benchmark took too much of the machine, or missed something.
func TestRemarks(t *testing.T) {
	begin := time.Date(2026, 1, 31, 10, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		what   string
		change func(c *cell, r *Record)
		want   []string
	}{
		{"nothing", func(*cell, *Record) {}, nil},
		{"a quarter of the MTA's CPU", func(_ *cell, r *Record) { r.Bench = 0.5 }, nil},
		{"more than that", func(_ *cell, r *Record) { r.Bench = 0.51 }, []string{"sink and source used 0.51 s of CPU, more than a quarter of the MTA's 2.00 s"}},
		{"a hundredth of a core to look", func(_ *cell, r *Record) { r.Sampler = 1 }, nil},
		{"more than that", func(_ *cell, r *Record) { r.Sampler = 1.01 }, []string{"looking at the queue used 1.01 s of CPU, more than 1% of a core"}},
		{"a queue that could not be seen", func(c *cell, _ *Record) { c.watch.failed, c.watch.blind = 2, errors.New("gone") }, []string{"the queue could not be seen 2 times: gone"}},
		{"a sender that was to be killed", func(c *cell, _ *Record) { c.storm.beyond.kill = true }, []string{errNotDisturbed.Error()}},
		{"mail that was turned away", func(_ *cell, r *Record) { r.Load.Refused = 3 }, []string{"3 of 100 messages were not accepted by the MTA"}},
		{"a submission that came late", func(_ *cell, r *Record) { r.Load.Late = 1.25 }, []string{"a submission began 1.2 s late: delays run from the instant that was meant, and have it in them"}},
		{"an MTA that sends nothing", func(_ *cell, r *Record) { r.Figures.Attempts = measure.Attempts{} }, []string{"the MTA accepted 100 messages and tried to deliver none of them"}},
	} {
		c := &cell{storm: &Storm{}, watch: watch{whole: true}}
		r := &Record{Load: Offered{Messages: 100, Begin: begin}, Storm: About{Watched: begin.Add(100 * time.Second)}, Figures: &measure.Figures{
			Accepted: 100, Attempts: measure.Attempts{Messages: 100, Connections: 100}, Resources: &measure.Resources{CPU: 2},
		}}
		tt.change(c, r)
		if c.remark(r); !slices.Equal(r.Warnings, tt.want) {
			t.Errorf("%s: warnings %q, want %q", tt.what, r.Warnings, tt.want)
		}
	}
}

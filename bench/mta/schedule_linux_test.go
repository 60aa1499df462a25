package mta

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/supervise"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// TestScheduleIsReadBack: an agent that is told to retry after 5, 5, 10, 20 and 40 s says so itself.
func TestScheduleIsReadBack(t *testing.T) {
	for _, c := range Find() {
		if c.Traits.FixedSchedule {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			if err := c.Ready(); err != nil {
				sinktest.Missing(t, "%v", err)
			}
			scratch, err := NewScratch("", "smtpstorm-test-")
			if err != nil {
				t.Fatal(err)
			}
			defer func(s *supervise.Scratch) {
				if err := s.Remove(); err != nil {
					t.Error(err)
				}
			}(scratch)
			o := Options{Dir: scratch.Path("mta"), Relay: "127.0.0.1:20025", Policy: Policy{MinimalBackoff: 5 * time.Second, MaximalBackoff: 40 * time.Second, ByAge: true}}
			routed, patient, pooled := o, o, o
			routed.Routes = []Route{{"src.bench.test", []string{"127.0.0.1:20026", "127.0.0.1:20027"}}}
			patient.FinalTimeout = 5 * time.Second
			pooled.Sources = []string{"127.0.0.2", "127.0.0.3"}
			for _, test := range []struct {
				asked Options
				can   bool
			}{{routed, c.Traits.Routes}, {patient, c.Traits.FinalTimeout}, {pooled, c.Traits.Sources}} {
				a, err := New(c.Name, test.asked)
				if (err == nil) != test.can {
					t.Errorf("%v; the traits say %v", err, test.can)
				}
				if err == nil {
					if err := a.Close(); err != nil {
						t.Error(err)
					}
				}
			}
			if c.Traits.Routes {
				o.Routes = routed.Routes
			}
			if c.Traits.FinalTimeout {
				o.FinalTimeout = patient.FinalTimeout
			}
			a, err := New(c.Name, o)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := a.Close(); err != nil {
					t.Error(err)
				}
			}()
			if err := a.Prepare(context.Background()); err != nil {
				t.Fatal(err)
			}
			s, err := a.Schedule(context.Background())
			if errors.Is(err, ErrUnaskable) && c.Name == "nullmailer" {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(s.Gaps); !strings.HasPrefix(got, "[5s 5s 10s 20s 40s") {
				t.Errorf("it says %s (%q), want 5, 5, 10, 20 and 40 s", got, s.Text)
			}
		})
	}
}

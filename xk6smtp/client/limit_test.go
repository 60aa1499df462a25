package client

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"
)

// TestWaitsOutlastThePatience: the deadline by which an operation looks at its context is none of the operation's own.
func TestWaitsOutlastThePatience(t *testing.T) {
	body := append([]byte("Subject: x\n\n"), bytes.Repeat([]byte("0123456789abcdef\n"), 1000)...)
	t.Run("a reply", func(t *testing.T) {
		dialogue(t, greeted+"C: NOOP\n+30s\nS: 250 ok\nC: NOOP\n+50ms\nS: 250 ok", func(s *session) {
			s.connect()
			for range 2 {
				if _, err := s.conn.Noop(s.ctx); err != nil {
					t.Error(err)
				}
			}
		})
	})
	t.Run("a body of which a part was taken", func(t *testing.T) {
		// The server's buffer takes 4 KiB with the first line.
		dialogue(t, piped+"C: MAIL FROM:<a@src.test>\nC: RCPT TO:<b@dst.test>\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\nC: Subject: x\n+1s\nC. 1001\n+1s\nS: 250 ok", func(s *session) {
			s.connect()
			start := time.Now()
			if err := s.conn.Send(s.ctx, &Message{From: "a@src.test", To: []string{"b@dst.test"}, Body: NewBody(body)}, &s.result); err != nil {
				t.Error(err)
			}
			if took := time.Since(start); took != 2*time.Second || s.result.Sending != time.Second || s.result.Waiting != time.Second {
				t.Errorf("it took %v, %v of them sending and %v waiting, expected 2s, 1s and 1s", took, s.result.Sending, s.result.Waiting)
			}
		})
	})
}

// TestLimitsAreExact: a phase is over when its limit is, however long the patience.
func TestLimitsAreExact(t *testing.T) {
	for _, limit := range []time.Duration{time.Millisecond, patience / 2, patience, patience + time.Millisecond, time.Minute} {
		t.Run(limit.String(), func(t *testing.T) {
			dialogue(t, greeted+"C: NOOP\n+"+(limit/2).String()+"\nS: 250 ok\nC: NOOP\nhang", func(s *session) {
				s.cfg.Timeouts = AllTimeouts(limit)
				s.connect()
				if _, err := s.conn.Noop(s.ctx); err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				if _, err := s.conn.Noop(s.ctx); !errors.Is(err, ErrTimeout) {
					t.Errorf("got %v", err)
				}
				if took := time.Since(start); took != limit {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

// TestAnInterruptionIsNoticed: within the patience at its end, later at once.
func TestAnInterruptionIsNoticed(t *testing.T) {
	for _, test := range []struct{ after, within time.Duration }{
		{0, patience}, {patience / 2, patience}, {patience + 1, 1}, {time.Minute / 2, 1},
	} {
		t.Run(test.after.String(), func(t *testing.T) {
			dialogue(t, greeted+"C: NOOP\nhang", func(s *session) {
				s.connect()
				ctx, cancel := context.WithCancel(s.ctx)
				var ended time.Time
				time.AfterFunc(test.after, func() { ended = time.Now(); cancel() })
				_, err := s.conn.Noop(ctx)
				if !errors.Is(err, ErrAborted) {
					t.Errorf("got %v", err)
				}
				if took := time.Since(ended); took > test.within {
					t.Errorf("it was noticed after %v, expected %v at most", took, test.within)
				}
				if s.conn.Open() {
					t.Error("the connection is still open")
				}
			})
		})
	}
}

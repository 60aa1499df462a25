package metrics

import (
	"reflect"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/count"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

func TestSeries(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	m := NewSet(1, 0)
	accept := func(n int) {
		for range n {
			decide(m.Shard(0).Listener("").Phase(nil), smtp.StageMessage, fault.Decision{}, true)
		}
	}
	s := NewSeries(start, time.Second, 4)
	accept(3)
	s.Sample(start.Add(time.Second), m.Totals(1, 100))
	s.Sample(start.Add(1100*time.Millisecond), m.Totals(1, 100)) // too early: changes nothing
	accept(2)
	s.Sample(start.Add(2*time.Second), m.Totals(3, 150))
	accept(1)

	window := func(at time.Duration, seconds float64, connections, bytes, messages uint64) count.Window {
		return count.Window{Start: start.Add(at), LengthSeconds: seconds, Connections: connections, Bytes: bytes, Messages: messages,
			Replies: []count.WindowReply{{Stage: smtp.StageMessage, Code: 250, Count: messages}}}
	}
	got := s.Windows(start.Add(2500*time.Millisecond), m.Totals(3, 160))
	want := []count.Window{window(0, 1, 1, 100, 3), window(time.Second, 1, 2, 50, 2), window(2*time.Second, 0.5, 0, 10, 1)}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Windows() = %+v, want %+v", got, want)
	}
}

func TestSeriesIsBounded(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	m := NewSet(1, 0)
	const limit, seconds = 8, 1000
	s := NewSeries(start, time.Second, limit)
	for i := range seconds {
		decide(m.Shard(0).Listener("").Phase(nil), smtp.StageMessage, fault.Decision{}, true)
		s.Sample(start.Add(time.Duration(i+1)*time.Second), m.Totals(uint64(i+1), 0))
	}
	windows := s.Windows(start.Add(seconds*time.Second), m.Totals(seconds, 0))
	var connections, messages uint64
	next := start
	for _, w := range windows {
		if !w.Start.Equal(next) {
			t.Errorf("a window starts at %v, the one before ended at %v", w.Start, next)
		}
		next = w.Start.Add(time.Duration(w.LengthSeconds * float64(time.Second)))
		connections += w.Connections
		messages += w.Messages
	}
	if len(windows) > limit+1 || connections != seconds || messages != seconds {
		t.Errorf("%d windows with %d connections and %d messages; want at most %d, %d, %d", len(windows), connections, messages, limit+1, seconds, seconds)
	}
}

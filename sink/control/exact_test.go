package control

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/control/api"
	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/ledger"
)

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

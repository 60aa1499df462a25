package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/control/api"
)

// steered counts what was done by the control API, to be found in the ledger again.
type steered struct {
	Swaps    atomic.Int64
	Invalid  atomic.Int64 // plans that had to be refused, and were
	Moves    atomic.Int64 // of the storm's clock
	Resets   atomic.Int64
	Nexts    atomic.Int64
	Events   atomic.Int64 // that a well-behaved follower has got
	Gaps     atomic.Int64 // of which it was told
	Requests atomic.Int64 // in all, as far as they were meant
	Abuses   atomic.Int64 // of the control API
}

// pause waits, or less if the context ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// every calls f at an interval until the context ends. An answer that nobody can have meant to get is a finding.
func (s *soaking) every(ctx context.Context, interval time.Duration, what string, f func(ctx context.Context) error) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		// An order under way is carried out to its end, so that it is counted.
		s.steered.Requests.Add(1)
		if err := f(context.WithoutCancel(ctx)); err != nil {
			s.complain("%s: %v", what, err)
		}
	}
}

// steer does what people and programs do by the control API, all at once, until the context ends.
func (s *soaking) steer(ctx context.Context, start func(func())) {
	random := func(n uint64) *rand.Rand { return rand.New(rand.NewPCG(s.options.seed, n)) } // #nosec G404 -- no secret
	start(func() {
		r, n := random(1), 0
		s.every(ctx, time.Second/time.Duration(s.options.swaps), "PUT /v1/plan", func(ctx context.Context) error { n++; return s.swap(ctx, n, r) })
	})
	start(func() {
		r := random(2)
		s.every(ctx, 300*time.Millisecond, "POST /v1/storm", func(ctx context.Context) error { return s.move(ctx, r) })
	})
	start(func() {
		r := random(3)
		s.every(ctx, 200*time.Millisecond, "/v1/next", func(ctx context.Context) error { return s.next(ctx, r) })
	})
	start(func() {
		r := random(4)
		s.every(ctx, 5*time.Second, "POST /v1/reset", func(ctx context.Context) error {
			_, err := s.sink.api.Reset(ctx, [][]string{{"counts"}, {"next"}, {"capture"}, {"counts", "next", "capture"}}[r.IntN(4)]...)
			if err == nil {
				s.steered.Resets.Add(1)
			}
			return err
		})
	})
	start(func() {
		s.every(ctx, 2*time.Second, "GET /v1/stats", func(ctx context.Context) error {
			_, err := s.sink.api.Stats(ctx, nil)
			return err
		})
	})
	start(func() {
		s.every(ctx, 2*time.Second, "GET /v1/messages", func(ctx context.Context) error {
			found, err := s.sink.api.Messages(ctx, url.Values{"recipient": {"*@d2.soak.test"}, "limit": {"20"}})
			if err != nil || len(found.Messages) == 0 {
				return err
			}
			m := found.Messages[0]
			if _, err = s.sink.api.Raw(ctx, m.ID); refusedWith(err, http.StatusNotFound) {
				return nil
			}
			return err
		})
	})
	start(func() {
		from := int64(0) // what has come since the last time
		s.every(ctx, 5*time.Second, "GET /v1/ledger", func(ctx context.Context) error {
			n, err := s.sink.api.Ledger(ctx, from, io.Discard)
			from += n
			return err
		})
	})
	start(func() { s.follow(ctx) })
	start(func() {
		r := random(5)
		s.every(ctx, 500*time.Millisecond, "abuse", func(ctx context.Context) error { return s.abuse(ctx, r) })
	})
}

func refusedWith(err error, statuses ...int) bool {
	var p *api.Problem
	if !errors.As(err, &p) {
		return false
	}
	for _, status := range statuses {
		if p.Status == status {
			return true
		}
	}
	return false
}

// swap puts the n-th plan into force; of ten, one is only tried, and one is none.
func (s *soaking) swap(ctx context.Context, n int, random *rand.Rand) error {
	text := planText(n, random)
	switch n % 10 {
	case 4:
		_, err := s.sink.api.PutPlan(ctx, []byte(text), "*", true)
		return err
	case 7:
		_, err := s.sink.api.PutPlan(ctx, []byte(strings.Replace(text, "version: 1", "version: 1\nrulez: []", 1)), "*", false)
		if !refusedWith(err, http.StatusUnprocessableEntity) {
			return fmt.Errorf("a plan with an unknown key: %w", err)
		}
		s.steered.Invalid.Add(1)
		return nil
	}
	_, err := s.sink.api.PutPlan(ctx, []byte(text), "*", false)
	if err == nil {
		s.steered.Swaps.Add(1)
	}
	return err
}

// move moves the clock of the storm, if there is one just then.
func (s *soaking) move(ctx context.Context, random *rand.Rand) error {
	moves := []api.StormMove{{Action: "start"}, {Action: "stop"}, {Action: "jump", Phase: "bad"}, {Action: "jump", Phase: "good"}, {Action: "extend", By: "200ms"}}
	_, err := s.sink.api.MoveStorm(ctx, moves[random.IntN(len(moves))])
	if err == nil {
		s.steered.Moves.Add(1)
		return nil
	}
	if refusedWith(err, http.StatusConflict, http.StatusUnprocessableEntity) { // no storm, no such phase, none running
		return nil
	}
	return err
}

func (s *soaking) next(ctx context.Context, random *rand.Rand) error {
	if random.IntN(8) == 0 {
		list, err := s.sink.api.Next(ctx)
		if err != nil || len(list) == 0 {
			return err
		}
		if err := s.sink.api.RemoveNext(ctx, list[random.IntN(len(list))].ID); !refusedWith(err, http.StatusNotFound) {
			return err
		}
		return nil
	}
	asked := api.Next{Stage: "rcpt", Times: 1 + random.IntN(20), TTL: "2s", Match: json.RawMessage(`{"recipient": "*@d4.soak.test"}`)}
	switch random.IntN(3) {
	case 0:
		asked.Outcome = json.RawMessage(`{"reply": 450}`)
	case 1:
		asked.Stage, asked.Outcome, asked.Match = "message", json.RawMessage(`{"reply": 451, "delay": "5ms"}`), nil
	case 2:
		asked.Outcome = json.RawMessage(`{"close": "rst"}`)
	}
	_, err := s.sink.api.AddNext(ctx, asked)
	if err == nil {
		s.steered.Nexts.Add(1)
	}
	return err
}

// follow reads all events, in order, and counts them and those of which it is told that they are gone.
func (s *soaking) follow(ctx context.Context) {
	last := uint64(0)
	err := s.sink.api.Follow(ctx, nil, nil, func(e api.Event) error {
		seq, err := seqOf(e.ID)
		if err != nil {
			return err
		}
		if last != 0 && seq != last+1 {
			return fmt.Errorf("event %d follows %d, and no gap was told", seq, last)
		}
		last = seq
		s.steered.Events.Add(1)
		return nil
	}, func(g api.Gap) error {
		from, err := seqOf(g.From)
		if err != nil {
			return err
		}
		to, err := seqOf(g.To)
		if err != nil {
			return err
		}
		if last != 0 && from != last+1 {
			return fmt.Errorf("the gap of %d to %d follows event %d", from, to, last)
		}
		last = to
		s.steered.Gaps.Add(1)
		return nil
	})
	if ctx.Err() == nil {
		s.complain("GET /v1/events: %v", err)
	}
}

func seqOf(id string) (seq uint64, err error) {
	_, err = fmt.Sscanf(id[strings.LastIndexByte(id, '-')+1:], "%d", &seq)
	return seq, err
}

// abuse misuses the control API in one way; whatever it does, the next good request has to be served.
func (s *soaking) abuse(ctx context.Context, random *rand.Rand) error {
	conn, err := (&net.Dialer{Timeout: patience}).DialContext(ctx, "tcp", s.sink.control)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(3 * time.Second))
	s.steered.Abuses.Add(1)
	head := "Host: " + s.sink.control + "\r\n"
	text := [...]string{
		noise(random, 200), "GET /v1/stats HTTP/1.1\r\nHost: evil.example\r\n\r\n", "GET /v1/events HTTP/1.1\r\n" + head + "Accept: text/event-stream\r\n\r\n",
		"PUT /v1/plan HTTP/1.1\r\n" + head + "If-Match: *\r\nContent-Type: application/yaml\r\nContent-Length: 3000000\r\n\r\n" + strings.Repeat("#", 100_000),
		"POST /v1/next HTTP/1.1\r\n" + head + "Content-Type: application/json\r\nContent-Length: 12\r\n\r\n{\"stage\": 12", "GET /" + strings.Repeat("a", 30_000) + " HTTP/1.1\r\n" + head + "\r\n",
		"POST /v1/judge HTTP/1.1\r\n" + head + "Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}\n{}\r\nzz",
		"GET /v1/ledger HTTP/1.1\r\n" + head + "\r\n", "\x16\x03\x01\x02\x00\x01" + noise(random, 300),
	}[random.IntN(9)]
	go func() { _, _ = io.WriteString(conn, text) }()
	switch random.IntN(3) {
	case 0: // reads nothing
		time.Sleep(time.Duration(random.IntN(1000)) * time.Millisecond)
	case 1:
		_, _ = io.CopyN(io.Discard, conn, 100)
	default:
		_ = conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		_, _ = io.Copy(io.Discard, conn)
	}
	return nil
}

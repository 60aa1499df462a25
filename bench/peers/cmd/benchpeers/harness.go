package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/peers/program"
)

// harness runs workloads.
type harness struct {
	programs programs
	kinds    []kind
	rounds   int
	scale    float64 // of the number of messages
	quick    bool    // fewer connections, too
	progress io.Writer
}

// outcome is a workload's samples, in the order in which they were taken.
type outcome struct {
	Workload    string   `json:"workload"`
	Title       string   `json:"title"`
	Unit        string   `json:"unit"`
	Lower       bool     `json:"lower_is_better,omitempty"`
	Servers     []string `json:"servers"`
	Samples     []sample `json:"samples"`
	Failures    []string `json:"failures,omitempty"`
	Interrupted bool     `json:"interrupted,omitempty"` // the last rounds are missing
}

// scaled shrinks a number of messages for a quick run.
func (h *harness) scaled(messages int) int { return max(int(float64(messages)*h.scale), 100) }

// conns shrinks a number of connections for a quick run.
func (h *harness) conns(n int) int {
	if h.quick {
		return min(n, max(n/10, 1000))
	}
	return n
}

// run takes a workload's rounds. Servers take turns within a round, another one first in each, so that what changes on the machine
// meets all of them. A server that fails is left out of the later rounds, and named. An interrupted run keeps its whole rounds.
func (h *harness) run(ctx context.Context, w *workload) *outcome {
	kinds := w.kinds(&h.programs, h.kinds)
	out := &outcome{Workload: w.name, Title: w.title, Unit: w.unit, Lower: w.lower}
	servers := make([]*running, 0, len(kinds))
	for i := range kinds {
		out.Servers = append(out.Servers, kinds[i].name)
		servers = append(servers, &running{h: h, w: w, k: &kinds[i]})
	}
	defer func() {
		for _, s := range servers {
			_ = s.stop() // one that had to be killed is gone as well
		}
	}()
	failed := make(map[string]bool)
	// Round 0 warms up: pools, caches and the kernel's tables. A fresh process has nothing to warm.
	first := 0
	if w.fresh {
		first = 1
	}
	for round := first; round <= h.rounds; round++ {
		var taken []sample
		for i := range servers {
			s := servers[(i+round)%len(servers)]
			if failed[s.k.name] {
				continue
			}
			fmt.Fprintf(h.progress, "\r\x1b[K%s: round %d of %d: %s", w.name, round, h.rounds, s.k.name)
			load := program.LoadAverage()
			got, err := s.round(ctx)
			if ctx.Err() != nil {
				out.Interrupted = true
				fmt.Fprint(h.progress, "\r\x1b[K")
				return out
			}
			if err != nil {
				failed[s.k.name] = true
				out.Failures = append(out.Failures, fmt.Sprintf("%s, round %d: %v", s.k.name, round, err))
				continue
			}
			got.Round, got.Server, got.LoadAverage = round, s.k.name, load
			taken = append(taken, got)
		}
		if round > 0 {
			out.Samples = append(out.Samples, taken...)
		}
	}
	fmt.Fprint(h.progress, "\r\x1b[K")
	return out
}

// running is a server of a workload: a process, or none between rounds.
type running struct {
	h *harness
	w *workload
	k *kind
	p *process
}

func (r *running) round(ctx context.Context) (sample, error) {
	if r.p == nil {
		addr, err := program.FreeAddress()
		if err != nil {
			return sample{}, err
		}
		if r.p, err = startProcess(ctx, addr, r.k.argv(addr)); err != nil {
			return sample{}, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	s, err := r.w.measure(r.h, ctx, r.k, r.p)
	if err != nil || r.w.fresh {
		p := r.p
		err = errors.Join(err, r.stop())
		if err == nil && r.w.after != nil {
			err = r.w.after(p, &s)
		}
	}
	return s, err
}

func (r *running) stop() error {
	if r.p == nil {
		return nil
	}
	p := r.p
	r.p = nil
	return p.stop()
}

// values returns a server's values by round.
func (o *outcome) values(server string) map[int]float64 {
	values := make(map[int]float64)
	for _, s := range o.Samples {
		if s.Server == server {
			values[s.Round] = s.Value
		}
	}
	return values
}

func (o *outcome) rounds(server string) (rounds []int) {
	for round := range o.values(server) {
		rounds = append(rounds, round)
	}
	slices.Sort(rounds)
	return rounds
}

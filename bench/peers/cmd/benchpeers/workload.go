package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// workload is one thing that is measured, on several servers in turn.
type workload struct {
	name, title string
	unit        string // of sample.Value
	lower       bool   // a smaller value is better
	fresh       bool   // a new process for every round
	kinds       func(p *programs, found []kind) []kind
	measure     func(h *harness, ctx context.Context, k *kind, p *process) (sample, error)
	// after completes a sample from what the server said when it ended; for fresh processes only.
	after func(p *process, s *sample) error
}

// sample is what one round gave.
type sample struct {
	Round        int                `json:"round"` // from 1
	Server       string             `json:"server"`
	Value        float64            `json:"value"` // in the workload's unit
	Messages     int                `json:"messages,omitempty"`
	CPU          float64            `json:"cpu_s"`           // of the server
	Wall         float64            `json:"wall_s"`          // of the load
	GeneratorCPU float64            `json:"generator_cpu_s"` // of the load generator
	LoadAverage  float64            `json:"load_average"`    // of the machine, before the round
	More         map[string]float64 `json:"more,omitempty"`
}

// rate sets the value to messages per CPU second of the server.
func (s *sample) rate() { s.Value = float64(s.Messages) / s.CPU }

const (
	unitRate = "messages per CPU second"
	kib      = 1 << 10
)

var rivals = []string{nameSink, nameBefore, nameCanned, namePost, nameGnet, nameGoSMTP, nameAio}

// these restricts a workload to some servers.
func these(names ...string) func(*programs, []kind) []kind {
	return func(_ *programs, found []kind) []kind { return pick(found, names) }
}

// workloads lists all, in the order in which they run.
func workloads() []workload {
	rate := func(name, title string, messages, minimum int, args ...string) workload {
		return workload{name: name, title: title, unit: unitRate, kinds: these(rivals...),
			measure: func(h *harness, ctx context.Context, k *kind, p *process) (sample, error) {
				return h.smtpSource(ctx, p, max(h.scaled(messages)/k.share, minimum), args...)
			}}
	}
	return []workload{
		rate("reused-1k", "1 KiB, 100 connections reused", 30_000, 200, "-s", "100", "-d", "-l", "1024"),
		rate("new-1k", "1 KiB, a new connection per message", 10_000, 200, "-s", "100", "-l", "1024"),
		rate("rcpt-50", "1 KiB, 50 recipients, connections reused", 3_000, 100, "-s", "100", "-d", "-l", "1024", "-r", "50"),
		rate("big-256k", "256 KiB, bare-LF detection on in the sink, connections reused", 1_500, 100, "-s", "100", "-d", "-l", "262144"),
		generated("own-1k", "as reused-1k, by the harness's own client: its calibration", 30_000, loadSpec{Conns: 100, Size: kib, Recipients: 1, Greet: true}),
		generated("pipelined-1k", "1 KiB, a pipelining client, 100 connections reused", 30_000, loadSpec{Conns: 100, Size: kib, Recipients: 1, Greet: true, Pipelining: true}),
		secured("starttls-full", "STARTTLS sessions of one message, full handshakes", 2_000, false),
		secured("starttls-resumed", "STARTTLS sessions of one message, resumed", 2_000, true),
		acceptWorkload(), idleWorkload(), latenessWorkload(), delayAllocations(), allocationWorkload(), collectorWorkload(), loopsWorkload(), apartWorkload(),
	}
}

// smtpSource drives the server by Postfix's smtp-source.
func (h *harness) smtpSource(ctx context.Context, p *process, messages int, args ...string) (sample, error) {
	args = append([]string{"-m", strconv.Itoa(messages), "-f", "a@example.com", "-t", "b@example.com"}, args...)
	cmd := exec.CommandContext(ctx, h.programs.source, append(args, "inet:"+p.addr)...) // #nosec G204 -- smtp-source as lookPath found it
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	before, err := p.cpu()
	if err != nil {
		return sample{}, err
	}
	start := time.Now()
	out, err := cmd.CombinedOutput()
	wall := time.Since(start)
	if err != nil || strings.Contains(string(out), "fatal") || strings.Contains(string(out), "warning") {
		return sample{}, fmt.Errorf("smtp-source: %v: %.200s", err, strings.TrimSpace(string(out)))
	}
	after, err := p.cpu()
	if err != nil {
		return sample{}, err
	}
	s := sample{Messages: messages, CPU: (after - before).Seconds(), Wall: wall.Seconds(),
		GeneratorCPU: (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()}
	s.rate()
	return s, nil
}

// generated is a workload of the harness's own generator: the CPU time includes opening the connections, as with smtp-source.
func generated(name, title string, messages int, spec loadSpec) workload {
	return workload{name: name, title: title, unit: unitRate, kinds: these(rivals...),
		measure: func(h *harness, ctx context.Context, k *kind, p *process) (sample, error) {
			spec := spec
			spec.Addr, spec.Messages = p.addr, max(h.scaled(messages)/k.share, spec.Conns)
			return h.own(ctx, p, spec)
		}}
}

func (h *harness) own(ctx context.Context, p *process, spec loadSpec) (sample, error) {
	s, _, err := h.load(ctx, p, spec)
	return s, err
}

func (h *harness) load(ctx context.Context, p *process, spec loadSpec) (sample, loadResult, error) {
	before, err := p.cpu()
	if err != nil {
		return sample{}, loadResult{}, err
	}
	res, release, err := startLoad(ctx, spec, func() (err error) {
		before, err = p.cpu() // connecting doesn't count, then
		return err
	})
	if err != nil {
		return sample{}, res, err
	}
	after, err := p.cpu()
	release()
	s := sample{Messages: res.Messages, CPU: (after - before).Seconds(), Wall: res.Wall, GeneratorCPU: res.CPU}
	s.rate()
	return s, res, err
}

// manyConns is how many connections one process is asked to hold: below the usual hard limit of 20,000 descriptors.
const manyConns = 19_000

func acceptWorkload() workload {
	return workload{name: "accept", title: "time to accept and greet 19,000 connections", unit: "seconds", lower: true, fresh: true,
		kinds: these(nameSink, nameBefore, nameCanned, nameGnet),
		measure: func(h *harness, ctx context.Context, _ *kind, p *process) (sample, error) {
			spec := loadSpec{Addr: p.addr, Conns: h.conns(manyConns), Hold: true}
			s, err := h.hold(ctx, p, spec, nil)
			s.Value = s.Wall
			return s, err
		}}
}

func idleWorkload() workload {
	return workload{name: "idle", title: "resident memory per idle connection after EHLO", unit: "octets", lower: true, fresh: true,
		kinds: these(rivals...),
		measure: func(h *harness, ctx context.Context, k *kind, p *process) (sample, error) {
			conns, window := h.conns(manyConns), 0
			if k.maxConn > 0 {
				conns, window = min(conns, k.maxConn), 50 // aiosmtpd's listen queue is 100 long
			}
			before, err := p.resident()
			if err != nil {
				return sample{}, err
			}
			var after int64
			s, err := h.hold(ctx, p, loadSpec{Addr: p.addr, Conns: conns, Greet: true, Window: window, Hold: true}, func() (err error) {
				after, err = p.resident()
				return err
			})
			s.Value = float64(after-before) / float64(conns)
			s.More = map[string]float64{"connections": float64(conns)}
			return s, err
		}}
}

// hold opens connections, calls while when all are ready, and lets them go.
func (h *harness) hold(ctx context.Context, p *process, spec loadSpec, while func() error) (s sample, err error) {
	before, err := p.cpu()
	if err != nil {
		return s, err
	}
	res, release, err := startLoad(ctx, spec, nil)
	if err != nil {
		return s, err
	}
	defer release()
	after, err := p.cpu()
	if err != nil {
		return s, err
	}
	s = sample{CPU: (after - before).Seconds(), Wall: res.Connect}
	if while != nil {
		err = while()
	}
	return s, err
}

// sinkSummary is what of the sink's --json is used here.
type sinkSummary struct {
	Lateness struct {
		Count uint64  `json:"count"`
		P50   float64 `json:"p50_us"`
		P99   float64 `json:"p99_us"`
		Max   float64 `json:"max_us"`
	} `json:"lateness"`
}

// delayedConns is how many replies are pending at once where they are delayed.
const delayedConns = 15_000

// Each reply is due latenessLead after its RCPT and up to latenessSpread later. Within the lead all are asked for, so that all are
// pending before the first is due.
const (
	latenessLead   = 3 * time.Second
	latenessSpread = 5 * time.Second
)

func latenessWorkload() workload {
	delay := fmt.Sprintf("rcpt=uniform(%v,%v)", latenessLead, latenessLead+latenessSpread)
	return workload{name: "lateness", title: "delayed replies, 15,000 pending at once, due over 5 s: how late, p99", unit: "milliseconds", lower: true, fresh: true,
		kinds: func(p *programs, _ []kind) []kind {
			return []kind{{name: nameSink, share: 1, argv: func(addr string) []string { return p.sinkArgs(addr, "--delay", delay) }}}
		},
		measure: func(h *harness, ctx context.Context, _ *kind, p *process) (sample, error) {
			n := h.conns(delayedConns)
			return h.late(ctx, p, loadSpec{Addr: p.addr, Conns: n, Messages: n, Size: kib, Greet: true, Wait: true})
		},
		after: func(p *process, s *sample) error {
			var sum sinkSummary
			if err := json.Unmarshal(p.stdout.Bytes(), &sum); err != nil {
				return fmt.Errorf("the sink's counters: %w", err)
			}
			if sum.Lateness.Count < uint64(s.Messages) { // #nosec G115 -- a count
				return fmt.Errorf("%d delayed replies for %d messages", sum.Lateness.Count, s.Messages)
			}
			s.Value = sum.Lateness.P99 / 1000
			s.More["p50_ms"], s.More["max_ms"] = sum.Lateness.P50/1000, sum.Lateness.Max/1000
			return nil
		}}
}

// late drives a load of delayed replies. Before and after it a bare loop tells how late this machine is to wake anybody: with as many
// due times a second, and with nothing to do.
func (h *harness) late(ctx context.Context, p *process, spec loadSpec) (sample, error) {
	const part = time.Second
	var bare floor
	due := int(time.Duration(spec.Messages) * part / latenessSpread)
	if err := bare.measure(due, part); err != nil {
		return sample{}, err
	}
	stealBefore, allBefore, err := stolen()
	if err != nil {
		return sample{}, err
	}
	s, res, err := h.load(ctx, p, spec)
	if err != nil {
		return s, err
	}
	if res.Said > latenessLead.Seconds() {
		return s, fmt.Errorf("the load took %.1f s to build up, and so not all replies were pending before the first was due", res.Said)
	}
	steal, all, err := stolen()
	if err != nil {
		return s, err
	}
	if err := bare.measure(due, part); err != nil {
		return s, err
	}
	s.More = map[string]float64{"built_up_s": res.Said, stolenPercent: 100 * (steal - stealBefore) / max(all-allBefore, 1),
		"bare_loop_p50_ms": bare.millis(0.5), "bare_loop_p99_ms": bare.millis(0.99), "bare_loop_max_ms": bare.millis(1)}
	return s, nil
}

// collectorEvery is how often the collector is made to run: it would not run at all without garbage.
const collectorEvery = 100 * time.Millisecond

func collectorWorkload() workload {
	w := probeWorkload("gc", "pauses of the garbage collector, run 10 times a second under load: p99", "microseconds", "--gc-every", collectorEvery.String())
	w.value = func(seen *probeReport) float64 { return seen.PauseP99 }
	return w.workload()
}

// allocationWorkload leaves the collector alone, which empties the pools of buffers whenever it runs.
func allocationWorkload() workload {
	w := probeWorkload("allocations", "heap objects allocated in the steady state, those of the probe and of the time series included", "per message")
	w.value = func(seen *probeReport) float64 { return seen.perMessage() }
	return w.workload()
}

// delayAllocations counts what delayed replies allocate in the steady state. Since the connections don't march in step, it takes
// a few replies of each until the pools have met the most that is ever out at once.
func delayAllocations() workload {
	const warmUp, measured = 5 * delayedConns, 2 * delayedConns
	w := probeWorkload("delay-allocations", "heap objects allocated while 15,000 replies are delayed by up to 1 s, those of the probe and of the time series included",
		"per message", "--delay", "rcpt=uniform(0s,1s)", "--warm-up", strconv.Itoa(warmUp))
	w.load = func(h *harness, ctx context.Context, p *process) (sample, error) {
		return h.own(ctx, p, loadSpec{Addr: p.addr, Conns: delayedConns, Messages: warmUp + measured, Size: kib, Greet: true, Wait: true})
	}
	w.value = func(seen *probeReport) float64 { return seen.perMessage() }
	return w.workload()
}

// probeReport is what of sinkprobe's report is used here; all from the end of the warm-up.
type probeReport struct {
	Mallocs  float64 `json:"mallocs"`
	Messages float64 `json:"messages"`
	Cycles   float64 `json:"gc_cycles"`
	PauseP99 float64 `json:"pause_p99_us"`
	PauseMax float64 `json:"pause_max_us"`
	Pauses   float64 `json:"pauses"`
}

func (r *probeReport) perMessage() float64 { return r.Mallocs / max(r.Messages, 1) }

// probed is a workload of the sink in a process that watches itself.
type probed struct {
	name, title, unit string
	args              []string
	load              func(h *harness, ctx context.Context, p *process) (sample, error) // nil: connections reused, by smtp-source
	value             func(*probeReport) float64
}

func probeWorkload(name, title, unit string, args ...string) *probed {
	return &probed{name: name, title: title, unit: unit, args: args}
}

func (w *probed) workload() workload {
	return workload{name: w.name, title: w.title, unit: w.unit, lower: true, fresh: true,
		kinds: func(p *programs, _ []kind) []kind {
			return []kind{{name: nameProbe, share: 1, argv: func(addr string) []string {
				return append([]string{p.probe, "--listen", addr, "--warm-up", "2000"}, w.args...)
			}}}
		},
		measure: func(h *harness, ctx context.Context, _ *kind, p *process) (sample, error) {
			if w.load != nil {
				return w.load(h, ctx, p)
			}
			return h.smtpSource(ctx, p, max(h.scaled(60_000), 20_000), "-s", "100", "-d", "-l", "1024")
		},
		after: func(p *process, s *sample) error {
			var seen probeReport
			if err := json.Unmarshal(p.stdout.Bytes(), &seen); err != nil {
				return fmt.Errorf("the probe: %w", err)
			}
			s.Value = w.value(&seen)
			s.More = map[string]float64{"longest_pause_us": seen.PauseMax, "pauses": seen.Pauses, "gc_cycles": seen.Cycles, "allocations_per_message": seen.perMessage()}
			return nil
		}}
}

package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// withLoops is the sink with so many event loops.
func withLoops(p *programs, n int, cpus string) kind {
	return kind{name: fmt.Sprintf("%s-%d", nameSink, n), share: 1, argv: func(addr string) []string {
		return onCPUs(cpus, p.sinkArgs(addr, "--loops", strconv.Itoa(n)))
	}}
}

func loopsWorkload() workload {
	return workload{name: "loops", title: "one loop against two: 1 KiB, 100 connections reused", unit: unitRate,
		kinds: func(p *programs, _ []kind) []kind { return []kind{withLoops(p, 1, ""), withLoops(p, 2, "")} },
		measure: func(h *harness, ctx context.Context, _ *kind, p *process) (sample, error) {
			return h.smtpSource(ctx, p, h.scaled(30_000), "-s", "100", "-d", "-l", "1024")
		}}
}

// apartWorkload is the same with server and generator on CPUs of their own.
func apartWorkload() workload {
	server, generator, n := split(allowedCPUs())
	title := fmt.Sprintf("one loop against two, the server on CPU %s, the generator on CPU %s: messages per second of wall time", server, generator)
	if n < 2 {
		title += "; both loops share one CPU, so that this shows what a second loop costs and not what it brings"
	}
	return workload{name: "loops-apart", title: title, unit: "messages per second",
		kinds: func(p *programs, _ []kind) []kind { return []kind{withLoops(p, 1, server), withLoops(p, 2, server)} },
		measure: func(h *harness, ctx context.Context, _ *kind, p *process) (sample, error) {
			s, err := h.own(ctx, p, loadSpec{Addr: p.addr, Conns: 100, Messages: h.scaled(30_000), Size: kib, Recipients: 1, Greet: true, CPUs: generator})
			s.More = map[string]float64{"messages_per_cpu_second": s.Value}
			s.Value = float64(s.Messages) / s.Wall
			return s, err
		}}
}

// allowedCPUs returns the CPUs that this process may use.
func allowedCPUs() (cpus []int) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return []int{0}
	}
	for i := range 8 * len(set) * 8 {
		if set.IsSet(i) {
			cpus = append(cpus, i)
		}
	}
	return cpus
}

// split gives the first half of the CPUs, n of them, to the server and the rest to the generator; with one CPU they share it.
func split(cpus []int) (server, generator string, n int) {
	n = max(len(cpus)/2, 1)
	rest := cpus[n:]
	if len(rest) == 0 {
		rest = cpus
	}
	return cpuList(cpus[:n]), cpuList(rest), n
}

// cpuList writes CPUs as taskset reads them.
func cpuList(cpus []int) string {
	var out []string
	for _, cpu := range cpus {
		out = append(out, strconv.Itoa(cpu))
	}
	return strings.Join(out, ",")
}

// onCPUs has a command run on some CPUs only; all if there are none. taskset (util-linux) becomes the command itself: its process is
// the one that is measured.
func onCPUs(cpus string, argv []string) []string {
	if cpus == "" {
		return argv
	}
	return append([]string{"taskset", "-c", cpus}, argv...)
}

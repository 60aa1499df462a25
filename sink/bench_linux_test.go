package sink_test

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// BenchmarkSink delivers messages of 1 KiB over loopback, each with a new recipient, over connections that are kept. An operation is
// a message, refused ones included. ns/op is wall time for client and server on the same machine; sink-cpu-ns/op and
// sink-allocs/op are the server's alone. The canned driver is the baseline: see package canned for what it leaves out.
func BenchmarkSink(b *testing.B) {
	for _, driver := range []string{"epoll", "net", "canned"} {
		for _, conns := range []int{1, 100, 1000} {
			for _, plan := range []string{"calm", "bounce-storm"} {
				if driver == "canned" && plan != "calm" {
					continue // it knows no plans
				}
				b.Run(fmt.Sprintf("driver=%s/conns=%d/plan=%s", driver, conns, plan), func(b *testing.B) {
					benchmarkSink(b, driver, conns, plan)
				})
			}
		}
	}
}

func benchmarkSink(b *testing.B, driver string, conns int, plan string) {
	server := startServer(b, serverSpec{Driver: driver, Plan: plan})
	l, err := newLoad(server.address, conns)
	if err != nil {
		b.Fatal(err)
	}
	defer l.close()
	if err := l.run(int64(conns) + 1000); err != nil { // fills pools
		b.Fatal(err)
	}
	before := server.usage()
	b.ReportAllocs()
	b.ResetTimer()
	start := time.Now()
	if err := l.run(int64(b.N)); err != nil {
		b.Fatal(err)
	}
	elapsed := time.Since(start)
	b.StopTimer()
	after := server.usage()
	b.ReportMetric(float64(b.N)/elapsed.Seconds(), "msgs/s")
	b.ReportMetric(float64(after.CPU-before.CPU)/float64(b.N), "sink-cpu-ns/op")
	allocs := float64(after.Mallocs-before.Mallocs) / float64(b.N)
	b.ReportMetric(allocs, "sink-allocs/op")
	if allocs > mostAllocs && b.N >= max(5*conns, 3000) {
		b.Errorf("%.2f allocations per message in the steady state, want at most %v", allocs, mostAllocs)
	}
}

// mostAllocs bounds what the server may allocate for a message: nothing, but for the counters of a thousand new destinations, the
// sampling of the time series and what the pools lose to the collector.
const mostAllocs = 0.5

// BenchmarkCost compares the CPU time that the server needs for a message with that of plain accept in the same run: with 500 rules for
// 1,000 domains, with five reactions of key client, with a ledger of each durability, without triggers, and with the tail of rows that the control API reads. The rounds are interleaved; an operation is a message of each
// kind. x-KIND is the median, over the rounds, of the ratio; 1.3 is the bound for x-500-rules and x-five-reactions, and 1.5 for x-ledger-batch.
func BenchmarkCost(b *testing.B) {
	const conns, rounds = 50, 9
	kinds := []string{"calm", "500-rules", "five-reactions", "ledger-none", "ledger-batch", "no-triggers", "tail"}
	servers, loads := make([]*serverProcess, len(kinds)), make([]*load, len(kinds))
	for i, kind := range kinds {
		servers[i] = startServer(b, serverSpec{Driver: "epoll", Plan: kind})
		l, err := newLoad(servers[i].address, conns)
		if err != nil {
			b.Fatal(err)
		}
		defer l.close()
		loads[i] = l
		if err := l.run(2000); err != nil { // fills pools
			b.Fatal(err)
		}
	}
	each := int64(max(b.N/rounds, 500))
	ratios := make([][]float64, len(kinds))
	b.ResetTimer()
	for range rounds {
		var plain time.Duration
		for i := range kinds {
			before := servers[i].usage()
			if err := loads[i].run(each); err != nil {
				b.Fatal(err)
			}
			cpu := servers[i].usage().CPU - before.CPU
			if i == 0 {
				plain = cpu
			}
			ratios[i] = append(ratios[i], float64(cpu)/float64(max(plain, 1)))
		}
	}
	b.StopTimer()
	for i, kind := range kinds[1:] {
		slices.Sort(ratios[i+1])
		b.ReportMetric(ratios[i+1][rounds/2], "x-"+kind)
	}
}

// BenchmarkIdle opens connections that say EHLO and then nothing. An operation is a connection; sink-B/conn is the resident memory
// that each costs the server, to be read at 10,000 connections and more (-benchtime 15000x).
func BenchmarkIdle(b *testing.B) {
	for _, driver := range []string{"epoll", "net", "canned"} {
		b.Run("driver="+driver, func(b *testing.B) {
			server := startServer(b, serverSpec{Driver: driver})
			before := server.usage()
			b.ResetTimer()
			l, err := newLoad(server.address, b.N)
			if err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			defer l.close()
			after := server.usage()
			b.ReportMetric(float64(after.Resident-before.Resident)/float64(b.N), "sink-B/conn")
		})
	}
}

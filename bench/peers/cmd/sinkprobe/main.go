// Command sinkprobe runs the sink inside a process that watches itself: CPU and allocation profiles, what the hot path allocates
// after a warm-up, and the pauses of the garbage collector. It serves until SIGTERM or SIGINT and then prints what it saw as JSON.
// It is for profiles and for benchpeers; users run smtpsink.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"runtime"
	"runtime/metrics"
	"runtime/pprof"
	"syscall"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "sinkprobe: %v\n", err)
		os.Exit(1)
	}
}

type options struct {
	listen, driver, cpu, mem string
	delay                    string
	loops                    int
	warmUp                   uint64
	gcEvery                  time.Duration
	starttls                 bool
}

func run(args []string, stdout io.Writer) (err error) {
	var o options
	flags := flag.NewFlagSet("sinkprobe", flag.ContinueOnError)
	flags.StringVar(&o.listen, "listen", "127.0.0.1:0", "where to listen")
	flags.StringVar(&o.driver, "driver", "epoll", "epoll or net")
	flags.IntVar(&o.loops, "loops", 1, "event loops")
	flags.Uint64Var(&o.warmUp, "warm-up", 1000, "messages after which counting allocations begins")
	flags.DurationVar(&o.gcEvery, "gc-every", 0, "run the collector so often; 0 leaves it alone")
	flags.BoolVar(&o.starttls, "starttls", false, "offer STARTTLS")
	flags.StringVar(&o.delay, "delay", "", "delay the replies of a stage, as smtpsink --delay does: STAGE=DELAY")
	flags.StringVar(&o.cpu, "cpuprofile", "", "file for the CPU profile, from the end of the warm-up")
	flags.StringVar(&o.mem, "memprofile", "", "file for the allocation profile; every allocation is sampled")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if o.mem != "" {
		runtime.MemProfileRate = 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	driver, err := sink.ParseDriver(o.driver)
	if err != nil {
		return err
	}
	cfg := sink.Config{Listeners: []sink.Listener{{Address: o.listen}}, Driver: driver, Loops: o.loops}
	if o.starttls {
		cfg.TLS.Offer = sink.TLSOfferAlways
	}
	if o.delay != "" {
		spec, err := fault.CompileFlags(fault.Flags{Seed: 1, Delays: []string{o.delay}})
		if err != nil {
			return err
		}
		if cfg.Plan, err = fault.NewPlan(spec); err != nil {
			return err
		}
	}
	server, err := sink.New(cfg)
	if err != nil {
		return err
	}
	if err := server.Start(); err != nil {
		return err
	}
	defer server.Close()
	fmt.Fprintln(os.Stderr, server.Addr(""))
	seen, err := watch(ctx, server, &o)
	if err != nil {
		return err
	}
	if o.mem != "" {
		if err := writeProfile(o.mem); err != nil {
			return err
		}
	}
	return json.NewEncoder(stdout).Encode(seen)
}

func writeProfile(path string) error {
	f, err := os.Create(path) // #nosec G304 -- the profile that the user names
	if err != nil {
		return err
	}
	defer f.Close()
	if err := pprof.Lookup("allocs").WriteTo(f, 0); err != nil {
		return err
	}
	return f.Close()
}

// report is what the probe saw after the warm-up.
type report struct {
	Messages uint64  `json:"messages"`
	Mallocs  uint64  `json:"mallocs"` // heap objects, those of the probe itself included
	Bytes    uint64  `json:"bytes"`
	Cycles   uint64  `json:"gc_cycles"`
	Pauses   uint64  `json:"pauses"` // two or more a cycle
	PauseP50 float64 `json:"pause_p50_us"`
	PauseP99 float64 `json:"pause_p99_us"`
	PauseMax float64 `json:"pause_max_us"`
	HeapLive uint64  `json:"heap_live_bytes"`
}

func watch(ctx context.Context, server *sink.Server, o *options) (*report, error) {
	if err := warm(ctx, server, o.warmUp); err != nil {
		return nil, err
	}
	if o.cpu != "" {
		f, err := os.Create(o.cpu)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return nil, err
		}
		defer pprof.StopCPUProfile()
	}
	from := server.Stats().Messages
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	pausesBefore := pauses()
	collect(ctx, o.gcEvery)
	pausesAfter := pauses()
	runtime.ReadMemStats(&after)
	r := &report{Messages: server.Stats().Messages - from, Mallocs: after.Mallocs - before.Mallocs, Bytes: after.TotalAlloc - before.TotalAlloc,
		Cycles: uint64(after.NumGC - before.NumGC), HeapLive: after.HeapAlloc}
	for i := range pausesAfter.Counts {
		pausesAfter.Counts[i] -= pausesBefore.Counts[i]
		r.Pauses += pausesAfter.Counts[i]
	}
	r.PauseP50, r.PauseP99, r.PauseMax = quantile(pausesAfter, 0.5), quantile(pausesAfter, 0.99), quantile(pausesAfter, 1)
	return r, nil
}

// warm waits until the server has taken so many messages.
func warm(ctx context.Context, server *sink.Server, messages uint64) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for server.Stats().Messages < messages {
		select {
		case <-ctx.Done():
			return fmt.Errorf("ended before the warm-up of %d messages", messages)
		case <-tick.C:
		}
	}
	return nil
}

// collect runs the collector every so often until ctx is done.
func collect(ctx context.Context, every time.Duration) {
	if every <= 0 {
		<-ctx.Done()
		return
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			runtime.GC()
		}
	}
}

// pauses returns the distribution, in seconds, of how long the collector has stopped all goroutines so far.
func pauses() *metrics.Float64Histogram {
	s := []metrics.Sample{{Name: "/sched/pauses/total/gc:seconds"}}
	metrics.Read(s)
	h := s[0].Value.Float64Histogram()
	return &metrics.Float64Histogram{Counts: append([]uint64(nil), h.Counts...), Buckets: append([]float64(nil), h.Buckets...)}
}

// quantile returns the upper end, in microseconds, of the bucket that holds the q-quantile.
func quantile(h *metrics.Float64Histogram, q float64) float64 {
	var n, seen uint64
	for _, c := range h.Counts {
		n += c
	}
	if n == 0 {
		return 0
	}
	rank := uint64(math.Ceil(q * float64(n)))
	for i, c := range h.Counts {
		if seen += c; c > 0 && seen >= rank {
			end := h.Buckets[i+1]
			if math.IsInf(end, 1) {
				end = h.Buckets[i]
			}
			return end * 1e6
		}
	}
	return 0
}

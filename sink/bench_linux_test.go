package sink_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/canned"
	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/ledger"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// benchServer is the variable that makes a process of this test binary a server: "DRIVER PLAN".
const benchServer = "SMTPSTORM_BENCH_SERVER"

func init() {
	serveInstead = func() bool {
		what := os.Getenv(benchServer)
		if what == "" {
			return false
		}
		if err := serveBenchmark(what); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return true
	}
}

// serveBenchmark serves until its input ends. It says its address, and answers each line with what it has used so far: CPU time in
// nanoseconds, allocations, resident memory in octets.
func serveBenchmark(what string) error {
	driver, plan, _ := strings.Cut(what, " ")
	address, stop, err := startBenchmark(driver, plan)
	if err != nil {
		return err
	}
	defer stop()
	fmt.Println(address)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var usage syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
			return err
		}
		var mem runtime.MemStats
		runtime.ReadMemStats(&mem)
		resident, err := residentMemory()
		if err != nil {
			return err
		}
		fmt.Println(usage.Utime.Nano()+usage.Stime.Nano(), mem.Mallocs, resident)
	}
	return nil
}

// residentMemory returns the resident set of this process in octets.
func residentMemory() (int64, error) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		return 0, err
	}
	return pages * int64(os.Getpagesize()), nil
}

func startBenchmark(driver, plan string) (address string, stop func(), err error) {
	const local = "127.0.0.1:0"
	if driver == "canned" {
		server, err := canned.Listen(local)
		if err != nil {
			return "", nil, err
		}
		go func() { _ = server.Serve() }()
		return server.Addr().String(), func() { _ = server.Close() }, nil
	}
	cfg := sink.Config{Listeners: []sink.Listener{{Address: local}}}
	if cfg.Driver, err = sink.ParseDriver(driver); err != nil {
		return "", nil, err
	}
	if plan == "bounce-storm" {
		spec, err := fault.CompileFlags(stormFlags)
		if err != nil {
			return "", nil, err
		}
		if cfg.Plan, err = fault.NewPlan(spec); err != nil {
			return "", nil, err
		}
	}
	discard := func() {}
	switch plan {
	case "500-rules":
		if cfg.Plan, err = manyRules(); err != nil {
			return "", nil, err
		}
	case "ledger-none", "ledger-batch", "ledger-ack":
		durability, err := ledger.ParseDurability(strings.TrimPrefix(plan, "ledger-"))
		if err != nil {
			return "", nil, err
		}
		dir, err := os.MkdirTemp("", "smtpstorm-bench-")
		if err != nil {
			return "", nil, err
		}
		discard = func() { _ = os.RemoveAll(dir) }
		cfg.Ledger = sink.LedgerConfig{Path: filepath.Join(dir, "ledger.jsonl"), Durability: durability}
	case "no-triggers":
		cfg.NoTriggers = true
	}
	server, err := sink.New(cfg)
	if err != nil {
		return "", nil, err
	}
	if err := server.Start(); err != nil {
		return "", nil, err
	}
	return server.Addr("").String(), func() { _ = server.Close(); discard() }, nil
}

// manyRules returns a plan of 500 rules for 1,000 recipient domains, with draws that all let mail pass, so that the work is that of
// plain accept plus that of the rules: half of them at rcpt, half after the dot.
func manyRules() (*fault.Plan, error) {
	spec := fault.PlanSpec{Seed: 1}
	for i := range 500 {
		stage := smtp.StageRcpt
		if i%2 == 1 {
			stage = smtp.StageMessage
		}
		rule := fault.RuleSpec{Stage: stage, Outcomes: []fault.OutcomeSpec{{Weight: 3, Code: 250}, {Weight: 1, Code: 250}}}
		for d := i / 2 * 4; d < i/2*4+4; d++ {
			rule.Match.Recipients = append(rule.Match.Recipients, fmt.Sprintf("*@d%03d.recipient.test", d))
		}
		spec.Rules = append(spec.Rules, rule)
	}
	return fault.NewPlan(spec)
}

// benchProcess is a server in another process.
type benchProcess struct {
	b       *testing.B
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	address string
}

func startProcess(b *testing.B, driver, plan string) *benchProcess {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), benchServer+"="+driver+" "+plan)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close() // ends it
		if err := cmd.Wait(); err != nil {
			b.Errorf("the server's process: %v", err)
		}
	})
	p := &benchProcess{b: b, cmd: cmd, in: in, out: bufio.NewReader(out)}
	p.address = p.line()
	return p
}

func (p *benchProcess) line() string {
	p.b.Helper()
	line, err := p.out.ReadString('\n')
	if err != nil {
		p.b.Fatalf("the server's process says %q: %v", line, err)
	}
	return strings.TrimSuffix(line, "\n")
}

// usage is what a server has used since its start.
type usage struct {
	cpu      time.Duration // user and system
	allocs   int64
	resident int64 // octets now
}

func (p *benchProcess) used() (u usage) {
	p.b.Helper()
	if _, err := io.WriteString(p.in, "\n"); err != nil {
		p.b.Fatal(err)
	}
	if _, err := fmt.Sscan(p.line(), &u.cpu, &u.allocs, &u.resident); err != nil {
		p.b.Fatal(err)
	}
	return u
}

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
	server := startProcess(b, driver, plan)
	l, err := newLoad(server.address, conns)
	if err != nil {
		b.Fatal(err)
	}
	defer l.close()
	if err := l.run(int64(conns) + 1000); err != nil { // fills pools
		b.Fatal(err)
	}
	before := server.used()
	b.ReportAllocs()
	b.ResetTimer()
	start := time.Now()
	if err := l.run(int64(b.N)); err != nil {
		b.Fatal(err)
	}
	elapsed := time.Since(start)
	b.StopTimer()
	after := server.used()
	b.ReportMetric(float64(b.N)/elapsed.Seconds(), "msgs/s")
	b.ReportMetric(float64(after.cpu-before.cpu)/float64(b.N), "sink-cpu-ns/op")
	b.ReportMetric(float64(after.allocs-before.allocs)/float64(b.N), "sink-allocs/op")
}

// BenchmarkCost compares the CPU time that the server needs for a message with that of plain accept in the same run: with 500 rules for
// 1,000 domains, with a ledger of each durability, and without triggers. The rounds are interleaved; an operation is a message of each
// kind. x-KIND is the median, over the rounds, of the ratio; 1.3 is the bound for x-500-rules, and 1.5 for x-ledger-batch.
func BenchmarkCost(b *testing.B) {
	const conns, rounds = 50, 9
	kinds := []string{"calm", "500-rules", "ledger-none", "ledger-batch", "no-triggers"}
	servers, loads := make([]*benchProcess, len(kinds)), make([]*load, len(kinds))
	for i, kind := range kinds {
		servers[i] = startProcess(b, "epoll", kind)
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
			before := servers[i].used()
			if err := loads[i].run(each); err != nil {
				b.Fatal(err)
			}
			cpu := servers[i].used().cpu - before.cpu
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
			server := startProcess(b, driver, "calm")
			before := server.used()
			b.ResetTimer()
			l, err := newLoad(server.address, b.N)
			if err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			defer l.close()
			after := server.used()
			b.ReportMetric(float64(after.resident-before.resident)/float64(b.N), "sink-B/conn")
		})
	}
}

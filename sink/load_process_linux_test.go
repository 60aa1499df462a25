package sink_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/smtpstorm/xk6-smtp/bench/canned"
	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/count"
	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/plan"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
	"github.com/smtpstorm/xk6-smtp/sink/testkit"
)

// The benchmarks, and the tests of faults under load, need a server in another process, so that its CPU time, memory and descriptors
// can be told from the client's. It is this test binary again.

// serverVariable is the variable that makes a process of this test binary a server: a serverSpec.
const serverVariable = "SMTPSTORM_TEST_SERVER"

// serverSpec is a server in a process of its own.
type serverSpec struct {
	Driver string // "canned", or one of the sink's
	Plan   string // see config; empty means "calm"

	Files        uint64 // the limit of its descriptors; 0 leaves it alone
	Garbage      bool   // beside the server, something allocates as fast as it can
	IdleTimeout  time.Duration
	WriteTimeout time.Duration
	Disk         int64 // the ledger's disk has room for so many octets; 0 means no such disk
}

// serverReport is what a server has used and seen since its start.
type serverReport struct {
	CPU      time.Duration // user and system
	Mallocs  int64
	Resident int64 // octets now
	Garbage  int64 // octets allocated by serverSpec.Garbage

	count.Traffic
	Net    count.Net
	Ledger *count.Ledger
}

func init() {
	serveInstead = func() bool {
		text := os.Getenv(serverVariable)
		if text == "" {
			return false
		}
		var spec serverSpec
		err := json.Unmarshal([]byte(text), &spec)
		if err == nil {
			err = spec.serve()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return true
	}
}

// What a server's process is asked.
const (
	askUsage = "usage" // a report without the sink's counters, which allocates next to nothing
	askAll   = "all"
)

// serve serves until its input ends. It says its address, and answers each line with a report.
func (spec *serverSpec) serve() error {
	run, err := spec.start()
	if err != nil {
		return err
	}
	defer run.stop()
	if spec.Files > 0 {
		limit := syscall.Rlimit{Cur: spec.Files, Max: spec.Files}
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			return err
		}
	}
	var waste *garbage
	if spec.Garbage {
		waste = startGarbage()
		defer waste.stop()
	}
	fmt.Println(run.address)
	statm, err := os.Open("/proc/self/statm") // now: later there may be no descriptor left
	if err != nil {
		return err
	}
	defer statm.Close()
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		report, err := run.report(statm, lines.Text() == askAll)
		if err != nil {
			return err
		}
		if waste != nil {
			report.Garbage = waste.octets.Load()
		}
		if err := json.NewEncoder(os.Stdout).Encode(report); err != nil {
			return err
		}
	}
	return nil
}

// serving is a server that runs in this process.
type serving struct {
	address string
	server  *sink.Server // nil: it is another one
	stop    func()
}

func (r *serving) report(statm io.ReaderAt, all bool) (*serverReport, error) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return nil, err
	}
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	resident, err := residentMemory(statm)
	if err != nil {
		return nil, err
	}
	report := &serverReport{CPU: time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), Mallocs: int64(mem.Mallocs), Resident: resident}
	if all && r.server != nil {
		stats := r.server.Stats()
		report.Traffic, report.Net, report.Ledger = stats.Traffic, stats.Net, stats.Ledger
	}
	return report, nil
}

// residentMemory returns the resident set, in octets, of the process whose statm this is.
func residentMemory(statm io.ReaderAt) (int64, error) {
	text := make([]byte, 128)
	n, err := statm.ReadAt(text, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(text[:n]), &size, &pages); err != nil {
		return 0, err
	}
	return pages * int64(os.Getpagesize()), nil
}

func (spec *serverSpec) start() (*serving, error) {
	if spec.Driver == "canned" {
		server, err := canned.Listen("127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		go func() { _ = server.Serve() }()
		return &serving{address: server.Addr().String(), stop: func() { _ = server.Close() }}, nil
	}
	cfg, discard, err := spec.config()
	if err != nil {
		return nil, err
	}
	server, err := sink.New(*cfg)
	if err == nil {
		err = server.Start()
	}
	if err != nil {
		discard()
		return nil, err
	}
	return &serving{address: server.Addr("").String(), server: server, stop: func() { _ = server.Close(); discard() }}, nil
}

// config returns the sink's configuration: "calm" accepts everything, "bounce-storm" refuses some, "500-rules" and "five-reactions" have that many, the
// ledgers are named by their durability, "no-triggers" heeds no address, "tail" keeps
// the last rows as the control API needs them. discard removes what was made for it.
func (spec *serverSpec) config() (cfg *sink.Config, discard func(), err error) {
	cfg = &sink.Config{Listeners: []sink.Listener{{Address: "127.0.0.1:0"}}, IdleTimeout: spec.IdleTimeout, WriteTimeout: spec.WriteTimeout}
	discard = func() {}
	if cfg.Driver, err = sink.ParseDriver(spec.Driver); err != nil {
		return nil, nil, err
	}
	switch spec.Plan {
	case "", "calm":
	case "bounce-storm":
		var parsed fault.PlanSpec
		if parsed, err = fault.CompileFlags(stormFlags); err == nil {
			cfg.Plan, err = fault.NewPlan(parsed)
		}
	case "500-rules":
		cfg.Plan, err = manyRules()
	case "five-reactions":
		cfg.Plan, err = fiveReactions()
	case "no-triggers":
		cfg.NoTriggers = true
	case "tail":
		cfg.Observer = sink.NewTail(0)
	default:
		name, ok := strings.CutPrefix(spec.Plan, "ledger-")
		if !ok {
			return nil, nil, fmt.Errorf("unknown plan %q", spec.Plan)
		}
		if cfg.Ledger.Durability, err = event.ParseDurability(name); err == nil {
			discard, err = spec.keepBooks(&cfg.Ledger)
		}
	}
	return cfg, discard, err
}

// keepBooks makes a folder for the ledger, and a small disk where one is wanted.
func (spec *serverSpec) keepBooks(cfg *sink.LedgerConfig) (discard func(), err error) {
	cfg.Failing = func(error) {} // it is counted
	dir, err := os.MkdirTemp("", "smtpstorm-test-")
	if err != nil {
		return nil, err
	}
	remove := func() { _ = os.RemoveAll(dir) }
	cfg.Path, discard = filepath.Join(dir, "ledger.jsonl"), remove
	if spec.Disk == 0 {
		return discard, nil
	}
	// In a mount namespace of this process's own, what it mounts is gone with it.
	err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	if err == nil {
		err = unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+strconv.FormatInt(spec.Disk, 10))
	}
	if err != nil {
		remove()
		return nil, fmt.Errorf("a disk of %d octets: %w", spec.Disk, err)
	}
	return func() { _ = unix.Unmount(dir, unix.MNT_DETACH); remove() }, nil
}

// fiveReactions returns a plan of five reactions, which look at each client, and treat none that behaves.
func fiveReactions() (*fault.Plan, error) {
	file, err := plan.Load("session/testdata/five-reactions.yaml")
	if err != nil {
		return nil, err
	}
	return file.Plan, nil
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

// serverProcess is a server in another process.
type serverProcess struct {
	t       testing.TB
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	statm   *os.File
	address string
}

// startServer starts a server, which the end of the test ends.
func startServer(t testing.TB, spec serverSpec) *serverProcess {
	t.Helper()
	p, err := launch(t, spec)
	if err != nil {
		t.Fatalf("the server's process: %v", err)
	}
	return p
}

// launch does the same. The error is the server's.
func launch(t testing.TB, spec serverSpec) (*serverProcess, error) {
	t.Helper()
	text, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serverVariable+"="+string(text))
	cmd.Stderr = &stderr
	if spec.Disk > 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &serverProcess{t: t, cmd: cmd, in: in, out: bufio.NewReader(out)}
	line, err := p.out.ReadString('\n')
	if err != nil {
		_ = cmd.Wait()
		return nil, errors.New(strings.TrimSpace(stderr.String()))
	}
	p.address = strings.TrimSuffix(line, "\n")
	p.statm, err = os.Open(fmt.Sprintf("/proc/%d/statm", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.signal(syscall.SIGCONT)
		_ = in.Close() // ends it
		if err := cmd.Wait(); err != nil {
			t.Errorf("the server's process: %v\n%s", err, &stderr)
		}
		_ = p.statm.Close()
	})
	return p, nil
}

// signal sends the process a signal.
func (p *serverProcess) signal(sig syscall.Signal) {
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Errorf("%v for the server's process: %v", sig, err)
	}
}

// usage asks the server what it has used.
func (p *serverProcess) usage() serverReport { p.t.Helper(); return p.ask(askUsage) }

// report asks the server what it has used and seen.
func (p *serverProcess) report() serverReport { p.t.Helper(); return p.ask(askAll) }

func (p *serverProcess) ask(what string) (r serverReport) {
	p.t.Helper()
	if _, err := io.WriteString(p.in, what+"\n"); err != nil {
		p.t.Fatal(err)
	}
	line, err := p.out.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &r)
	}
	if err != nil {
		p.t.Fatalf("the server's process says %q: %v", line, err)
	}
	return r
}

// resident returns the octets that the process has in memory now, be it running or not.
func (p *serverProcess) resident() int64 {
	p.t.Helper()
	n, err := residentMemory(p.statm)
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}

// until waits until the server's report is as it is asked for.
func (p *serverProcess) until(what string, so func(*serverReport) bool) *serverReport {
	p.t.Helper()
	var r serverReport
	testkit.Await(p.t, what, func() bool {
		r = p.report()
		return so(&r)
	}, func() string { return fmt.Sprintf("the counters are\n%+v", r) })
	return &r
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/peers/program"
)

const (
	serverSink   = "sink"
	serverCanned = "canned"
)

//go:embed send.js idle.js
var scripts embed.FS

// bench is the programs, the server and a folder for the scripts.
type bench struct {
	o          *options
	k6, source string
	server     *exec.Cmd
	addr       string
	dir        string
	progress   io.Writer
}

// newBench finds the programs and starts the server.
func newBench(o *options, progress io.Writer) (*bench, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	beside := func(name string) string { return filepath.Join(filepath.Dir(self), name) }
	b := &bench{o: o, k6: o.k6, progress: progress}
	if b.k6 == "" {
		b.k6 = beside("k6")
	}
	argv := []string{beside("smtpsink"), "--listen", "127.0.0.1:0", "--driver", "epoll", "--drain-timeout", "1s"}
	if o.server == serverCanned {
		argv = []string{beside("peerserver"), "canned", "127.0.0.1:0"}
	}
	for _, path := range []string{b.k6, argv[0]} {
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("%w (make build bench-peers builds it)", err)
		}
	}
	if b.source, err = lookPath("smtp-source"); err != nil {
		return nil, fmt.Errorf("%w (apt-get install postfix)", err)
	}
	if b.dir, err = os.MkdirTemp("", "benchk6"); err != nil {
		return nil, err
	}
	if err := os.CopyFS(b.dir, scripts); err != nil {
		return nil, errors.Join(err, b.close())
	}
	if err := b.serve(argv); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

// lookPath also looks where Debian puts Postfix's tools, which a user's PATH often lacks.
func lookPath(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	return exec.LookPath("/usr/sbin/" + name)
}

// serve starts the server, which says its address.
func (b *bench) serve(argv []string) error {
	b.server = exec.Command(argv[0], argv[1:]...) // #nosec G204 -- smtpsink or peerserver, which lie beside this program; no shell
	b.server.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	out, in, err := os.Pipe()
	if err != nil {
		return err
	}
	b.server.Stdout, b.server.Stderr = in, in // one of them tells the address
	err = b.server.Start()
	_ = in.Close()
	if err != nil {
		b.server = nil
		return errors.Join(err, out.Close())
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return fmt.Errorf("%s said no address: %w", argv[0], err)
	}
	b.addr = regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(line)
	if b.addr == "" {
		return fmt.Errorf("%s said %q for its address", argv[0], line)
	}
	go func() {
		_, _ = io.Copy(io.Discard, out) // until the server ends
		_ = out.Close()
	}()
	return nil
}

// close stops the server and removes the scripts.
func (b *bench) close() error {
	if b.server != nil {
		_ = b.server.Process.Signal(syscall.SIGTERM) // it may have ended by itself
		kill := time.AfterFunc(20*time.Second, func() { _ = b.server.Process.Kill() })
		_ = b.server.Wait()
		kill.Stop()
	}
	return os.RemoveAll(b.dir)
}

// load is one run of a generator.
type load struct {
	Messages int     `json:"messages"`
	CPU      float64 `json:"cpu_s"`
	Wall     float64 `json:"wall_s"`
}

func used(cmd *exec.Cmd) float64 {
	return (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
}

// runLimit bounds one run.
const runLimit = 15 * time.Minute

// smtpSource sends the messages with smtp-source, whose own start takes next to nothing.
func (b *bench) smtpSource(ctx context.Context) (load, error) {
	ctx, cancel := context.WithTimeout(ctx, runLimit)
	defer cancel()
	// #nosec G204 -- smtp-source as lookPath found it; no shell
	cmd := exec.CommandContext(ctx, b.source, "-s", strconv.Itoa(b.o.vus), "-d", "-l", strconv.Itoa(b.o.size), "-m", strconv.Itoa(b.o.messages),
		"-f", "a@src.test", "-t", "b@dst.test", "inet:"+b.addr)
	start := time.Now()
	out, err := cmd.CombinedOutput()
	wall := time.Since(start)
	if err != nil || bytes.Contains(out, []byte("fatal")) || bytes.Contains(out, []byte("warning")) {
		return load{}, fmt.Errorf("smtp-source: %v: %.200s", err, bytes.TrimSpace(out))
	}
	return load{b.o.messages, used(cmd), wall.Seconds()}, nil
}

// k6Command prepares a run that phones nobody.
func (b *bench) k6Command(ctx context.Context, script string, env ...string) (*exec.Cmd, *bytes.Buffer, *bytes.Buffer) {
	host, port, err := net.SplitHostPort(b.addr)
	if err != nil {
		panic(err) // serve has matched it
	}
	args := []string{"run", "--quiet", "--no-color", "--env", "SMTP_HOST=" + host, "--env", "SMTP_PORT=" + port}
	for _, e := range env {
		args = append(args, "--env", e)
	}
	cmd := exec.CommandContext(ctx, b.k6, append(args, filepath.Join(b.dir, script))...) // #nosec G204 -- the k6 that the user names, or the one beside this program; no shell
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Env = append(os.Environ(), "K6_NO_USAGE_REPORT=true", "K6_AUTO_EXTENSION_RESOLUTION=false")
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	return cmd, &out, &complaints
}

// k6Summary is what the scripts tell at their end.
type k6Summary struct {
	Duration float64 `json:"duration_ms"`
	Count    int     `json:"count"`
}

// manner is how k6 sends a message.
type manner struct{ pipelining, chunking bool }

// send sends messages with k6.
func (b *bench) send(ctx context.Context, messages int, how manner) (load, error) {
	ctx, cancel := context.WithTimeout(ctx, runLimit)
	defer cancel()
	cmd, out, complaints := b.k6Command(ctx, "send.js", "VUS="+strconv.Itoa(b.o.vus), "SIZE="+strconv.Itoa(b.o.size), "MESSAGES="+strconv.Itoa(messages),
		"PIPELINING="+strconv.FormatBool(how.pipelining), "CHUNKING="+strconv.FormatBool(how.chunking))
	err := cmd.Run()
	var sum k6Summary
	if err == nil {
		err = json.Unmarshal(out.Bytes(), &sum)
	}
	if err == nil && sum.Count != messages {
		err = fmt.Errorf("%d messages of %d", sum.Count, messages)
	}
	if err != nil {
		return load{}, fmt.Errorf("k6: %w: %.500s", err, complaints.String())
	}
	return load{messages, used(cmd), sum.Duration / 1000}, nil
}

// rounds measures all generators in turn, every second round in the other order.
func (b *bench) rounds(ctx context.Context, rec *record) error {
	for n := range b.o.rounds {
		s := sample{LoadAverage: program.LoadAverage()}
		steps := []func() error{
			func() (err error) { s.Source, err = b.smtpSource(ctx); return err },
			func() (err error) { s.Stepwise, err = b.send(ctx, b.o.messages, manner{}); return err },
			func() (err error) { s.Start, err = b.send(ctx, b.o.vus, manner{pipelining: true}); return err },
			func() (err error) { s.Pipelined, err = b.send(ctx, b.o.messages, manner{pipelining: true}); return err },
			func() (err error) { s.Chunked, err = b.send(ctx, b.o.messages, manner{true, true}); return err },
		}
		for i := range steps {
			if n%2 == 1 {
				i = len(steps) - 1 - i
			}
			if err := steps[i](); err != nil {
				return err
			}
		}
		rec.Samples = append(rec.Samples, s)
		fmt.Fprintf(b.progress, "round %d: CPU per message x%.2f without pipelining, x%.2f with, x%.2f with chunking, too; rate x%.2f, x%.2f and x%.2f\n", n+1,
			s.cpuRatio(&s.Stepwise), s.cpuRatio(&s.Pipelined), s.cpuRatio(&s.Chunked), s.rateRatio(&s.Stepwise), s.rateRatio(&s.Pipelined), s.rateRatio(&s.Chunked))
	}
	return nil
}

// When the VUs of idle.js connect and end, from the begin of the test.
const (
	connectAt = 8 * time.Second
	idleUntil = 20 * time.Second
	settling  = 3 * time.Second
)

// memory measures what idle connections add to a k6 whose VUs have each made a Client before.
func (b *bench) memory(ctx context.Context, rec *record) error {
	if b.o.idle == 0 {
		return nil
	}
	for n := range b.o.idleRounds {
		m, err := b.idle(ctx)
		if err != nil {
			return fmt.Errorf("memory: %w", err)
		}
		rec.Memory = append(rec.Memory, m)
		fmt.Fprintf(b.progress, "memory %d: %.1f KiB per connection on the heap and on stacks, %.1f KiB resident\n", n+1, m.Live/kib, m.Resident/kib)
	}
	return nil
}

func (b *bench) idle(ctx context.Context) (m memory, err error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	api, err := program.FreeAddress()
	if err != nil {
		return m, err
	}
	cmd, out, complaints := b.k6Command(ctx, "idle.js", "VUS="+strconv.Itoa(b.o.idle), fmt.Sprintf("CONNECT_AT=%v", connectAt.Seconds()),
		fmt.Sprintf("IDLE_UNTIL=%v", idleUntil.Seconds()))
	cmd.Args = append(cmd.Args, "--address", api, "--profiling-enabled")
	if err := cmd.Start(); err != nil {
		return m, err
	}
	err = b.watch(ctx, cmd.Process.Pid, api, &m)
	if err != nil {
		cancel()
	}
	err = errors.Join(err, cmd.Wait())
	var sum k6Summary
	if err == nil {
		err = json.Unmarshal(out.Bytes(), &sum)
	}
	if err == nil && sum.Count != b.o.idle {
		err = fmt.Errorf("%d connections of %d", sum.Count, b.o.idle)
	}
	if err != nil {
		return m, fmt.Errorf("k6: %w: %.500s", err, complaints.String())
	}
	return m, nil
}

// watch takes the memory before the VUs connect and while they idle.
func (b *bench) watch(ctx context.Context, pid int, api string, m *memory) error {
	if err := awaitRunning(ctx, api); err != nil {
		return err
	}
	begin := time.Now()
	if err := until(ctx, begin.Add(connectAt-settling)); err != nil {
		return err
	}
	live, resident, err := liveMemory(ctx, pid, api)
	if err != nil {
		return err
	}
	if time.Since(begin) > connectAt {
		return errors.New("the machine is too busy: VUs connected while memory was looked at")
	}
	if err := until(ctx, begin.Add(connectAt+settling)); err != nil {
		return err
	}
	liveAfter, residentAfter, err := liveMemory(ctx, pid, api)
	if err != nil {
		return err
	}
	if time.Since(begin) > idleUntil {
		return errors.New("the machine is too busy: VUs ended while memory was looked at")
	}
	n := float64(b.o.idle)
	m.Live, m.Resident = (liveAfter-live)/n, (residentAfter-resident)/n
	return nil
}

func until(ctx context.Context, t time.Time) error {
	select {
	case <-time.After(time.Until(t)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// awaitRunning asks k6's API until the test runs.
func awaitRunning(ctx context.Context, api string) error {
	for {
		text, err := get(ctx, "http://"+api+"/v1/status")
		if err == nil && bytes.Contains(text, []byte(`"running":true`)) {
			return nil
		}
		if err := until(ctx, time.Now().Add(20*time.Millisecond)); err != nil {
			return fmt.Errorf("k6 does not run the test: %w", err)
		}
	}
}

func get(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	return io.ReadAll(res.Body)
}

var memStat = regexp.MustCompile(`(?m)^# (HeapAlloc|Stack) = (\d+)`)

// liveMemory has k6's collector run twice, and returns what then is on its heap and on stacks, and what is resident.
func liveMemory(ctx context.Context, pid int, api string) (live, resident float64, err error) {
	for range 2 {
		text, err := get(ctx, "http://"+api+"/debug/pprof/heap?gc=1&debug=1")
		if err != nil {
			return 0, 0, err
		}
		live = 0
		found := memStat.FindAllSubmatch(text, -1)
		if len(found) != 2 {
			return 0, 0, errors.New("k6's profile tells neither heap nor stacks")
		}
		for _, f := range found {
			n, err := strconv.ParseFloat(string(f[2]), 64)
			if err != nil {
				return 0, 0, err
			}
			live += n
		}
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, 0, err
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0, 0, fmt.Errorf("statm says %q", text)
	}
	pages, err := strconv.ParseFloat(fields[1], 64)
	return live, pages * float64(os.Getpagesize()), err
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is a server in a process of its own.
type process struct {
	cmd    *exec.Cmd
	addr   string
	stdout bytes.Buffer
	stderr bytes.Buffer
	ended  chan struct{} // closed when the process has ended, err is set then
	err    error
}

// patience bounds how long a server may take to come up or to go away.
const patience = 20 * time.Second

// startProcess starts a server that listens on addr, and returns when it accepts connections.
func startProcess(ctx context.Context, addr string, argv []string) (*process, error) {
	p := &process{addr: addr, ended: make(chan struct{})}
	p.cmd = exec.Command(argv[0], argv[1:]...) // #nosec G204 -- a server that kinds names, or the user on the command line; no shell
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	// A signal of the terminal is for the harness, which then ends its servers; if it dies, they do.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := p.accepts(ctx); err != nil {
		_ = p.stop()
		return nil, fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, strings.TrimSpace(p.stderr.String()))
	}
	return p, nil
}

func (p *process) accepts(ctx context.Context) error {
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		nc, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.addr)
		if err == nil {
			return nc.Close()
		}
		select {
		case <-p.ended:
			return fmt.Errorf("ended at once: %w", p.err)
		case <-ctx.Done():
			return err
		case <-again.C:
		}
	}
}

// stop asks the process to end and waits until it has, then what it wrote to standard output may be read.
func (p *process) stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		<-p.ended
		return errors.New("did not end when asked to")
	}
	return nil
}

// cpu returns the CPU time that the process has used so far, all threads together.
func (p *process) cpu() (time.Duration, error) {
	// The clock of another process, see clock_getcpuclockid(3): the complement of its id above three bits, 2 for nanoseconds.
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^p.cmd.Process.Pid<<3|2), &ts); err != nil { // #nosec G115 -- a process id has at most 22 bits
		return 0, fmt.Errorf("CPU clock of process %d: %w", p.cmd.Process.Pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// resident returns the resident memory of the process in octets.
func (p *process) resident() (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0, fmt.Errorf("statm says %q", text)
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}

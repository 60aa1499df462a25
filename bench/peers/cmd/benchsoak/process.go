package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/peers/program"
	"github.com/smtpstorm/xk6-smtp/bench/supervise"
	"github.com/smtpstorm/xk6-smtp/sink/control/client"
)

// sinkProcess is the sink that is looked at: a process of its own, so that its memory is nobody else's.
type sinkProcess struct {
	mail, control string // addresses
	ledger        string
	api           *client.Client
	process       *os.Process
	ended         <-chan error
	stderr        *bytes.Buffer
}

// idleTimeout is how long the sink bears a silent client. Senders are never silent for so long.
const idleTimeout = 5 * time.Second

// startSink starts it, with bounds that fill within minutes, so that what comes after shows whether they hold.
func startSink(ctx context.Context, path, dir string) (*sinkProcess, error) {
	s := &sinkProcess{ledger: filepath.Join(dir, "ledger.jsonl"), stderr: &bytes.Buffer{}}
	var err error
	if s.mail, err = program.FreeAddress(); err != nil {
		return nil, err
	}
	if s.control, err = program.FreeAddress(); err != nil {
		return nil, err
	}
	// #nosec G204 -- the program that the user names
	cmd := exec.Command(path, "--quiet", "--listen", "mx="+s.mail, "--control", s.control, "--ledger", s.ledger, "--capture", "memory:4MiB",
		"--state-memory", "2MiB", "--tls", "always", "--auth-user", "user:secret", "--max-size", "1MiB", "--idle-timeout", idleTimeout.String(), "--max-hold", "3s", "--loops", "2")
	cmd.Stderr = s.stderr
	if s.ended, err = supervise.Start(cmd); err != nil {
		return nil, err
	}
	s.process = cmd.Process
	if s.api, err = client.New(s.control, client.Options{}); err != nil {
		return nil, errors.Join(err, s.kill())
	}
	for ctx.Err() == nil {
		if s.api.Ready(ctx) == nil {
			return s, nil
		}
		select {
		case err := <-s.ended:
			return nil, fmt.Errorf("the sink has ended at once: %w: %s", err, s.stderr)
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return nil, errors.Join(ctx.Err(), s.kill())
}

func (s *sinkProcess) kill() error {
	err := supervise.Kill(s.process)
	<-s.ended
	return err
}

// stop ends it in good order; the ledger is complete then.
func (s *sinkProcess) stop() error {
	s.api.Close()
	if err := supervise.Interrupt(s.process); err != nil {
		return err
	}
	select {
	case err := <-s.ended:
		if err != nil || s.stderr.Len() > 0 {
			return fmt.Errorf("the sink ended with %v and said: %s", err, s.stderr)
		}
		return nil
	case <-time.After(time.Minute):
		return errors.Join(errors.New("the sink has not ended within a minute"), s.kill())
	}
}

// sample is what the process tells of itself.
type sample struct {
	Hours       float64 // since the begin
	Resident    float64 // octets
	Heap        float64 // in use, octets
	Goroutines  float64
	Descriptors float64
	Series      float64 // lines of the scrape
	CPU         float64 // seconds
}

// sample scrapes /metrics.
func (s *sinkProcess) sample(ctx context.Context, since time.Time) (sample, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.control+"/metrics", nil)
	if err != nil {
		return sample{}, err
	}
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		return sample{}, err
	}
	defer a.Body.Close()
	out := sample{Hours: time.Since(since).Hours()}
	found := 0
	lines := bufio.NewScanner(a.Body)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if name == "#" {
			continue
		}
		out.Series++
		place := map[string]*float64{
			"process_resident_memory_bytes": &out.Resident, "go_memstats_heap_inuse_bytes": &out.Heap, "go_goroutines": &out.Goroutines,
			"process_open_fds": &out.Descriptors, "process_cpu_seconds_total": &out.CPU,
		}[name]
		if place == nil {
			continue
		}
		found++
		if *place, err = strconv.ParseFloat(value, 64); err != nil {
			return out, err
		}
	}
	if err := lines.Err(); err != nil {
		return out, err
	}
	if found != 5 {
		return out, fmt.Errorf("the sink tells %d of 5 figures of its process (status %d)", found, a.StatusCode)
	}
	return out, nil
}

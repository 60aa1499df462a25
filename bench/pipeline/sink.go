package pipeline

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/input"
	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/event"
)

// Sink is a sink in this process, the next hop of a pipeline.
type Sink struct {
	Server  *sink.Server
	started time.Time
	usage   time.Duration // CPU time of this process when it started
}

// StartSink listens on an address; port 0 means a free one. Without a ledger, an empty name, nothing is kept of what it sees; with a
// directory for them, it keeps the notifications (DSNs) that it gets there.
func StartSink(f Faults, address, ledger, notifications string) (*Sink, error) {
	server, err := sink.New(sink.Config{
		Listeners: []sink.Listener{{Name: "smtp", Address: address}},
		Plan:      f.Plan,
		PlanHash:  f.Source.SHA256,
		Hostname:  "sink.bench.test",
		Ledger:    sink.LedgerConfig{Path: ledger, Durability: event.Batch},
		DSN:       sink.DSNConfig{Dir: notifications},
	})
	if err != nil {
		return nil, &input.Error{Err: err}
	}
	if err := server.Start(); err != nil {
		if errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EACCES) {
			return nil, &input.Error{Err: err}
		}
		return nil, err
	}
	return &Sink{Server: server, started: time.Now(), usage: ProcessCPU()}, nil
}

// HostPort returns the address at which clients on this machine reach the sink.
func (s *Sink) HostPort() (host, port string) {
	host, port, err := net.SplitHostPort(s.Server.Addr("smtp").String())
	if err != nil {
		return "", ""
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return host, port
}

// drainTimeout is how long connections may take to end after the sink stopped listening.
const drainTimeout = 5 * time.Second

// Stop ends the sink in good order and returns its final figures.
func (s *Sink) Stop() (*sink.Stats, *result.Process, error) {
	process := &result.Process{CPUSeconds: (ProcessCPU() - s.usage).Seconds(), WallSeconds: time.Since(s.started).Seconds()}
	if process.CPUSeconds <= 0 {
		process = nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	if err := s.Server.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return nil, nil, fmt.Errorf("stop the sink: %w", err)
	}
	// Connections that a client keeps open beyond the deadline are cut; their unfinished replies are counted as in flight.
	if err := s.Server.Close(); err != nil {
		return nil, nil, fmt.Errorf("stop the sink: %w", err)
	}
	return s.Server.Stats(), process, nil
}

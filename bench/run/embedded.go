package run

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/event"
)

// embedded is a sink in this process.
type embedded struct {
	server  *sink.Server
	started time.Time
	usage   time.Duration // CPU time of this process when it started
}

// startSink listens on an address; port 0 means a free one. Without a ledger, an empty name, nothing is kept of what it sees; with a
// directory for them, it keeps the notifications (DSNs) that it gets there.
func startSink(w weather, address, ledger, notifications string) (*embedded, error) {
	server, err := sink.New(sink.Config{
		Listeners: []sink.Listener{{Name: "smtp", Address: address}},
		Plan:      w.plan,
		PlanHash:  w.source.SHA256,
		Hostname:  "sink.bench.test",
		Ledger:    sink.LedgerConfig{Path: ledger, Durability: event.Batch},
		DSN:       sink.DSNConfig{Dir: notifications},
	})
	if err != nil {
		return nil, &InputError{err}
	}
	if err := server.Start(); err != nil {
		if errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EACCES) {
			return nil, &InputError{err}
		}
		return nil, err
	}
	return &embedded{server: server, started: time.Now(), usage: usage()}, nil
}

// hostPort returns the address at which clients on this machine reach the sink.
func (e *embedded) hostPort() (host, port string) {
	host, port, err := net.SplitHostPort(e.server.Addr("smtp").String())
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

// stop ends the sink in good order and returns its final figures.
func (e *embedded) stop() (*sink.Stats, *result.Process, error) {
	process := &result.Process{CPUSeconds: (usage() - e.usage).Seconds(), WallSeconds: time.Since(e.started).Seconds()}
	if process.CPUSeconds <= 0 {
		process = nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	if err := e.server.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return nil, nil, fmt.Errorf("stop the sink: %w", err)
	}
	// Connections that a client keeps open beyond the deadline are cut; their unfinished replies are counted as in flight.
	if err := e.server.Close(); err != nil {
		return nil, nil, fmt.Errorf("stop the sink: %w", err)
	}
	return e.server.Stats(), process, nil
}

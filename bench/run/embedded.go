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
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/metrics"
)

// embedded is a sink in this process.
type embedded struct {
	server  *sink.Server
	started time.Time
	usage   time.Duration // CPU time of this process when it started
}

// startSink listens on an address; port 0 means a free one.
func startSink(plan *fault.Plan, address string, observer sink.Observer) (*embedded, error) {
	server, err := sink.New(sink.Config{
		Listeners: []sink.Listener{{Name: "smtp", Address: address}},
		Plan:      plan,
		Hostname:  "sink.bench.test",
		Observer:  observer,
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

// sinkRecord converts the sink's figures.
func sinkRecord(s *sink.Stats, process *result.Process) *result.Sink {
	out := &result.Sink{
		Connections: s.Connections, Transactions: s.Transactions, Messages: s.Messages, Recipients: s.Recipients,
		BytesIn: s.BytesIn, BytesOut: s.BytesOut,
		Lateness: lateness(s.Lateness),
		Process:  process,
	}
	for _, r := range s.Replies {
		out.Replies = append(out.Replies, result.ReplyCount{
			Stage: r.Stage.String(), Code: int(r.Code), Enhanced: r.Enhanced.String(), Cause: r.Cause, Count: r.Count,
		})
	}
	for _, r := range s.Rules {
		rule := result.RuleCount{Name: r.Name, Stage: r.Stage.String(), Occurrences: r.Occurrences, DistinctKeys: r.DistinctKeys}
		for _, o := range r.Outcomes {
			rule.Outcomes = append(rule.Outcomes, result.OutcomeCount{
				Code: int(o.Code), Enhanced: o.Enhanced.String(), Probability: o.Probability, Injected: o.Injected, Distinct: o.Distinct,
			})
		}
		out.Rules = append(out.Rules, rule)
	}
	for _, f := range s.InFlight {
		out.InFlight = append(out.InFlight, result.InFlight{
			Stage: f.Stage.String(), Code: int(f.Code), Enhanced: f.Enhanced.String(), Unwritten: f.Unwritten, Unacknowledged: f.Unread,
		})
	}
	for _, w := range s.Windows {
		window := result.SinkWindow{
			Start: w.Start, LengthSeconds: w.LengthSeconds, Connections: w.Connections, Messages: w.Messages, Bytes: w.Bytes,
		}
		for _, r := range w.Replies {
			window.Replies = append(window.Replies, result.WindowReply{Stage: r.Stage.String(), Code: int(r.Code), Count: r.Count})
		}
		out.Windows = append(out.Windows, window)
	}
	return out
}

// lateness converts the sink's buckets, each to its upper end: at most 3% too much.
func lateness(d *metrics.Distribution) *result.Histogram {
	if d == nil || d.Count == 0 {
		return nil
	}
	h := &result.Histogram{}
	for _, b := range d.Buckets {
		for range b.Count {
			h.Record(float64(min(b.Micros, d.MaxMicros)) / 1000)
		}
	}
	return h
}

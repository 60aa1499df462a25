package sinktest

import (
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
)

// Option changes the configuration of a sink that Start starts.
type Option func(t testing.TB, cfg *sink.Config)

// Start starts a sink on a free port of 127.0.0.1, or where its plan has it listen, and closes it when the test ends; Addr("") is where
// it listens. Without options it runs the driver of this system and accepts everything.
func Start(t testing.TB, options ...Option) *sink.Server {
	t.Helper()
	cfg := sink.Config{Hostname: "sink.test"}
	for _, option := range options {
		option(t, &cfg)
	}
	if len(cfg.Listeners) == 0 && len(sink.ListenersOf(cfg.Plan)) == 0 {
		cfg.Listeners = []sink.Listener{{Name: "test", Address: "127.0.0.1:0"}}
	}
	server, err := sink.New(cfg)
	if err != nil {
		t.Fatalf("sinktest: %v", err)
	}
	if err := server.Start(); err != nil {
		t.Fatalf("sinktest: %v", err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Errorf("sinktest: closing the sink: %v", err)
		}
	})
	return server
}

// With changes the configuration in any way.
func With(change func(cfg *sink.Config)) Option {
	return func(_ testing.TB, cfg *sink.Config) { change(cfg) }
}

// WithDriver chooses the driver.
func WithDriver(kind sink.DriverKind) Option {
	return With(func(cfg *sink.Config) { cfg.Driver = kind })
}

// WithFlags makes the plan of command-line flags.
func WithFlags(flags fault.Flags) Option {
	return func(t testing.TB, cfg *sink.Config) {
		t.Helper()
		cfg.Plan = Plan(t, flags)
	}
}

// Plan compiles command-line flags into a plan.
func Plan(t testing.TB, flags fault.Flags) *fault.Plan {
	t.Helper()
	spec, err := fault.CompileFlags(flags)
	if err != nil {
		t.Fatalf("sinktest: %v", err)
	}
	plan, err := fault.NewPlan(spec)
	if err != nil {
		t.Fatalf("sinktest: %v", err)
	}
	return plan
}

package cmd

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// stopOnSignals has the first signal that asks for the end close stop, for a usable result, and the second cancel ctx. A closed pipe is
// no signal: it would end the program before it has ended what it started. release gives the signals back.
func stopOnSignals() (ctx context.Context, stop <-chan struct{}, release func()) {
	signal.Ignore(syscall.SIGPIPE)
	ctx, cancel := context.WithCancel(context.Background())
	first := make(chan struct{})
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, endings()...)
	go func() {
		select {
		case <-signals:
			fmt.Fprintln(os.Stderr, "\nsmtpbench: stopping; what was measured so far will be written (once more ends at once)")
			close(first)
		case <-ctx.Done():
			return
		}
		select {
		case <-signals:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, first, func() {
		signal.Stop(signals)
		cancel()
	}
}

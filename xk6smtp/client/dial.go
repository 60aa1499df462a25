package client

import (
	"context"
	"fmt"
	"net"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// dial opens the connection within the connect timeout.
func dial(ctx context.Context, cfg *Config, g *Greeting) (net.Conn, error) {
	dialCtx := ctx
	if limit := cfg.Timeouts[smtp.StageConnect]; limit > 0 {
		var cancel context.CancelFunc
		dialCtx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	start := cfg.Now()
	address, err := resolve(dialCtx, cfg)
	if err != nil {
		return nil, dialCause(ctx, dialCtx, err)
	}
	resolved := cfg.Now()
	if cfg.Resolver != nil {
		g.Timings.Resolving = resolved.Sub(start)
	}
	conn, err := cfg.Dialer.DialContext(dialCtx, "tcp", address)
	if err != nil {
		return nil, dialCause(ctx, dialCtx, err)
	}
	g.Timings.Connecting = cfg.Now().Sub(resolved)
	return conn, nil
}

// resolve returns the address to dial. A Resolver has no context, so that a name's lookup runs beside it: it is left behind
// when the context ends first, and ends with the resolver's own timeout.
func resolve(ctx context.Context, cfg *Config) (string, error) {
	if cfg.Resolver == nil {
		return cfg.Address, nil
	}
	lookup := func() (string, error) {
		ip, port, err := cfg.Resolver.ResolveAddr(cfg.Address)
		if err != nil {
			return "", err
		}
		return (&net.TCPAddr{IP: ip, Port: port}).String(), nil
	}
	host, _, err := net.SplitHostPort(cfg.Address)
	if err != nil {
		return "", err
	}
	if net.ParseIP(host) != nil {
		return lookup()
	}
	type answer struct {
		address string
		err     error
	}
	done := make(chan answer, 1)
	go func() {
		address, err := lookup()
		done <- answer{address, err}
	}()
	select {
	case a := <-done:
		return a.address, a.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// dialCause tells an ended context from an exceeded limit; the dialer's own error stays wrapped.
func dialCause(ctx, limited context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", ErrAborted, context.Cause(ctx))
	case limited.Err() != nil:
		return &DialTimeoutError{err}
	}
	return err
}

// DialTimeoutError is a timeout before the connection stood: no reply was awaited yet.
type DialTimeoutError struct {
	// Err is what the dialer or the resolver said.
	Err error
}

// Error returns one line.
func (e *DialTimeoutError) Error() string { return "dial: " + ErrTimeout.Error() }

// Unwrap returns ErrTimeout and the dialer's error.
func (e *DialTimeoutError) Unwrap() []error { return []error{ErrTimeout, e.Err} }

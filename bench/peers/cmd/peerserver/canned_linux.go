package main

import (
	"context"

	"github.com/smtpstorm/xk6-smtp/bench/canned"
)

// serveCanned runs the baseline: one loop without a parser.
func serveCanned(ctx context.Context, addr string, ready func(string)) error {
	server, err := canned.Listen(addr)
	if err != nil {
		return err
	}
	ready(server.Addr().String())
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	return server.Serve()
}

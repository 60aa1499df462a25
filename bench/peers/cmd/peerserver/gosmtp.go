package main

import (
	"context"
	"io"
	"net"

	"github.com/emersion/go-smtp"
)

// discard is a backend that accepts everything and keeps nothing. It is its own session: there is nothing to remember.
type discard struct{}

// serveGoSMTP runs emersion's server, a goroutine per connection, with a backend that discards.
func serveGoSMTP(ctx context.Context, addr string, ready func(string)) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	server := smtp.NewServer(discard{})
	server.Domain = "localhost"
	ready(ln.Addr().String())
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(ln); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// NewSession implements smtp.Backend.
func (discard) NewSession(*smtp.Conn) (smtp.Session, error) { return discard{}, nil }

// Mail implements smtp.Session.
func (discard) Mail(string, *smtp.MailOptions) error { return nil }

// Rcpt implements smtp.Session.
func (discard) Rcpt(string, *smtp.RcptOptions) error { return nil }

// Data implements smtp.Session.
func (discard) Data(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

// Reset implements smtp.Session.
func (discard) Reset() {}

// Logout implements smtp.Session.
func (discard) Logout() error { return nil }

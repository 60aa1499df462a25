package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"

	"github.com/smtpstorm/xk6-smtp/bench/canned"
)

// serveGoTLS runs what a Go programmer would write first: a goroutine per connection, package net, crypto/tls after STARTTLS, and the
// canned loop's replies.
func serveGoTLS(ctx context.Context, addr string, files []string, ready func(string)) error {
	certificate, err := tls.LoadX509KeyPair(files[0], files[1])
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() })
	defer stop()
	config := &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS10} // #nosec G402 -- as the sink has it: the two are compared
	ready(ln.Addr().String())
	for {
		nc, err := ln.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		go func() {
			defer nc.Close()
			_ = converse(nc, config)
		}()
	}
}

// converse answers until QUIT. Its error ends the connection, and tells nobody anything.
func converse(nc net.Conn, config *tls.Config) error {
	var (
		in       [16 << 10]byte
		out      []byte
		dialogue canned.Dialogue
		secure   bool
	)
	if _, err := nc.Write([]byte(canned.Greeting)); err != nil {
		return err
	}
	for {
		n, err := nc.Read(in[:])
		if err != nil {
			return err
		}
		out, _ = dialogue.Answer(out[:0], in[:n])
		if _, err := nc.Write(out); err != nil {
			return err
		}
		if dialogue.Quit() {
			return nc.Close() // of TLS: with its farewell
		}
		if !secure && bytes.HasPrefix(in[:n], []byte("STARTTLS\r\n")) {
			server := tls.Server(nc, config)
			if err := server.Handshake(); err != nil {
				return err
			}
			nc, secure = server, true
		}
	}
}

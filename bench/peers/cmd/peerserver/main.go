// Command peerserver runs one of the servers that the sink's speed is compared with, each a process of its own: the canned
// loop, gnet with the same replies, go-smtp with a backend that discards, and a plain Go TLS server. It says its address on standard
// output and serves until it is told to end by SIGTERM or SIGINT.
//
// It checks nothing and is for loopback only. Linux only, as the canned loop is.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// peer is a server: it listens on addr, reports the address, and serves until ctx is done. It gets as many arguments as it has names
// for.
type peer struct {
	args  []string
	serve func(ctx context.Context, addr string, args []string, ready func(addr string)) error
}

// peers are the servers by name.
var peers = map[string]peer{
	"canned":  {serve: withoutArgs(serveCanned)},
	"gnet":    {serve: withoutArgs(serveGnet)},
	"go-smtp": {serve: withoutArgs(serveGoSMTP)},
	"go-tls":  {[]string{"cert.pem", "key.pem"}, serveGoTLS},
}

func withoutArgs(serve func(context.Context, string, func(string)) error) func(context.Context, string, []string, func(string)) error {
	return func(ctx context.Context, addr string, _ []string, ready func(string)) error {
		return serve(ctx, addr, ready)
	}
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "peerserver: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	var chosen peer
	if len(args) > 1 {
		chosen = peers[args[0]]
	}
	if chosen.serve == nil || len(args) != 2+len(chosen.args) {
		return fmt.Errorf("arguments %q (want: canned|gnet|go-smtp host:port, or go-tls host:port cert.pem key.pem)", strings.Join(args, " "))
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return chosen.serve(ctx, args[1], args[2:], func(addr string) { fmt.Println(addr) })
}

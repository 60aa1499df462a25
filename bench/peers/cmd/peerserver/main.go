// Command peerserver runs one of the servers that the sink's speed is compared with, each a process of its own: the canned
// loop, gnet with the same replies, and go-smtp with a backend that discards. It says its address on standard output
// and serves until it is told to end by SIGTERM or SIGINT.
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

// peers are the servers by name: each listens on addr, reports the address, and serves until ctx is done.
var peers = map[string]func(ctx context.Context, addr string, ready func(addr string)) error{
	"canned":  serveCanned,
	"gnet":    serveGnet,
	"go-smtp": serveGoSMTP,
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "peerserver: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 || peers[args[0]] == nil {
		return fmt.Errorf("arguments %q (want: canned|gnet|go-smtp host:port)", strings.Join(args, " "))
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return peers[args[0]](ctx, args[1], func(addr string) { fmt.Println(addr) })
}

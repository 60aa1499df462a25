//go:build !linux

package mta

import "net"

// reservedPort is a port of 127.0.0.1 that nobody listened on a moment ago: what reserves it on Linux isn't everywhere.
type reservedPort struct{ address string }

func reservePort() (*reservedPort, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	return &reservedPort{l.Addr().String()}, l.Close()
}

func (p *reservedPort) addr() string   { return p.address }
func (p *reservedPort) release() error { return nil }

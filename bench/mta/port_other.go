//go:build !linux

package mta

import "net"

// ReservedPort is a port of 127.0.0.1 that nobody listened on a moment ago: what reserves it on Linux isn't everywhere.
type ReservedPort struct{ address string }

func ReservePort() (*ReservedPort, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	return &ReservedPort{l.Addr().String()}, l.Close()
}

func (p *ReservedPort) Addr() string   { return p.address }
func (p *ReservedPort) Release() error { return nil }

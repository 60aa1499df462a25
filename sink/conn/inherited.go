package conn

import (
	"errors"
	"net"
	"os"
)

// CanInherit says whether this system has what an inherited socket needs: that it can refuse connections while another process has it.
const CanInherit = HaveEpoll

// listen opens the listener with package net.
func (p *Place) listen() (net.Listener, error) {
	if p.Inherited == nil {
		return net.Listen(p.Network, p.Address)
	}
	if !CanInherit {
		return nil, errors.ErrUnsupported
	}
	ln, err := net.FileListener(p.Inherited) // of a duplicate of its descriptor
	if err != nil {
		return nil, err
	}
	if _, ok := ln.(*net.TCPListener); !ok {
		_ = ln.Close()
		return nil, errors.New("the inherited socket is not one of TCP")
	}
	bound := ln.Addr().String()
	setBacklog(ln, defaultBacklog)
	if again, err := net.FileListener(p.Inherited); err != nil {
		_ = ln.Close()
		return nil, err
	} else if lost := again.Addr().String() != bound; lost || again.Close() != nil {
		_ = ln.Close()
		return nil, errors.New("the inherited socket has lost its port: it must be bound to a port of its own, not to any free one")
	}
	return ln, nil
}

// Relisten has an inherited socket accept connections into its queue again, for whoever serves it next: a storm may have left it refusing, or with
// a short queue.
func Relisten(socket *os.File) error {
	ln, err := (&Place{Inherited: socket}).listen()
	if err != nil {
		return err
	}
	return ln.Close()
}

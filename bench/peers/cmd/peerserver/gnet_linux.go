package main

import (
	"context"
	"fmt"
	"net"

	"github.com/panjf2000/gnet/v2"
	"github.com/panjf2000/gnet/v2/pkg/logging"

	"github.com/smtpstorm/xk6-smtp/bench/canned"
)

// gnetServer gives the canned replies on gnet with one event loop, so that the scratch buffer needs no lock.
type gnetServer struct {
	gnet.BuiltinEventEngine
	boot func(gnet.Engine)
	out  []byte
}

// serveGnet runs gnet with one loop; its own loops are the only difference from the canned server.
func serveGnet(ctx context.Context, addr string, ready func(string)) error {
	// gnet does not tell which port it got: a port is asked for here.
	if _, port, err := net.SplitHostPort(addr); err != nil || port == "0" {
		return fmt.Errorf("gnet needs an address with a port, not %q", addr)
	}
	server := &gnetServer{boot: func(e gnet.Engine) {
		ready(addr)
		context.AfterFunc(ctx, func() { _ = e.Stop(context.Background()) })
	}}
	return gnet.Run(server, "tcp://"+addr, gnet.WithMulticore(false), gnet.WithNumEventLoop(1), gnet.WithTCPNoDelay(gnet.TCPNoDelay), gnet.WithLogLevel(logging.ErrorLevel))
}

// OnBoot implements gnet.EventHandler.
func (s *gnetServer) OnBoot(e gnet.Engine) gnet.Action {
	s.boot(e)
	return gnet.None
}

// OnOpen implements gnet.EventHandler.
func (s *gnetServer) OnOpen(c gnet.Conn) ([]byte, gnet.Action) {
	c.SetContext(new(canned.Dialogue))
	return []byte(canned.Greeting), gnet.None
}

// OnTraffic implements gnet.EventHandler.
func (s *gnetServer) OnTraffic(c gnet.Conn) gnet.Action {
	p, err := c.Next(-1)
	if err != nil {
		return gnet.Close
	}
	d := c.Context().(*canned.Dialogue)
	s.out, _ = d.Answer(s.out[:0], p)
	if len(s.out) > 0 {
		if _, err := c.Write(s.out); err != nil {
			return gnet.Close
		}
	}
	if d.Quit() {
		return gnet.Close
	}
	return gnet.None
}

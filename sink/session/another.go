package session

import (
	"net/netip"

	"github.com/smtpstorm/xk6-smtp/sink/proxy"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// A session may turn out to be another client's than the one that has connected: by the PROXY header that its listener wants before anything
// else, or by XCLIENT. Keys, limits, rules and rows are then that client's; the connection's row says who it came from.

// greet decides and gives the greeting, as to the client that is known now.
func (s *Session) greet() {
	s.readView()
	s.touch()
	s.decide(smtp.StageConnect)
	if s.admitted = s.exchange.decision.Limit == nil; s.admitted {
		s.occupy()
	}
	s.deliver(smtp.StageConnect)
}

// become makes the session another client's.
func (s *Session) become(client netip.AddrPort) {
	if x := s.lasting(); !x.another {
		x.another, x.via = true, s.client
	}
	s.client, s.connN = client, 1
	if s.env.Number != nil {
		s.connN = uint32(s.env.Number(client.Addr())) // #nosec G115 -- as in New
	}
}

// feedProxy takes octets of the PROXY header, which are none of SMTP.
func (s *Session) feedProxy(p []byte) int {
	x := s.lasting()
	if x.proxy == nil {
		x.proxy = new(proxy.Parser)
	}
	n, h, done, err := x.proxy.Feed(p)
	s.octetsIn -= uint64(n) // #nosec G115 -- Feed adds what was taken
	if done || err != nil {
		x.proxy = nil
	}
	switch {
	case err != nil:
		x.err = err
		s.close(CloseFIN, ClosedByProxy)
	case done:
		s.state = stateCommand
		if h.Own {
			h.Client = s.client
		}
		s.become(h.Client)
		s.greet()
		x.hello = s.state == stateHandshake
	}
	return n
}

// mayXClient reports whether whoever has connected may use XCLIENT.
func (s *Session) mayXClient() bool {
	client := s.client.Addr()
	if s.extra != nil && s.extra.another {
		client = s.extra.via.Addr()
	}
	if !client.IsValid() { // a unix socket
		return len(s.cfg.Service.XClient) > 0
	}
	for _, network := range s.cfg.Service.XClient {
		if network.Contains(client) {
			return true
		}
	}
	return false
}

// xclient handles XCLIENT (Postfix's XCLIENT_README). Once it is obeyed the session is where it was before the greeting, which is decided anew
// for that other client; TLS stays.
func (s *Session) xclient(args []byte) {
	var x smtp.XClient
	switch {
	case len(s.cfg.Service.XClient) == 0:
		s.answer(smtp.StageUnknown)
		return
	case !s.mayXClient():
		s.refuse(smtp.StageUnknown, &replyNoXClient)
		return
	case s.tx != nil:
		s.refuse(smtp.StageUnknown, &replyInTransaction)
		return
	}
	if err := smtp.ParseXClient(args, &x); err != nil {
		s.refuse(smtp.StageUnknown, syntaxReply(err))
		return
	}
	client := s.client
	if x.Given&smtp.XClientAddr != 0 {
		client = netip.AddrPortFrom(x.Addr, 0)
	}
	if x.Given&smtp.XClientPort != 0 && client.Addr().IsValid() {
		client = netip.AddrPortFrom(client.Addr(), x.Port)
	}
	s.releaseLimits()
	s.admitted = false
	s.become(client)
	s.refused, s.greeting, s.announced, s.authenticated = false, greetingNone, announcement{}, false
	s.helo = append(s.helo[:0], x.Helo...)
	s.extra.user = string(x.Login)
	s.authenticated = len(x.Login) > 0
	s.greet()
}

// announcesXClient reports whether XCLIENT is offered to whoever has connected.
func (s *Session) announcesXClient() bool { return len(s.cfg.Service.XClient) > 0 && s.mayXClient() }

package session

import (
	"slices"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// refusing returns the first limit that the occurrence under way is beyond, or nil: then all have counted it. Those before one that
// refuses get back what they have counted.
func (s *Session) refusing(limits []*fault.Limit) *fault.Limit {
	o := &s.work.occurrence
	for i, l := range limits {
		if !l.Applies(o) || s.admit(l, o) {
			continue
		}
		for _, before := range limits[:i] {
			if before.Applies(o) {
				s.giveBack(before, o)
			}
		}
		return l
	}
	return nil
}

// giveBack takes back what admit has counted of an occurrence that another limit refuses. A greylist keeps what it has seen.
func (s *Session) giveBack(l *fault.Limit, o *fault.Occurrence) {
	switch {
	case l.Kind == fault.LimitRate && l.Scope == fault.ScopeConnection:
		for i := range s.extra.buckets {
			if b := &s.extra.buckets[i]; b.limit == l {
				b.tokens = min(l.Burst, b.tokens+1)
			}
		}
	case s.env.Limits == nil:
	case l.Kind == fault.LimitRate:
		s.env.Limits.Return(l, o)
	case l.Kind == fault.LimitConcurrency:
		s.env.Limits.Release(l, o.Client)
		x := s.extra
		if i := slices.Index(x.granted, l); i >= 0 {
			x.granted = slices.Delete(x.granted, i, i+1)
		}
	}
}

func (s *Session) admit(l *fault.Limit, o *fault.Occurrence) bool {
	switch {
	case l.Kind == fault.LimitMessages, l.Kind == fault.LimitRecipients, l.Kind == fault.LimitSize:
		return l.Fits(o)
	case l.Kind == fault.LimitRate && l.Scope == fault.ScopeConnection:
		return s.takeToken(l)
	case s.env.Limits == nil:
		return true
	}
	granted := s.env.Limits.Admit(s.at(s.work.now), l, o)
	if granted && l.Kind == fault.LimitConcurrency {
		x := s.lasting()
		x.granted = append(x.granted, l)
	}
	return granted
}

// occupy counts the connection, which is open, towards the limits of concurrency that it did not have to pass: those of phases that
// may come, and those of a plan that came after it.
func (s *Session) occupy() {
	crowds := s.view.Plan().Concurrency()
	if len(crowds) == 0 || s.env.Limits == nil {
		return
	}
	s.countConnection()
	o := fault.Occurrence{
		Stage: smtp.StageConnect, Listener: s.listener, Client: s.client.Addr(), ConnN: uint64(s.connN), TLS: s.cfg.TLS == TLSImplicit,
	}
	for _, l := range crowds {
		if !s.counts(l) && l.Applies(&o) {
			s.env.Limits.Occupy(l, s.client.Addr())
			x := s.lasting()
			x.granted = append(x.granted, l)
		}
	}
}

// counts reports whether the connection counts towards the limit, or towards the one that it replaces.
func (s *Session) counts(l *fault.Limit) bool {
	return s.extra != nil && slices.ContainsFunc(s.extra.granted, func(g *fault.Limit) bool { return g.Name == l.Name && g.Scope == l.Scope })
}

// takeToken takes a token from this connection's own bucket, if there is one in it.
func (s *Session) takeToken(l *fault.Limit) bool {
	x := s.lasting()
	var b *bucket
	for i := range x.buckets {
		if x.buckets[i].limit == l {
			b = &x.buckets[i]
		}
	}
	if b == nil {
		x.buckets = append(x.buckets, bucket{limit: l, tokens: l.Burst, at: s.work.now})
		b = &x.buckets[len(x.buckets)-1]
	}
	b.tokens = min(l.Burst, b.tokens+(s.work.now-b.at).Seconds()*l.Rate)
	b.at = s.work.now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// releaseLimits gives back what limits of concurrency have granted.
func (s *Session) releaseLimits() {
	if s.extra == nil {
		return
	}
	for _, l := range s.extra.granted {
		s.env.Limits.Release(l, s.client.Addr())
	}
	s.extra.granted = s.extra.granted[:0]
}

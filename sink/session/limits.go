package session

import (
	"slices"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
	shared "github.com/smtpstorm/xk6-smtp/sink/state"
)

// count is what a connection, or a transaction, has counted for a limit of its own.
type count struct {
	limit  *fault.Limit
	n      int64         // of messages or recipients
	bucket shared.Bucket // of a rate
	window shared.Window // of a quota
}

// grant is an open connection that a limit counts.
type grant struct {
	limit *fault.Limit
	place shared.Place
}

// countOf returns what was counted for the limit so far, or for the one that it replaces in a later plan.
func countOf(counts *[]count, l *fault.Limit, now int64) *count {
	for i := range *counts {
		if c := &(*counts)[i]; c.limit == l || c.limit.Name == l.Name && c.limit.Kind == l.Kind && c.limit.Rate == l.Rate && c.limit.Burst == l.Burst &&
			c.limit.Per == l.Per && c.limit.From == l.From {
			return c
		}
	}
	*counts = append(*counts, count{limit: l, bucket: shared.FullBucket(l, now)})
	return &(*counts)[len(*counts)-1]
}

// own returns what the connection has counted for a limit that it does not share with others; nil when the limit is none of these.
func (s *Session) own(l *fault.Limit) *count {
	switch {
	case (l.Kind == fault.LimitRate || l.Kind == fault.LimitQuota) && l.Scope == fault.ScopeConnection, l.Kind == fault.LimitMessages && l.Conditional():
		return countOf(&s.lasting().counts, l.Base(), int64(s.exchange.now))
	case l.Kind == fault.LimitRecipients && l.Conditional():
		return countOf(&s.tx.counts, l.Base(), 0)
	}
	return nil
}

// Admit implements decide.Connection.
func (c *connection) Admit(l *fault.Limit, o *fault.Occurrence) bool {
	s := (*Session)(c)
	if own := s.own(l); own != nil {
		switch l.Kind {
		case fault.LimitRate:
			return own.bucket.Take(l, int64(s.exchange.now))
		case fault.LimitQuota:
			return own.window.Take(l, s.at(s.exchange.now).UnixNano())
		case fault.LimitMessages:
			if own.n >= l.Max {
				return false
			}
			own.n++
			return true
		}
		return own.n < l.Max // an accepted recipient is counted by countRecipient
	}
	if !l.Fits(o) {
		return false
	}
	if s.env.Limits == nil {
		return true
	}
	switch l.Kind {
	case fault.LimitRate, fault.LimitQuota, fault.LimitGreylist:
		return s.env.Limits.Admit(s.at(s.exchange.now), l, o)
	case fault.LimitConcurrency:
		place := shared.PlaceOf(l, o)
		if l.Stage != smtp.StageConnect {
			return s.tx == nil || s.tx.enter(s.env.Limits, l, place)
		}
		if !s.env.Limits.Enter(l, place) {
			return false
		}
		x := s.lasting()
		x.granted = append(x.granted, grant{l, place})
	}
	return true
}

// Return implements decide.Connection.
func (c *connection) Return(l *fault.Limit, o *fault.Occurrence) {
	s := (*Session)(c)
	if own := s.own(l); own != nil {
		switch l.Kind {
		case fault.LimitRate:
			own.bucket.Return(l)
		case fault.LimitQuota:
			own.window.Return()
		case fault.LimitMessages:
			own.n--
		}
		return
	}
	switch {
	case s.env.Limits == nil:
	case l.Kind == fault.LimitRate, l.Kind == fault.LimitQuota:
		s.env.Limits.Return(l, o)
	case l.Kind == fault.LimitConcurrency && l.Stage != smtp.StageConnect:
		if s.tx != nil {
			s.tx.leave(s.env.Limits, shared.PlaceOf(l, o))
		}
	case l.Kind == fault.LimitConcurrency:
		x := s.extra
		if i := slices.IndexFunc(x.granted, func(g grant) bool { return g.limit == l }); i >= 0 {
			s.env.Limits.Release(x.granted[i].place)
			x.granted = slices.Delete(x.granted, i, i+1)
		}
	}
}

// countRecipient counts the recipient that was accepted towards the limits that are for some recipients only.
func (s *Session) countRecipient() {
	s.countTowards(s.view.Limits(smtp.StageRcpt))
	for _, r := range s.view.Plan().Reactions() {
		s.countTowards(r.Limits)
	}
}

func (s *Session) countTowards(limits []*fault.Limit) {
	for _, l := range limits {
		if l.Kind == fault.LimitRecipients && l.Conditional() && l.Applies(&s.exchange.occurrence) {
			s.own(l).n++
		}
	}
}

// occupy counts the connection, which is open, towards the limits of concurrency that it did not have to pass: those of phases that
// may come, and those of a plan that came after it.
func (s *Session) occupy() {
	limits := s.view.Plan().Concurrency()
	if len(limits) == 0 || s.env.Limits == nil {
		return
	}
	o := fault.Occurrence{
		Stage: smtp.StageConnect, Listener: s.listener, Client: s.client.Addr(), Connection: s.id, ConnN: uint64(s.connN), TLS: s.cfg.TLS == TLSImplicit,
	}
	for _, l := range limits {
		if !s.counts(l) && l.Applies(&o) {
			place := shared.PlaceOf(l, &o)
			s.env.Limits.Occupy(place)
			x := s.lasting()
			x.granted = append(x.granted, grant{l, place})
		}
	}
}

// counts reports whether the connection counts towards the limit, or towards the one that it replaces.
func (s *Session) counts(l *fault.Limit) bool {
	return s.extra != nil && slices.ContainsFunc(s.extra.granted, func(g grant) bool { return g.limit.Name == l.Name && g.limit.Scope == l.Scope })
}

// releaseLimits gives back what limits of open connections have granted.
func (s *Session) releaseLimits() {
	if s.extra == nil {
		return
	}
	for _, g := range s.extra.granted {
		s.env.Limits.Release(g.place)
	}
	s.extra.granted = s.extra.granted[:0]
}

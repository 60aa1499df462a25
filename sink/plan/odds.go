package plan

import (
	"slices"

	"github.com/smtpstorm/xk6-smtp/sink/decide"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// effect is what a decision means to a client.
type effect uint8

const (
	passes  effect = iota // the dialogue goes on; at message: accepted
	defers                // 4xx: tried again later
	bounces               // 5xx: never tried again
	// The same, and then the connection is over: whatever has no reply yet is tried again later.
	passesLast
	defersLast
	bouncesLast
	numEffects
)

// mix is a distribution over effects.
type mix [numEffects]float64

// effectOf returns what a decision means at the stage, on a connection that is encrypted from the start or isn't. A client that gets no reply,
// or one that it can't read, gives up the connection and tries again (RFC 5321 section 4.5.4.1).
func effectOf(s smtp.Stage, d *fault.Decision, implicitTLS bool) effect {
	code := fault.PlainCode(s)
	if d.Reply != nil {
		code = d.Reply.Code
	}
	closes := false
	if o := d.Chosen; o != nil {
		handshake := o.TLS == fault.TLSGarbage || o.TLS == fault.TLSStall || o.TLS == fault.TLSReset || o.TLS == fault.TLSRefused
		switch {
		case o.Unsent(), o.Cut.Octets > 0, o.Unreadable(), handshake && (implicitTLS || s != smtp.StageConnect):
			return defersLast
		case o.Body.Reply != nil: // taken for the reply after the body, which is then taken for another
			switch code := o.Body.Reply.Code; {
			case code.Permanent():
				return bouncesLast
			case code.Class() == 2 && o.Body.Close == fault.CloseNone:
				return passesLast
			}
			return defersLast
		case o.Body.Close != fault.CloseNone, o.Body.StopReading && o.Body.For == 0:
			return defersLast
		}
		closes = o.Close.Mode != fault.CloseNone
	}
	e := passes
	switch {
	case code == 421, code.Positive() && code.Class() == 3 != (s == smtp.StageData): // out of step
		return defersLast
	case code.Permanent():
		e = bounces
	case code.Temporary():
		e = defers
	}
	if closes {
		e += passesLast
	}
	return e
}

// chances is what becomes of a message with several recipients: accepted for all of them, bounced for at least one, or neither: deferred.
type chances struct{ accepted, deferred, bounced float64 }

// add adds other chances, in a share of the cases.
func (f *chances) add(share float64, g chances) {
	f.accepted += share * g.accepted
	f.deferred += share * g.deferred
	f.bounced += share * g.bounced
}

// then passes what was accepted so far through a stage that speaks for the whole message, and that is the last or isn't.
func (f chances) then(m mix, last bool) chances {
	if last {
		m[passes] += m[passesLast]
		m[passesLast] = 0
	}
	return chances{
		accepted: f.accepted * m[passes],
		deferred: f.deferred + f.accepted*(m[defers]+m[defersLast]+m[passesLast]),
		bounced:  f.bounced + f.accepted*(m[bounces]+m[bouncesLast]),
	}
}

// of computes the chances of messages with so many recipients each, exactly: a message alone on its connection, with recipients that are
// drawn independently unless the rule's key is theirs in common.
func (t *traffic) of(counts ...int) []chances {
	all := make([]chances, len(counts))
	if t.down {
		for i := range all {
			all[i].deferred = 1
		}
		return all
	}
	before := chances{accepted: 1}
	for _, m := range []mix{t.mix(smtp.StageConnect, draw{}), t.greeted(), t.mix(smtp.StageMail, draw{})} {
		before = before.then(m, false)
	}
	for i := range all {
		all[i] = chances{deferred: before.deferred, bounced: before.bounced}
	}
	after := t.afterRecipients(slices.Max(counts))
	for _, d := range t.draws(smtp.StageRcpt) {
		for i, f := range t.recipients(counts, d, after) {
			all[i].add(before.accepted*d.share, f)
		}
	}
	return all
}

// greeted is what comes of the client's greeting. A client whose EHLO is refused for good says HELO (RFC 5321 section 3.2); in LMTP there is none.
func (t *traffic) greeted() mix {
	m := t.mix(smtp.StageEhlo, draw{})
	refused := m[bounces]
	if refused == 0 || t.lmtp {
		return m
	}
	m[bounces] = 0
	for e, share := range t.mix(smtp.StageHelo, draw{}) {
		m[e] += refused * share
	}
	return m
}

// recipients passes recipients through rcpt, and what was accepted of them through what comes after: after[k] for k of them. It does so
// once for all counts of recipients, of which one message has the first, and so on.
func (t *traffic) recipients(counts []int, d draw, after []chances) []chances {
	step := t.rcptMixes(d)
	most := slices.Max(counts)
	all := make([]chances, len(counts))
	var over chances                                                        // of messages whose connection is over
	reached, next := make([][2]float64, most+1), make([][2]float64, most+1) // by how many are accepted, and whether one has bounced
	reached[0][0] = 1
	for i := range most {
		clear(next)
		for k := range i + 1 {
			if reached[k] == [2]float64{} {
				continue
			}
			m := step(i, k)
			for b, p := range reached[k] {
				next[k+1][b] += p * m[passes]
				next[k][b] += p * m[defers]
				next[k][1] += p * m[bounces]
				over.fail(p*(m[passesLast]+m[defersLast]), b == 1)
				over.fail(p*m[bouncesLast], true)
			}
		}
		reached, next = next, reached
		for at, n := range counts {
			if n == i+1 {
				all[at] = over
				all[at].send(reached[:n+1], after)
			}
		}
	}
	return all
}

// fail ends a share of the messages, of which nothing was accepted, or nothing of it is left.
func (f *chances) fail(p float64, bounced bool) {
	if bounced {
		f.bounced += p
	} else {
		f.deferred += p
	}
}

// send passes messages through what comes after rcpt: reached[k] of them with k accepted recipients, and with none or some that bounced.
func (f *chances) send(reached [][2]float64, after []chances) {
	for k, bs := range reached {
		for b, p := range bs {
			if k == 0 {
				f.fail(p, b == 1)
				continue
			}
			f.bounced += p * after[k].bounced
			f.fail(p*after[k].deferred, b == 1)
			if k == len(reached)-1 {
				f.accepted += p * after[k].accepted
			} else {
				f.fail(p*after[k].accepted, b == 1)
			}
		}
	}
}

// afterRecipients returns the chances of 0 to n accepted recipients from DATA on.
func (t *traffic) afterRecipients(n int) []chances {
	data := chances{accepted: 1}.then(t.mix(smtp.StageData, draw{}), false)
	all := make([]chances, n+1)
	if !t.lmtp {
		one := data.then(t.mix(smtp.StageMessage, draw{}), true)
		for k := range all {
			all[k] = one
		}
		return all
	}
	for k := range all {
		all[k] = chances{deferred: data.deferred, bounced: data.bounced}
	}
	for _, d := range t.draws(smtp.StageMessage) {
		m := t.mix(smtp.StageMessage, d)
		for k := 1; k <= n; k++ {
			all[k].add(data.accepted*d.share, eachReplied(m, k))
		}
	}
	return all
}

// eachReplied returns the chances of k recipients, each of whom gets a reply of its own after the body (RFC 2033 section 4.2).
func eachReplied(m mix, k int) (out chances) {
	reached := [2]float64{1, 0} // all accepted so far, and some deferred; none bounced
	for i := range k {
		last := i == k-1
		out.bounced += (reached[0] + reached[1]) * (m[bounces] + m[bouncesLast])
		out.deferred += (reached[0] + reached[1]) * m[defersLast]
		if last {
			out.accepted += reached[0] * m[passesLast]
			out.deferred += reached[1] * m[passesLast]
		} else {
			out.deferred += (reached[0] + reached[1]) * m[passesLast]
		}
		reached = [2]float64{reached[0] * m[passes], reached[0]*m[defers] + reached[1]*(m[passes]+m[defers])}
	}
	out.accepted += reached[0]
	out.deferred += reached[1]
	return out
}

// draw is an outcome that a rule has drawn for all recipients of a message: those of a rule whose key they have in common.
type draw struct {
	rule    *fault.Rule // nil: each is drawn alone
	outcome int
	share   float64 // of the messages
}

// draws returns the draws that recipients have in common at a stage; one without a rule when they have none.
func (t *traffic) draws(s smtp.Stage) []draw {
	for _, x := range t.spread(s, 0, 0) {
		if r := x.Rule; r != nil && (r.Key == fault.KeyMessage || r.Key == fault.KeyConnection) {
			all := make([]draw, len(r.Outcomes))
			for i := range r.Outcomes {
				all[i] = draw{rule: r, outcome: i, share: r.Outcomes[i].Probability}
			}
			return all
		}
	}
	return []draw{{share: 1}}
}

// mix returns the distribution of effects at a stage, once the draw is known.
func (t *traffic) mix(s smtp.Stage, d draw) mix { return t.mixOf(s, t.spread(s, 0, 0), d) }

func (t *traffic) mixOf(s smtp.Stage, shares []decide.Share, d draw) (m mix) {
	for i := range shares {
		x := &shares[i]
		p := x.Probability
		if d.rule != nil && x.Rule == d.rule {
			if int(x.Outcome) != d.outcome {
				continue
			}
			p /= d.share
		}
		m[effectOf(s, &x.Decision, t.implicitTLS)] += p
	}
	return m
}

// rcptMixes returns the distribution of effects of a RCPT, by how many came before it and how many of them were accepted. The limits of rcpt
// decide once a count is reached: so there are four cases.
func (t *traffic) rcptMixes(d draw) func(before, accepted int) mix {
	tokens, places := t.rcptRoom()
	var known [4]*mix
	return func(before, accepted int) mix {
		i, k, x := 0, 0, 0
		if before >= tokens {
			i, x = tokens, 1
		}
		if accepted >= places {
			k, x = places, x+2
		}
		if known[x] == nil {
			m := t.mixOf(smtp.StageRcpt, t.spread(smtp.StageRcpt, i, k), d)
			known[x] = &m
		}
		return *known[x]
	}
}

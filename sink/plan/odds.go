package plan

import (
	"math"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// effect is what an outcome means to a client at its first attempt.
type effect uint8

const (
	passes  effect = iota // the dialogue goes on; at message: accepted
	defers                // 4xx: tried again later
	bounces               // 5xx: never tried again
	ends                  // the connection is over: whatever has no reply yet is tried again later
	numEffects
)

// mix is a distribution over effects.
type mix [numEffects]float64

var passing = mix{passes: 1}

// effectOf returns what the outcome means at the stage. A client that gets no reply, or one that it can't read, gives up the
// connection and tries again (RFC 5321 section 4.5.4.1).
func effectOf(s smtp.Stage, o *fault.Outcome) effect {
	handshake := o.TLS == fault.TLSGarbage || o.TLS == fault.TLSStall || o.TLS == fault.TLSReset || o.TLS == fault.TLSRefused
	cut := o.Body.Close != fault.CloseNone || o.Body.StopReading && o.Body.For == 0
	switch {
	case o.Unsent(), o.Malformed != fault.MalformedNone, o.Code == 421, handshake, cut:
		return ends
	case o.Close.Mode != fault.CloseNone && s != smtp.StageMessage:
		return ends
	case o.Code.Permanent():
		return bounces
	case o.Code.Temporary(), o.Code.Class() == 3 != (s == smtp.StageData):
		return defers
	}
	return passes
}

// path are the stages that a message without TLS and AUTH passes, once each but for rcpt.
var path = [...]smtp.Stage{smtp.StageConnect, smtp.StageEhlo, smtp.StageMail, smtp.StageRcpt, smtp.StageData, smtp.StageMessage}

// traffic is mail that meets the rules without conditions, and those with exactly these conditions, in one phase.
type traffic struct {
	atlas *atlas
	phase *fault.Phase // nil: outside of phases
	match fault.Match
	key   matchKey // of match
	share float64  // of the occurrences that the phase's rules apply to
	when  string   // in a phase with a ramp: at its beginning, or at its end
	down  bool     // no listener serves it
}

// ruleAt returns the rule that speaks at the stage, and in which share of the cases; elsewhere the reply is plain.
func (t *traffic) ruleAt(s smtp.Stage) (*fault.Rule, float64) {
	if r := t.atlas.own.first(s, t.key); r != nil {
		return r, 1
	}
	if t.phase == nil {
		return nil, 0
	}
	return t.atlas.phases[t.phase].first(s, t.key), t.share
}

// at returns the distribution of effects at a stage.
func (t *traffic) at(s smtp.Stage) mix {
	if l := t.greylist(); l != nil && s == smtp.StageRcpt {
		var m mix
		m[effectOf(s, &fault.Outcome{Code: l.Reply.Code})] = 1
		return m
	}
	r, share := t.ruleAt(s)
	if r == nil {
		return passing
	}
	var m mix
	for i := range r.Outcomes {
		m[effectOf(s, &r.Outcomes[i])] += r.Outcomes[i].Probability
	}
	return blend(m, share)
}

// blend mixes m with the plain reply, which it leaves 1-share to.
func blend(m mix, share float64) mix {
	for i := range m {
		m[i] *= share
	}
	m[passes] += 1 - share
	return m
}

// fate is what becomes of a message with several recipients at its first attempt: accepted for all of them, bounced for at least
// one, or neither: deferred.
type fate struct{ accepted, deferred, bounced float64 }

// of computes the fate of a message with n recipients, exactly: a message alone on its connection, and recipients drawn
// independently unless the rule's key is theirs in common.
func (t *traffic) of(n int) fate {
	if t.down {
		return fate{deferred: 1}
	}
	before := fate{accepted: 1}
	for _, s := range []smtp.Stage{smtp.StageConnect, smtp.StageEhlo, smtp.StageMail} {
		before = before.then(t.at(s))
	}
	after := fate{accepted: 1}.then(t.at(smtp.StageData)).then(t.at(smtp.StageMessage))
	var rcpt fate
	r, share := t.ruleAt(smtp.StageRcpt)
	if r != nil && (r.Key == fault.KeyMessage || r.Key == fault.KeyConnection) {
		for i := range r.Outcomes {
			var all mix
			all[effectOf(smtp.StageRcpt, &r.Outcomes[i])] = 1
			f := recipients(blend(all, share), n, after)
			p := r.Outcomes[i].Probability
			rcpt.accepted, rcpt.deferred, rcpt.bounced = rcpt.accepted+p*f.accepted, rcpt.deferred+p*f.deferred, rcpt.bounced+p*f.bounced
		}
	} else {
		rcpt = recipients(t.at(smtp.StageRcpt), n, after)
	}
	return fate{
		accepted: before.accepted * rcpt.accepted,
		deferred: before.deferred + before.accepted*rcpt.deferred,
		bounced:  before.bounced + before.accepted*rcpt.bounced,
	}
}

// then passes what was accepted so far through a stage that speaks for the whole message.
func (f fate) then(m mix) fate {
	return fate{
		accepted: f.accepted * m[passes],
		deferred: f.deferred + f.accepted*(m[defers]+m[ends]),
		bounced:  f.bounced + f.accepted*m[bounces],
	}
}

// recipients passes n recipients through rcpt, each with the effects m, and those that were accepted through what comes after.
func recipients(m mix, n int, after fate) fate {
	pow := func(p float64) float64 { return math.Pow(p, float64(n)) }
	kind := m[passes] + m[defers] // neither bounced nor over
	// Without any bounce: all n answered, and none accepted or the accepted ones not bounced later; or over after k < n of them.
	notBounced := pow(m[defers]) + (pow(kind)-pow(m[defers]))*(1-after.bounced)
	for k := range n {
		notBounced += math.Pow(kind, float64(k)) * m[ends]
	}
	accepted := pow(m[passes]) * after.accepted
	return fate{accepted: accepted, deferred: max(0, notBounced-accepted), bounced: max(0, 1-notBounced)}
}

package xk6smtp

import (
	"time"

	"go.k6.io/k6/v2/metrics"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
	"github.com/smtpstorm/xk6-smtp/xk6smtp/client"
)

// collector counts what one operation observes; it is the client's Observer.
type collector struct {
	replies []replyCount
	losses  []lossCount
}

type replyCount struct {
	phase    smtp.Stage
	code     smtp.Code
	enhanced smtp.Enhanced
	n        int
}

type lossCount struct {
	phase smtp.Stage
	code  errorCode
	n     int
}

func (c *collector) reset() {
	c.replies, c.losses = c.replies[:0], c.losses[:0]
}

// Reply implements client.Observer.
func (c *collector) Reply(phase smtp.Stage, code smtp.Code, enhanced smtp.Enhanced) {
	for i := range c.replies {
		if r := &c.replies[i]; r.phase == phase && r.code == code && r.enhanced == enhanced {
			r.n++
			return
		}
	}
	c.replies = append(c.replies, replyCount{phase, code, enhanced, 1})
}

// Lost implements client.Observer.
func (c *collector) Lost(phase smtp.Stage, err *client.Error) {
	code := errorCodeOf(err)
	for i := range c.losses {
		if l := &c.losses[i]; l.phase == phase && l.code == code {
			l.n++
			return
		}
	}
	c.losses = append(c.losses, lossCount{phase, code, 1})
}

// batch is the samples of one operation: one container, one time.
type batch struct {
	metrics *smtpMetrics
	cache   *tagCache
	tags    metrics.TagsAndMeta // of the call, the script's own included
	time    time.Time
	samples []metrics.Sample

	withoutPhases bool // of all trends smtp_msg_duration alone is added
}

// usualSamples is room for a message to one recipient over an open connection: seven trends, three counts, five replies.
const usualSamples = 16

func (b *batch) add(metric *metrics.Metric, own ownTags, value float64) {
	if b.samples == nil {
		b.samples = make([]metrics.Sample, 0, usualSamples)
	}
	b.samples = append(b.samples, metrics.Sample{
		TimeSeries: metrics.TimeSeries{Metric: metric, Tags: b.cache.with(len(b.samples), b.tags.Tags, own)},
		Time:       b.time,
		Metadata:   b.tags.Metadata,
		Value:      value,
	})
}

// trend adds a duration, unless the phase was not completed.
func (b *batch) trend(metric *metrics.Metric, own ownTags, d time.Duration) {
	if d != client.NotMeasured && (!b.withoutPhases || metric == b.metrics.msgDuration) {
		b.add(metric, own, metrics.D(d))
	}
}

// counts adds what the collector saw.
func (b *batch) counts(c *collector) {
	for _, r := range c.replies {
		b.add(b.metrics.replies, ownTags{phase: r.phase, hasPhase: true, code: r.code, enhanced: r.enhanced, reply: true}, float64(r.n))
	}
	for _, l := range c.losses {
		b.add(b.metrics.errors, ownTags{phase: l.phase, hasPhase: true, errorCode: l.code}, float64(l.n))
	}
}

// dialled adds a connection whose greeting is still to be read.
func (b *batch) dialled(g *client.Greeting) {
	b.trend(b.metrics.connResolving, ownTags{}, g.Timings.Resolving)
	b.trend(b.metrics.connConnecting, ownTags{}, g.Timings.Connecting)
}

// connection adds a connection attempt.
func (b *batch) connection(g *client.Greeting, err error) {
	t := g.Timings
	b.dialled(g)
	b.trend(b.metrics.connTLS, ownTags{}, t.TLS)
	b.trend(b.metrics.connBanner, ownTags{}, t.Banner)
	b.trend(b.metrics.connEhlo, ownTags{}, t.Ehlo)
	b.trend(b.metrics.connEhlo, ownTags{}, t.EhloTLS)
	b.trend(b.metrics.connAuth, ownTags{}, t.Auth)
	b.greeted(err == nil)
}

// greeted adds whether the server began a dialogue.
func (b *batch) greeted(ok bool) {
	if ok {
		b.add(b.metrics.sessions, ownTags{}, 1)
	}
	b.add(b.metrics.connFailed, ownTags{}, metrics.B(!ok))
}

// command adds the clock of a command that a script sent by itself.
func (b *batch) command(reply client.Reply, took time.Duration) {
	m := b.metrics
	own := ownTags{code: reply.Code, expected: tri(reply.Code.Class() == 2), pipelined: isFalse}
	switch reply.Phase {
	case smtp.StageEhlo, smtp.StageHelo:
		b.trend(m.connEhlo, ownTags{}, took)
	case smtp.StageAuth:
		b.trend(m.connAuth, ownTags{}, took)
	case smtp.StageMail:
		b.trend(m.msgMail, own, took)
	case smtp.StageRcpt:
		b.trend(m.msgRcpt, own, took)
	}
}

// message adds a message that was tried; expected says of each recipient whether its final reply was.
func (b *batch) message(res *client.Result, blocked time.Duration, outcome *outcome) {
	expected := tri(outcome.ok)
	pipelined := absent
	if !res.Started.IsZero() {
		pipelined = tri(res.Pipelined)
	}
	code := func(phase phaseCode) ownTags {
		return ownTags{code: phase.code, mixed: phase.mixed, expected: expected}
	}
	command := func(phase phaseCode) ownTags {
		own := code(phase)
		own.pipelined = pipelined
		return own
	}
	m := b.metrics
	b.trend(m.msgBlocked, ownTags{expected: expected}, blocked)
	b.trend(m.msgMail, command(outcome.mail), res.Mail)
	b.trend(m.msgRcpt, command(outcome.rcpt), res.Rcpt)
	b.trend(m.msgData, command(outcome.data), res.Data)
	b.trend(m.msgSending, ownTags{expected: expected}, res.Sending)
	b.trend(m.msgWaiting, code(outcome.messageCode), res.Waiting)
	b.trend(m.msgDuration, code(phaseCode{code: outcome.reply.Code}), res.Duration)
	b.add(m.messages, ownTags{expected: expected}, 1)
	if n := outcome.expected; n > 0 {
		b.add(m.recipients, ownTags{expected: isTrue}, float64(n))
	}
	if n := outcome.unexpected; n > 0 {
		b.add(m.recipients, ownTags{expected: isFalse}, float64(n))
	}
	b.add(m.msgFailed, ownTags{}, metrics.B(!outcome.ok))
}

// unanswered adds a message for whose reply the client waited no longer: its time is over, or the iteration's. It had begun at started;
// the zero time says that it had not got as far as MAIL.
func (b *batch) unanswered(err error, started, now time.Time) {
	code := errorCodeOf(err)
	broken := brokenBy(err)
	if broken == nil || (code != codeAborted && code != codeTimeout && code != codeDialTimeout) {
		return
	}
	lasted := time.Duration(0)
	if !started.IsZero() {
		lasted = now.Sub(started)
	}
	b.add(b.metrics.msgUnanswered, ownTags{phase: broken.Phase, hasPhase: true, errorCode: code}, metrics.D(lasted))
}

// container is the batch as k6 takes it.
func (b *batch) container() metrics.ConnectedSamples {
	return metrics.ConnectedSamples{Samples: b.samples, Tags: b.tags.Tags, Time: b.time}
}

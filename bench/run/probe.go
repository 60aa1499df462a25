package run

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/k6"
	"github.com/smtpstorm/xk6-smtp/bench/pipeline"
	"github.com/smtpstorm/xk6-smtp/sink/text"
)

// The probe: a closed loop, in which every client sends its next message as soon as the last one was answered.
const (
	probeVUs      = 50
	probeDuration = 4 * time.Second
	probeWarmUp   = time.Second // connections are set up, the script is compiled in every client
)

// probeMeter finds the rate of a closed loop from looks at a counter: the messages between the first look after the warm-up and
// the last look at which the loop still ran.
type probeMeter struct {
	begun       time.Time // the first message was seen
	first, last look
}

type look struct {
	at       time.Time
	messages uint64
}

func (m *probeMeter) add(now time.Time, messages uint64) {
	switch {
	case messages == 0:
	case m.begun.IsZero():
		m.begun = now
	case now.Sub(m.begun) < probeWarmUp:
	case m.first.at.IsZero():
		m.first = look{now, messages}
	case now.Sub(m.begun) <= probeDuration && messages > m.last.messages:
		m.last = look{now, messages}
	}
}

// rate returns messages per second, or 0 when too little was seen.
func (m *probeMeter) rate() float64 {
	if m.first.at.IsZero() || !m.last.at.After(m.first.at) {
		return 0
	}
	return float64(m.last.messages-m.first.messages) / m.last.at.Sub(m.first.at).Seconds()
}

// probe measures how many messages per second generator and sink manage on this machine with the calm script.
func (r *runner) probe(ctx context.Context, script string) (float64, error) {
	sink, err := pipeline.StartSink(pipeline.Calm(), "127.0.0.1:0", "", "")
	if err != nil {
		return 0, err
	}
	defer sink.Server.Close()
	host, port := sink.HostPort()
	var meter probeMeter
	j := &k6.Job{
		Name:   "probe",
		Beyond: r.o.OwnTarget,
		Tie:    r.scratch.Environ(),
		Script: script,
		Record: r.scratch.Path("probe.json"),
		Stdout: r.scratch.Path("probe.out"),
		Stderr: r.scratch.Path("probe.log"),
		// The flags replace the script's scenario, which must be valid nevertheless.
		Env:   load{vus: probeVUs, messages: maxMessages, rate: maxRate}.env(host, port, r.o.Env),
		Args:  []string{"--vus", fmt.Sprint(probeVUs), "--duration", probeDuration.String(), "--no-thresholds"},
		Limit: probeDuration + time.Minute,
	}
	e, err := j.Run(ctx, r.k6, r.o.Stop, func() {
		messages := sink.Server.Stats().Messages
		meter.add(time.Now(), messages)
		r.progress.Update("probe    %s messages", text.Count(messages))
	})
	if err == nil {
		err = j.Failure(e)
	}
	if err != nil {
		return 0, err
	}
	if e.Interrupted {
		return 0, errInterrupted
	}
	rate := meter.rate()
	if rate <= 0 {
		return 0, fmt.Errorf("the probe saw no steady flow of messages; give the rate with --rate")
	}
	return rate, nil
}

// halfOf returns the largest rate with two significant digits that is at most half of a capacity, and at least 1.
func halfOf(capacity float64) float64 {
	half := capacity / 2
	if half < 1 {
		return 1
	}
	step := math.Pow(10, math.Floor(math.Log10(half))-1)
	if step < 1 {
		step = 1
	}
	return math.Floor(half/step) * step
}

// slack is how much longer than its messages take a leg lasts: k6 may be late when the time is over, and what it has not started by
// then it never starts. The bundled scripts send no message beyond their number.
const slack = 250 * time.Millisecond

// lasting returns how long n messages take at a rate, in whole milliseconds, with some slack.
func lasting(n float64, rate float64) time.Duration {
	return time.Duration(math.Ceil(max(n, 0)/rate*1000))*time.Millisecond + slack
}

// fitting returns how many of n messages a leg can send at a rate within LegSeconds.
func fitting(n int, rate float64) int { return min(n, max(1, int(rate*LegSeconds))) }

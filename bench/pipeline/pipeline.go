// Package pipeline is something between generator and sink, an MTA of bench/mta or the user's own, with the sink behind it: it starts the
// sink, watches the queue from outside until nothing can change any more, keeps the files of the evidence, and has them judged.
//
// It knows nothing of the generator (bench/k6) and decides nothing about load.
package pipeline

import (
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/mta"
	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

// Pipeline is what takes messages from the generator and relays them to the sink.
type Pipeline struct {
	Addr  string                                        // host:port to which mail is submitted
	About result.MTA                                    // for the record
	Queue ListQueue                                     // nil: its queue can't be seen
	Depth func() (int, error)                           // counts the queue at little cost; nil: the listings do
	Log   func(f func(*reconcile.LogEvent) error) error // passes on what its log tells; nil: it can't be read
}

// OfAgent is a pipeline through an agent that was started.
func OfAgent(a mta.Agent) *Pipeline {
	product, version, _ := strings.Cut(a.Version(), " ")
	p := &Pipeline{Addr: a.Addr(), Queue: a.Queue, Depth: a.Depth, Log: a.Log}
	p.About = result.MTA{Name: product, Version: version, Config: a.Config()}
	// The judge may only blame the policy's breach, and not how the MTA rounds.
	p.About.RetryAfterSeconds = (a.Policy().MinimalBackoff - a.Traits().RetryEarly).Seconds()
	return p
}

// OfTarget is a pipeline through the user's own MTA; queue lists what it holds, nil where nobody can tell, and backoff is how soon after a
// deferral its policy lets it try again, 0 where that is not known.
func OfTarget(address string, queue ListQueue, backoff time.Duration) *Pipeline {
	return &Pipeline{Addr: address, About: result.MTA{Name: address, RetryAfterSeconds: backoff.Seconds()}, Queue: queue}
}

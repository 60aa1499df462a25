package sink

import (
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/metrics"
	"github.com/smtpstorm/xk6-smtp/sink/session"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// recorder passes on what sessions tell: to the counters of its shard, to the peer whose session is being driven, and to the
// observer. It belongs to one goroutine: there is one per event loop, or one per connection.
type recorder struct {
	env      session.Env // names this recorder
	shard    *metrics.Shard
	observer Observer
	peer     *peer // whose session is being driven
	replied  bool  // a reply was handed over since this was cleared
}

func (s *Server) newRecorder(shard int) *recorder {
	r := &recorder{shard: s.metrics.Shard(shard), observer: s.cfg.Observer}
	r.env = session.Env{Plans: s, Attempts: s.attempts, Recorder: r}
	return r
}

// Decided implements session.Recorder.
func (r *recorder) Decided(stage smtp.Stage, d *fault.Decision, _ *fault.View) {
	r.shard.Cell(stage, d).Decided()
}

// Replied implements session.Recorder.
func (r *recorder) Replied(stage smtp.Stage, d *fault.Decision, _ *fault.View) {
	c := r.shard.Cell(stage, d)
	c.Replied()
	r.peer.unread.add(c)
	r.replied = true
}

// Attempt implements session.Recorder.
func (r *recorder) Attempt(a *session.Attempt) {
	end := metrics.Unanswered
	switch {
	case a.Ending != session.EndReply || !a.ReplySent:
	case a.Delivered:
		end = metrics.Delivered
	case a.Code.Temporary():
		end = metrics.Deferred
	case a.Code.Permanent():
		end = metrics.Bounced
	}
	r.shard.Attempt(end)
	if r.observer != nil {
		r.observer.Attempt(a)
	}
}

// Transaction implements session.Recorder.
func (r *recorder) Transaction(*session.Transaction) {}

// Connection implements session.Recorder.
func (r *recorder) Connection(*session.Connection) {}

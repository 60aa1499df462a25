package mta

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	smtpserver "github.com/emersion/go-smtp"

	"github.com/smtpstorm/xk6-smtp/bench/supervise"
	"github.com/smtpstorm/xk6-smtp/sink/mtalog"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

// intake takes mail on an instance's address for a sender that doesn't listen itself. It runs in this process: what it costs isn't in the
// instance's Usage.
type intake struct {
	server *smtpserver.Server
	ended  chan struct{}
}

// taker takes one message. What it returns without an error the instance has answered for.
type taker func(from string, to []string, message []byte) error

// openIntake listens. take is called by several goroutines.
func openIntake(address string, take taker) (*intake, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	in := &intake{ended: make(chan struct{})}
	in.server = smtpserver.NewServer(smtpserver.BackendFunc(func(*smtpserver.Conn) (smtpserver.Session, error) { return &intakeSession{take: take}, nil }))
	in.server.Domain = "app.bench.test"
	in.server.ReadTimeout, in.server.WriteTimeout = 5*time.Minute, 5*time.Minute // RFC 5321 section 4.5.3.2.7
	in.server.ErrorLog = silent{}
	go func() {
		defer close(in.ended)
		_ = in.server.Serve(listener) // until Close
	}()
	return in, nil
}

// Close ends listener and connections where they are, as the end of a process does.
func (in *intake) Close() error {
	err := in.server.Close()
	<-in.ended
	if errors.Is(err, smtpserver.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// silent is a log of broken connections that nobody reads: their clients know.
type silent struct{}

// Printf implements smtpserver.Logger.
func (silent) Printf(string, ...any) {}

// Println implements smtpserver.Logger.
func (silent) Println(...any) {}

type intakeSession struct {
	take taker
	from string
	to   []string
}

// Reset implements smtpserver.Session.
func (s *intakeSession) Reset() { s.from, s.to = "", nil }

// Logout implements smtpserver.Session.
func (s *intakeSession) Logout() error { return nil }

// Mail implements smtpserver.Session.
func (s *intakeSession) Mail(from string, _ *smtpserver.MailOptions) error {
	s.from = from
	return nil
}

// Rcpt implements smtpserver.Session.
func (s *intakeSession) Rcpt(to string, _ *smtpserver.RcptOptions) error {
	s.to = append(s.to, to)
	return nil
}

// Data implements smtpserver.Session.
func (s *intakeSession) Data(body io.Reader) error {
	message, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	if err := s.take(s.from, s.to, message); err != nil {
		return &smtpserver.SMTPError{Code: 451, EnhancedCode: smtpserver.EnhancedCode{4, 3, 0}, Message: err.Error()}
	}
	return nil
}

// job is a message to one recipient in the queue of an application: ID.json, beside the message itself in ID.eml.
type job struct {
	ID        string  `json:"id"`
	Sender    string  `json:"sender"`
	Recipient string  `json:"recipient"`
	Arrived   float64 `json:"arrived"` // seconds since 1970
	Next      float64 `json:"next"`    // no attempt before
	Attempts  int     `json:"attempts"`
}

// jobs takes mail into the queue of an application.
type jobs struct {
	i    *instance
	boot string // part of every id: of this start
	n    atomic.Uint64
	log  sync.Mutex
}

func newJobs(i *instance) *jobs { return &jobs{i: i, boot: supervise.NewID()[:6]} }

// take puts a job for each recipient into the queue, and tells the log of it.
func (q *jobs) take(from string, to []string, message []byte) error {
	for _, recipient := range to {
		now := time.Now()
		j := job{ID: fmt.Sprintf("%d-%s-%06d", now.UnixMilli(), q.boot, q.n.Add(1)), Sender: from, Recipient: recipient, Arrived: float64(now.UnixNano()) / 1e9}
		text, err := json.Marshal(j)
		if err == nil {
			err = os.WriteFile(q.i.path("queue", j.ID+".eml"), message, 0o600) // #nosec G703 -- a name of our own
		}
		temporary := q.i.path("queue", j.ID+".new")
		if err == nil {
			err = os.WriteFile(temporary, text, 0o600) // #nosec G703 -- as above
		}
		if err == nil {
			err = q.accepted(&reconcile.LogEvent{Time: now, QueueID: j.ID, Event: mtalog.Accepted, Sender: from})
		}
		if err == nil {
			err = os.Rename(temporary, q.i.path("queue", j.ID+".json"))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (q *jobs) accepted(e *reconcile.LogEvent) error {
	q.log.Lock()
	defer q.log.Unlock()
	f, err := os.OpenFile(q.i.LogPath(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(e.Append(nil))
	return errors.Join(err, f.Close())
}

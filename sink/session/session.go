package session

import (
	"net/netip"
	"sync"
	"time"

	"github.com/valyala/bytebufferpool"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Session is the server's side of one SMTP or LMTP connection. Its methods are not safe for concurrent use.
//
// Its size is what an idle connection costs: see TestSizeOfAnIdleSession.
type Session struct {
	cfg  *Config
	env  *Env
	plan *fault.Plan // read at connect and at each MAIL

	tx   *transaction               // from MAIL to its end
	work *work                      // while a call is under way or a reply is delayed
	out  *bytebufferpool.ByteBuffer // output that no write effect has handed over
	line *bytebufferpool.ByteBuffer // a command line whose end is still to come

	id       uint64
	listener string
	client   netip.AddrPort
	started  time.Time
	due      time.Duration // since started: when the delayed reply is due, or else when the client has been silent for too long
	helo     []byte        // of the last greeting that was accepted

	octetsIn  uint64
	octetsOut uint64
	chunkLeft int64  // octets of the BDAT chunk under way that are still to come
	discarded uint32 // octets of the command line under way, once it is too long
	messages  uint32
	connN     uint32 // this client's n-th connection; 0 until a plan needs it
	attempts  uint32
	delivered uint32
	nth       [numCommandStages]uint16

	undeclared8Bit uint16
	state          state
	chunkLast      bool // that chunk is the last
	closeMode      CloseMode
	reason         CloseReason

	refused      bool // the greeting was negative: only QUIT is left
	greeted      bool // HELO, EHLO or LHLO was accepted
	extended     bool // and it was EHLO or LHLO: enhanced status codes appear
	shuttingDown bool
	eof          bool // nothing will follow what was fed
	gone         bool // the driver has lost the connection

	delayed   bool // a decided reply waits for its time
	draining  bool // too much output: waiting for Drained
	written   bool // out was handed to the driver
	pauseTold bool // the driver knows of a pause
	drainTold bool
	closeTold bool
	doneTold  bool
	recorded  bool // the row of the connection is written
}

// state says what the next octets mean.
type state uint8

const (
	stateCommand state = iota // a command line
	stateAuth                 // the answer to a forced 334 (RFC 4954)
	stateData                 // the body of DATA
	stateChunk                // the octets of a BDAT chunk
	stateReplies              // nothing is read: the replies of LMTP, one per recipient, are under way
	stateDiscard              // nothing: a forced 220 to STARTTLS made the client begin a handshake that nobody answers
	stateClosed               // nothing
)

// outputMark is how many octets of output may gather before the session waits for the client to take them: the replies to what
// one read of 4 KiB can hold fit in.
const outputMark = 64 << 10

// work is the scratch space of a session that is doing something. Everything in it that is handed out by pointer would otherwise
// be allocated anew for each command.
type work struct {
	now        time.Duration // since the session started
	stage      smtp.Stage
	decision   fault.Decision
	occurrence fault.Occurrence

	mail smtp.MailArgs
	rcpt smtp.RcptArgs
	helo []byte // argument of the greeting under way; a copy

	plain     bool          // the reply is the stage's plain one
	opened    bool          // this MAIL opened the transaction
	opensBody bool          // a 354 to this DATA opens the body
	candidate bool          // this RCPT's recipient will be accepted unless the reply says no
	recipient []byte        // of this RCPT: in the transaction's arena if it is a candidate
	rcptN     uint64        // of this RCPT
	read      time.Duration // when this RCPT was read

	attempt     Attempt
	transaction Transaction
	connection  Connection
}

var workPool = sync.Pool{New: func() any { return new(work) }}

// New starts a session and decides its greeting. conn is copied.
func New(cfg *Config, env *Env, conn ConnInfo, now time.Time) *Session {
	s := &Session{cfg: cfg, env: env, id: conn.ID, listener: conn.Listener, client: conn.Client, started: now}
	s.enter(now)
	s.readPlan()
	s.touch()
	s.answer(smtp.StageConnect)
	s.leave()
	return s
}

// Feed offers octets that the client sent, and returns how many the session took. It takes fewer than all only when it pauses:
// offer the rest again, before anything newer, after EffectResume. p is the caller's; it is neither changed nor kept.
func (s *Session) Feed(now time.Time, p []byte) int {
	s.enter(now)
	n := 0
	for n < len(p) && !s.paused() {
		if s.state == stateClosed { // what comes now is not the session's business
			n = len(p)
			break
		}
		taken := s.consume(p[n:])
		s.octetsIn += uint64(taken)
		n += taken
		s.proceed()
	}
	if n > 0 {
		s.touch()
	}
	s.leave()
	return n
}

// consume takes at least one octet of p.
func (s *Session) consume(p []byte) int {
	switch s.state {
	case stateCommand, stateAuth:
		return s.feedLine(p)
	case stateData:
		return s.feedData(p)
	case stateChunk:
		return s.feedChunk(p)
	}
	return len(p)
}

// proceed does what needs no further input: the replies of LMTP, and the end of a session that is to end.
func (s *Session) proceed() {
	for s.state == stateReplies && !s.paused() {
		s.answerMessage()
	}
	if s.paused() || s.state == stateClosed {
		return
	}
	switch {
	case s.shuttingDown && s.tx == nil:
		s.closeWith(&replyShutdown, ClosedByShutdown)
	case s.eof:
		s.close(CloseFIN, ClosedByEOF)
	case s.out != nil && len(s.out.B) >= outputMark:
		s.draining = true
	}
}

// WantRead returns how many octets the next read should take at the most: 4 KiB while commands are expected, so that a client
// can't make the session answer thousands of commands in one go; more within a body.
func (s *Session) WantRead() int {
	if s.state == stateData || s.state == stateChunk {
		return 64 << 10
	}
	return 4 << 10
}

// Advance tells the session that time has passed. Call it when Deadline has come; calls before that do nothing.
func (s *Session) Advance(now time.Time) {
	if s.state == stateClosed || s.due == 0 || now.Sub(s.started) < s.due {
		return
	}
	s.enter(now)
	if s.delayed {
		s.delayed = false
		s.touch()
		s.reply()
		s.proceed()
	} else {
		s.timeout()
	}
	s.leave()
}

// Deadline returns when Advance wants to be called: when a delayed reply is due, or when the client has been silent for too long.
// The zero time means never.
func (s *Session) Deadline() time.Time {
	if s.state == stateClosed || s.due == 0 {
		return time.Time{}
	}
	return s.started.Add(s.due)
}

// EOF tells that the client has closed its sending side and that everything before was fed; a driver that still holds octets
// which a pause kept it from feeding calls EOF after those. The session answers what it has read, delayed replies included, and
// then closes.
func (s *Session) EOF(now time.Time) {
	if s.state == stateClosed {
		return
	}
	s.enter(now)
	s.eof = true
	s.proceed()
	s.leave()
}

// Closed tells that the connection is gone or given up: nothing can be sent any more. err says why, and may be nil. Closing the
// connection as EffectClose asked needs no such call.
func (s *Session) Closed(now time.Time, err error) {
	if s.state == stateClosed {
		s.gone = true
		return
	}
	s.enter(now)
	s.gone = true
	s.work.connection.Err = err
	s.close(CloseRST, ClosedByError)
	s.leave()
}

// Drained tells that the kernel has taken all output. It has an effect only after EffectAwaitDrain.
func (s *Session) Drained(now time.Time) {
	if s.state == stateClosed || !s.draining {
		return
	}
	s.enter(now)
	s.draining, s.drainTold = false, false
	s.touch()
	s.proceed()
	s.leave()
}

// paused reports whether the session takes no input now.
func (s *Session) paused() bool { return s.delayed || s.draining }

// enter begins a call.
func (s *Session) enter(now time.Time) {
	s.releaseWritten()
	if s.work == nil {
		s.work = workPool.Get().(*work)
	}
	s.work.now = now.Sub(s.started)
}

// leave ends a call: a session that waits for its client owns no scratch space.
func (s *Session) leave() {
	if s.state == stateClosed && !s.recorded {
		s.recorded = true
		s.recordConnection()
	}
	if !s.delayed {
		w := s.work
		s.work = nil
		w.occurrence = fault.Occurrence{}
		workPool.Put(w)
	}
}

// touch notes that the client, or the session itself, has done something: the time of silence starts again.
func (s *Session) touch() {
	if s.delayed {
		return
	}
	if timeout := s.cfg.idleTimeout(); timeout > 0 {
		s.due = s.work.now + timeout
	} else {
		s.due = 0
	}
}

package session

import (
	"net/netip"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Session is the server's side of one SMTP or LMTP connection. Its methods are not safe for concurrent use.
//
// Its size is what an idle connection costs: see TestSizeOfAnIdleSession.
type Session struct {
	// What every command needs comes first, in two lines of the processor's cache: most of what a command costs is waiting for them.
	cfg          *Config
	env          *Env
	view         *fault.View   // read at connect, after TLS and at each MAIL
	tx           *transaction  // from MAIL to its end
	work         *work         // while a call is under way or a decided reply waits
	extra        *extra        // while there is anything in it
	due          time.Duration // since started: when what is waited for is due, or else when the client has been silent for too long
	out          outbox
	started      time.Time
	octetsIn     uint64
	state        state
	wait         wait
	refused      bool // the greeting was negative: only QUIT is left
	enhanced     bool // the reply to EHLO announced enhanced status codes
	eightBit     bool // and 8BITMIME
	shuttingDown bool
	eof          bool // nothing will follow what was fed
	ended        ended

	id       uint64
	listener string
	client   netip.AddrPort
	helo     []byte // of the last greeting that was accepted

	messages  uint32
	connN     uint32 // ConnInfo.N
	delivered uint32
	attempts  uint32
	nth       [numCommandStages]uint16

	closeMode CloseMode
	reason    CloseReason

	admitted      bool // no limit refused the connection
	greeted       bool // HELO, EHLO or LHLO was accepted
	extended      bool // and it was EHLO or LHLO
	secure        bool // the TLS handshake was done
	authenticated bool
	gone          bool // the driver has no connection any more, and its row is written
}

// ended is what the driver knows of the end.
type ended uint8

const (
	endedNot    ended = iota
	endedClosed       // it shall close the connection
	endedDone         // and may forget the session
)

// state says what the next octets mean.
type state uint8

const (
	stateCommand   state = iota // a command line
	stateAuth                   // the answer to 334 (RFC 4954)
	stateData                   // the body of DATA
	stateChunk                  // the octets of a BDAT chunk
	stateReplies                // nothing is read: the replies of LMTP, one per recipient, are under way
	stateHandshake              // nothing: plaintext behind STARTTLS
	stateDiscard                // nothing: a forced 220 to STARTTLS made the client begin a handshake that nobody answers
	stateHeld                   // nothing: a fault silenced the session or closed its side
	stateClosed                 // nothing
)

// wait is what keeps the session from taking input.
type wait uint8

const (
	waitNone     wait = iota
	waitDelay         // a decided reply waits for its time
	waitFarewell      // the reply to QUIT waits for the client's FIN, see Config.Farewell
	waitPiece         // the next piece of a reply waits for its time
	waitTaken         // it waits for the kernel to take the piece before
	waitCommit        // a positive reply waits for its rows
	waitCapture       // a reply waits for its message to be captured
	waitGreeting      // the greeting waits for a TLS handshake; input is taken, and thrown away
	waitDrain         // too much output: the client shall take some
	waitReading       // a fault has stopped reading in mid-body
)

// work is the scratch space of a session that is doing something. Everything in it that is handed out by pointer would otherwise
// be allocated anew for each command.
type work struct {
	now        time.Duration // since the session started
	spent      int           // work of this call, see turnWork
	stage      smtp.Stage
	decision   fault.Decision
	occurrence fault.Occurrence
	nth        uint64 // occurrence of the stage in this connection, see countOccurrence

	mail smtp.MailArgs
	rcpt smtp.RcptArgs
	helo []byte // argument of the greeting under way; a copy

	plain      bool          // the reply is the stage's plain one
	faults     *fault.Faults // of the outcome; nil when it has none
	withheld   bool          // the reply that was decided will never be sent
	committed  bool          // its rows are on disk
	decided    time.Duration // since the session started: when this reply was
	blind      bool          // this input had come before the last output was handed over
	bodyOpened bool          // a 3yz that this input has brought about opened the body
	amends     bool          // the rows of the reply instead of which this one is given may be on disk, or get there
	by         Origin        // who ends the connection, when a fault does
	enhanced   smtp.Enhanced // of the reply, as it stands on the wire
	ending     bool          // by or withheld was set
	described  bool          // occurrence was set
	wrong      smtp.Reply    // a reply made for this occurrence
	ask        fault.Switch  // what this RCPT's recipient asks for
	opened     bool          // this MAIL opened the transaction
	opensBody  bool          // a 3yz to this DATA opens the body
	misplaced  *smtp.Reply   // why this command is out of order; nil when it isn't
	announced  bool          // this reply to EHLO, as it was sent, has enhanced status codes
	eightBit   bool          // and 8BITMIME
	candidate  bool          // this RCPT's recipient will be accepted unless the reply says no
	orcpt      span          // of this RCPT, if it is a candidate
	recipient  []byte        // of this RCPT: in the transaction's arena if it is a candidate
	rcptN      uint64        // of this RCPT
	read       time.Duration // when this RCPT was read

	attempt     Attempt
	transaction Transaction
	message     event.Message
	connection  Connection
}

// New starts a session and decides its greeting. conn is copied.
func New(cfg *Config, env *Env, conn ConnInfo, now time.Time) *Session {
	s := &Session{cfg: cfg, env: env, id: conn.ID, listener: conn.Listener, client: conn.Client, started: now}
	s.connN = uint32(conn.N) // #nosec G115 -- after four billion connections a client's draws begin again
	if cfg.Proxied {
		s.out.receipts.doubts = doubtProxied
	}
	s.beginCall(now)
	s.readView()
	s.touch()
	s.decide(smtp.StageConnect)
	if s.admitted = s.work.decision.Limit == nil; s.admitted {
		s.occupy()
	}
	s.deliver(smtp.StageConnect)
	s.endCall()
	return s
}

// Feed offers octets that the client sent, and returns how many the session took. It takes fewer than all only when it pauses:
// offer the rest again, before anything newer, after EffectResume. p is the caller's; it is neither changed nor kept.
func (s *Session) Feed(now time.Time, p []byte) int {
	s.beginCall(now)
	if s.work.bodyOpened = false; len(p) > 0 {
		s.work.blind = s.out.receipts.followed()
	}
	n := 0
	for n < len(p) && !s.paused() {
		if s.state == stateClosed { // what comes now is not the session's business
			n = len(p)
			break
		}
		taken := s.consume(p[n:])
		s.octetsIn += uint64(taken) // #nosec G115 -- consume takes none or some, never fewer
		n += taken
		s.proceed()
		if n < len(p) {
			s.out.receipts.pipelined()
		}
	}
	if n > 0 {
		s.touch()
	}
	s.endCall()
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
	case stateHandshake:
		s.noteInjection()
	}
	return len(p)
}

// proceed does what needs no further input: the replies of LMTP, and the end of a session that is to end.
func (s *Session) proceed() {
	for s.state == stateReplies && !s.paused() {
		if s.worked() || s.out.full() {
			s.yield()
			return
		}
		s.answerMessage()
	}
	if s.paused() || s.state == stateClosed {
		return
	}
	switch {
	case s.state == stateHeld:
		if s.eof || s.shuttingDown {
			s.close(CloseFIN, ClosedByFault)
		}
	case s.shuttingDown && s.state == stateHandshake:
		s.close(CloseFIN, ClosedByShutdown)
	case s.shuttingDown && s.tx == nil:
		s.closeWith(&replyShutdown, ClosedByShutdown)
	case s.eof:
		s.close(CloseFIN, ClosedByEOF)
	case s.worked(), s.out.full():
		s.yield()
	}
}

// OctetsIn returns how many octets of input the session has taken. Within a call of Feed those that it is about may be missing.
func (s *Session) OctetsIn() uint64 { return s.octetsIn }

// Advance tells the session that time has passed. Call it when Deadline has come; calls before that do nothing.
func (s *Session) Advance(now time.Time) {
	if s.state == stateClosed || s.due == 0 || now.Sub(s.started) < s.due {
		return
	}
	s.beginCall(now)
	switch s.wait {
	case waitDelay, waitFarewell:
		s.resume()
		s.reply()
	case waitPiece:
		s.resume()
		s.sendPiece()
	case waitReading:
		s.readOn()
	case waitCommit:
		s.giveUpCommit()
	case waitCapture:
		s.giveUpCapture()
	default:
		s.timeout()
	}
	s.proceed()
	s.endCall()
}

// Deadline returns when Advance wants to be called: when a delayed reply, or a piece of one, is due, or when the client has been
// silent, or was held, for too long. The zero time means never.
func (s *Session) Deadline() time.Time {
	if s.state == stateClosed || s.due == 0 {
		return time.Time{}
	}
	return s.started.Add(s.due)
}

// Due returns Deadline as the time since the session's start, 0 for never: who keeps it for comparison needs Deadline less often.
func (s *Session) Due() time.Duration {
	if s.state == stateClosed {
		return 0
	}
	return s.due
}

// EOF tells that the client has closed its sending side and that everything before was fed; a driver that still holds octets
// which a pause kept it from feeding calls EOF after those. The session answers what it has read, delayed replies included, and
// then closes.
func (s *Session) EOF(now time.Time) {
	if s.state == stateClosed {
		return
	}
	s.beginCall(now)
	s.eof = true
	s.out.receipts.finished()
	s.out.receipts.fin()
	s.proceed()
	s.endCall()
}

// Closed tells that the connection is gone: as EffectClose asked, or because it failed or was given up, so that nothing can be sent any
// more. err says why, and is nil when it ended in good order. It is the last call, and the connection's row is written only now: how the
// client ended it tells what the client knows.
func (s *Session) Closed(now time.Time, err error) {
	if s.gone {
		return
	}
	s.beginCall(now)
	s.gone = true
	s.out.discard(s.env.Scratch)
	s.out.receipts.broken(err == nil)
	if s.state != stateClosed {
		s.lost(err)
	}
	s.recordConnection()
	s.endCall()
}

// lost ends a session that has lost its connection.
func (s *Session) lost(err error) {
	s.lasting().err = err
	reason := ClosedByError
	switch {
	case s.state == stateHeld:
		reason = ClosedByFault
	case s.wait == waitReading:
		s.endedBy(originOf(&s.tx.fault.decision))
		reason = ClosedByFault
	}
	s.close(CloseRST, reason)
}

// Drained tells that the kernel has taken all output. It has an effect only after EffectAwaitDrain.
func (s *Session) Drained(now time.Time) {
	if s.wait != waitDrain && s.wait != waitTaken {
		return
	}
	s.beginCall(now)
	taken := s.wait == waitTaken
	s.resume()
	if taken {
		s.pieceTaken()
	}
	s.proceed()
	s.endCall()
}

// paused reports whether the session takes no input now.
func (s *Session) paused() bool { return s.wait != waitNone && s.wait != waitGreeting }

// replying reports whether a reply was decided and is not sent, or not as a whole, but will be.
func (s *Session) replying() bool { return waitDelay <= s.wait && s.wait <= waitGreeting }

// unsent reports whether a reply was decided that the client has not got.
func (s *Session) unsent() bool { return s.replying() || s.work.withheld }

// resume ends a wait.
func (s *Session) resume() {
	s.wait = waitNone
	s.touch()
}

// beginCall begins a call.
func (s *Session) beginCall(now time.Time) {
	s.out.taken(s.env.Scratch)
	if s.work == nil {
		s.work = s.env.Scratch.takeWork()
	}
	s.work.now, s.work.spent = now.Sub(s.started), 0
}

// endCall ends a call: a session that waits for its client owns no scratch space.
func (s *Session) endCall() {
	if !s.replying() {
		w := s.work
		s.work = nil
		if w.described {
			w.described, w.occurrence = false, fault.Occurrence{}
		}
		if w.ending {
			w.ending, w.by, w.withheld = false, Origin{}, false
		}
		s.env.Scratch.putWork(w)
	}
	s.releaseExtra()
}

// touch notes that the client, or the session itself, has done something: the time of silence starts again.
func (s *Session) touch() {
	if s.wait != waitNone || s.state == stateHeld || s.state == stateHandshake {
		return
	}
	if timeout := s.cfg.idleTimeout(); timeout > 0 {
		s.due = s.work.now + timeout
	} else {
		s.due = 0
	}
}

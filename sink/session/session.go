package session

import (
	"net/netip"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
)

// Session is the server's side of one SMTP or LMTP connection. Its methods are not safe for concurrent use.
//
// Its size is what an idle connection costs: see TestSizeOfAnIdleSession.
type Session struct {
	// What every command needs comes first, in two lines of the processor's cache: most of what a command costs is waiting for them.
	cfg       *Config
	env       *Env
	view      *fault.View   // read at connect, after TLS and at each MAIL
	tx        *transaction  // from MAIL to its end
	exchange  *exchange     // while a call is under way or a decided reply waits
	extra     *extra        // while there is anything in it
	due       time.Duration // since started: when what is waited for is due, or else when the client has been silent for too long
	out       outbox
	started   time.Time
	octetsIn  uint64
	state     state
	pause     pause
	refused   bool // the greeting was negative: only QUIT is left
	announced announcement
	greeting  greeting

	id       uint64
	listener string
	client   netip.AddrPort
	helo     []byte // of the last greeting that was accepted

	messages  uint32
	connN     uint32 // ConnInfo.N
	delivered uint32
	attempts  uint32
	nth       [numCommandStages]uint16

	life          lifetime
	admitted      bool // no limit refused the connection
	secure        bool // the TLS handshake was done
	authenticated bool
}

// greeting says by which command the client has greeted.
type greeting uint8

const (
	greetingNone greeting = iota // by none that was accepted
	greetingHELO
	greetingEHLO // or LHLO: extensions were announced
)

// state says what the next octets mean.
type state uint8

const (
	stateCommand   state = iota // a command line
	stateAuth                   // the answer to 334 (RFC 4954)
	stateData                   // the body of DATA
	stateChunk                  // the octets of a BDAT chunk
	stateReplies                // nothing is read: replies by recipient, of LMTP or PRDR, are under way
	stateProxy                  // the PROXY header, before the greeting
	stateHandshake              // nothing: plaintext behind STARTTLS
	stateDiscard                // nothing: a forced 220 to STARTTLS made the client begin a handshake that nobody answers
	stateHeld                   // nothing: a fault silenced the session or closed its side
	stateClosed                 // nothing
)

// New starts a session and decides its greeting, unless its listener wants a PROXY header first. conn is copied.
func New(cfg *Config, env *Env, conn ConnInfo, now time.Time) *Session {
	s := &Session{cfg: cfg, env: env, id: conn.ID, listener: conn.Listener, client: conn.Client, started: now}
	s.connN = uint32(conn.N) // #nosec G115 -- after four billion connections a client's draws begin again
	if cfg.Proxied {
		s.out.receipts.doubts = doubtProxied
	}
	s.beginCall(now)
	if cfg.Service.ProxyProtocol {
		s.state = stateProxy
		s.touch()
	} else {
		s.greet()
	}
	s.endCall()
	return s
}

// Feed offers octets that the client sent, and returns how many the session took. It takes fewer than all only when it pauses:
// offer the rest again, before anything newer, after EffectResume; or when they begin the handshake of an EffectStartTLS with Effect.Hello. p is the caller's; it is neither changed nor kept.
func (s *Session) Feed(now time.Time, p []byte) int {
	s.beginCall(now)
	if s.exchange.bodyOpened = false; len(p) > 0 {
		s.exchange.blind = s.out.receipts.followed()
		if s.passes() {
			s.exchange.blind = s.extra.link.blind // it has come with the octets before
		}
	}
	n := 0
	for n < len(p) && !s.paused() {
		if s.pause.wait == waitPregreet {
			s.pregreet()
			s.proceed()
			continue
		}
		if s.state == stateClosed { // what comes now is not the session's business
			n = len(p)
			break
		}
		input := p[n:]
		if s.slowInput() {
			if input = s.arrived(input); len(input) == 0 {
				break
			}
		}
		taken := s.consume(input)
		if s.passes() {
			s.extra.link.passed -= taken
		}
		s.octetsIn += uint64(taken) // #nosec G115 -- consume takes none or some, never fewer
		n += taken
		s.proceed()
		if n < len(p) {
			s.out.receipts.pipelined()
			if s.state == stateHandshake && s.extra.hello {
				break // a PROXY header came before the client's hello
			}
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
	case stateProxy:
		return s.feedProxy(p)
	case stateHandshake:
		s.noteInjection()
	}
	return len(p)
}

// proceed does what needs no further input: the replies of LMTP, and the end of a session that is to end.
func (s *Session) proceed() {
	for s.state == stateReplies && !s.paused() {
		if s.spent() || s.out.full() {
			s.yield()
			return
		}
		s.answerMessage()
	}
	if s.paused() || s.pause.wait == waitPregreet || s.state == stateClosed { // a FIN, or the shutdown, cancels no reply
		return
	}
	switch {
	case s.state == stateHeld:
		if s.life.eof || s.life.stopping {
			s.close(CloseFIN, ClosedByFault)
		}
	case s.life.stopping && (s.state == stateHandshake || s.state == stateProxy):
		s.close(CloseFIN, ClosedByShutdown)
	case s.life.stopping && s.tx == nil:
		s.closeWith(&replyShutdown, ClosedByShutdown)
	case s.life.eof:
		s.close(CloseFIN, ClosedByEOF)
	case s.spent(), s.out.full():
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
	switch s.pause.wait {
	case waitDelay, waitFarewell, waitPregreet:
		s.resume()
		s.reply()
	case waitPiece:
		s.extra.link.called(s.exchange.now - s.due)
		s.resume()
		s.sendPiece()
	case waitPassage:
		s.extra.link.called(s.exchange.now - s.due)
		s.resume()
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
	s.life.eof = true
	s.out.receipts.finished()
	s.out.receipts.fin()
	s.proceed()
	s.endCall()
}

// Closed tells that the connection is gone: as EffectClose asked, or because it failed or was given up, so that nothing can be sent any
// more. err says why, and is nil when it ended in good order. It is the last call, and the connection's row is written only now: how the
// client ended it tells what the client knows.
func (s *Session) Closed(now time.Time, err error) {
	if !s.life.lost() {
		return
	}
	s.beginCall(now)
	s.out.discard(s.env.Scratch)
	s.out.receipts.broken(err == nil)
	if s.state != stateClosed {
		s.lost(err)
	}
	s.recordConnection()
	if s.env.Standings != nil {
		s.env.Standings.End(s.id)
	}
	s.endCall()
}

// lost ends a session that has lost its connection.
func (s *Session) lost(err error) {
	s.lasting().err = err
	reason := ClosedByError
	switch {
	case s.state == stateHeld:
		reason = ClosedByFault
	case s.pause.wait == waitReading:
		s.exchange.endedBy(originOf(&s.tx.fault.decision))
		reason = ClosedByFault
	}
	s.close(CloseRST, reason)
}

// Drained tells that the kernel has taken all output. It has an effect only after EffectAwaitDrain.
func (s *Session) Drained(now time.Time) {
	if s.pause.wait != waitDrain && s.pause.wait != waitTaken {
		return
	}
	s.beginCall(now)
	taken := s.pause.wait == waitTaken
	s.resume()
	if taken {
		s.pieceTaken()
	}
	s.proceed()
	s.endCall()
}

// paused reports whether the session takes no input now.
func (s *Session) paused() bool { return s.pause.paused() }

// resume ends a wait.
func (s *Session) resume() {
	s.pause.end()
	s.touch()
}

// beginCall begins a call.
func (s *Session) beginCall(now time.Time) {
	s.out.taken(s.env.Scratch)
	if s.exchange == nil {
		s.exchange = s.env.Scratch.takeExchange()
	}
	s.exchange.now, s.exchange.cost = now.Sub(s.started), 0
}

// endCall ends a call: a session that waits for its client has no exchange.
func (s *Session) endCall() {
	if e := s.exchange; !e.pending() {
		s.exchange = nil
		e.end()
		s.env.Scratch.putExchange(e)
	}
	s.releaseExtra()
}

// touch notes that the client, or the session itself, has done something: the time of silence starts again.
func (s *Session) touch() {
	if s.pause.wait != waitNone || s.state == stateHeld || s.state == stateHandshake {
		return
	}
	if timeout := s.cfg.idleTimeout(); timeout > 0 {
		s.due = s.exchange.now + timeout
	} else {
		s.due = 0
	}
}

// Rebind gives the session another Env: that of a driver, or of a goroutine, that takes its connection over. What it leads to must be
// the same but for the Recorder. Call it between two calls of other methods.
func (s *Session) Rebind(env *Env) { s.env = env }

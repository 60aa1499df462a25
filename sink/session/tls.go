package session

import (
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// offersTLS reports whether STARTTLS is offered now.
func (s *Session) offersTLS() bool { return s.cfg.TLS == TLSStart && !s.secure }

// TLSVersions returns those by which a handshake may be done; zero: all.
func (s *Session) TLSVersions() fault.TLSVersions { return s.cfg.Service.TLS }

// startTLS handles STARTTLS (RFC 3207 section 4).
func (s *Session) startTLS(args []byte) {
	switch {
	case len(args) > 0:
		s.refuse(smtp.StageStartTLS, &replyNoArguments)
	case s.secure:
		s.refuse(smtp.StageStartTLS, &replySecureAlready)
	case s.tx != nil:
		s.refuse(smtp.StageStartTLS, &replyInTransaction)
	default:
		s.answer(smtp.StageStartTLS)
	}
}

// afterStartTLS begins the handshake. Without TLS, a forced 220 leaves a client that nobody answers.
func (s *Session) afterStartTLS(r *smtp.Reply) {
	switch {
	case r.Code.Class() != 2: // RFC 3207 section 4 has 220, but clients go by the first digit
	case s.offersTLS():
		s.beginHandshake()
	default:
		s.state = stateDiscard
	}
}

func (s *Session) beginHandshake() {
	x := s.more()
	x.handshake, x.injected, x.tlsFault = true, false, fault.TLSNone
	if f := s.exchange.faults; f != nil {
		if x.tlsFault = f.TLS; f.TLS != fault.TLSNone {
			s.strike(s.exchange.stage, &s.exchange.decision)
		}
	}
	s.state = stateHandshake
	s.due = s.exchange.now + s.cfg.maxHold()
	if timeout := s.cfg.idleTimeout(); timeout > 0 && x.tlsFault != fault.TLSStall {
		s.due = s.exchange.now + timeout
	}
}

// noteInjection counts plaintext behind STARTTLS: a command that somebody else may have put there (RFC 3207 section 6).
func (s *Session) noteInjection() {
	if x := s.lasting(); !x.injected {
		x.injected = true
		x.injections++
	}
}

// TLSDone tells what became of the handshake that EffectStartTLS asked for. After a good one the session starts again before EHLO, and
// forgets what the client has said (RFC 3207 section 4.2); after a failed one it closes.
func (s *Session) TLSDone(now time.Time, info TLSInfo, err error) {
	if s.state != stateHandshake {
		return
	}
	s.beginCall(now)
	if err != nil {
		s.lasting().err = err
		if s.extra.tlsFault != fault.TLSNone {
			s.exchange.endedBy(s.extra.by)
		}
		s.close(CloseFIN, ClosedByTLS)
		s.endCall()
		return
	}
	s.extra.hello = false
	s.endTransaction(EndAbandoned, smtp.StageStartTLS) // a plan may have answered a STARTTLS out of order
	s.lasting().tls = info
	s.secure, s.greeting, s.announced, s.authenticated = true, greetingNone, announcement{}, false
	s.extra.user = ""
	s.helo = s.helo[:0]
	s.state = stateCommand
	greet := s.pause.wait == waitGreeting
	s.resume()
	if greet {
		if s.exchange.decision.Delay > 0 {
			s.holdGreeting()
		} else {
			s.reply()
		}
	} else {
		s.readView()
	}
	s.proceed()
	s.endCall()
}

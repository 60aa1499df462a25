package session

import "github.com/smtpstorm/xk6-smtp/sink/fault"

// EffectKind says what a driver shall do.
type EffectKind uint8

// The effects.
const (
	// EffectWrite: write Effect.Data, in order. Data must be written or copied before the next call of any method.
	EffectWrite EffectKind = iota + 1
	// EffectPause: offer no input until EffectResume; keep what Feed did not take, and offer it again then. Better: stop reading.
	EffectPause
	// EffectResume: go on reading; offer the kept input first.
	EffectResume
	// EffectAwaitDrain: call Drained as soon as the kernel has taken all output written so far. It follows a pause.
	EffectAwaitDrain
	// EffectClose: close the connection as Effect.Close says, after the output was written. After CloseHalf the session goes on: it
	// takes input, which it discards, and asks to close again at its end. After the others, call Closed once the connection has ended.
	EffectClose
	// EffectStopReading: as EffectPause, and for real: nothing may be read from the connection until EffectResume, not even to learn
	// that the client has gone, so that the kernel's receive buffer fills up and the client meets a zero window.
	EffectStopReading
	// EffectNarrow: the client is read slowly from now on. As little as possible of what it sends shall be kept for the session by
	// anybody, so that it meets a window that closes.
	EffectNarrow
	// EffectStartTLS: after the output was written, do a TLS handshake as Effect.TLS says, then call TLSDone. Input that was
	// read before this effect and that Feed did not take is plaintext: offer it to Feed, which throws it away and counts it, or
	// forget it; it is no part of the handshake. After TLSDone without an error, input and output are those of the TLS connection.
	EffectStartTLS
	// EffectCommit: put the rows that the Recorder was given as CommitPending on disk, then call Committed with Effect.Ticket. It
	// follows a pause.
	EffectCommit
	// EffectCapture: put Effect.Captured where it lasts, which is delivered if that works out, then call Committed with Effect.Ticket. It
	// follows a pause.
	EffectCapture
	// EffectDone: the session is over; calls have no effect any more and the driver may forget it.
	EffectDone
)

// String returns the effect's name.
func (k EffectKind) String() string {
	switch k {
	case EffectWrite:
		return "write"
	case EffectPause:
		return "pause"
	case EffectResume:
		return "resume"
	case EffectAwaitDrain:
		return "await drain"
	case EffectClose:
		return "close"
	case EffectStopReading:
		return "stop reading"
	case EffectNarrow:
		return "narrow"
	case EffectStartTLS:
		return "start TLS"
	case EffectCommit:
		return "commit"
	case EffectCapture:
		return "capture"
	case EffectDone:
		return "done"
	}
	return "unknown"
}

// CloseMode says how a connection shall be closed.
type CloseMode uint8

// The modes.
const (
	// CloseFIN: write all output, shut the sending side down, then read and discard until the client closes, for a bounded time:
	// a plain close with unread input would send RST and destroy the last reply.
	CloseFIN CloseMode = iota
	// CloseRST: write all output, wait for a bounded time until the client's kernel has acknowledged it, then reset the connection.
	CloseRST
	// CloseHalf: write all output, shut the sending side down and go on reading. Another close follows.
	CloseHalf
)

// String returns "FIN", "RST" or "half".
func (m CloseMode) String() string {
	switch m {
	case CloseFIN:
		return "FIN"
	case CloseRST:
		return "RST"
	case CloseHalf:
		return "half"
	}
	return "unknown"
}

// Effect is one thing that a driver shall do.
type Effect struct {
	Kind   EffectKind
	Data   []byte         // of EffectWrite: the session's, valid until the next call
	Close  CloseMode      // of EffectClose
	TLS    fault.TLSFault // of EffectStartTLS: what goes wrong with the handshake
	Hello  bool           // of EffectStartTLS: input that Feed did not take begins the handshake
	Ticket uint64         // of EffectCommit and EffectCapture: unlike that of any other of the session

	Captured *Captured // of EffectCapture: the driver's from now on
}

// Next returns the next thing that the driver shall do, and false when there is nothing left to do now. Call it until then after
// New and after every call of another method.
func (s *Session) Next() (Effect, bool) {
	s.out.taken(s.env.Scratch)
	if data := s.out.hand(); data != nil {
		return Effect{Kind: EffectWrite, Data: data}, true
	}
	x := s.extra
	if x == nil && s.state < stateHeld && s.pause.quiet() {
		return Effect{}, false // nearly always
	}
	if e, ok := s.life.effect(); ok || s.state == stateClosed {
		return e, ok
	}
	if kind, ok := s.pause.read(); ok {
		return Effect{Kind: kind}, true
	}
	if x != nil && s.narrows() {
		return Effect{Kind: EffectNarrow}, true
	}
	if x != nil && x.handshake {
		x.handshake = false
		return Effect{Kind: EffectStartTLS, TLS: x.tlsFault, Hello: x.hello}, true
	}
	switch kind, _ := s.pause.ask(); kind {
	case EffectAwaitDrain:
		return Effect{Kind: kind}, true
	case EffectCommit:
		return Effect{Kind: kind, Ticket: s.ticket()}, true
	case EffectCapture:
		return s.captureEffect(), true
	}
	return Effect{}, false
}

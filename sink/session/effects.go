package session

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
	// EffectClose: close the connection as Effect.Close says, after the output was written.
	EffectClose
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
	// CloseRST: reset the connection at once.
	CloseRST
	// CloseHalf: shut the sending side down and go on reading.
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
	Kind  EffectKind
	Data  []byte    // of EffectWrite: the session's, valid until the next call
	Close CloseMode // of EffectClose
}

// Next returns the next thing that the driver shall do, and false when there is nothing left to do now. Call it until then after
// New and after every call of another method.
func (s *Session) Next() (Effect, bool) {
	s.releaseWritten()
	if s.out != nil && len(s.out.B) > 0 {
		s.written = true
		return Effect{Kind: EffectWrite, Data: s.out.B}, true
	}
	if s.state == stateClosed {
		switch {
		case !s.closeTold && !s.gone:
			s.closeTold = true
			return Effect{Kind: EffectClose, Close: s.closeMode}, true
		case !s.doneTold:
			s.doneTold = true
			return Effect{Kind: EffectDone}, true
		}
		return Effect{}, false
	}
	if paused := s.delayed || s.draining; paused != s.pauseTold {
		s.pauseTold = paused
		if paused {
			return Effect{Kind: EffectPause}, true
		}
		return Effect{Kind: EffectResume}, true
	}
	if s.draining && !s.drainTold {
		s.drainTold = true
		return Effect{Kind: EffectAwaitDrain}, true
	}
	return Effect{}, false
}

// releaseWritten gives the output that the driver has taken back to the pool.
func (s *Session) releaseWritten() {
	if s.written {
		s.written = false
		s.releaseOutput()
	}
}

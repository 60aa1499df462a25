package session

// lifetime is a session's way to its end.
//
//	state            what is so                                       goes to
//	lifetimeOpen     the dialogue goes on                             half, closing, gone
//	lifetimeHalf     its side of the connection shall be closed, or   closing, gone
//	                 is: no more output
//	lifetimeClosing  the connection shall be closed                   closed, when the driver is told (effect); gone
//	lifetimeClosed   the driver is closing it                         gone
//	lifetimeGone     the driver has no connection any more (lost)     done, when the driver is told (effect)
//	lifetimeDone     the driver may forget the session
type lifetime struct {
	state    lifetimeState
	stopping bool // the server shuts down
	eof      bool // nothing will follow what was fed
	mode     CloseMode
	reason   CloseReason
}

type lifetimeState uint8

const (
	lifetimeOpen lifetimeState = iota
	lifetimeHalf
	lifetimeHalfTold // the driver knows
	lifetimeClosing
	lifetimeClosed
	lifetimeGone
	lifetimeDone
)

// half begins to close this side of the connection.
func (l *lifetime) half() { l.state = lifetimeHalf }

// close begins to close the connection, unless it is gone; why is noted in any case.
func (l *lifetime) close(mode CloseMode, reason CloseReason) {
	l.mode, l.reason = mode, reason
	l.state = max(l.state, lifetimeClosing)
}

// lost notes that there is no connection any more. It reports whether that is new.
func (l *lifetime) lost() bool {
	if l.gone() {
		return false
	}
	l.state = lifetimeGone
	return true
}

// gone reports whether there is no connection any more.
func (l *lifetime) gone() bool { return l.state >= lifetimeGone }

// effect tells the driver, once, what is to be done about the end.
func (l *lifetime) effect() (Effect, bool) {
	switch l.state {
	case lifetimeHalf:
		l.state = lifetimeHalfTold
		return Effect{Kind: EffectClose, Close: CloseHalf}, true
	case lifetimeClosing:
		l.state = lifetimeClosed
		return Effect{Kind: EffectClose, Close: l.mode}, true
	case lifetimeGone:
		l.state = lifetimeDone
		return Effect{Kind: EffectDone}, true
	}
	return Effect{}, false
}

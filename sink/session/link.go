package session

import (
	"bytes"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
)

// link is a connection whose octets take their time (fault.Bandwidth). The zero value slows nothing.
//
// An octet has passed when its share of a second is over: what a client sends is looked at only then, and a reply is handed over only then.
// While a reply is on its way nothing is read, as with all that waits.
type link struct {
	in, out lane
	told    bool // the driver knows that the connection is read slowly
	passed  int  // octets of the input that have passed, or will have when waitPassage ends, and were not taken yet
	blind   bool // call.blind of the input that these are the beginning of
	piece   bool // the next piece of a reply has passed, or will have when waitPiece ends
}

// lane is one direction of a link.
type lane struct {
	rate fault.ByteRate // octets a second; 0: any number
	free time.Duration  // since the session started: when all that was sent has passed
	late time.Duration  // how much later than asked for the session was called last
	rest time.Duration  // what rounding has left of a nanosecond, in parts of which rate are one
}

const (
	// passageTime is how long the octets take that pass at a time: the session is called so often, or once for each octet where those
	// take longer.
	passageTime = 100 * time.Millisecond
	// maxPassage bounds the octets that pass at a time.
	maxPassage = 16 << 10
	// passageSlack is how late what follows may come and still counts as having come at once, beside what the session's own timer was late,
	// which slows no link therefore. One that rests saves up no more than this.
	passageSlack = 10 * time.Millisecond
	// maxLate bounds the lateness that is caught up with.
	maxLate = time.Second
)

func (l *lane) slow() bool { return l.rate > 0 }

// set changes the rate from now on.
func (l *lane) set(rate fault.ByteRate, now time.Duration) {
	switch {
	case rate == 0 || rate == l.rate:
		return
	case rate < 0:
		rate = 0
	}
	*l = lane{rate: rate, free: now}
}

// most returns how many octets pass at a time.
func (l *lane) most() int {
	return int(min(max(int64(l.rate)*int64(passageTime)/int64(time.Second), 1), maxPassage))
}

// pass sends octets, at most maxPassage, that are ready now behind those before, and returns when they will have passed.
func (l *lane) pass(now time.Duration, octets int) time.Duration {
	if now-l.free > passageSlack+l.late {
		l.free, l.rest = now, 0
	}
	rate := time.Duration(l.rate)
	l.rest += time.Duration(octets) * time.Second
	l.free, l.rest = l.free+l.rest/rate, l.rest%rate
	return l.free
}

// called notes how late the session's timer was.
func (l *link) called(late time.Duration) {
	late = min(late, maxLate)
	l.in.late, l.out.late = late, late
}

// changeBandwidth gives the connection the bandwidth that an outcome has, from the reply on that is to be sent now.
func (s *Session) changeBandwidth(b fault.Bandwidth) {
	if b == (fault.Bandwidth{}) {
		return
	}
	x := s.lasting()
	x.link.in.set(b.In, s.exchange.now)
	x.link.out.set(b.Out, s.exchange.now)
	if !x.link.in.slow() {
		x.link.passed = 0
	}
}

// narrows reports, once, that the client is read slowly from now on.
func (s *Session) narrows() bool {
	l := &s.extra.link
	news := l.in.slow() && !l.told
	l.told = l.told || news
	return news
}

// slowInput reports whether what the client sends takes its time. What is thrown away whatever it says doesn't.
func (s *Session) slowInput() bool {
	return s.extra != nil && s.extra.link.in.slow() && s.state <= stateChunk
}

// arrived returns what of the input has passed the link by now. When that is nothing, it begins to wait for more.
func (s *Session) arrived(p []byte) []byte {
	l := &s.extra.link
	if l.passed == 0 {
		l.passed, l.blind = s.untilAnswer(p[:min(len(p), l.in.most())]), s.exchange.blind
		if at := l.in.pass(s.exchange.now, l.passed); at > s.exchange.now {
			s.waitFor(waitPassage, at-s.exchange.now)
			return nil
		}
	}
	return p[:min(len(p), l.passed)]
}

// untilAnswer returns how many of these octets pass before something may be said: that is said without waiting for those behind.
func (s *Session) untilAnswer(p []byte) int {
	n := len(p)
	switch s.state {
	case stateCommand, stateAuth:
		if end := bytes.IndexByte(p, '\n'); end >= 0 {
			n = end + 1
		}
	case stateData: // perhaps the end of the body, which may have begun before p
		if end := bytes.IndexByte(p[:min(n, len("\r\n"))], '\n'); end >= 0 {
			n = end + 1
		} else if end := bytes.Index(p, []byte(".\r\n")); end >= 0 {
			n = end + len(".\r\n")
		}
	case stateChunk:
		n = int(min(int64(n), s.extra.framing.left))
	}
	if s.tx != nil && s.tx.fault.pending {
		n = int(min(int64(n), s.tx.fault.left))
	}
	return max(n, 1)
}

// passes reports whether octets that have passed the link are still to be taken.
func (s *Session) passes() bool { return s.extra != nil && s.extra.link.passed > 0 }

// sentBy reports whether the next piece of a reply has passed the link. When it hasn't, it begins to wait for that.
func (s *Session) sentBy() bool {
	x := s.extra
	l := &x.link
	if !l.out.slow() {
		return true
	}
	if l.piece = !l.piece; !l.piece {
		return true
	}
	at := l.out.pass(s.exchange.now, x.pieces.following())
	if at <= s.exchange.now {
		l.piece = false
		return true
	}
	s.waitFor(waitPiece, at-s.exchange.now)
	return false
}

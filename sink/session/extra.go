package session

import (
	"net/netip"
	"sync"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/proxy"
)

// extra is the state that most sessions lack most of the time, so that those at rest don't pay for it.
type extra struct {
	framing framing // a line or a chunk that has begun and not ended

	pieces pieces // a reply that has begun and not ended
	link   link

	proxy       *proxy.Parser  // of the PROXY header, while it is read
	another     bool           // the session has become another client's
	via         netip.AddrPort // then: the one that has connected
	handshake   bool           // a TLS handshake shall begin
	hello       bool           // what follows a PROXY header
	tlsFault    fault.TLSFault // with this
	injected    bool           // plaintext came behind the STARTTLS under way
	mechanism   AuthExchange   // the authentication under way
	response    []byte         // scratch space for it
	authName    []byte         // the mechanism that AUTH named, while the plan's rules ask for it, and
	authStep    uint64         // which reply of it is under way; 0: none
	tls         TLSInfo
	user        string
	pregreet    bool   // the client has talked while its greeting was held back, and the plan wanted to know
	text        string // of the last reply, if it names fields: see textOf
	injections  uint32
	badSwitches uint64
	badSwitch   string // the first of them
	longHeaders uint64
	eightBit    uint64   // bodies with octets that MAIL had not declared
	outOfOrder  uint64   // commands that were, or were wrong, and that the plan has rules for
	turns       uint64   // replies that were given, where the plan needs them
	by          Origin   // who holds the connection, or has ended it, or of whose fault no other row tells
	refusal     Refusal  // the last of which no other row tells
	err         error    // what ended the connection
	granted     []grant  // of open connections: to be released
	counts      []count  // of limits that are this connection's own
	domains     []uint64 // hashes of the domains of its recipients, at most ServiceLimits.RcptDomainMax
	whole       bool     // nothing above may be forgotten before the connection's end
}

var extraPool = sync.Pool{New: func() any { return new(extra) }}

// more returns the rare state, to be changed.
func (s *Session) more() *extra {
	if s.extra == nil {
		s.extra = extraPool.Get().(*extra)
	}
	return s.extra
}

// lasting returns the rare state to put something in that lasts as long as the connection.
func (s *Session) lasting() *extra {
	x := s.more()
	x.whole = true
	return x
}

// releaseExtra forgets the rare state when there is nothing in it, or nobody to ask for it.
func (s *Session) releaseExtra() {
	x := s.extra
	if x == nil {
		return
	}
	if !s.life.gone() && (x.whole || x.framing.midLine() || x.pieces.reply != nil || x.mechanism != nil || x.authStep > 0 ||
		s.state == stateChunk || s.state == stateHandshake || s.state == stateHeld) {
		return
	}
	x.pieces.release()
	clear(x.granted)
	clear(x.counts)
	*x = extra{granted: x.granted[:0], counts: x.counts[:0], domains: x.domains[:0], response: x.response[:0], authName: x.authName[:0]}
	s.extra = nil
	extraPool.Put(x)
}

// releaseLine forgets the command line under way.
func (s *Session) releaseLine() {
	if s.extra != nil {
		s.extra.framing.drop()
	}
}

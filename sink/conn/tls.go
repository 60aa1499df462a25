package conn

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/session"
)

// shakeHands does the handshake that the session asked for, or what a fault makes of it, and tells the session.
func (c *netConn) shakeHands() error {
	var info session.TLSInfo
	var err error
	switch c.fault {
	case fault.TLSGarbage:
		err = c.answerHello(tlsGarbage)
	case fault.TLSRefused:
		err = c.answerHello(tlsRefusal)
	case fault.TLSReset:
		if err = c.readHello(); err == nil {
			err = errTLSFault
		}
		c.reset = true
	case fault.TLSStall:
		for err == nil && !c.ended {
			err = c.readHello()
		}
	default:
		info, err = c.secure()
	}
	if c.ended { // by its deadline, or the shutdown
		return nil
	}
	if errors.Is(err, net.ErrClosed) {
		return err
	}
	c.catchUp()
	c.pump.tlsDone(c.recorder, c, c.driver.cfg.Now(), info, err)
	return nil
}

// errTLSFault is the planned end of a handshake.
var errTLSFault = errors.New("handshake failed as planned")

// tlsGarbage is no TLS record: those begin with their type, 20 to 24 (RFC 8446 section 5.1).
var tlsGarbage = []byte("\x00\xff\x80garbage instead of a handshake\x00\xff\x80\r\n")

// tlsRefusal is a record of type alert (21) in TLS 1.2's wire version: fatal (2), handshake_failure (40); RFC 8446 section 6.
var tlsRefusal = []byte{21, 3, 3, 0, 2, 2, 40}

// answerHello answers the client's hello with these octets, and ends the handshake.
func (c *netConn) answerHello(answer []byte) error {
	if err := c.readHello(); err != nil || c.ended {
		return err
	}
	c.write(answer)
	return errTLSFault
}

// readHello reads what the client says in a handshake that fails as planned. The error is the client's end; without one it has said something, or
// the session has lost its patience.
func (c *netConn) readHello() error {
	if len(c.early) > 0 {
		c.early = nil
		return nil
	}
	var buf [4 << 10]byte
	for {
		n, err := c.read(buf[:], c.pump.session.Deadline())
		if n > 0 {
			return nil
		}
		if !isTimeout(err) {
			return err
		}
		c.catchUp()
		c.advance()
		if c.ended {
			return nil
		}
	}
}

// secure does a handshake in earnest, though perhaps with a faulty certificate.
func (c *netConn) secure() (session.TLSInfo, error) {
	config, err := c.driver.cfg.Certificates(c.fault, c.pump.session.TLSVersions())
	if err != nil {
		return session.TLSInfo{}, err
	}
	c.wire = &wire{Conn: c.raw, count: c.count, early: c.early}
	c.early = nil
	secure := tls.Server(c.wire, config)
	c.armed = time.Time{} // an earlier deadline would fail the handshake
	interrupted, err := c.arm(c.pump.session.Deadline())
	if err == nil && interrupted {
		err = os.ErrDeadlineExceeded
	}
	if err == nil {
		c.limitWrites()
		c.driver.growHeap()
		growStack()
		err = secure.Handshake()
	}
	if err != nil {
		if isTimeout(err) {
			c.catchUp()
			c.advance()
		}
		return session.TLSInfo{}, err
	}
	c.nc = secure
	version := secure.ConnectionState().Version
	return session.TLSInfo{Version: tls.VersionName(version), Number: fault.TLSVersion(version), Channel: &channel{secure, config}}, nil
}

// growStack makes the goroutine's stack as large as a handshake needs it, by one step and while there is little on it to copy; it would
// get there in three.
//
//go:noinline
func growStack() byte {
	var frame [handshakeStack]byte
	return frame[len(os.Args)&1]
}

// handshakeStack asks for a stack of 16 KiB, the next power of two: what crypto/tls of Go 1.26 comes to, in full handshakes and in resumed
// ones.
const handshakeStack = 9 << 10

// Package proxy reads the header by which a proxy says whose connection it passes on: the PROXY protocol of HAProxy, versions 1 and 2
// (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt).
//
// It takes octets as they come, keeps as few as the addresses need, and never the additional values of version 2. It leaves out whose
// headers are to be believed, and how long to wait for one. It does no I/O.
package proxy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"strconv"
)

// ErrHeader says that what came is no PROXY header, or a broken one: the connection is to be closed.
var ErrHeader = errors.New("no PROXY header, or a broken one")

// Header is what a proxy says of a connection.
type Header struct {
	// Client is whose connection it is: the zero value for a client on a unix socket.
	Client netip.AddrPort
	// Own says that the connection is the proxy's own, a health check for one, or that it doesn't know whose it is: Client says nothing.
	Own bool
}

const (
	// maxText is the longest header of version 1, its CRLF included.
	maxText = 107
	// fixed is what each header of version 2 begins with: signature, command, family, length of the rest.
	fixed = 16
	// maxKept is how many octets of a header are kept at most: of version 2 what is fixed, and the addresses of TCP over IPv6.
	maxKept = max(maxText, fixed+36)
)

var (
	prefix    = []byte("PROXY ")
	signature = []byte("\r\n\r\n\x00\r\nQUIT\n")
)

// Parser reads one header. The zero value is ready; after the header's end, or an error, it is used up.
type Parser struct {
	kept [maxKept]byte
	n    int // octets in kept
	skip int // octets of version 2 that follow, and that nobody looks at
}

// Feed takes octets, and returns how many were taken: all, or those up to the header's end. The error is ErrHeader. p is not kept.
func (r *Parser) Feed(p []byte) (n int, h Header, done bool, err error) {
	for n < len(p) {
		if r.skip > 0 {
			some := min(r.skip, len(p)-n)
			n += some
			if r.skip -= some; r.skip == 0 {
				h, err = r.binary()
				return n, h, true, err
			}
			continue
		}
		r.kept[r.n] = p[n]
		r.n++
		n++
		switch {
		case bytes.HasPrefix(prefix, r.kept[:min(r.n, len(prefix))]):
			done, err = r.text()
			if done && err == nil {
				h, err = parseText(r.kept[:r.n-len("\r\n")])
			}
		case bytes.HasPrefix(signature, r.kept[:min(r.n, len(signature))]):
			done, err = r.fixed()
			if done && err == nil {
				h, err = r.binary()
			}
		default:
			err = ErrHeader
		}
		if done || err != nil {
			return n, h, err == nil, err
		}
	}
	return n, h, false, nil
}

// text looks whether a header of version 1 has come to its end.
func (r *Parser) text() (done bool, err error) {
	switch last := r.kept[r.n-1]; {
	case last == '\n' && r.n >= 2 && r.kept[r.n-2] == '\r':
		return true, nil
	case last == '\n', r.n == maxText:
		return false, ErrHeader
	}
	return false, nil
}

// parseText parses a header of version 1 without its CRLF.
func parseText(line []byte) (h Header, err error) {
	words := bytes.Split(line, []byte{' '})
	if len(words) >= 2 && string(words[1]) == "UNKNOWN" { // whatever follows is to be ignored
		return Header{Own: true}, nil
	}
	if len(words) != 6 || string(words[1]) != "TCP4" && string(words[1]) != "TCP6" {
		return Header{}, ErrHeader
	}
	var ends [2]netip.AddrPort
	for i := range ends {
		address, err := netip.ParseAddr(string(words[2+i]))
		port, ok := parsePort(words[4+i])
		if err != nil || !ok || address.Zone() != "" || address.Is4() != (words[1][3] == '4') {
			return Header{}, ErrHeader
		}
		ends[i] = netip.AddrPortFrom(address.Unmap(), port)
	}
	return Header{Client: ends[0]}, nil
}

// parsePort parses a number up to 65535 without leading zeros.
func parsePort(digits []byte) (uint16, bool) {
	if len(digits) == 0 || digits[0] == '0' && len(digits) > 1 {
		return 0, false
	}
	n, err := strconv.ParseUint(string(digits), 10, 16)
	return uint16(n), err == nil && digits[0] != '+'
}

// The commands and families of version 2.
const (
	version2 = 0x20
	local    = 0x0
	proxied  = 0x1

	unspecified = 0x0
	tcp4        = 0x11
	tcp6        = 0x21
	unixStream  = 0x31
)

// fixed looks whether a header of version 2, or what is kept of it, has come to its end, and begins to skip the rest.
func (r *Parser) fixed() (done bool, err error) {
	if r.n < fixed {
		return false, nil
	}
	addresses, known := r.addresses()
	length := int(binary.BigEndian.Uint16(r.kept[14:]))
	switch {
	case !known || length < addresses:
		return false, ErrHeader
	case r.n < fixed+keptOf(addresses):
		return false, nil
	}
	r.skip = length - keptOf(addresses)
	return r.skip == 0, nil
}

// addresses returns how many octets of addresses the command and the family of a header have.
func (r *Parser) addresses() (octets int, known bool) {
	switch command, family := r.kept[12], r.kept[13]; {
	case command == version2|local:
		return 0, true
	case command != version2|proxied:
		return 0, false
	case family == tcp4:
		return 12, true
	case family == tcp6:
		return 36, true
	case family == unixStream:
		return 216, true
	case family>>4 == unspecified && family&0xf <= 2:
		return 0, true
	}
	return 0, false
}

// keptOf returns how many of the octets of addresses are kept: the paths of unix sockets are not.
func keptOf(addresses int) int {
	if addresses > maxKept-fixed {
		return 0
	}
	return addresses
}

// binary returns what a header of version 2 says.
func (r *Parser) binary() (Header, error) {
	at := r.kept[fixed:]
	switch family := r.kept[13]; {
	case r.kept[12] == version2|local, family>>4 == unspecified:
		return Header{Own: true}, nil
	case family == tcp4:
		return Header{Client: netip.AddrPortFrom(netip.AddrFrom4([4]byte(at[:4])), binary.BigEndian.Uint16(at[8:]))}, nil
	case family == tcp6:
		return Header{Client: netip.AddrPortFrom(netip.AddrFrom16([16]byte(at[:16])).Unmap(), binary.BigEndian.Uint16(at[32:]))}, nil
	}
	return Header{}, nil // a unix socket
}

package smtp

import (
	"bytes"
	"net/netip"
	"strconv"
)

// XClientKeyword is what EHLO announces of XCLIENT: the attributes that ParseXClient knows (Postfix's XCLIENT_README).
const XClientKeyword = "XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT"

// XClient is what an XCLIENT command says: the client that whoever sends it wants to be taken for. What it leaves out stays as it was.
type XClient struct {
	Given XClientAttribute // which attributes there were
	Addr  netip.Addr       // invalid when it is not to be had
	Port  uint16           // 0 when it is not to be had
	Helo  []byte           // decoded, the caller's; nil when it is not to be had
	Login []byte           // likewise
}

// XClientAttribute is a set of attributes.
type XClientAttribute uint16

// The attributes. NAME, PROTO, DESTADDR and DESTPORT are checked and say nothing that anybody asks for.
const (
	XClientName XClientAttribute = 1 << iota
	XClientAddr
	XClientPort
	XClientProto
	XClientHelo
	XClientLogin
	XClientDestAddr
	XClientDestPort
)

var xclientNames = [...]string{"NAME", "ADDR", "PORT", "PROTO", "HELO", "LOGIN", "DESTADDR", "DESTPORT"}

var (
	errXClientSyntax = syntaxError(501, 5, 4, "Syntax: XCLIENT attribute=value, of NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT")
	errXClientValue  = syntaxError(501, 5, 4, "Bad value of an XCLIENT attribute")
)

// maxXClientValue is the longest value of an attribute in octets, decoded: what a domain name and a SASL identity need.
const maxXClientValue = 255

// ParseXClient parses the arguments of XCLIENT: attributes in any case with values in xtext, where [UNAVAILABLE] and [TEMPUNAVAIL] stand for
// what is not to be had. The error is a *SyntaxError, and x is undefined then.
func ParseXClient(args []byte, x *XClient) error {
	*x = XClient{}
	for _, word := range bytes.Fields(args) {
		name, text, ok := bytes.Cut(word, []byte{'='})
		attribute := xclientAttribute(name)
		if !ok || attribute == 0 || x.Given&attribute != 0 {
			return errXClientSyntax
		}
		x.Given |= attribute
		value, ok := DecodeXText(nil, text)
		if !ok || len(value) > maxXClientValue || hasControl(value) {
			return errXClientValue
		}
		if equalFold(value, "[UNAVAILABLE]") || equalFold(value, "[TEMPUNAVAIL]") {
			continue
		}
		if !x.set(attribute, value) {
			return errXClientValue
		}
	}
	if x.Given == 0 {
		return errXClientSyntax
	}
	return nil
}

func (x *XClient) set(attribute XClientAttribute, value []byte) (ok bool) {
	switch attribute {
	case XClientAddr:
		x.Addr, ok = parseXClientAddr(value)
		return ok
	case XClientDestAddr:
		_, ok = parseXClientAddr(value)
		return ok
	case XClientPort, XClientDestPort:
		port, err := strconv.ParseUint(string(value), 10, 16)
		if attribute == XClientPort {
			x.Port = uint16(port) // #nosec G115 -- ParseUint was told 16 bits
		}
		return err == nil && port > 0
	case XClientProto:
		return equalFold(value, "SMTP") || equalFold(value, "ESMTP")
	case XClientHelo:
		x.Helo = value
	case XClientLogin:
		x.Login = value
	}
	return len(value) > 0
}

// parseXClientAddr parses an address as XCLIENT has it: IPv6 with a prefix.
func parseXClientAddr(value []byte) (netip.Addr, bool) {
	text, six := cutKeyword(value, "IPV6:")
	if !six {
		text = value
	}
	a, err := netip.ParseAddr(string(text))
	return a.Unmap(), err == nil && a.Zone() == "" && a.Is6() == six
}

func xclientAttribute(name []byte) XClientAttribute {
	for i, n := range xclientNames {
		if equalFold(name, n) {
			return 1 << i
		}
	}
	return 0
}

func hasControl(b []byte) bool {
	return bytes.ContainsFunc(b, func(r rune) bool { return r < ' ' || r == 0x7f })
}

package proxy

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

const sign = "\r\n\r\n\x00\r\nQUIT\n"

var headers = []struct {
	name, text string
	want       Header
}{
	{"v1 over IPv4", "PROXY TCP4 192.0.2.7 192.0.2.1 4711 25\r\n", Header{Client: netip.MustParseAddrPort("192.0.2.7:4711")}},
	{"v1 over IPv6", "PROXY TCP6 2001:db8::7 2001:db8::1 4711 25\r\n", Header{Client: netip.MustParseAddrPort("[2001:db8::7]:4711")}},
	{"v1 of nobody", "PROXY UNKNOWN\r\n", Header{Own: true}},
	{"v1 of nobody, with words", "PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", Header{Own: true}},
	{"v2 over IPv4", sign + "\x21\x11\x00\x0c\xc0\x00\x02\x07\xc0\x00\x02\x01\x12\x67\x00\x19", Header{Client: netip.MustParseAddrPort("192.0.2.7:4711")}},
	{"v2 with more values", sign + "\x21\x11\x00\x10\xc0\x00\x02\x07\xc0\x00\x02\x01\x12\x67\x00\x19\x04\x00\x01x", Header{Client: netip.MustParseAddrPort("192.0.2.7:4711")}},
	{"v2 over IPv6", sign + "\x21\x21\x00\x24 \x01\x0d\xb8" + strings.Repeat("\x00", 11) + "\x07 \x01\x0d\xb8" + strings.Repeat("\x00", 11) + "\x01\x12\x67\x00\x19", Header{Client: netip.MustParseAddrPort("[2001:db8::7]:4711")}},
	{"v2 over a unix socket", sign + "\x21\x31\x00\xd8" + strings.Repeat("p", 216), Header{}},
	{"v2 of the proxy itself", sign + "\x20\x00\x00\x00", Header{Own: true}},
	{"v2 of the proxy itself, with values", sign + "\x20\x11\x00\x05abcde", Header{Own: true}},
	{"v2 of nobody", sign + "\x21\x00\xff\xff" + strings.Repeat("x", 65535), Header{Own: true}},
}

// Each header is read whole, in single octets, and with what follows it.
func TestHeaders(t *testing.T) {
	for _, c := range headers {
		for _, size := range []int{1, 7, len(c.text)} {
			var p Parser
			text, taken, done := c.text+"EHLO", 0, false
			for !done {
				n, h, over, err := p.Feed([]byte(text[taken:min(taken+size, len(text))]))
				taken += n
				if done = over; err != nil || n == 0 {
					t.Fatalf("%s, %d octets at a time: %v after %d", c.name, size, err, taken)
				}
				if done && h != c.want {
					t.Errorf("%s, %d octets at a time: %+v, want %+v", c.name, size, h, c.want)
				}
			}
			if taken != len(c.text) {
				t.Errorf("%s, %d octets at a time: %d octets taken, want %d", c.name, size, taken, len(c.text))
			}
		}
	}
}

func TestNoHeaders(t *testing.T) {
	for _, text := range []string{
		"EHLO client.example\r\n", "PROXI", "PROXY TCP4 192.0.2.7 192.0.2.1 4711\r\n", "PROXY TCP4 2001:db8::7 2001:db8::1 1 2\r\n", "PROXY TCP6 192.0.2.7 192.0.2.1 1 2\r\n",
		"PROXY TCP4 192.0.2.7 192.0.2.1 65536 25\r\n", "PROXY TCP4 192.0.2.7 192.0.2.1 01 25\r\n", "PROXY TCP4 192.0.2.7 192.0.2.1 +1 25\r\n", "PROXY TCP4 192.0.2.7  192.0.2.1 1 25\r\n",
		"PROXY UDP4 192.0.2.7 192.0.2.1 1 25\r\n", "PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", "PROXY UNKNOWN\n", "PROXY \r\n", "PROXY " + strings.Repeat("x", 200),
		"\r\n\r\nQUIT", sign + "\x11\x11\x00\x0c", sign + "\x22\x11\x00\x0c", sign + "\x21\x11\x00\x0b", sign + "\x21\x41\x00\x0c", sign + "\x21\x12\x00\x0c",
	} {
		var p Parser
		n, _, done, err := p.Feed([]byte(text))
		if !errors.Is(err, ErrHeader) || done || n == 0 || n > maxText {
			t.Errorf("%q: %d octets, done is %v, %v; want at most %d and %v", text, n, done, err, maxText, ErrHeader)
		}
	}
}

// FuzzParser: however its octets are cut, a header says the same, and takes the same.
func FuzzParser(f *testing.F) {
	for _, c := range headers {
		if len(c.text) < 1000 {
			f.Add([]byte(c.text+"rest"), uint8(3))
		}
	}
	f.Fuzz(func(t *testing.T, text []byte, size uint8) {
		var whole, cut Parser
		n, h, done, err := whole.Feed(text)
		if n > len(text) || done && err != nil || err == nil && !done && n != len(text) {
			t.Fatalf("%d octets of %d, done is %v, %v", n, len(text), done, err)
		}
		taken, step := 0, max(int(size), 1)
		for taken < len(text) {
			m, other, over, failed := cut.Feed(text[taken:min(taken+step, len(text))])
			if taken += m; over || failed != nil {
				if over != done || (failed == nil) != (err == nil) || other != h || taken != n {
					t.Fatalf("in pieces of %d: %+v after %d, %v; as a whole %+v after %d, %v", step, other, taken, failed, h, n, err)
				}
				return
			}
		}
		if done || err != nil {
			t.Fatalf("in pieces of %d it has no end, as a whole after %d: %v", step, n, err)
		}
	})
}

package smtp

import (
	"strings"
	"testing"
)

func TestForeign(t *testing.T) {
	for _, test := range []struct {
		line         string
		first, later int
	}{
		{"GET / HTTP/1.1\r\n", 4, 4},
		{"get /", 4, 4},
		{"GET\r\n", 0, 0},
		{"GETX 1\r\n", 0, 0},
		{"POST / HTTP/1.1\r\n", 5, 5},
		{"CONNECT mx.example:25 HTTP/1.1\r\n", 8, 8},
		{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 11, 11},
		{"HTTP/1.1 400 Bad Request\r\n", 5, 5},
		{"INVITE sip:a@b.example SIP/2.0\r\n", 7, 7},
		{"SSH-2.0-OpenSSH_9.6\r\n", 4, 4},
		{"AMQP\x00\x00\x09\x01", 4, 4},
		{"<?xml version='1.0'?>", 5, 5},
		{"\x16\x03\x01\x02\x00\x01", 1, 2},
		{"\x16", 1, 0},
		{"\x16\x04", 1, 0},
		{"\x80\x2e\x01\x03\x01", 1, 0},
		{"\x00\x00\x00\x08", 1, 0},
		{"\x05\x01\x00", 1, 0},
		{"\xff\xfb\x01", 1, 0},
		{"0\x0c\x02\x01\x01`\x07\x02\x01\x03\x04\x00\x80\x00", 2, 0}, // LDAP's bind, anonymous
		{"0\x84\x00\x00\x00\x10\x02\x01\x01`", 3, 0},                 // with a long length
		{"0,\x02\x01\x00\x04\x06public", 3, 0},                       // SNMP; its length is a comma
		{":\x00\x00\x00\x01\x00\x00\x00", 2, 0},                      // a length of 58, as MongoDB's first
		{"0 EHLO a\r\n", 0, 0},
		{"12345678\x01", 0, 0},
		{"EH\x00LO a\r\n", 0, 0},
		{"", 0, 0},
		{"\r\n", 0, 0},
		{"\n", 0, 0},
		{"\tEHLO a\r\n", 0, 0},
		{"EHLO GET / HTTP/1.1\r\n", 0, 0},
		{"\xef\xbb\xbfEHLO a\r\n", 0, 0}, // a byte order mark: clumsy, but meant for us
		{"HELP\r\n", 0, 0},
	} {
		if got := Foreign([]byte(test.line), true); got != test.first {
			t.Errorf("%q first: %d octets, want %d", test.line, got, test.first)
		}
		if got := Foreign([]byte(test.line), false); got != test.later {
			t.Errorf("%q later: %d octets, want %d", test.line, got, test.later)
		}
		for n := range len(test.line) { // it is known as soon as it can be, and not before
			want := 0
			if test.later > 0 && n >= test.later {
				want = test.later
			}
			if got := Foreign([]byte(test.line[:n]), false); got != want {
				t.Errorf("%d octets of %q: %d, want %d", n, test.line, got, want)
			}
		}
	}
	for v := VerbHelo; int(v) < NumVerbs; v++ {
		for _, line := range []string{v.String() + " x\r\n", strings.ToLower(v.String()) + "\r\n"} {
			if Foreign([]byte(line), true) != 0 || ForeignRequest([]byte(line)) {
				t.Errorf("%q is taken for another protocol's", line)
			}
		}
	}
}

func TestForeignRequest(t *testing.T) {
	for line, want := range map[string]bool{
		"PROPFIND /x HTTP/1.1":                  true,
		"DESCRIBE rtsp://a.example/ RTSP/1.0\r": true,
		"SUBSCRIBE sip:a@b.example SIP/2.0  ":   true,
		"HTTP/1.1":                              false,
		"XYZ HTTP/1":                            false,
		"XYZ a/1.1":                             false,
		"":                                      false,
		"MAIL FROM:<a@b.example>":               false,
		"XCLIENT ADDR=192.0.2.1 HELO=HTTP.example": false,
	} {
		if got := ForeignRequest([]byte(line)); got != want {
			t.Errorf("%q: %v, want %v", line, got, want)
		}
	}
	line := []byte("REGISTEX sip:a@b.example SIP/2.0")
	if n := testing.AllocsPerRun(100, func() {
		if Foreign(line, true) != 0 || !ForeignRequest(line) {
			t.Fatal("not told")
		}
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

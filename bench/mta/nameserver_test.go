package mta

import "testing"

// TestNameReply: of a question the address is answered where it asks for one, and nothing else is known of any name.
func TestNameReply(t *testing.T) {
	const (
		head = "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01"
		name = "\x02d0\x04test\x00"
		edns = "\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00"
	)
	for _, tt := range []struct{ what, query, want string }{
		{"an address", head + name + "\x00\x01\x00\x01" + edns,
			"\x12\x34\x85\x80\x00\x01\x00\x01\x00\x00\x00\x00" + name + "\x00\x01\x00\x01" + "\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x7f\x00\x00\x02"},
		{"a mail exchanger: none", head + name + "\x00\x0f\x00\x01", "\x12\x34\x85\x80\x00\x01\x00\x00\x00\x00\x00\x00" + name + "\x00\x0f\x00\x01"},
		{"a policy of MTA-STS: no such name", head + "\x08_mta-sts" + name + "\x00\x10\x00\x01", "\x12\x34\x85\x83\x00\x01\x00\x00\x00\x00\x00\x00" + "\x08_mta-sts" + name + "\x00\x10\x00\x01"},
		{"a reply", "\x12\x34\x81\x80\x00\x01\x00\x00\x00\x00\x00\x00" + name + "\x00\x01\x00\x01", ""},
		{"a name without its end", head + "\x02d0\x3ftest", ""},
		{"a question that is cut", head + name + "\x00\x01", ""},
		{"the root", head + "\x00\x00\x02\x00\x01", "\x12\x34\x85\x80\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x01"},
		{"nothing", "", ""},
	} {
		if got := string(nameReply([]byte(tt.query), [4]byte{127, 0, 0, 2})); got != tt.want {
			t.Errorf("%s:\ngot  %q\nwant %q", tt.what, got, tt.want)
		}
	}
}

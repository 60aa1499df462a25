package reconcile

import (
	"bytes"
	"strings"
	"testing"
)

// What makes addresses the same is told by smtp.AppendAddress; identities may stand in angle brackets besides.
func TestAddressesThatAreTheSame(t *testing.T) {
	want := "user@dst.test"
	for _, address := range []string{"user@dst.test", "<user@DST.test.>", `<"us\er"@dst.test>`} {
		if got := appendAddress(nil, []byte(address)); string(got) != want {
			t.Errorf("%s becomes %q, want %q", address, got, want)
		}
	}
}

// An identity that rows can't hold is compared as far as they hold it, with angle brackets and without.
func TestLongIdentitiesAreComparedAsCut(t *testing.T) {
	long := strings.Repeat("m", 2*maxID) + "@X.test"
	inRow := func(id string) string { return id[:min(len(id), maxID)] }
	want := appendID(nil, []byte(long))
	for _, id := range []string{"<" + long + ">", inRow(long), inRow("<" + long + ">")} {
		if got := appendID(nil, []byte(id)); !bytes.Equal(got, want) {
			t.Errorf("an identity of %d octets, %.3s...: compared by %d octets, want %d", len(id), id, len(got), len(want))
		}
	}
}

func TestORCPT(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{"rfc822;a+2Bb@x", "a+b@x"}, {"RFC822;a@x", "a@x"}, {"utf-8;a@x", "a@x"}, {"x400;a@x", ""}, {"a@x", ""}, {"rfc822;a+2bb@x", "a+2bb@x"}, {"", ""},
	} {
		got, ok := decodeORCPT(nil, []byte(test.in))
		if ok != (test.want != "") || ok && string(got) != test.want {
			t.Errorf("%q: %q, %v; want %q", test.in, got, ok, test.want)
		}
	}
}

func FuzzAddress(f *testing.F) {
	for _, s := range []string{`"a\\b"@x.`, "<a@b>", `"a"@[IPv6:::1]`, "ü@ü.example"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, address []byte) {
		if got := appendAddress(nil, address); len(got) > 4*maxID {
			t.Errorf("%q becomes %d octets", address, len(got))
		}
	})
}

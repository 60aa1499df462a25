package capture

import (
	"strings"
	"testing"
)

// FuzzParseHeader: what a client sent as a header is parsed or refused; a value never goes over lines. A CR that stands alone
// stays what the client made it.
func FuzzParseHeader(f *testing.F) {
	for _, seed := range []string{"", "Subject: x\r\n\r\nbody", "Subject: a\r\n b\r\n\tc\r\n\r\n", ": x\r\n\r\n", "A\r\n\r\n", "From: a@b\nTo: c\n\n", "X: \xff\x00\r\n\r\n", strings.Repeat("A: b\r\n", 2000)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, octets []byte) {
		header, err := ParseHeader(octets)
		if err != nil {
			if header != nil {
				t.Errorf("%v and %v", header, err)
			}
			return
		}
		for name, values := range header {
			for _, v := range values {
				if strings.Contains(name+v, "\n") {
					t.Errorf("field %q has the value %q", name, v)
				}
			}
		}
	})
}

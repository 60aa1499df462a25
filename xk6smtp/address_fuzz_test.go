package xk6smtp

import (
	"strings"
	"testing"
)

// FuzzAddress: an address of a script never ends the command or the field that it is put into.
func FuzzAddress(f *testing.F) {
	for _, seed := range []string{"", "<>", "a@b", "Name <a@b>", `"a b"@c`, "a@b (comment)", "=?utf-8?q?x?= <a@b>", "a\r\nRCPT TO:<c@d>", `"a\"b" <x@y>`, "<a@b> x", "é@ü", "<@relay:a@b>"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := parseAddress(text)
		if err != nil {
			return
		}
		if strings.ContainsAny(a.mailbox, "\r\n\x00") || strings.ContainsAny(a.name, "\r\n") {
			t.Errorf("%q: %q, %q", text, a.name, a.mailbox)
		}
		if again, err := parseAddress("<" + a.mailbox + ">"); err != nil || again.mailbox != a.mailbox {
			t.Errorf("%q: the mailbox %q is read as %q, %v", text, a.mailbox, again.mailbox, err)
		}
	})
}

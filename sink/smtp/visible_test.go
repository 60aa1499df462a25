package smtp

import "testing"

func TestVisible(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "",
		"plain Jürgen 日本 🙂":       "plain Jürgen 日本 🙂",
		"a\x1b[31mred\x07":        `a\x1b[31mred\x07`,
		"tab\tline\r\n\x00\x7f":   `tab\tline\r\n\x00\x7f`,
		"c1 \u009b31m":            `c1 \u009b31m`,
		"octets \x9b31m \xff\xc3": `octets \x9b31m \xff\xc3`,
		"mail \u202etxt.exe":      `mail \u202etxt.exe`,
		"one\u2028two\u2029":      `one\u2028two\u2029`,
		"real \ufffd":             "real \ufffd",
	} {
		if got := Visible(text); got != want {
			t.Errorf("%q: %s, expected %s", text, got, want)
		}
	}
	if got := VisibleLines("a\x1b\nb\r\n"); got != "a\\x1b\nb\\r\n" {
		t.Errorf("lines: %q", got)
	}
	if n := testing.AllocsPerRun(100, func() { Visible("250 2.1.5 ok") }); n != 0 {
		t.Errorf("%v allocations for text without anything to hide", n)
	}
}

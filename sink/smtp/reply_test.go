package smtp

import (
	"strings"
	"testing"
)

func TestParseCode(t *testing.T) {
	for _, s := range []string{"200", "250", "354", "421", "599"} {
		if c, err := ParseCode(s); err != nil || (&Reply{Code: c}).String() != s+" " {
			t.Errorf("ParseCode(%q) = %d, %v", s, c, err)
		}
	}
	for _, s := range []string{"", "25", "0250", "2500", "199", "600", "999", "abc", "+25", "-25", " 250", "250 "} {
		want := `invalid reply code "` + s + `" (want 200 to 599)`
		if c, err := ParseCode(s); err == nil || err.Error() != want {
			t.Errorf("ParseCode(%q) = %d, %v; want %s", s, c, err, want)
		}
	}
}

func TestCodeClasses(t *testing.T) {
	for _, test := range []struct {
		code                           Code
		class                          uint8
		positive, temporary, permanent bool
	}{
		{250, 2, true, false, false},
		{354, 3, true, false, false},
		{421, 4, false, true, false},
		{554, 5, false, false, true},
	} {
		c := test.code
		if c.Class() != test.class || c.Positive() != test.positive || c.Temporary() != test.temporary || c.Permanent() != test.permanent {
			t.Errorf("%d: class %d, positive %v, temporary %v, permanent %v", c, c.Class(), c.Positive(), c.Temporary(), c.Permanent())
		}
	}
}

func TestReplyAppend(t *testing.T) {
	for _, test := range []struct {
		reply               Reply
		with, without, text string
	}{
		{Reply{Code: 250, Enhanced: Enhanced{2, 0, 0}, Lines: []string{"Ok"}}, "250 2.0.0 Ok\r\n", "250 Ok\r\n", "250 2.0.0 Ok"},
		{Reply{Code: 354, Lines: []string{"Go on"}}, "354 Go on\r\n", "354 Go on\r\n", "354 Go on"},
		{Reply{Code: 250, Lines: []string{"mx.example", "SIZE 1000", "DSN"}},
			"250-mx.example\r\n250-SIZE 1000\r\n250 DSN\r\n", "250-mx.example\r\n250-SIZE 1000\r\n250 DSN\r\n",
			"250-mx.example / 250-SIZE 1000 / 250 DSN"},
		{Reply{Code: 550, Enhanced: Enhanced{5, 1, 10}, Lines: []string{"a", "b"}},
			"550-5.1.10 a\r\n550 5.1.10 b\r\n", "550-a\r\n550 b\r\n", "550-5.1.10 a / 550 5.1.10 b"},
		{Reply{Code: 250, Enhanced: Enhanced{2, 0, 0}}, "250 2.0.0 \r\n", "250 \r\n", "250 2.0.0 "},
	} {
		if got := string(test.reply.Append([]byte("x"), true)); got != "x"+test.with {
			t.Errorf("%+v: %q, want %q", test.reply, got, "x"+test.with)
		}
		if got := string(test.reply.Append(nil, false)); got != test.without {
			t.Errorf("%+v: %q, want %q without enhanced status code", test.reply, got, test.without)
		}
		if got := test.reply.String(); got != test.text {
			t.Errorf("%+v: %q, want %q for people", test.reply, got, test.text)
		}
	}
}

func TestReplyAppendDoesNotAllocate(t *testing.T) {
	r := &Reply{Code: 550, Enhanced: Enhanced{5, 1, 1}, Lines: []string{"Requested action not taken:", "mailbox unavailable"}}
	buf := make([]byte, 0, 256)
	if n := testing.AllocsPerRun(100, func() { buf = r.Append(buf[:0], true) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func TestReplyValidate(t *testing.T) {
	longest := strings.Repeat("x", 64<<10)
	for _, test := range []struct {
		reply Reply
		want  string
	}{
		{Reply{Code: 250, Enhanced: Enhanced{2, 0, 0}, Lines: []string{"Ok", ""}}, ""},
		{Reply{Code: 200}, ""},
		{Reply{Code: 599, Lines: []string{longest}}, ""},
		{Reply{Code: 599, Lines: []string{longest + "x"}}, "reply text of 65537 octets is too long (want at most 65536)"},
		{Reply{Code: 199}, "invalid reply code 199 (want 200 to 599)"},
		{Reply{}, "invalid reply code 0 (want 200 to 599)"},
		{Reply{Code: 450, Enhanced: Enhanced{5, 1, 1}}, "enhanced status code 5.1.1 contradicts reply code 450: its class must be 4"},
		{Reply{Code: 250, Lines: []string{"Ok", "a\nb"}}, `reply text "a\nb" holds CR, LF or NUL`},
		{Reply{Code: 250, Lines: []string{"a\rb"}}, `reply text "a\rb" holds CR, LF or NUL`},
		{Reply{Code: 250, Lines: []string{"a\x00b"}}, `reply text "a\x00b" holds CR, LF or NUL`},
	} {
		got := ""
		if err := test.reply.Validate(); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%+v:\n%s, want\n%s", test.reply, got, test.want)
		}
	}
}

func BenchmarkReplyAppend(b *testing.B) {
	r := &Reply{Code: 250, Enhanced: Enhanced{2, 1, 5}, Lines: []string{"OK"}}
	buf := make([]byte, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		buf = r.Append(buf[:0], true)
	}
}

package smtp

import (
	"bytes"
	"math"
	"strings"
	"testing"
)

func TestVerbs(t *testing.T) {
	for v := VerbUnknown + 1; int(v) < NumVerbs; v++ {
		for _, word := range []string{v.String(), strings.ToLower(v.String()), v.String()[:1] + strings.ToLower(v.String()[1:])} {
			if got := ParseCommand([]byte(word)).Verb; got != v {
				t.Errorf("%q is %v, want %v", word, got, v)
			}
		}
		want := strings.ToLower(v.String())
		switch v {
		case VerbLhlo:
			want = "ehlo"
		case VerbXClient:
			want = "unknown"
		}
		if got := v.Stage().String(); got != want {
			t.Errorf("%v is answered at stage %s, want %s", v, got, want)
		}
	}
	for _, word := range []string{"", "x", "HEL", "HELOO", "STARTTLT", "STARTTL", "HEL\x0f", "\x28ELO", "MAILFROM:<a@b>", "XCLIENS", "BATA"} {
		if got := ParseCommand([]byte(word)).Verb; got != VerbUnknown || got.Stage() != StageUnknown {
			t.Errorf("%q is %v, want unknown", word, got)
		}
	}
	// Each octet other than a letter, at each place of a verb, makes it unknown: the comparison clears a bit of each octet.
	for place := range 4 {
		for c := range 256 {
			word := []byte("MAIL")
			if byte(c)&^0x20 == word[place] {
				continue
			}
			word[place] = byte(c)
			if got := ParseCommand(word).Verb; got == VerbMail {
				t.Errorf("%q is %v", word, got)
			}
		}
	}
	if got := Verb(200); got.String() != "verb(200)" || got.Stage() != StageUnknown {
		t.Errorf("Verb(200) is %v at %v", got, got.Stage())
	}
}

func TestParseCommand(t *testing.T) {
	for _, test := range []struct {
		line string
		verb Verb
		args string
	}{
		{"QUIT", VerbQuit, ""},
		{"quit  ", VerbQuit, ""},
		{"EHLO client.example", VerbEhlo, "client.example"},
		{"EHLO\t client.example\t ", VerbEhlo, "client.example"},
		{"  NOOP", VerbNoop, ""},
		{"MAIL FROM:<a@b> SIZE=1", VerbMail, "FROM:<a@b> SIZE=1"},
		{"STARTTLS", VerbStartTLS, ""},
		{"AUTH PLAIN AGEAYg==", VerbAuth, "PLAIN AGEAYg=="},
		{"NOOP a  b", VerbNoop, "a  b"},
		{"WIZ root", VerbUnknown, "root"},
		{"", VerbUnknown, ""},
		{"   ", VerbUnknown, ""},
	} {
		got := ParseCommand([]byte(test.line))
		if got.Verb != test.verb || string(got.Args) != test.args {
			t.Errorf("%q: %v %q, want %v %q", test.line, got.Verb, got.Args, test.verb, test.args)
		}
	}
}

func TestParseBdat(t *testing.T) {
	for _, test := range []struct {
		args string
		size int64
		last bool
		ok   bool
	}{
		{"1000", 1000, false, true},
		{"0 LAST", 0, true, true},
		{"86 last", 86, true, true},
		{"86 \t LaSt", 86, true, true},
		{"9223372036854775806", math.MaxInt64 - 1, false, true},
		{"9223372036854775807", math.MaxInt64, false, true},
		{"9223372036854775808 LAST", math.MaxInt64, true, true},
		{"18446744073709551617", math.MaxInt64, false, true}, // 2^64 + 1: it must not wrap around to 1
		{strings.Repeat("9", 100) + "0", math.MaxInt64, false, true},
		{"0000000000000000000000000004", 4, false, true},
		{"", 0, false, false},
		{"LAST", 0, false, false},
		{"-1", 0, false, false},
		{"+1", 0, false, false},
		{"1x", 0, false, false},
		{"1 LAS", 0, false, false},
		{"1 LAST LAST", 0, false, false},
	} {
		size, last, err := ParseBdat([]byte(test.args))
		if (err == nil) != test.ok || size != test.size || last != test.last {
			t.Errorf("%q: %d, %v, %v; want %d, %v, ok=%v", test.args, size, last, err, test.size, test.last, test.ok)
		}
		if err != nil && err.Error() != "501 5.5.4 Syntax: BDAT size [LAST]" {
			t.Errorf("%q: %v", test.args, err)
		}
	}
}

func TestDomainOf(t *testing.T) {
	for path, want := range map[string]string{
		"":                     "",
		"user":                 "",
		"user@":                "",
		"user@Example.COM":     "Example.COM",
		`"a@b"@example.com`:    "example.com",
		`"a@b"`:                "",
		"user@[192.0.2.1]":     "[192.0.2.1]",
		"user@[IPv6:2001::25]": "[IPv6:2001::25]",
	} {
		if got := string(DomainOf([]byte(path))); got != want {
			t.Errorf("DomainOf(%q) = %q, want %q", path, got, want)
		}
	}
}

func TestParsingCommandsDoesNotAllocate(t *testing.T) {
	lines := [][]byte{[]byte("MAIL FROM:<a@b>"), []byte("starttls"), []byte("BDAT 1000 LAST"), []byte("nonsense x")}
	if n := testing.AllocsPerRun(100, func() {
		for _, line := range lines {
			if c := ParseCommand(line); c.Verb == VerbBdat {
				if _, _, err := ParseBdat(c.Args); err != nil {
					t.Fatal(err)
				}
			} else if _, _, err := ParseBdat(c.Args); err == nil {
				t.Fatalf("%q has a size", line)
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// aliases reports whether part is a slice of whole.
func aliases(whole, part []byte) bool {
	if len(part) == 0 {
		return true
	}
	for i := range whole {
		if &whole[i] == &part[0] {
			return i+len(part) <= len(whole)
		}
	}
	return false
}

func FuzzParseCommand(f *testing.F) {
	for _, line := range []string{"EHLO a", "mail from:<a@b>", "BDAT 10 LAST", " QUIT ", "\x00\r\n", "STARTTLS", ""} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		c := ParseCommand(line)
		if !aliases(line, c.Args) {
			t.Fatalf("arguments %q are no part of %q", c.Args, line)
		}
		if again := ParseCommand([]byte(c.Verb.String() + " " + string(c.Args))); again.Verb != c.Verb || !bytes.Equal(again.Args, c.Args) {
			t.Fatalf("%v %q became %v %q", c.Verb, c.Args, again.Verb, again.Args)
		}
		if size, _, err := ParseBdat(c.Args); err == nil && size < 0 {
			t.Fatalf("BDAT %q has the size %d", c.Args, size)
		}
	})
}

func BenchmarkParseCommand(b *testing.B) {
	line := []byte("RCPT TO:<recipient-00042@domain-7.example.com>")
	b.ReportAllocs()
	for b.Loop() {
		if ParseCommand(line).Verb != VerbRcpt {
			b.Fatal("wrong verb")
		}
	}
}

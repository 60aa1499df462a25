package smtp

import (
	"strings"
	"testing"
)

func TestParseEnhanced(t *testing.T) {
	for _, s := range []string{"2.0.0", "4.7.0", "5.1.1", "5.1.10", "5.999.999", "2.10.100"} {
		e, err := ParseEnhanced(s)
		if err != nil || e.String() != s || e.IsZero() {
			t.Errorf("ParseEnhanced(%q) = %v, %v", s, e, err)
		}
	}
	for _, s := range []string{
		"", "5", "5.1", "5.1.", "5..1", "5.1.1.", "5.1.1.1", "3.1.1", "1.0.0", "0.0.0", "6.0.0", "5.01.1", "5.1.01", "5.00.1", "5.1000.1",
		"5.1.1000", " 5.1.1", "5.1.1 ", "5.1.1 x", "5.-1.1", "5.a.1", "x.1.1", "55.1.1",
	} {
		e, err := ParseEnhanced(s)
		if err == nil || !e.IsZero() {
			t.Errorf("ParseEnhanced(%q) = %v, %v; want an error", s, e, err)
		} else if !strings.Contains(err.Error(), "want class.subject.detail, such as 5.1.1, with class 2, 4 or 5") {
			t.Errorf("ParseEnhanced(%q): %v does not say what is valid", s, err)
		}
	}
}

func TestCutEnhanced(t *testing.T) {
	for _, test := range []struct {
		text, enhanced, rest string
		ok                   bool
	}{
		{"5.1.1 unknown", "5.1.1", "unknown", true},
		{"5.1.1", "5.1.1", "", true},
		{"5.1.1 ", "5.1.1", "", true},
		{"5.1.1  two", "5.1.1", " two", true},
		{"5.1.1unknown", "", "5.1.1unknown", false},
		{"5.1.1-unknown", "", "5.1.1-unknown", false},
		{"hello", "", "hello", false},
		{"", "", "", false},
	} {
		e, rest, ok := CutEnhanced([]byte(test.text))
		if e.String() != test.enhanced || string(rest) != test.rest || ok != test.ok {
			t.Errorf("CutEnhanced(%q) = %v, %q, %v; want %q, %q, %v", test.text, e, rest, ok, test.enhanced, test.rest, test.ok)
		}
	}
}

func TestEnhancedAsText(t *testing.T) {
	for _, s := range []string{"", "5.1.1"} {
		var e Enhanced
		if err := e.UnmarshalText([]byte(s)); err != nil {
			t.Errorf("UnmarshalText(%q): %v", s, err)
		}
		if text, err := e.MarshalText(); err != nil || string(text) != s {
			t.Errorf("%q became %q, %v", s, text, err)
		}
	}
	e := Enhanced{5, 1, 1}
	if err := e.UnmarshalText([]byte("9.9.9")); err == nil || e != (Enhanced{5, 1, 1}) {
		t.Errorf("UnmarshalText(9.9.9) = %v and %v, want an error and the code as it was", err, e)
	}
}

func FuzzParseEnhanced(f *testing.F) {
	for _, s := range []string{"5.1.1", "2.0.0 ok", "4.999.0", "5.01.1", "3.1.1", "5.1.1000"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, rest, ok := CutEnhanced([]byte(s))
		parsed, err := ParseEnhanced(s)
		if (err == nil) != (ok && s == e.String()) {
			t.Fatalf("%q: CutEnhanced = %v, %q, %v; ParseEnhanced = %v, %v", s, e, rest, ok, parsed, err)
		}
		if !ok {
			if string(rest) != s || !e.IsZero() {
				t.Fatalf("%q: no code, but %v and the rest %q", s, e, rest)
			}
			return
		}
		if e.String()+string(rest) != s && e.String()+" "+string(rest) != s {
			t.Fatalf("%q was cut into %v and %q", s, e, rest)
		}
		if e.Class != 2 && e.Class != 4 && e.Class != 5 || e.Subject > 999 || e.Detail > 999 {
			t.Fatalf("%q gives %v", s, e)
		}
	})
}

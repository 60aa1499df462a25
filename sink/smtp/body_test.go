package smtp

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// bodyFacts is all that a BodyScanner tells.
type bodyFacts struct {
	N                        int
	Octets                   int64
	Done                     bool
	BareLF, BareCR, EightBit bool
}

func factsOf(s *BodyScanner, n int) bodyFacts {
	return bodyFacts{n, s.Octets(), s.Done(), s.BareLF(), s.BareCR(), s.EightBit()}
}

// scanPieces scans stream cut at the given places and stops where the scanner does.
func scanPieces(t interface {
	Helper()
	Fatalf(string, ...any)
}, stream []byte, cuts []int) bodyFacts {
	t.Helper()
	var s BodyScanner
	read := 0
	for from, i := 0, 0; ; i++ {
		to := len(stream)
		if i < len(cuts) {
			to = min(to, from+cuts[i])
		}
		n, done := s.Scan(stream[from:to])
		read += n
		if done != s.Done() {
			t.Fatalf("Scan says done=%v, Done says %v", done, s.Done())
		}
		if !done && n != to-from {
			t.Fatalf("Scan read %d of %d octets, but is not done", n, to-from)
		}
		if from += n; done || to == len(stream) {
			break
		}
	}
	return factsOf(&s, read)
}

// naive finds out the same, octet by octet, from the definitions of RFC 5321 and nothing else.
func naive(stream []byte) bodyFacts {
	var f bodyFacts
	body := stream
	if bytes.HasPrefix(stream, []byte(".\r\n")) {
		f.Done, body = true, stream[:3]
	} else if end := bytes.Index(stream, []byte("\r\n.\r\n")); end >= 0 {
		f.Done, body = true, stream[:end+5]
	}
	f.N = len(body)
	content := body
	if f.Done {
		content = body[:len(body)-3]
	}
	f.Octets = int64(len(content))
	for i, c := range content {
		if c == '.' && (i == 0 || i >= 2 && content[i-2] == '\r' && content[i-1] == '\n') {
			f.Octets-- // the dot that the client added
		}
	}
	for i, c := range body {
		switch {
		case c == '\n' && (i == 0 || body[i-1] != '\r'):
			f.BareLF = true
		case c == '\r' && i+1 < len(body) && body[i+1] != '\n':
			f.BareCR = true
		case c >= 0x80:
			f.EightBit = true
		}
	}
	return f
}

func TestBodyScanner(t *testing.T) {
	long := strings.Repeat("X", 78) + "\r\n"
	for _, test := range []struct {
		name, stream string
		want         bodyFacts
	}{
		{"empty", ".\r\n", bodyFacts{N: 3, Done: true}},
		{"one empty line", "\r\n.\r\n", bodyFacts{N: 5, Octets: 2, Done: true}},
		{"one line", "abc\r\n.\r\n", bodyFacts{N: 8, Octets: 5, Done: true}},
		{"what follows is left", "abc\r\n.\r\nQUIT\r\n", bodyFacts{N: 8, Octets: 5, Done: true}},
		{"what follows is not judged", "abc\r\n.\r\n\x80\n\r\r", bodyFacts{N: 8, Octets: 5, Done: true}},
		{"stuffed dot", "..abc\r\n.\r\n", bodyFacts{N: 10, Octets: 6, Done: true}},
		{"stuffed dot alone", "a\r\n..\r\n.\r\n", bodyFacts{N: 10, Octets: 6, Done: true}},
		{"dot that nobody stuffed", ".abc\r\n.\r\n", bodyFacts{N: 9, Octets: 5, Done: true}},
		{"dot within a line", "a.\r\nb.c\r\n.\r\n", bodyFacts{N: 12, Octets: 9, Done: true}},
		{"LF . LF ends nothing", "abc\n.\n\r\n.\r\n", bodyFacts{N: 11, Octets: 8, Done: true, BareLF: true}},
		{"CRLF . LF ends nothing", "abc\r\n.\n\r\n.\r\n", bodyFacts{N: 12, Octets: 8, Done: true, BareLF: true}},
		{"LF . CRLF ends nothing", "abc\n.\r\nx\r\n.\r\n", bodyFacts{N: 13, Octets: 10, Done: true, BareLF: true}},
		{"CR . CR ends nothing", "abc\r.\r\r\n.\r\n", bodyFacts{N: 11, Octets: 8, Done: true, BareCR: true}},
		{"CRLF . CR ends nothing", "abc\r\n.\rx\r\n.\r\n", bodyFacts{N: 13, Octets: 9, Done: true, BareCR: true}},
		{"CR CR LF . CRLF is an end", "abc\r\r\n.\r\n", bodyFacts{N: 9, Octets: 6, Done: true, BareCR: true}},
		{"as many bare CR as bare LF", "a\rb\nc\r\n.\r\n", bodyFacts{N: 10, Octets: 7, Done: true, BareCR: true, BareLF: true}},
		{"LF CR", "a\n\rb\r\n.\r\n", bodyFacts{N: 9, Octets: 6, Done: true, BareCR: true, BareLF: true}},
		{"eight bit", "gr\xc3\xbcn\r\n.\r\n", bodyFacts{N: 10, Octets: 7, Done: true, EightBit: true}},
		{"NUL and TAB are octets", "a\x00\tb\r\n.\r\n", bodyFacts{N: 9, Octets: 6, Done: true}},
		{"unfinished", "abc", bodyFacts{N: 3, Octets: 3}},
		{"end within a line of the usual length", long + long + strings.Repeat("Y", 40) + "\r\n.\r\n" + strings.Repeat("Z", 33) + "\r\n",
			bodyFacts{N: 160 + 45, Octets: 160 + 42, Done: true}},
		{"bare LF within a line of the usual length", long + long + strings.Repeat("Y", 40) + "\n" + strings.Repeat("Z", 37) + "\r\n.\r\n",
			bodyFacts{N: 243, Octets: 240, Done: true, BareLF: true}},
		{"bare CR within a line of the usual length", long + long + strings.Repeat("Y", 40) + "\r" + strings.Repeat("Z", 37) + "\r\n.\r\n",
			bodyFacts{N: 243, Octets: 240, Done: true, BareCR: true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			stream := []byte(test.stream)
			if got := scanPieces(t, stream, nil); got != test.want {
				t.Errorf("scanned %q at once:\n%+v, want\n%+v", test.stream, got, test.want)
			}
			for i := range stream {
				for j := range len(stream) - i {
					if got := scanPieces(t, stream, []int{i, j}); got != test.want {
						t.Fatalf("scanned %q, %q, %q:\n%+v, want\n%+v", stream[:i], stream[i:i+j], stream[i+j:], got, test.want)
					}
				}
			}
			if got := naive(stream); test.want.Done && got != test.want {
				t.Errorf("the oracle says\n%+v", got)
			}
		})
	}
}

func TestBodyScannerStopsAtTheEnd(t *testing.T) {
	var s BodyScanner
	if n, done := s.Scan([]byte(".\r\nabc")); n != 3 || !done {
		t.Fatalf("Scan = %d, %v; want 3, true", n, done)
	}
	if n, done := s.Scan([]byte("abc")); n != 0 || !done {
		t.Errorf("Scan after the end = %d, %v; want 0, true", n, done)
	}
	s.Reset()
	if n, done := s.Scan([]byte("abc")); n != 3 || done || s.Octets() != 3 {
		t.Errorf("Scan after Reset = %d, %v and %d octets; want 3, false and 3", n, done, s.Octets())
	}
}

// bodyStreams draws streams in which the interesting sequences are frequent, and lines of equal and of odd lengths.
func bodyStreams() *rapid.Generator[[]byte] {
	piece := rapid.OneOf(
		rapid.SampledFrom([]string{"\r", "\n", "\r\n", ".", "\r\n.", "\r\n..", ".\r", ".\n", "\r\n.\r", "a", "\x80", "\x00", "\t"}),
		rapid.Custom(func(t *rapid.T) string {
			return strings.Repeat(strings.Repeat("X", rapid.IntRange(0, 90).Draw(t, "length"))+"\r\n", rapid.IntRange(1, 300).Draw(t, "lines"))
		}),
		rapid.Map(rapid.IntRange(0, 100), func(n int) string { return strings.Repeat("Y", n) }),
	)
	return rapid.Map(rapid.SliceOfN(piece, 0, 20), func(pieces []string) []byte { return []byte(strings.Join(pieces, "")) })
}

func TestBodyScannerAgreesWithTheDefinitionHoweverSplit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		stream := bodyStreams().Draw(t, "stream")
		if rapid.Bool().Draw(t, "ends") {
			stream = append(stream, "\r\n.\r\nQUIT\r\n"...)
		}
		cuts := rapid.SliceOfN(rapid.IntRange(0, 200), 0, 40).Draw(t, "cuts")
		got := scanPieces(t, stream, cuts)
		if once := scanPieces(t, stream, nil); got != once {
			t.Fatalf("cut at %v:\n%+v, at once\n%+v", cuts, got, once)
		}
		want := naive(stream)
		if !want.Done {
			got.Octets, want.Octets = 0, 0 // exact after the end only
		}
		if got != want {
			t.Fatalf("scanner says\n%+v, definition says\n%+v", got, want)
		}
	})
}

func TestBodyScannerDoesNotAllocate(t *testing.T) {
	body := []byte(strings.Repeat(strings.Repeat("X", 78)+"\r\n", 500) + "\r\n.\r\n")
	if n := testing.AllocsPerRun(100, func() {
		var s BodyScanner
		if _, done := s.Scan(body); !done {
			t.Fatal("no end found")
		}
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func FuzzBodyScanner(f *testing.F) {
	f.Add([]byte("abc\r\n.\r\n"), uint8(1), uint8(2))
	f.Add([]byte("..\r\n.\r\r\n.\n\r\n.\r\n"), uint8(3), uint8(0))
	f.Add([]byte(strings.Repeat("XXXXXXXX\r\n", 4)+"XXX\nXXXX\r\n.\r\n"), uint8(17), uint8(5))
	f.Fuzz(func(t *testing.T, stream []byte, a, b uint8) {
		got := scanPieces(t, stream, []int{int(a), int(b), 1, 1, 1})
		if once := scanPieces(t, stream, nil); got != once {
			t.Fatalf("cut at %d and %d: %+v, at once %+v", a, b, got, once)
		}
		want := naive(stream)
		if !want.Done {
			got.Octets, want.Octets = 0, 0
		}
		if got != want {
			t.Fatalf("scanner says %+v, definition says %+v", got, want)
		}
	})
}

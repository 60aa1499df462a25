package smtp

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// parseAll feeds stream in pieces that end at cuts, one after the other, and returns what comes out: each reply in the form of
// Reply.Append, then the error if there is one, or what is left over.
func parseAll(stream []byte, cuts []int) []string {
	var p ReplyParser
	var out []string
	for from, i := 0, 0; from < len(stream); i++ {
		to := len(stream)
		if i < len(cuts) {
			to = min(to, from+cuts[i])
		}
		for piece := stream[from:to]; len(piece) > 0; {
			n, done, err := p.Feed(piece)
			if err != nil {
				return append(out, err.Error())
			}
			if done {
				out = append(out, string(p.Reply().Append(nil, true)))
			} else if n != len(piece) {
				return append(out, fmt.Sprintf("read %d of %d octets, but not done", n, len(piece)))
			}
			piece = piece[n:]
		}
		from = to
	}
	if p.Pending() {
		out = append(out, "incomplete")
	}
	return out
}

func TestReplyParser(t *testing.T) {
	for _, test := range []struct {
		name, stream string
		want         []string
	}{
		{"one line", "220 mx.example ESMTP\r\n", []string{"220 mx.example ESMTP\r\n"}},
		{"two replies", "250 ok\r\n354 go on\r\n", []string{"250 ok\r\n", "354 go on\r\n"}},
		{"several lines", "250-mx.example\r\n250-SIZE 1000\r\n250 DSN\r\n", []string{"250-mx.example\r\n250-SIZE 1000\r\n250 DSN\r\n"}},
		{"empty line in between", "250-a\r\n250-\r\n250 b\r\n", []string{"250-a\r\n250-\r\n250 b\r\n"}},
		{"code alone (RFC 5321 section 4.2)", "250\r\n", []string{"250 \r\n"}},
		{"code and space alone", "250 \r\n", []string{"250 \r\n"}},
		{"code alone ends several lines", "250-a\r\n250\r\n", []string{"250-a\r\n250 \r\n"}},
		{"enhanced status code", "550 5.1.1 unknown\r\n", []string{"550 5.1.1 unknown\r\n"}},
		{"enhanced status code alone", "250 2.1.5\r\n", []string{"250 2.1.5 \r\n"}},
		{"enhanced status code on each line", "550-5.1.1 a\r\n550 5.1.1 b\r\n", []string{"550-5.1.1 a\r\n550 5.1.1 b\r\n"}},
		{"LF alone ends a line", "250-a\n250 b\n", []string{"250-a\r\n250 b\r\n"}},
		{"CR within a line is text", "250 a\rb\r\r\n", []string{"250 a\rb\r\r\n"}},
		{"eight bit", "250 gr\xfc\xdf\r\n", []string{"250 gr\xfc\xdf\r\n"}},
		{"incomplete line", "250 ok\r\n25", []string{"250 ok\r\n", "incomplete"}},
		{"incomplete reply", "250-ok\r\n", []string{"incomplete"}},
		{"200 and 599", "200 a\r\n599 b\r\n", []string{"200 a\r\n", "599 b\r\n"}},
		{"other protocol", "HTTP/1.1 400 Bad Request\r\n",
			[]string{`malformed reply: line does not start with a reply code from 200 to 599: "HTTP/1.1 400 Bad Request"`}},
		{"code too low", "199 a\r\n", []string{`malformed reply: line does not start with a reply code from 200 to 599: "199 a"`}},
		{"code too high", "600 a\r\n", []string{`malformed reply: line does not start with a reply code from 200 to 599: "600 a"`}},
		{"code too short", "25 a\r\n", []string{`malformed reply: line does not start with a reply code from 200 to 599: "25 a"`}},
		{"empty line", "\r\n", []string{`malformed reply: line does not start with a reply code from 200 to 599: ""`}},
		{"four digits", "2500 a\r\n", []string{`malformed reply: reply code is not followed by a space or "-": "2500 a"`}},
		{"codes mixed", "250-a\r\n251 b\r\n", []string{`malformed reply: reply code differs from 250 in the lines before: "251 b"`}},
		{"text without code", "250-a\r\nb\r\n", []string{`malformed reply: line does not start with a reply code from 200 to 599: "b"`}},
		{"longest line", "250 " + strings.Repeat("x", 4091) + "\r\n", []string{"250 " + strings.Repeat("x", 4091) + "\r\n"}},
		{"line too long", "250 " + strings.Repeat("x", 4092) + "\r\n",
			[]string{`malformed reply: line of more than 4096 octets: "250 ` + strings.Repeat("x", 60) + `"`}},
		{"most lines", strings.Repeat("250-a\r\n", 199) + "250 a\r\n", []string{strings.Repeat("250-a\r\n", 199) + "250 a\r\n"}},
		{"too many lines", strings.Repeat("250-a\r\n", 201), []string{`malformed reply: more than 200 lines: "250-a"`}},
		{"too many octets", strings.Repeat("250-"+strings.Repeat("x", 2000)+"\r\n", 40),
			[]string{`malformed reply: more than 65536 octets: "250-` + strings.Repeat("x", 60) + `"`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			stream := []byte(test.stream)
			if got := parseAll(stream, nil); !slices.Equal(got, test.want) {
				t.Errorf("fed at once:\n%q, want\n%q", got, test.want)
			}
			if got := parseAll(stream, slices.Repeat([]int{1}, len(stream))); !slices.Equal(got, test.want) {
				t.Errorf("fed octet by octet:\n%q, want\n%q", got, test.want)
			}
		})
	}
}

func TestReplyParserEnhanced(t *testing.T) {
	for _, test := range []struct {
		stream, enhanced string
		lines            []string
	}{
		{"550 5.1.1 unknown\r\n", "5.1.1", []string{"unknown"}},
		{"250 5.1.1 unknown\r\n", "", []string{"5.1.1 unknown"}}, // RFC 2034 section 4: the class is the first digit
		{"354 2.0.0 go on\r\n", "", []string{"2.0.0 go on"}},
		{"550 5.1.1unknown\r\n", "", []string{"5.1.1unknown"}},
		{"550 5.01.1 unknown\r\n", "", []string{"5.01.1 unknown"}},
		{"550-5.1.1 a\r\n550 b\r\n", "5.1.1", []string{"a", "b"}},
		{"550-5.1.1 a\r\n550 5.7.1 b\r\n", "5.1.1", []string{"a", "5.7.1 b"}},
		{"550-a\r\n550 5.1.1 b\r\n", "", []string{"a", "5.1.1 b"}},
	} {
		var p ReplyParser
		n, done, err := p.Feed([]byte(test.stream))
		if err != nil || !done || n != len(test.stream) {
			t.Errorf("%q: Feed = %d, %v, %v", test.stream, n, done, err)
			continue
		}
		var lines []string
		for i := range p.NumLines() {
			lines = append(lines, string(p.Line(i)))
		}
		if p.Enhanced().String() != test.enhanced || !slices.Equal(lines, test.lines) {
			t.Errorf("%q: %q with text %q, want %q with %q", test.stream, p.Enhanced(), lines, test.enhanced, test.lines)
		}
	}
}

func TestReplyParserErrorStays(t *testing.T) {
	var p ReplyParser
	_, _, err := p.Feed([]byte("hello\r\n"))
	var syntax *ReplySyntaxError
	if !errors.As(err, &syntax) || syntax.Line != "hello" {
		t.Fatalf("Feed = %v, want a *ReplySyntaxError with the line", err)
	}
	if _, _, again := p.Feed([]byte("250 ok\r\n")); again != err {
		t.Errorf("Feed after an error = %v, want the same error", again)
	}
	p.Reset()
	if _, done, err := p.Feed([]byte("250 ok\r\n")); !done || err != nil || p.Code() != 250 {
		t.Errorf("Feed after Reset = %v, %v with code %d", done, err, p.Code())
	}
}

// A line that never ends stops at the limit: the parser neither keeps more nor reads on.
func TestReplyParserBoundsItsMemory(t *testing.T) {
	var p ReplyParser
	piece := []byte(strings.Repeat("x", 1000))
	fed := 0
	for ; fed < 100_000; fed += len(piece) {
		if _, _, err := p.Feed(piece); err != nil {
			break
		}
	}
	if fed > MaxParsedReplyLine || cap(p.buf) > 2*MaxParsedReplyLine {
		t.Errorf("fed %d octets and kept %d without an error", fed, cap(p.buf))
	}
}

func TestReplyParserKeepsNothingOfItsInput(t *testing.T) {
	var p ReplyParser
	input := []byte("250 hello\r\n")
	if _, done, err := p.Feed(input); !done || err != nil {
		t.Fatal(done, err)
	}
	clear(input)
	if got := string(p.Line(0)); got != "hello" {
		t.Errorf("the line became %q when the input was overwritten", got)
	}
}

// What Reply.Append writes, the parser reads back, however it is cut.
func TestReplyRoundTrip(t *testing.T) {
	text := rapid.StringMatching(`([a-z][ -~]{0,40})?`)
	rapid.Check(t, func(t *rapid.T) {
		var stream []byte
		var want []string
		for range rapid.IntRange(1, 4).Draw(t, "replies") {
			r := &Reply{
				Code:  Code(rapid.IntRange(200, 599).Draw(t, "code")),
				Lines: rapid.SliceOfN(text, 1, 5).Draw(t, "lines"),
			}
			if rapid.Bool().Draw(t, "enhanced") && r.Code.Class() != 3 {
				r.Enhanced = Enhanced{r.Code.Class(), rapid.Uint16Range(0, 999).Draw(t, "subject"), rapid.Uint16Range(0, 999).Draw(t, "detail")}
			}
			if err := r.Validate(); err != nil {
				t.Fatal(err)
			}
			want = append(want, string(r.Append(nil, true)))
			stream = r.Append(stream, true)
		}
		cuts := rapid.SliceOf(rapid.IntRange(1, 20)).Draw(t, "cuts")
		if got := parseAll(stream, cuts); !slices.Equal(got, want) {
			t.Fatalf("read back\n%q, want\n%q", got, want)
		}
	})
}

func TestReplyParserDoesNotAllocate(t *testing.T) {
	var p ReplyParser
	stream := []byte("250 2.1.5 Ok\r\n550-5.1.1 No\r\n550 5.1.1 Such user\r\n")
	if n := testing.AllocsPerRun(100, func() {
		for rest := stream; len(rest) > 0; {
			n, done, err := p.Feed(rest)
			if err != nil || !done {
				t.Fatal(done, err)
			}
			rest = rest[n:]
		}
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func FuzzReplyParser(f *testing.F) {
	f.Add([]byte("220 mx.example\r\n250-a\r\n250 b\r\n"), uint8(3))
	f.Add([]byte("550-5.1.1 a\n550 5.1.1 b\n"), uint8(1))
	f.Add([]byte("250-a\r\n251 b\r\n"), uint8(9))
	f.Add([]byte("250"+strings.Repeat("x", 5000)), uint8(200))
	f.Fuzz(func(t *testing.T, stream []byte, size uint8) {
		once := parseAll(stream, nil)
		pieces := parseAll(stream, slices.Repeat([]int{int(size) + 1}, len(stream)/(int(size)+1)+1))
		if !slices.Equal(once, pieces) {
			t.Fatalf("in pieces of %d:\n%q, at once\n%q", int(size)+1, pieces, once)
		}
	})
}

func BenchmarkReplyParser(b *testing.B) {
	for name, stream := range map[string]string{
		"line":   "250 2.0.0 Ok: queued as 4Zx1Yf0Q1Sz9rxj\r\n",
		"lines8": strings.Repeat("250-XCAPABILITY something\r\n", 7) + "250 DSN\r\n",
	} {
		b.Run(name, func(b *testing.B) {
			data := []byte(stream)
			var p ReplyParser
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, done, err := p.Feed(data); !done || err != nil {
					b.Fatal(done, err)
				}
			}
		})
	}
}

func TestReplyWhoseLastLineDecides(t *testing.T) {
	var r ReplyParser
	r.LastLineDecides(true)
	for _, test := range []struct{ octets, want string }{
		{"220-mx.test\r\n521 5.7.1 go away\r\n", "521 5.7.1 mx.test|go away"},
		{"220-2.0.0 mx.test\r\n220-2.0.0 still\r\n554 no\r\n", "554  mx.test|still|no"},
		{"220-mx.test\r\n220 ready\r\n", "220  mx.test|ready"},
		{"554-5.7.1 a\r\n220 2.0.0 b\r\n", "220 2.0.0 a|b"},
	} {
		n, done, err := r.Feed([]byte(test.octets))
		if n != len(test.octets) || !done || err != nil {
			t.Fatalf("%q: %d %v %v", test.octets, n, done, err)
		}
		reply := r.Reply()
		if got := fmt.Sprintf("%d %v %s", reply.Code, reply.Enhanced, strings.Join(reply.Lines, "|")); got != test.want {
			t.Errorf("%q: %q, expected %q", test.octets, got, test.want)
		}
	}
	r.LastLineDecides(false)
	if _, _, err := r.Feed([]byte("220-a\r\n521 b\r\n")); err == nil {
		t.Error("codes mixed are no error any more")
	}
}

package session

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// frames feeds a framing the input in pieces of at most size octets, and returns what it finds: a good line by its text, others by their kind.
func frames(t *testing.T, f *framing, input string, size int, answer bool) (found []string) {
	t.Helper()
	for before := 0; before < len(input); {
		piece := []byte(input[before:min(before+size, len(input))])
		n, kind, text := f.next(piece, uint64(before), answer, smtp.MaxCommandLine)
		if n <= 0 || n > len(piece) {
			t.Fatalf("took %d octets of %d", n, len(piece))
		}
		before += n
		switch kind {
		case lineUnfinished:
		case lineGood:
			found = append(found, string(text))
		default:
			found = append(found, fmt.Sprintf("kind %d", kind))
		}
		f.release()
		if kind == lineEndless || kind == lineForeign {
			return found // the session ends
		}
	}
	return found
}

// TestFraming: the lines that are found are the same however the input is split, and nothing is kept between two lines.
func TestFraming(t *testing.T) {
	kind := func(k lineKind) string { return fmt.Sprintf("kind %d", k) }
	long := strings.Repeat("x", 600)
	for _, tt := range []struct {
		name, input string
		answer      bool
		want        []string
	}{
		{"lines", "NOOP\r\nRSET\r\n\r\n", false, []string{"NOOP", "RSET", ""}},
		{"a bare LF", "NOOP\nRSET\r\n", false, []string{kind(lineBareLF), "RSET"}},
		{"a bare CR", "NO\rOP\r\nRSET\r\n", false, []string{kind(lineBareCR), "RSET"}},
		{"NUL", "NO\x00OP\r\nRSET\r\n", false, []string{kind(lineNUL), "RSET"}},
		{"too long", "NOOP " + long + "\r\nRSET\r\n", false, []string{kind(lineTooLong), "RSET"}},
		{"an envelope may be longer", "MAIL " + long + "\r\nRSET\r\n", false, []string{"MAIL " + long, "RSET"}},
		{"an answer, too", long + "\r\n*\r\n", true, []string{long, "*"}},
		{"without end", "NOOP " + strings.Repeat("x", maxEndlessLine) + "\r\nRSET\r\n", false, []string{kind(lineEndless)}},
		{"another protocol", "GET / HTTP/1.1\r\nRSET\r\n", false, []string{kind(lineForeign)}},
		{"another protocol with bare LF", "RSET\r\nGET / HTTP/1.1\nRSET\r\n", false, []string{"RSET", kind(lineForeign)}},
		{"no protocol in an answer", "GET / HTTP/1.1\r\n*\r\n", true, []string{"GET / HTTP/1.1", "*"}},
	} {
		for _, size := range []int{1, 2, 3, 7, 511, 512, 513, 4096, 1 << 20} {
			var f framing
			if got := frames(t, &f, tt.input, size, tt.answer); !slices.Equal(got, tt.want) {
				t.Errorf("%s, in pieces of %d: found %.80q, want %.80q", tt.name, size, got, tt.want)
			}
			if end := tt.want[len(tt.want)-1]; end != kind(lineEndless) && f.midLine() {
				t.Errorf("%s, in pieces of %d: something is kept at the end: %+v", tt.name, size, f)
			}
		}
	}
}

// TestFramingOfChunks: a chunk ends where its octets end, and a line follows.
func TestFramingOfChunks(t *testing.T) {
	const input = "chunkRSET\r\n"
	for size := 1; size <= len(input); size++ {
		var f framing
		f.startChunk(5, true)
		taken := 0
		for ended := false; !ended; {
			p := f.chunk([]byte(input[taken:min(taken+size, len(input))]))
			taken += len(p)
			if ended = f.take(len(p)); ended != (taken == 5) || taken > 5 {
				t.Fatalf("in pieces of %d: after %d octets of 5, ended is %v", size, taken, ended)
			}
		}
		if got := frames(t, &f, input[taken:], size, false); !slices.Equal(got, []string{"RSET"}) {
			t.Errorf("in pieces of %d: found %q after the chunk, want RSET", size, got)
		}
	}
}

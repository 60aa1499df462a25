package smtp

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// benchBody returns a body of the given size, final dot included, whose lines have the lengths that next returns.
func benchBody(size int, next func() int) []byte {
	var b []byte
	for len(b) < size {
		b = append(b, strings.Repeat("X", next())...)
		b = append(b, '\r', '\n')
	}
	return append(b, ".\r\n"...)
}

func BenchmarkBodyScanner(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	shapes := []struct {
		name string
		next func() int
	}{
		{"lines=80", func() int { return 80 }}, // what smtp-source sends
		{"lines=0to76", func() int { return rng.IntN(77) }},
		{"lines=2", func() int { return 2 }},
		{"lines=998", func() int { return 998 }},
	}
	for _, size := range []int{1 << 10, 256 << 10} {
		for _, shape := range shapes {
			body := benchBody(size, shape.next)
			b.Run(fmt.Sprintf("size=%dKiB/%s", size>>10, shape.name), func(b *testing.B) {
				b.SetBytes(int64(len(body)))
				b.ReportAllocs()
				var s BodyScanner
				for b.Loop() {
					s.Reset()
					if _, done := s.Scan(body); !done {
						b.Fatal("no end found")
					}
				}
			})
		}
	}
	// What the searches for LF and the counting of words bring: the same by looking at one octet after the other.
	for _, shape := range shapes {
		body := benchBody(256<<10, shape.next)
		b.Run("baseline=octet-by-octet/size=256KiB/"+shape.name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if done, bareLF := scanOctets(body); !done || bareLF {
					b.Fatal("no end found, or a bare LF")
				}
			}
		})
	}
	// The baseline: copying the same octets, which every server does at least once.
	body := benchBody(256<<10, shapes[0].next)
	copied := make([]byte, len(body))
	b.Run("baseline=copy/size=256KiB", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		for b.Loop() {
			copy(copied, body)
		}
		if !bytes.Equal(copied, body) {
			b.Fatal("not copied")
		}
	})
}

// scanOctets looks for the end of a body and for bare LF, one octet after the other.
func scanOctets(p []byte) (done, bareLF bool) {
	state := bodyLineStart
	for _, c := range p {
		switch {
		case c == '\n':
			switch state {
			case bodyCR:
				state = bodyLineStart
			case bodyDotCR:
				return true, bareLF
			default:
				bareLF, state = true, bodyText
			}
		case c == '\r' && state == bodyDot:
			state = bodyDotCR
		case c == '\r':
			state = bodyCR
		case c == '.' && state == bodyLineStart:
			state = bodyDot
		default:
			state = bodyText
		}
	}
	return false, bareLF
}

package event

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"
)

// canonical says in plain words what a digest is of: the lines behind the first empty one.
func canonical(message string) string {
	message = strings.TrimSuffix(message, "\n")
	lines := strings.Split(message, "\n")
	for i := range lines {
		lines[i] = strings.TrimSuffix(lines[i], "\r")
	}
	for i, line := range lines {
		if line == "" {
			lines = lines[i+1:]
			for len(lines) > 0 && lines[len(lines)-1] == "" {
				lines = lines[:len(lines)-1]
			}
			if len(lines) == 0 {
				return ""
			}
			return strings.Join(lines, "\r\n") + "\r\n"
		}
	}
	return ""
}

func digestOf(wire string, chunks bool, cuts *rand.Rand) (uint64, int64) {
	var d Digest
	d.Begin(chunks)
	for len(wire) > 0 {
		n := len(wire)
		if cuts != nil {
			n = 1 + cuts.IntN(n)
		}
		d.Add([]byte(wire[:n]))
		wire = wire[n:]
	}
	return d.Finish()
}

func checkDigest(t *testing.T, message string, cuts *rand.Rand) {
	t.Helper()
	body := canonical(message)
	want := xxhash.Sum64String(body[:min(len(body), HashedBody)])
	stuffed := strings.ReplaceAll("\n"+message, "\n.", "\n..")[1:] + ".\r\n"
	for _, c := range []struct {
		wire   string
		chunks bool
	}{{stuffed, false}, {message, true}} {
		if hash, size := digestOf(c.wire, c.chunks, cuts); hash != want || size != int64(len(body)) {
			t.Fatalf("%.300q, chunks %v: hash %x of %d octets, want %x of %d (%.200q)", c.wire, c.chunks, hash, size, want, len(body), body)
		}
	}
}

func TestDigest(t *testing.T) {
	for _, message := range []string{
		"", "\r\n", "Subject: x\r\n", "Subject: x\r\n\r\n", "\r\n\r\n\r\n", "A: b\r\n\r\nbody\r\n", "A: b\r\n\r\nbody\r\n\r\n\r\n",
		"\r\n\r\nbody after an empty line\r\n\r\nand another\r\n", "A: b\r\n\r\n.\r\n..\r\n.x\r\n", "\r\nbare\nlines\n\nand\rCR\r\r\n",
		"\r\n \r\n\r\n", "\r\n" + strings.Repeat("x", 1<<17) + "\r\n", "\r\n" + strings.Repeat(".line\r\n", 20000) + strings.Repeat("\r\n", 40000),
		"\r\n" + strings.Repeat("0123456\r\n\r\n", 6000) + "\r\n\r\n",
	} {
		checkDigest(t, message, nil)
		for seed := range uint64(20) {
			checkDigest(t, message, rand.New(rand.NewPCG(seed, 1)))
		}
	}
}

func FuzzDigest(f *testing.F) {
	f.Add([]byte("A: b\r\n\r\n.x\r\n\r\n"), uint64(1))
	f.Fuzz(func(t *testing.T, message []byte, seed uint64) {
		message = append(bytes.TrimRight(message, "\r\n"), "\r\n"...) // a message ends with a line's end
		if bytes.Contains(message, []byte("\n.\n")) || bytes.HasPrefix(message, []byte(".\n")) {
			t.Skip("a dot alone before a bare LF")
		}
		checkDigest(t, string(message), rand.New(rand.NewPCG(seed, 2)))
	})
}

// TestDigestAtRandom makes messages of the octets that matter.
func TestDigestAtRandom(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	words := []string{"\r\n", "\r\n\r\n", ".", "x", "\r", "text of a line", "\r\n.", "\n"}
	for range 3000 {
		var b strings.Builder
		for range random.IntN(20) {
			b.WriteString(words[random.IntN(len(words))])
		}
		message := b.String() + "\r\n"
		if strings.Contains("\n"+message, "\n.\n") {
			continue
		}
		checkDigest(t, message, random)
	}
}

// BenchmarkDigest tells what a body costs beside its scan.
func BenchmarkDigest(b *testing.B) {
	body := "A: b\r\n\r\n" + strings.Repeat(strings.Repeat("x", 76)+"\r\n", 256<<10/78) + ".\r\n"
	b.SetBytes(int64(len(body)))
	p := []byte(body)
	for b.Loop() {
		var d Digest
		d.Begin(false)
		for at := 0; at < len(p); at += 64 << 10 {
			d.Add(p[at:min(at+64<<10, len(p))])
		}
		_, _ = d.Finish()
	}
}

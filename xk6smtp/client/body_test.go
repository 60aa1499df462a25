package client

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestBodyOnTheWire(t *testing.T) {
	for _, test := range []struct{ message, wire string }{
		{"", ".\r\n"},
		{"a", "a\r\n.\r\n"},
		{"a\r\n", "a\r\n.\r\n"},
		{"a\nb\n", "a\r\nb\r\n.\r\n"},
		{"a\rb\r", "a\r\nb\r\n.\r\n"},
		{"a\r\r\nb", "a\r\n\r\nb\r\n.\r\n"},
		{"a\n\rb", "a\r\n\r\nb\r\n.\r\n"},
		{".", "..\r\n.\r\n"},
		{"..", "...\r\n.\r\n"},
		{"a\n.\nb", "a\r\n..\r\nb\r\n.\r\n"},
		{"a.b\n.c.d", "a.b\r\n..c.d\r\n.\r\n"},
		{"\n", "\r\n.\r\n"},
		{"\r\n.\r\n", "\r\n..\r\n.\r\n"},
	} {
		if got := string(NewBody([]byte(test.message)).Wire()); got != test.wire {
			t.Errorf("%q goes out as %q, expected %q", test.message, got, test.wire)
		}
	}
}

// received is what a server makes of the octets after DATA (RFC 5321 section 4.5.2); ok is false unless the final dot is the
// last thing in them and the only one.
func received(wire []byte) (message string, ok bool) {
	var lines []string
	for {
		line, rest, found := bytes.Cut(wire, []byte("\r\n"))
		if !found || bytes.ContainsAny(line, "\r\n") {
			return "", false
		}
		if string(line) == "." {
			return strings.Join(lines, ""), len(rest) == 0
		}
		lines = append(lines, strings.TrimPrefix(string(line), ".")+"\r\n")
		wire = rest
	}
}

func TestBodyArrivesAsItWas(t *testing.T) {
	lineEnd := strings.NewReplacer("\r\n", "\r\n", "\r", "\r\n", "\n", "\r\n")
	rapid.Check(t, func(t *rapid.T) {
		message := rapid.StringOfN(rapid.RuneFrom([]rune{'a', '.', '\r', '\n', ' ', 'é'}), 0, 40, -1).Draw(t, "message")
		want := lineEnd.Replace(message)
		if want != "" && !strings.HasSuffix(want, "\r\n") {
			want += "\r\n"
		}
		body := NewBody([]byte(message))
		got, ok := received(body.Wire())
		if !ok || got != want {
			t.Fatalf("%q arrives as %q (complete: %v), expected %q", message, got, ok, want)
		}
		if body.Size() != len(want) {
			t.Fatalf("%q has size %d, expected %d", message, body.Size(), len(want))
		}
		if body.EightBit() != strings.Contains(message, "é") {
			t.Fatalf("%q: eight bit is %v", message, body.EightBit())
		}
	})
}

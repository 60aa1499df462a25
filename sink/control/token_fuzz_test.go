package control

import (
	"strings"
	"testing"
)

// FuzzTokens: of any file either all lines are understood, and each token has the right that its line gives it and no other has one, or one
// line says where the file is wrong, and no token is in it.
func FuzzTokens(f *testing.F) {
	f.Add("read RHXJW3E4JEG2TSCO2SWHD6MJU4\nwrite 0123456789abcdef0123456789abcdef\n", "x")
	f.Add("# comment\n\n  write\tRHXJW3E4JEG2TSCO2SWHD6MJU4 \r\n", "RHXJW3E4JEG2TSCO2SWHD6MJU4")
	f.Add("read a b\n", "")
	f.Add("admin RHXJW3E4JEG2TSCO2SWHD6MJU4", "")
	f.Add(strings.Repeat("x", 70_000), "")
	f.Fuzz(func(t *testing.T, text, stranger string) {
		tokens, err := ParseTokens(strings.NewReader(text), "tokens")
		if err != nil {
			said := err.Error()
			if !strings.HasPrefix(said, "tokens:") || strings.ContainsAny(said, "\r\n") {
				t.Errorf("want one line that begins with the file: %q", said)
			}
			for _, word := range strings.Fields(text) {
				if len(word) >= minToken && strings.Contains(said, word) {
					t.Errorf("the error tells a token: %q", said)
				}
			}
			return
		}
		if len(tokens) == 0 || len(tokens) > maxTokens {
			t.Fatalf("%d tokens", len(tokens))
		}
		s := &Server{cfg: Config{Tokens: tokens}}
		known := map[string]bool{}
		for line := range strings.Lines(text) {
			words := strings.Fields(line)
			if len(words) != 2 || strings.HasPrefix(words[0], "#") {
				continue
			}
			known[words[1]] = true
			if role := s.roleOfToken(words[1]); role.String() != words[0] {
				t.Errorf("%q has the role %v", line, role)
			}
		}
		if len(known) != len(tokens) {
			t.Errorf("%d tokens of %d", len(tokens), len(known))
		}
		if !known[stranger] && s.roleOfToken(stranger) != RoleNone {
			t.Errorf("%q is nobody's token, and has a role", stranger)
		}
	})
}

package cmd

import (
	"slices"
	"strings"
	"testing"
)

// FuzzInheritedNames: whoever starts the program may put anything into its environment. Each socket gets a name of its own, or one line says why not.
func FuzzInheritedNames(f *testing.F) {
	for _, seed := range [][2]string{{"1", ""}, {"2", "mx:submission"}, {"3", "a::b"}, {"2", "a:a"}, {"2", ""}, {"65", ""}, {"0", "a"}, {"-1", ""}, {"x\n", "a"}, {"1", ":::"}, {"9223372036854775808", ""}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, number, names string) {
		got, err := inheritedNames(number, names)
		if err != nil {
			if text := err.Error(); got != nil || strings.ContainsAny(text, "\r\n") {
				t.Errorf("%q, %q", got, text)
			}
			return
		}
		sorted := slices.Sorted(slices.Values(got))
		if len(got) < 1 || len(got) > maxInherited || len(slices.Compact(sorted)) != len(got) || slices.Contains(got, "") {
			t.Errorf("LISTEN_FDS=%q LISTEN_FDNAMES=%q: %q", number, names, got)
		}
	})
}

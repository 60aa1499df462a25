package plan

import (
	"strings"
	"testing"
)

// TestNamesSteerNoTerminal explains a plan whose author put control characters into its names.
func TestNamesSteerNoTerminal(t *testing.T) {
	file, err := Parse("p\x1b[2J.yaml", []byte("version: 1\nname: \"a\\e[31mred\"\ndescription: \"b\\e[0m\"\nrules:\n  - {name: \"r\\e[31mx\", stage: rcpt, outcomes: [{reply: {code: 550, text: no}}]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := Explain(&out, file, Serving{}); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	if strings.Contains(text, "\x1b") || !strings.Contains(text, `plan a\x1b[31mred`) {
		t.Errorf("%q", text)
	}
}

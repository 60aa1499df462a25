package ledger

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDocumentNamesEverything holds docs/ledger.md to the kinds, keys, durabilities and classes of the code.
func TestDocumentNamesEverything(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "ledger.md"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	names = append(names, kindNames[:]...)
	names = append(names, durabilityNames[:]...)
	names = append(names, classNames[:]...)
	names = append(names, endingNames[:]...)
	for _, fields := range rowFields {
		for _, f := range fields {
			names = append(names, f.key)
		}
	}
	for _, name := range names {
		if !strings.Contains(string(text), "`"+name+"`") {
			t.Errorf("docs/ledger.md does not name `%s`", name)
		}
	}
}

package ledger

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/event"
)

// TestDocumentNamesEverything holds docs/ledger.md to the kinds, keys, durabilities and classes of the code.
func TestDocumentNamesEverything(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "ledger.md"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for k := range event.NumKinds {
		names = append(names, event.Kind(k).String())
	}
	for d := range event.NumDurabilities {
		names = append(names, event.Durability(d).String())
	}
	for e := range event.NumEndings {
		names = append(names, event.Ending(e).String())
	}
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

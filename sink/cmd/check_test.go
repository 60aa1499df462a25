package cmd

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestCanonicalFormOfTheDocs runs the example of docs/plans.md.
func TestCanonicalFormOfTheDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/plans.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "## The canonical form\n")
	var blocks []string
	for _, block := range strings.Split(section, "```yaml\n")[1:] {
		block, _, _ = strings.Cut(block, "```\n")
		blocks = append(blocks, block)
	}
	if len(blocks) < 2 {
		t.Fatal("no file and its canonical form on the page")
	}
	path := filepath.Join(t.TempDir(), "plan.yaml")
	for _, text := range blocks[:2] { // the canonical form's is itself
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if stdout, stderr, status := invoke(t, "check", "--canonical", path); status != 0 || stdout != blocks[1] || stderr != "" {
			t.Errorf("status %d, stderr %q, stdout\n%s\nwant\n%s", status, stderr, stdout, blocks[1])
		}
	}
	if _, stderr, status := invoke(t, "check", "--canonical", "--json", path); status != exitUsage || !strings.Contains(oneLine(t, stderr), "--canonical") {
		t.Errorf("with --json: status %d, %q", status, stderr)
	}
}

// TestCanonicalFormOfManyRules: a plan of a hundred thousand rules is printed whole, a line each; the log has the time that it took.
func TestCanonicalFormOfManyRules(t *testing.T) {
	const n = 100_000
	text := []byte("version: 1\nrules:\n")
	for i := range n {
		text = fmt.Appendf(text, "- {stage: rcpt, match: {recipient: u%d@x.test}, reply: 550}\n", i)
	}
	path := filepath.Join(t.TempDir(), "many.yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	stdout, stderr, status := invoke(t, "check", "--canonical", path)
	if lines := strings.Count(stdout, "\n"); status != 0 || lines != n+2 {
		t.Fatalf("status %d, stderr %q, %d lines, want %d", status, stderr, lines, n+2)
	}
	t.Logf("%d rules took %v", n, time.Since(begin))
}

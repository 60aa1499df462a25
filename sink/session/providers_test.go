package session_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// estimates are the draws and delays of the plans.
var estimates = regexp.MustCompile(`(?m)^ +(delay: .*|- \{weight: \S+, reply: .*)\n`)

// TestProviders plays a transcript for each plan that copies a provider: its reactions come when they should, and end. Draws and delays are left
// out.
func TestProviders(t *testing.T) {
	paths, err := filepath.Glob("../../scripts/plans/providers/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatal("no plans", err)
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".yaml")
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			transcript := filepath.Join("testdata", "providers", name+".txt")
			dialogue, err := os.ReadFile(transcript)
			if err != nil {
				t.Fatal(err)
			}
			w := newWorld(t, estimates.ReplaceAllString(string(text), ""))
			w.cfg.Triggers = true // who is unknown is said by addresses
			w.play(transcript, string(dialogue))
		})
	}
}

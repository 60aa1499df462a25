package mta

import (
	"strings"
	"testing"
)

// TestAdopt: an engineer's main.cf keeps its policy, and loses what would take the instance out of its directory.
func TestAdopt(t *testing.T) {
	extra, aside, err := Adopt("postfix", `# mine
relayhost = [smtp.example.com]:587
# a comment in the middle of a line
  , [other.example.com]
minimal_backoff_time = 300s
mynetworks = 127.0.0.0/8
default_destination_concurrency_limit =
	50
`)
	if want := "minimal_backoff_time = 300s\ndefault_destination_concurrency_limit =\n\t50\n"; err != nil || extra != want {
		t.Errorf("kept %q, %v; want %q", extra, err, want)
	}
	if got := strings.Join(aside, "|"); got != "relayhost = [smtp.example.com]:587|  , [other.example.com]|mynetworks = 127.0.0.0/8" {
		t.Errorf("left aside %q", got)
	}
	if _, _, err := Adopt("postfix", "nonsense\n"); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("a line without =: %v", err)
	}
	if _, _, err := Adopt("exim", ""); err == nil {
		t.Error("exim's was taken")
	}
}

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/bench/peers/program"
)

// TestSoak is the soak in some seconds; $SOAK_DURATION has it longer: too short to say anything of memory, but all is sent, steered,
// misused, settled and accounted for.
func TestSoak(t *testing.T) {
	duration := os.Getenv("SOAK_DURATION")
	if duration == "" {
		duration = "8s"
	}
	dir := t.TempDir()
	build := exec.Command("go", "build", "-o", dir, "./sink/cmd/smtpsink")
	build.Dir = filepath.Join("..", "..", "..", "..")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	var stdout, stderr bytes.Buffer
	if err := run([]string{"benchsoak", "--duration", duration, "--sink", filepath.Join(dir, "smtpsink"), "--out", filepath.Join(dir, "out"), "--json"}, &stdout, &stderr); err != nil {
		t.Fatalf("%v\n%s%s", err, &stdout, &stderr)
	}
	var rec record
	if err := json.Unmarshal(stdout.Bytes(), &rec); err != nil {
		t.Fatal(err)
	}
	if rec.Verdict != "sound" || rec.Messages == 0 || rec.Ledger.Deliveries == 0 || rec.Ledger.Swaps == 0 || rec.Ledger.Moves == 0 || rec.Ledger.Nexts == 0 {
		t.Errorf("%s", &stdout)
	}
	for name, n := range rec.Misbehaved {
		if n == 0 {
			t.Errorf("no client misbehaved as %s", name)
		}
	}
	for _, name := range []string{"soak.json", "soak.md", "soak.csv"} {
		if text, err := os.ReadFile(filepath.Join(dir, "out", name)); err != nil || len(text) == 0 {
			t.Errorf("%s: %d octets, %v", name, len(text), err)
		}
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{"--duration", "1s"}, {"--rate", "0"}, {"--warm-up", "2h"}, {"--swaps", "0"}, {"stray"}} {
		var stdout, stderr bytes.Buffer
		if err := run(append([]string{"benchsoak"}, args...), &stdout, &stderr); !errors.As(err, new(program.UsageError)) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v", args, err)
		}
	}
	var stdout, stderr bytes.Buffer
	if err := run([]string{"benchsoak", "--help"}, &stdout, &stderr); !errors.Is(err, flag.ErrHelp) || !strings.Contains(stdout.String(), "-duration") {
		t.Errorf("%v: %s", err, &stdout)
	}
}

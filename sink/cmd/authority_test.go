package cmd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestAFailedStartTouchesNothing holds that a sink which can't start leaves the files of one that runs as they are.
func TestAFailedStartTouchesNothing(t *testing.T) {
	dir := t.TempDir()
	ca, ledger := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "ledger.jsonl")
	running := start(t, 1, "--listen", "127.0.0.1:0", "--tls", "always", "--tls-ca", ca)
	before, err := os.ReadFile(ca)
	if err != nil || !strings.HasPrefix(string(before), "-----BEGIN CERTIFICATE-----") {
		t.Fatalf("the running sink's authority: %q, %v", before, err)
	}
	out, err := exec.Command(binary, "--listen", running.addr[0], "--tls", "always", "--tls-ca", ca, "--ledger", ledger).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "in use") {
		t.Errorf("the second sink says %q, %v; want that its port is taken", out, err)
	}
	if after, err := os.ReadFile(ca); err != nil || string(after) != string(before) {
		t.Error("the running sink's authority was replaced by one that never listened")
	}
	if _, err := os.Stat(ledger); err == nil {
		t.Error("a ledger was begun for a sink that never listened")
	}
	running.stop(syscall.SIGTERM)
	again := start(t, 1, "--listen", "127.0.0.1:0", "--tls", "always", "--tls-ca", ca)
	if after, err := os.ReadFile(ca); err != nil || string(after) == string(before) {
		t.Errorf("the next sink's authority was not written: %v", err)
	}
	again.stop(syscall.SIGTERM)
}

func TestTheAuthorityReplacesNothingElse(t *testing.T) {
	dir := t.TempDir()
	plan := filepath.Join(dir, "storm.yaml")
	if err := os.WriteFile(plan, []byte("version: 1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	out, err := exec.Command(binary, "--listen", l.Addr().String(), "--tls", "always", "--tls-ca", plan).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "--tls-ca: "+plan+" can't be written: it exists and is not a certificate") {
		t.Errorf("the sink says %q, %v", out, err)
	}
	if text, err := os.ReadFile(plan); err != nil || string(text) != "version: 1\n" {
		t.Errorf("the plan holds %q, %v", text, err)
	}
}

// The end says what happened: a ledger that lost rows cut off no connection.
func TestTheEndSaysWhatHappened(t *testing.T) {
	o := &options{drainTimeout: 30 * time.Second}
	lost := errors.New("the ledger lost 5 rows: no space left on device")
	for want, ended := range map[string]error{
		"<nil>": nil,
		"the ledger lost 5 rows: no space left on device":                            errors.Join(nil, lost),
		"connections were cut off, 30s after the signal (--drain-timeout)":           context.DeadlineExceeded,
		"connections were cut off by the second signal":                              errors.Join(context.Canceled, nil),
		"connections were cut off by the second signal; " + lost.Error():             errors.Join(context.Canceled, lost),
		"connections were cut off, 30s after the signal (--drain-timeout); x failed": errors.Join(fmt.Errorf("w: %w", context.DeadlineExceeded), errors.New("x failed")),
	} {
		if got := fmt.Sprint(o.verdict(ended)); got != want {
			t.Errorf("%v: got %q, want %q", ended, got, want)
		}
	}
}

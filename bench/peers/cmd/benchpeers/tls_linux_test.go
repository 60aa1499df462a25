package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Every session is a full handshake, or is resumed but for the first of each client, as the load has it.
func TestSecureSessions(t *testing.T) {
	dir := t.TempDir()
	cert, key, err := makeCertificate(dir)
	if err != nil {
		t.Fatal(err)
	}
	server := filepath.Join(dir, "peerserver")
	if out, err := exec.Command("go", "build", "-o", server, "../peerserver").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	cmd := exec.Command(server, nameGoTLS, "127.0.0.1:0", cert, key)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the server: %v", err)
		}
	}()
	addr, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	for _, resume := range []bool{false, true} {
		res, err := securely(loadSpec{Addr: strings.TrimSpace(addr), Conns: 3, Messages: 30, Size: 1024, TLS: true, Resume: resume})
		if err != nil {
			t.Fatal(err)
		}
		if want := map[bool]int{true: 30 - 3}[resume]; res.Messages != 30 || res.Resumed < want || !resume && res.Resumed > 0 {
			t.Errorf("resume %v: %d sessions, %d resumed; want 30, %d", resume, res.Messages, res.Resumed, want)
		}
	}
}

package cmd

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// fileOf returns the socket as a file that can be handed to another process.
func fileOf(t *testing.T, ln interface{ File() (*os.File, error) }) *os.File {
	t.Helper()
	file, err := ln.File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return file
}

func listenTCP(t *testing.T) *net.TCPListener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return ln.(*net.TCPListener)
}

// activated is the program, started with sockets as systemd starts it: a shell in between knows the process's number.
func activated(names string, files []*os.File, args ...string) *exec.Cmd {
	cmd := exec.Command("sh", append([]string{"-c", `LISTEN_PID=$$ exec "$0" "$@"`, binary}, args...)...)
	cmd.ExtraFiles = files
	cmd.Env = append(os.Environ(), "LISTEN_FDS="+string(rune('0'+len(files))), "LISTEN_FDNAMES="+names)
	return cmd
}

// The sockets of a systemd unit take the place of the default listener, and the plan's listener that has such a name.
func TestInheritedSockets(t *testing.T) {
	mx, submission := listenTCP(t), listenTCP(t)
	plan := t.TempDir() + "/plan.yaml"
	if err := os.WriteFile(plan, []byte("version: 1\nlisteners: [{name: submission, address: \"127.0.0.1:1\"}]\nrules: [{name: no, stage: connect, match: {listener: submission}, reply: 554}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, loops := range []string{"1", "3"} {
		p := &process{t: t, cmd: activated("mx:submission", []*os.File{fileOf(t, mx), fileOf(t, submission)}, "--plan", plan, "--loops", loops)}
		p.begin()
		for range 2 {
			if line := p.line(); !strings.HasSuffix(line, ", inherited)\n") {
				t.Errorf("the program said %q, want an inherited listener", line)
			}
		}
		if err := deliver(t, mx.Addr().String()); err != nil {
			t.Errorf("mail at the first socket: %v", err)
		}
		if err := deliver(t, submission.Addr().String()); err == nil || !strings.HasPrefix(err.Error(), "554") {
			t.Errorf("mail at the socket of the plan's listener: %v, want 554", err)
		}
		if _, stderr, status := p.stop(syscall.SIGTERM); status != 0 {
			t.Errorf("exit status %d: %s", status, stderr)
		}
	}
}

// What can't be served is one line, and status 2; what is for another process is not looked at.
func TestInheritedSocketsThatDoNotGo(t *testing.T) {
	tcp := fileOf(t, listenTCP(t))
	local, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	defer local.Close()
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, test := range []struct {
		names string
		files []*os.File
		args  []string
		want  string
	}{
		{"a:a", []*os.File{tcp, tcp}, nil, `two inherited sockets have the name "a"`},
		{"a", []*os.File{fileOf(t, local.(*net.UnixListener))}, nil, `inherited socket "a": it is not a TCP socket`},
		{"a", []*os.File{file}, nil, `inherited socket "a": getsockopt: socket operation on non-socket`},
		{"a", []*os.File{tcp}, []string{"--listen", "a=127.0.0.1:0"}, `two listeners have the name "a"`},
	} {
		cmd := activated(test.names, test.files, test.args...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		_ = cmd.Run() // the status says it
		if said := stderr.String(); cmd.ProcessState.ExitCode() != 2 || strings.Count(said, "\n") != 1 || !strings.Contains(said, test.want) {
			t.Errorf("sockets %s, arguments %q: status %d, %q, want status 2 and %q", test.names, test.args, cmd.ProcessState.ExitCode(), said, test.want)
		}
	}
	t.Setenv("LISTEN_PID", "1")
	t.Setenv("LISTEN_FDS", "1")
	p := start(t, 1, "--listen", "127.0.0.1:0")
	if _, stderr, status := p.stop(syscall.SIGTERM); status != 0 {
		t.Errorf("sockets for another process: status %d: %s", status, stderr)
	}
}

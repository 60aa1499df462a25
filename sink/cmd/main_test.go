package cmd

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/smtp"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/testkit"
)

// binary is the program under test.
var binary string

func TestMain(m *testing.M) {
	var err error
	if binary, err = testkit.Program("sink/cmd/smtpsink"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// patience bounds every wait.
const patience = testkit.Patience

// invoke runs the program to its end.
func invoke(t *testing.T, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// process is a running smtpsink.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdout bytes.Buffer
	stderr *bufio.Reader
	addr   []string // in the order of the listeners
	said   string   // about them
	ended  chan error
}

var listeningLine = regexp.MustCompile(`^smtpsink: listening on (?:\w+=)?(\S+) \(driver (?:epoll|net), \d+ loops?\)\n$`)

// start runs the program and waits until it has said what it listens on.
func start(t *testing.T, listeners int, args ...string) *process {
	t.Helper()
	return startIn(t, nil, listeners, args...)
}

// startIn does so by another program, which becomes this one.
func startIn(t *testing.T, through []string, listeners int, args ...string) *process {
	t.Helper()
	command := slices.Concat(through, []string{binary}, args)
	p := &process{t: t, cmd: exec.Command(command[0], command[1:]...), ended: make(chan error, 1)}
	p.begin()
	for range listeners {
		line := p.line()
		match := listeningLine.FindStringSubmatch(line)
		if match == nil {
			t.Fatalf("the program said %q, want what it listens on", line)
		}
		p.addr = append(p.addr, match[1])
		p.said += line
	}
	return p
}

// begin starts the program, for patience at most.
func (p *process) begin() {
	t := p.t
	t.Helper()
	p.cmd.Stdout = &p.stdout
	pipe, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.stderr = bufio.NewReader(pipe)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(patience, func() { _ = p.cmd.Process.Kill() })
	t.Cleanup(func() {
		timer.Stop()
		_ = p.cmd.Process.Kill()
	})
}

// line reads a line of stderr.
func (p *process) line() string {
	p.t.Helper()
	line, err := p.stderr.ReadString('\n')
	if err != nil {
		p.t.Fatalf("reading stderr, after %q: %v", line, err)
	}
	return line
}

// stop sends a signal and waits for the end.
func (p *process) stop(signal os.Signal) (stdout, stderr string, status int) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		p.t.Fatal(err)
	}
	return p.wait()
}

func (p *process) wait() (stdout, stderr string, status int) {
	p.t.Helper()
	rest, err := io.ReadAll(p.stderr)
	if err != nil {
		p.t.Fatal(err)
	}
	_ = p.cmd.Wait() // the status says it
	return p.stdout.String(), string(rest), p.cmd.ProcessState.ExitCode()
}

// deliver sends a message by Go's own client.
func deliver(t *testing.T, address string) error {
	t.Helper()
	return smtp.SendMail(address, nil, "a@sender.test", []string{"b@recipient.test"}, []byte("Subject: test\r\n\r\nbody\r\n"))
}

// dial opens a connection on which every step is bounded.
func dial(t *testing.T, address string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn, bufio.NewReader(conn)
}

// oneLine checks that text is one line with the program's name.
func oneLine(t *testing.T, text string) string {
	t.Helper()
	line, ok := strings.CutSuffix(text, "\n")
	line, named := strings.CutPrefix(line, "smtpsink: ")
	if !ok || !named || strings.Contains(line, "\n") {
		t.Errorf("stderr is %q, want one line that begins with the program's name", text)
	}
	return line
}

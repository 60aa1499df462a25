package docs_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
	"github.com/smtpstorm/xk6-smtp/sink/testkit"
)

// terminal is a shell in which a page is read: in a directory of its own, with the module's programs, and in name spaces of its own, so
// that the page has all ports to itself, nothing leaves the machine, and every process ends with it.
type terminal struct {
	t      *testing.T
	page   string
	dir    string
	input  *os.File
	output *bufio.Reader
	stays  []*stay
}

// stay is a command that keeps running.
type stay struct {
	number int
	file   string // of its output
	seen   int    // octets of it that were shown
}

// shellLoop runs the commands that descriptor 3 has, ended by NUL, and tells the status of each by a line.
const shellLoop = `ip link set lo up || exit 99
status=0
while IFS= read -r -d '' -u 3 command; do
  (exit $status)
  eval "$command" </dev/null
  status=$?
  printf '\n%s %d\n' "$MARK" $status
done`

const mark = "--end-of-command--"

// theirPrograms returns the directory of the module's programs, which are built once for all pages.
var theirPrograms func() (string, error)

func programs() (string, error) {
	dir, err := os.MkdirTemp("", "smtpstorm-docs-")
	for _, folder := range []string{"xk6smtp/cmd/k6", "sink/cmd/smtpsink", "bench/cmd/smtpbench"} {
		var program string
		if err == nil {
			program, err = testkit.Program(folder)
		}
		if err == nil {
			err = copyProgram(program, filepath.Join(dir, filepath.Base(folder)))
		}
	}
	return dir, err
}

// TestMain takes them away again.
func TestMain(m *testing.M) {
	var made string
	theirPrograms = sync.OnceValues(func() (string, error) {
		dir, err := programs()
		made = dir
		return dir, err
	})
	status := m.Run()
	if made != "" {
		_ = os.RemoveAll(made)
	}
	os.Exit(status)
}

func copyProgram(from, to string) error {
	if os.Link(from, to) == nil {
		return nil
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.Close()
}

// open opens a terminal in an empty directory that has of the checkout what pages name.
func open(t *testing.T, page string) *terminal {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: builds and runs all programs")
	}
	unshare := sinktest.RequireTool(t, "unshare", "util-linux")
	sinktest.RequireTool(t, "ip", "iproute2")
	sinktest.RequireTool(t, "bash", "bash")
	programs, err := theirPrograms()
	if err != nil {
		t.Fatal(err)
	}
	checkout, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	parts, err := os.ReadDir(checkout)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range parts {
		if part.Name() == "bin" || part.Name() == "results" || part.Name() == ".git" {
			continue // built, or written by pages
		}
		if err := os.Symlink(filepath.Join(checkout, part.Name()), filepath.Join(dir, part.Name())); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(programs, filepath.Join(dir, "bin")); err != nil {
		t.Fatal(err)
	}
	namespaces := []string{"-np", "--fork", "--kill-child", "--mount-proc"}
	if os.Geteuid() != 0 {
		namespaces = append([]string{"-r"}, namespaces...)
	}
	if out, err := exec.Command(unshare, append(namespaces, "true")...).CombinedOutput(); err != nil {
		sinktest.Missing(t, "this machine allows no name spaces: unshare: %v: %s", err, out)
	}
	theirs, input, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(unshare, append(namespaces, "bash", "--noprofile", "--norc", "-c", shellLoop)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "MARK="+mark, "PATH="+programs+":"+os.Getenv("PATH")+":/usr/sbin:/sbin",
		"K6_NO_USAGE_REPORT=true", "HOME="+dir, "TERM=dumb", "COLUMNS=80")
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // should the test binary be killed
	said, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = out, out
	err = cmd.Start()
	theirs.Close()
	out.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		input.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		said.Close()
	})
	return &terminal{t: t, page: page, dir: dir, input: input, output: bufio.NewReader(said)}
}

// background is a sink that a page starts behind the prompt, and where it listens unless that is the default.
var background = regexp.MustCompile(`(?m)^(?:bin/)?smtpsink\b.*?(?:--listen 127\.0\.0\.1:(\d+) .*)?&(?: \w+=\$!)?$`)

// listened has each sink in the background listen before the next command is run: whoever types that takes longer than the sink.
func listened(command string) string {
	return background.ReplaceAllStringFunc(command, func(line string) string {
		port := background.FindStringSubmatch(line)[1]
		if port == "" {
			port = "2525"
		}
		return fmt.Sprintf("%s\nfor i in {1..3000}; do ss -Hltn 'sport = :%s' | grep -q . && break; sleep 0.02; done", line, port)
	})
}

// run runs a command to its end, and returns what it said.
func (m *terminal) run(line int, command string) (said string, status int) {
	m.t.Helper()
	overdue := time.AfterFunc(testkit.Patience, func() {
		m.t.Errorf("%s:%d: still runs after %v: %s", m.page, line, testkit.Patience, command)
		m.input.Close()
	})
	defer overdue.Stop()
	if _, err := m.input.WriteString(listened(command) + "\x00"); err != nil {
		m.t.Fatalf("%s:%d: %v", m.page, line, err)
	}
	var all bytes.Buffer
	for {
		text, err := m.output.ReadString('\n')
		if status, found := strings.CutPrefix(text, mark+" "); found {
			n, _ := strconv.Atoi(strings.TrimSpace(status))
			return strings.TrimSuffix(all.String(), "\n"), n
		}
		all.WriteString(text)
		if err != nil {
			m.t.Fatalf("%s:%d: %s\nit says: %s", m.page, line, command, all.String())
		}
	}
}

// start runs a command that stays, until its output is what the page shows.
func (m *terminal) start(b block, s step) {
	m.t.Helper()
	stays := &stay{number: len(m.stays) + 1, file: filepath.Join(m.t.TempDir(), "output")}
	if err := os.WriteFile(filepath.Join(filepath.Dir(stays.file), "command"), []byte(s.command+"\n"), 0o600); err != nil {
		m.t.Fatal(err)
	}
	m.stays = append(m.stays, stays)
	m.run(b.line, fmt.Sprintf("setsid env --default-signal=INT bash %q >%q 2>&1 </dev/null & stays_%d=$!; disown", filepath.Join(filepath.Dir(stays.file), "command"), stays.file, stays.number))
	m.awaitOutput(stays, b, s)
}

// interrupt ends the last command that stays as Ctrl-C does.
func (m *terminal) interrupt(b block, s step) {
	m.t.Helper()
	if len(m.stays) == 0 {
		m.t.Fatalf("%s:%d: nothing runs that ^C could end", m.page, b.line)
	}
	last := m.stays[len(m.stays)-1]
	m.stays = m.stays[:len(m.stays)-1]
	m.run(b.line, fmt.Sprintf("kill -INT -$stays_%d; while kill -0 $stays_%d 2>/dev/null; do sleep 0.02; done", last.number, last.number))
	m.awaitOutput(last, b, s)
}

func (m *terminal) awaitOutput(stays *stay, b block, s step) {
	m.t.Helper()
	said := func() string {
		text, err := os.ReadFile(stays.file)
		if err != nil {
			return err.Error()
		}
		return string(text[stays.seen:])
	}
	vary := strings.Contains(b.words, "figures vary")
	testkit.Await(m.t, fmt.Sprintf("%s:%d: what it says is what the page shows", m.page, b.line), func() bool { return differs(s.output, said(), vary) == "" },
		func() string { return fmt.Sprintf("missing: %q\nit says: %s", differs(s.output, said(), vary), said()) })
	stays.seen += len(said())
}

// read runs a page from its begin to its end.
func (m *terminal) read(list []block) {
	m.t.Helper()
	for _, b := range list {
		_, excused := b.reason()
		switch {
		case excused:
		case b.file() != "":
			if err := os.WriteFile(filepath.Join(m.dir, b.file()), []byte(b.text), 0o600); err != nil {
				m.t.Fatal(err)
			}
		case b.language == "sh":
			if said, status := m.run(b.line, "set -eu\n"+b.text+"set +eu"); status != 0 {
				m.t.Fatalf("%s:%d: status %d: %s", m.page, b.line, status, said)
			} else {
				m.t.Logf("%s:%d:\n%s", m.page, b.line, said)
			}
		case b.language == "console":
			m.console(b)
		}
	}
}

func (m *terminal) console(b block) {
	m.t.Helper()
	steps, err := b.steps()
	if err != nil {
		m.t.Fatalf("%s: %v", m.page, err)
	}
	for i, s := range steps {
		switch {
		case s.interrupt:
			m.interrupt(b, s)
		case strings.Contains(b.words, "keeps running") && i == len(steps)-1:
			m.start(b, s)
		default:
			said, status := m.run(b.line, s.command)
			m.t.Logf("%s:%d: $ %s\n%s", m.page, b.line, s.command, said)
			asked := i+1 < len(steps) && steps[i+1].command == "echo $?"
			if status != 0 && !asked {
				m.t.Fatalf("%s:%d: status %d: %s\n%s", m.page, b.line, status, s.command, said)
			}
			if missing := differs(s.output, said, strings.Contains(b.words, "figures vary")); missing != "" {
				m.t.Fatalf("%s:%d: %s\nnothing says: %s\nit says:\n%s", m.page, b.line, s.command, missing, said)
			}
		}
	}
}

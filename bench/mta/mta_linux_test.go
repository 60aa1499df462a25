package mta

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/supervise"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
	"github.com/smtpstorm/xk6-smtp/sink/testkit"
)

// TestMain lets the test binary be a program that starts an agent, says so, and waits to be killed.
func TestMain(m *testing.M) {
	switch {
	case len(os.Args) == 2 && os.Args[1] == "watchdog":
		if supervise.Watch(os.Stdin) != nil {
			os.Exit(1)
		}
	case len(os.Args) == 3 && os.Args[1] == "program":
		dir, err := program(os.Args[2])
		fmt.Println(dir, err)
		_, _ = io.Copy(io.Discard, os.Stdin) // nobody closes it
	default:
		os.Exit(m.Run())
	}
}

// program starts an agent as one ought to who may be killed, and returns its scratch directory.
func program(name string) (dir string, err error) {
	w, err := supervise.StartWatchdog([]string{os.Args[0], "watchdog"})
	if err != nil {
		return "", err
	}
	s, err := NewScratch("", "mta-")
	if err != nil {
		return "", err
	}
	if err := w.Watch(s); err != nil {
		return "", err
	}
	_, err = Start(context.Background(), name, Options{Dir: s.Path("a"), Relay: "127.0.0.1:9"})
	return s.Dir, err
}

// everyAgent runs a test for each MTA of the registry, those that are missing left out by name.
func everyAgent(t *testing.T, test func(t *testing.T, c Candidate)) {
	t.Helper()
	for _, c := range Find() {
		t.Run(c.Name, func(t *testing.T) {
			if err := c.Ready(); err != nil {
				sinktest.Missing(t, "%v", err)
			}
			test(t, c)
		})
	}
}

// scratch returns the path of a directory that an agent may have.
func scratch(t *testing.T, parent string) string {
	t.Helper()
	s, err := NewScratch(parent, "mta-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Remove(); err != nil {
			t.Error(err)
		}
	})
	return s.Path("a")
}

// A program that is killed takes its agent along.
func TestNoAgentOutlivesItsProgram(t *testing.T) {
	everyAgent(t, func(t *testing.T, c Candidate) {
		t.Parallel()
		program := exec.Command(os.Args[0], "program", c.Name)
		in, err := program.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		out, err := program.StdoutPipe()
		if err == nil {
			err = program.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		said, _ := bufio.NewReader(out).ReadString('\n')
		dir, started := strings.CutSuffix(said, " <nil>\n")
		if !started || len(supervise.Processes(dir)) == 0 {
			t.Errorf("the program says %q, and processes %v run", said, supervise.Processes(dir))
		}
		_ = program.Process.Kill()
		_, _ = program.Process.Wait()
		testkit.Await(t, "no process is left", func() bool { return len(supervise.Processes(dir)) == 0 })
		testkit.Await(t, "its directory is gone", func() bool { _, err := os.Lstat(dir); return errors.Is(err, os.ErrNotExist) })
	})
}

// A directory for temporary files with a path that is too long for sockets is not used; a short one is, and an agent starts in it.
func TestAgentsStartWhereverTemporaryFilesGo(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("long", 50))
	if err := os.MkdirAll(long, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", long)
	everyAgent(t, func(t *testing.T, c Candidate) {
		dir := scratch(t, "")
		if strings.HasPrefix(dir, long) || len(dir) > maxDir {
			t.Errorf("directory %s, want a short one", dir)
		}
		a, err := Start(t.Context(), c.Name, Options{Dir: dir, Relay: "127.0.0.1:9"})
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
		if left, err := os.ReadDir(long); len(left) > 0 || err != nil {
			t.Errorf("it left %v (%v)", left, err)
		}
		if _, err := New(c.Name, Options{Dir: filepath.Join(long, "a"), Relay: "127.0.0.1:9"}); err == nil || !strings.Contains(err.Error(), "longer than 75 octets") {
			t.Errorf("a directory of %d octets: %v", len(long)+2, err)
		}
	})
}

// An agent that can't start says why in one line, and leaves no process.
func TestAFailedStartLeavesNothing(t *testing.T) {
	everyAgent(t, func(t *testing.T, c Candidate) {
		t.Parallel()
		taken, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer taken.Close()
		dir := scratch(t, "")
		_, err = Start(t.Context(), c.Name, Options{Dir: dir, Listen: taken.Addr().String(), Relay: "127.0.0.1:9"})
		if err == nil || !strings.Contains(err.Error(), "start "+c.Name) || strings.Contains(err.Error(), "\n") {
			t.Errorf("got %v, want one line that says that %s does not start", err, c.Name)
		} else if said := strings.ToLower(err.Error()); !strings.Contains(said, "in use") && !strings.Contains(said, "eaddrinuse") {
			t.Errorf("got %v, want an error that says that the port is in use", err)
		}
		if errors.Is(err, ErrMissing) || errors.Is(err, ErrNeedsRoot) {
			t.Errorf("wrong kind of error: %v", err)
		}
		if left := supervise.Processes(dir); len(left) > 0 {
			t.Errorf("processes %v are left", left)
		}
	})
}

func TestNewRefusesBadOptions(t *testing.T) {
	everyAgent(t, func(t *testing.T, c Candidate) {
		dir := scratch(t, "")
		for _, tt := range []struct {
			name string
			o    Options
			want string
		}{
			{"no directory", Options{Relay: "127.0.0.1:1"}, `directory ""`},
			{"blank in directory", Options{Dir: "/a b", Relay: "127.0.0.1:1"}, "blank"},
			{"next hop missing", Options{Dir: dir}, `next hop ""`},
			{"next hop elsewhere", Options{Dir: dir, Relay: "192.0.2.1:25"}, "not a loopback address"},
			{"next hop by name", Options{Dir: dir, Relay: "mx.example.org:25"}, "not a loopback address"},
			{"listens everywhere", Options{Dir: dir, Relay: "127.0.0.1:1", Listen: "0.0.0.0:2525"}, "not a loopback address"},
			{"source elsewhere", Options{Dir: dir, Relay: "127.0.0.1:1", Sources: []string{"192.0.2.1"}}, `source address "192.0.2.1"`},
			{"half a second", Options{Dir: dir, Relay: "127.0.0.1:1", Policy: Policy{MinimalBackoff: time.Second / 2}}, "minimal backoff 500ms"},
			{"backoff upside down", Options{Dir: dir, Relay: "127.0.0.1:1", Policy: Policy{MinimalBackoff: time.Minute, MaximalBackoff: time.Second}}, "maximal backoff 1s"},
			{"no concurrency", Options{Dir: dir, Relay: "127.0.0.1:1", Policy: Policy{Concurrency: -1}}, "concurrency -1"},
		} {
			t.Run(tt.name, func(t *testing.T) {
				_, err := New(c.Name, tt.o)
				if errors.Is(err, ErrFixedSchedule) && (tt.o.Policy.MinimalBackoff != 0 || tt.o.Policy.MaximalBackoff != 0) {
					return // it can't be asked for any
				}
				if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
					t.Errorf("got error %v, want one line with %q", err, tt.want)
				}
			})
		}
	})
	if _, err := New("exchange", Options{}); err == nil || !strings.Contains(err.Error(), `unknown MTA "exchange" (valid: `+strings.Join(Names(), " ")+")") {
		t.Errorf("an unknown MTA: %v", err)
	}
}

// What isn't there is missing with the command that gets it.
func TestAMissingAgentNamesItsCommand(t *testing.T) {
	t.Setenv("SMTPSTORM_MTAS", t.TempDir())
	t.Setenv("PATH", t.TempDir())
	for _, c := range Find() {
		if c.Path != "" {
			continue // in /usr/sbin
		}
		err := c.Ready()
		if !errors.Is(err, ErrMissing) || c.Fetch == "" || !strings.Contains(err.Error(), c.Fetch) {
			t.Errorf("%s: %v; want an error with the command %q", c.Name, err, c.Fetch)
		}
		if _, err := New(c.Name, Options{}); !errors.Is(err, ErrMissing) {
			t.Errorf("New: %v", err)
		}
	}
}

// A reserved port is nobody else's, but whoever is told of it may listen on it.
func TestAReservedPort(t *testing.T) {
	p, err := ReservePort()
	if err != nil {
		t.Fatal(err)
	}
	if p.number < lowestPort || p.number >= lowestEphemeral() {
		t.Errorf("port %d, want one from %d to %d", p.number, lowestPort, lowestEphemeral()-1)
	}
	if fd, err := bindOnly(p.number); err == nil {
		t.Errorf("reserved twice: %d", fd)
	}
	for range 2 { // an agent, and the same after a restart
		l, err := net.Listen("tcp4", p.Addr())
		if err != nil {
			t.Fatalf("listen on a reserved port: %v", err)
		}
		conn, err := net.Dial("tcp4", p.Addr())
		if err != nil {
			t.Fatalf("connect to who listens there: %v", err)
		}
		conn.Close()
		l.Close()
	}
	if conn, err := net.Dial("tcp4", p.Addr()); err == nil {
		conn.Close()
		t.Error("the reservation itself takes connections")
	}
	if err := p.Release(); err != nil {
		t.Error(err)
	}
}

func TestGapsOfAPolicy(t *testing.T) {
	p, err := Policy{MinimalBackoff: 5 * time.Second, MaximalBackoff: 20 * time.Second, Lifetime: time.Minute}.complete(Traits{ShortestBackoff: time.Second})
	if got := fmt.Sprint(p.gaps()); got != "[5s 10s 20s 20s 20s]" || err != nil {
		t.Errorf("gaps %s, %v", got, err)
	}
	if p, err := (Policy{}).complete(Traits{ShortestBackoff: 5 * time.Second}); err != nil || p.MinimalBackoff != 5*time.Second || p.MaximalBackoff != 40*time.Second {
		t.Errorf("default %v, %v", p, err)
	}
}

// Versions are part of paths and of shell commands: nothing else than a version is one.
func TestOtherVersions(t *testing.T) {
	t.Setenv("SMTPSTORM_MTAS", t.TempDir())
	c, err := Lookup("nodemailer@6.3.0")
	if err != nil || c.Path != "" || !strings.Contains(c.Fetch, "nodemailer@6.3.0/") && !strings.Contains(c.Fetch, "nodemailer@6.3.0 ") || !strings.HasSuffix(c.Fetch, " nodemailer@6.3.0") {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := New("nodemailer@6.3.0", Options{}); !errors.Is(err, ErrMissing) {
		t.Errorf("%v, want that it is missing", err)
	}
	for name, want := range map[string]string{
		"nodemailer@":         `version "" is not one such as 6.3.0`,
		"nodemailer@1;reboot": `version "1;reboot" is not one such as 6.3.0`,
		"nodemailer@../x":     "is not one such as",
		"postfix@3.7":         "there is one version only of postfix",
		"smtplib@3":           "there is one version only of smtplib",
		"mailer@1":            `unknown MTA "mailer@1" (valid: postfix `,
	} {
		if _, err := Lookup(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}

package cmd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/smtpstorm/xk6-smtp/bench/supervise"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
	"github.com/smtpstorm/xk6-smtp/sink/testkit"
)

// underWay is a run of the real program with the real k6, whose processes and files are told from all others by its TMPDIR.
type underWay struct {
	t    *testing.T
	cmd  *exec.Cmd
	dir  string // working directory; results/latest are the results
	temp string
	said lockedBuffer
}

// lockedBuffer is a buffer that one goroutine writes and another one reads.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// prepareRun prepares a run in a directory that user postfix can reach.
func prepareRun(t *testing.T, dir string, args ...string) *underWay {
	t.Helper()
	scripts, err := filepath.Abs("../../scripts")
	if err != nil {
		t.Fatal(err)
	}
	u := &underWay{t: t, dir: dir, temp: filepath.Join(dir, "tmp")}
	for _, d := range []string{dir, u.temp} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	u.cmd = exec.Command(binary, append([]string{"run", "--scripts", scripts, "--rate", "40"}, args...)...)
	u.cmd.Dir = dir
	u.cmd.Env = append(os.Environ(), "TMPDIR="+u.temp)
	u.cmd.Stdout, u.cmd.Stderr = &u.said, &u.said
	return u
}

// prepareStorm prepares a storm in a directory that user postfix can reach; results/storm are its results.
func prepareStorm(t *testing.T, dir, mta, storm string) *underWay {
	t.Helper()
	u := prepareRun(t, dir)
	u.cmd.Args = []string{binary, "storm", "--mta", mta, "--storm", storm, "--messages", "4000", "--rate", "40", "--out", "results/storm"}
	return u
}

func (u *underWay) start() *underWay {
	u.t.Helper()
	if err := u.cmd.Start(); err != nil {
		u.t.Fatal(err)
	}
	u.t.Cleanup(func() { // whatever a failed test leaves
		_ = u.cmd.Process.Kill()
		_ = supervise.EndProcesses(u.temp, 10*time.Second)
	})
	return u
}

// named returns the processes of the run that have a name, and whose command line holds a word.
func (u *underWay) named(name, word string) (pids []int) {
	for _, pid := range supervise.Processes(u.temp) {
		comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if strings.TrimSpace(string(comm)) == name && strings.Contains(string(line), word) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// connected reports whether a process has an established TCP connection.
func connected(pid int) bool {
	table, _ := os.ReadFile("/proc/net/tcp")
	established := map[string]bool{}
	for line := range strings.Lines(string(table)) {
		// sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode
		if fields := strings.Fields(line); len(fields) > 9 && fields[3] == "01" {
			established["socket:["+fields[9]+"]"] = true
		}
	}
	descriptors, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	return slices.ContainsFunc(descriptors, func(name string) bool {
		target, err := os.Readlink(name)
		return err == nil && established[target]
	})
}

// await waits until a condition holds that the run brings about.
func (u *underWay) await(what string, holds func() bool) {
	u.t.Helper()
	testkit.Await(u.t, what, holds, func() string {
		return fmt.Sprintf("processes %v, files %v\n%s", supervise.Processes(u.temp), u.left(), u.said.String())
	})
}

// left lists temporary files, and what lies hidden beside the results.
func (u *underWay) left() []string {
	names, _ := filepath.Glob(filepath.Join(u.temp, "*"))
	hidden, _ := filepath.Glob(filepath.Join(u.dir, "results", ".*"))
	return append(names, hidden...)
}

// size returns the size of a file of the calm leg while the run is under way.
func (u *underWay) size(name string) int64 {
	files, _ := filepath.Glob(filepath.Join(u.dir, "results", ".latest-*", "calm", name))
	if len(files) != 1 {
		return 0
	}
	info, err := os.Stat(files[0])
	if err != nil {
		return 0
	}
	return info.Size()
}

// nothingLeft waits for the end of every process and file of the run.
func (u *underWay) nothingLeft() {
	u.t.Helper()
	u.await("no process is left", func() bool { return len(supervise.Processes(u.temp)) == 0 })
	u.await("no temporary file is left", func() bool { return len(u.left()) == 0 })
}

// exited waits for the program and returns its exit status.
func (u *underWay) exited() int {
	u.t.Helper()
	overdue := time.AfterFunc(2*time.Minute, func() { _ = u.cmd.Process.Kill() })
	defer overdue.Stop()
	_ = u.cmd.Wait() // the status says it all
	return u.cmd.ProcessState.ExitCode()
}

// needsPostfix returns where a run through Postfix can be; otherwise it skips, or fails where nothing may be skipped.
func needsPostfix(t *testing.T) {
	t.Helper()
	sinktest.RequireRoot(t, "a private Postfix")
	sinktest.RequireTool(t, "postfix", "postfix")
}

// shortDir is t.TempDir with a short name: Postfix has its sockets there.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "st")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func TestNothingOutlivesAKilledRun(t *testing.T) {
	k6 := filepath.Join(build(t), "k6")

	t.Run("kill -9 while k6 runs", func(t *testing.T) {
		t.Parallel()
		u := prepareRun(t, t.TempDir(), "--k6", k6, "--messages", "4000", "--mta", "none").start()
		u.await("k6 runs", func() bool {
			return len(u.named("k6", "run")) > 0 && strings.Contains(fmt.Sprint(u.left()), "smtpstorm-run-")
		})
		_ = u.cmd.Process.Kill()
		_ = u.cmd.Wait()
		u.nothingLeft()
	})
	t.Run("kill -9 after messages were sent", func(t *testing.T) {
		t.Parallel()
		u := prepareRun(t, t.TempDir(), "--k6", k6, "--messages", "4000", "--mta", "none").start()
		u.await("messages are claimed and delivered", func() bool { return u.size("sent.jsonl") > 2000 && u.size("ledger.jsonl") > 2000 })
		_ = u.cmd.Process.Kill()
		_ = u.cmd.Wait()
		u.nothingLeft()
		kept, _ := filepath.Glob(filepath.Join(u.dir, "results", "latest-*"))
		if len(kept) != 1 {
			t.Fatalf("kept: %q, want one directory\n%s", kept, u.said.String())
		}
		judge := exec.Command(binary, "judge", kept[0])
		out, _ := judge.CombinedOutput() // the status says it
		if status := judge.ProcessState.ExitCode(); status != reconcile.ExitUndetermined || !strings.Contains(string(out), "delivered") || strings.Contains(string(out), "fault") {
			t.Errorf("judged: status %d, want %d\n%s", status, reconcile.ExitUndetermined, out)
		}
		var record struct {
			Load struct{ Stopped string }
		}
		text, err := os.ReadFile(filepath.Join(kept[0], "calm", "unfinished.json"))
		if err == nil {
			err = json.Unmarshal(text, &record)
		}
		if err != nil || record.Load.Stopped != "smtpbench was ended from outside" {
			t.Errorf("the leg is not marked: %v, %s", err, text)
		}
		next := prepareRun(t, u.dir, "--k6", k6, "--messages", "40", "--mta", "none").start()
		if status := next.exited(); status != 0 || !strings.Contains(next.said.String(), filepath.Base(kept[0])+" has what a run that was killed had recorded") {
			t.Errorf("the next run: status %d\n%s", status, next.said.String())
		}
		next.nothingLeft()
	})
	t.Run("kill -9 while an MTA is in a storm", func(t *testing.T) {
		t.Parallel()
		needsPostfix(t)
		u := prepareStorm(t, shortDir(t), "postfix", "S0").start()
		recorded := func(name string) bool {
			files, _ := filepath.Glob(filepath.Join(u.dir, "results", ".storm-*", name))
			if len(files) != 1 {
				return false
			}
			info, err := os.Stat(files[0])
			return err == nil && info.Size() > 2000
		}
		u.await("messages are claimed and delivered", func() bool { return recorded("sent.jsonl") && recorded("ledger.jsonl") })
		_ = u.cmd.Process.Kill()
		_ = u.cmd.Wait()
		u.nothingLeft()
		kept, _ := filepath.Glob(filepath.Join(u.dir, "results", "storm-*"))
		if len(kept) != 1 {
			t.Fatalf("kept: %q, want one directory\n%s", kept, u.said.String())
		}
		judge := exec.Command(binary, "judge", kept[0])
		out, _ := judge.CombinedOutput() // the status says it
		if status := judge.ProcessState.ExitCode(); status != reconcile.ExitUndetermined || !strings.Contains(string(out), "delivered") || !strings.Contains(string(out), "ended from outside") {
			t.Errorf("judged: status %d, want %d\n%s", status, reconcile.ExitUndetermined, out)
		}
	})
	t.Run("kill -9 while k6 runs behind a wrapper", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		wrapper := filepath.Join(dir, "wrapper")
		if err := os.WriteFile(wrapper, []byte("#!/bin/sh\n"+k6+" \"$@\"\nexit $?\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		u := prepareRun(t, dir, "--k6", wrapper, "--messages", "4000", "--mta", "none").start()
		u.await("k6 runs", func() bool { return len(u.named("k6", "run")) > 0 })
		_ = u.cmd.Process.Kill()
		_ = u.cmd.Wait()
		u.nothingLeft()
	})
	t.Run("kill -9 while Postfix runs", func(t *testing.T) {
		t.Parallel()
		needsPostfix(t)
		u := prepareRun(t, shortDir(t), "--k6", k6, "--messages", "40", "--mta", "postfix").start()
		u.await("Postfix and k6 run", func() bool { return len(u.named("master", "")) > 0 && len(u.named("k6", "mta.js")) > 0 })
		_ = u.cmd.Process.Kill()
		_ = u.cmd.Wait()
		u.nothingLeft()
	})
	t.Run("kill -9 of the watchdog, too, and the next run", func(t *testing.T) {
		t.Parallel()
		needsPostfix(t)
		dir := shortDir(t)
		u := prepareRun(t, dir, "--k6", k6, "--messages", "40", "--mta", "postfix").start()
		u.await("Postfix and k6 run", func() bool { return len(u.named("master", "")) > 0 && len(u.named("k6", "mta.js")) > 0 })
		watchdogs := u.named("smtpbench", watchdogArgument)
		if len(watchdogs) != 1 {
			t.Fatalf("watchdogs %v", watchdogs)
		}
		if err := syscall.Kill(watchdogs[0], syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		_ = u.cmd.Process.Kill()
		_ = u.cmd.Wait()
		u.await("k6 has ended with its parent", func() bool { return len(u.named("k6", "")) == 0 })
		if len(u.named("master", "")) == 0 || len(u.left()) != 3 {
			t.Fatalf("Postfix ended by itself, or files went: this test shows nothing; left: %v", u.left())
		}
		next := prepareRun(t, dir, "--k6", k6, "--messages", "40", "--mta", "none").start()
		if status := next.exited(); status != 0 || !strings.Contains(next.said.String(), "swept    2 directories") {
			t.Errorf("the next run: status %d\n%s", status, next.said.String())
		}
		next.nothingLeft()
	})
}

func TestASignalEndsARunInGoodOrder(t *testing.T) {
	// Tests that were started by nohup ignore SIGHUP, and so would what they start. A signal that is caught is not ignored, and what is
	// started then has the default.
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(caught) })
	k6 := filepath.Join(build(t), "k6")
	begun := func(u *underWay) {
		u.t.Helper()
		u.await("k6 runs", func() bool { return len(u.named("k6", "run")) > 0 })
		// Not the record's beginning: k6 opens it a moment before it listens to signals, and a signal in between ends it without a record.
		u.await("k6 is connected to the sink", func() bool {
			return slices.ContainsFunc(u.named("k6", "calm"), connected)
		})
	}
	ended := func(u *underWay) {
		u.t.Helper()
		if status := u.exited(); status != reconcile.ExitUndetermined {
			u.t.Errorf("status %d, want %d\n%s", status, reconcile.ExitUndetermined, u.said.String())
		}
		u.nothingLeft()
		if _, err := os.Stat(filepath.Join(u.dir, "results", "latest", "calm.json")); err != nil {
			u.t.Errorf("what was measured was not written: %v", err)
		}
	}
	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			u := prepareRun(t, t.TempDir(), "--k6", k6, "--messages", "4000", "--mta", "none").start()
			begun(u)
			if err := u.cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			ended(u)
		})
	}
	t.Run("the terminal is closed", func(t *testing.T) {
		t.Parallel()
		u := prepareRun(t, t.TempDir(), "--k6", k6, "--messages", "4000", "--mta", "none")
		terminal, program := openTerminal(t)
		u.cmd.Stdin, u.cmd.Stdout, u.cmd.Stderr = program, program, program
		u.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
		u.start()
		_ = program.Close()
		begun(u)
		if err := terminal.Close(); err != nil {
			t.Fatal(err)
		}
		ended(u)
	})
	t.Run("nohup", func(t *testing.T) {
		t.Parallel()
		u := prepareRun(t, t.TempDir(), "--k6", k6, "--messages", "160", "--mta", "none")
		u.cmd.Args = slices.Concat([]string{"sh", "-c", `trap '' HUP; exec "$0" "$@"`, binary}, u.cmd.Args[1:])
		u.cmd.Path = "/bin/sh"
		u.start()
		begun(u)
		if err := u.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		if status := u.exited(); status != 0 {
			t.Errorf("status %d\n%s", status, u.said.String())
		}
		u.nothingLeft()
	})
}

// openTerminal returns both ends of a pseudo terminal: pty(7).
func openTerminal(t *testing.T) (terminal, program *os.File) {
	t.Helper()
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		sinktest.Missing(t, "no pseudo terminals here: %v", err)
	}
	fd := int(terminal.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		program, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		_ = terminal.Close()
		sinktest.Missing(t, "no pseudo terminals here: %v", err)
	}
	return terminal, program
}

package supervise

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
	"github.com/smtpstorm/xk6-smtp/sink/testkit"
)

// TestMain lets the test binary be a watchdog, a program that is to be killed, and what such a program starts.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "watchdog":
			if Watch(os.Stdin) != nil {
				os.Exit(1)
			}
			return
		case "program":
			if err := program(os.Args[2]); err != nil {
				fmt.Println("error:", err)
				os.Exit(1)
			}
			return
		case "child":
			_, _ = io.Copy(io.Discard, os.Stdin) // until it is killed: nobody closes it
			time.Sleep(time.Minute)
			return
		}
	}
	os.Exit(m.Run())
}

// program has a scratch directory below dir, a child, and a daemon, and waits to be killed. It prints its directory and the ids of both.
func program(dir string) error {
	s, err := NewScratch(dir, "test-")
	if err != nil {
		return err
	}
	if os.Getenv("UNWATCHED") == "" {
		w, err := StartWatchdog([]string{os.Args[0], "watchdog"})
		if err != nil {
			return err
		}
		if err := w.Watch(s); err != nil {
			return err
		}
	}
	child := exec.Command(os.Args[0], "child")
	if _, err := Start(child); err != nil {
		return err
	}
	daemon := exec.Command(os.Args[0], "child")
	daemon.Env = append(os.Environ(), "CONFIG="+s.Path("etc"))
	apart(daemon)
	if err := daemon.Start(); err != nil {
		return err
	}
	fmt.Println(s.Dir, child.Process.Pid, daemon.Process.Pid)
	time.Sleep(time.Minute)
	return nil
}

// started is a running program of this test.
type started struct {
	cmd           *exec.Cmd
	dir           string // its scratch directory
	child, daemon int
}

func start(t *testing.T, dir string, env ...string) *started {
	t.Helper()
	if _, err := os.Stat("/proc/self/environ"); err != nil {
		sinktest.Missing(t, "needs /proc: %v", err)
	}
	s := &started{cmd: exec.Command(os.Args[0], "program", dir)}
	s.cmd.Env = append(os.Environ(), env...)
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		_, _ = s.cmd.Process.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	fields := strings.Fields(line)
	if err != nil || len(fields) != 3 {
		t.Fatalf("the program says %q, %v", line, err)
	}
	s.dir = fields[0]
	s.child, _ = strconv.Atoi(fields[1])
	s.daemon, _ = strconv.Atoi(fields[2])
	return s
}

func (s *started) kill(t *testing.T) {
	t.Helper()
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_, _ = s.cmd.Process.Wait()
}

// runs reports whether a process runs: a zombie doesn't.
func runs(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func exists(path string) bool { _, err := os.Lstat(path); return err == nil }

func TestNothingOutlivesAKilledProgram(t *testing.T) {
	s := start(t, t.TempDir())
	if got := Processes(s.dir); !slices.Equal(got, []int{s.daemon}) {
		t.Errorf("processes %v belong to %s, want %d", got, s.dir, s.daemon)
	}
	s.kill(t)
	testkit.Await(t, "the child has ended", func() bool { return !runs(s.child) })
	testkit.Await(t, "the daemon has ended", func() bool { return !runs(s.daemon) })
	testkit.Await(t, "the scratch directory is gone", func() bool { return !exists(s.dir) })
}

func TestTheNextRunSweepsWhatNobodyWatched(t *testing.T) {
	dir := t.TempDir()
	dead, alive := start(t, dir, "UNWATCHED=1"), start(t, dir, "UNWATCHED=1")
	dead.kill(t)
	testkit.Await(t, "the child has ended", func() bool { return !runs(dead.child) })
	if !runs(dead.daemon) || !exists(dead.dir) {
		t.Fatal("the daemon or its directory went by itself: this test shows nothing")
	}
	swept, err := Sweep(dir, "test-")
	if err != nil || !slices.Equal(swept, []string{dead.dir}) {
		t.Errorf("swept %v, %v; want %s", swept, err, dead.dir)
	}
	if runs(dead.daemon) || exists(dead.dir) {
		t.Error("the killed program's daemon or directory is still there")
	}
	if !runs(alive.daemon) || !runs(alive.child) || !exists(alive.dir) {
		t.Error("what a living program has was swept")
	}
	alive.kill(t)
	if _, err := Sweep(dir, "test-"); err != nil || runs(alive.daemon) {
		t.Errorf("the second was not swept after its end: %v", err)
	}
}

func TestSweepTouchesNothingElse(t *testing.T) {
	dir := t.TempDir()
	write := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	valid := `{"format":"smtpstorm/scratch/1","id":"x"}`
	write(filepath.Join(dir, "test-without", "thesis.txt"), "mine")
	write(filepath.Join(dir, "test-empty", OwnerFile), "")
	write(filepath.Join(dir, "test-other", OwnerFile), `{"format":"another/1","id":"x"}`)
	write(filepath.Join(dir, "test-anonymous", OwnerFile), `{"format":"smtpstorm/scratch/1"}`)
	write(filepath.Join(dir, "unrelated", OwnerFile), valid)
	write(filepath.Join(dir, "test-file"), valid)
	write(filepath.Join(dir, "elsewhere", OwnerFile), valid)
	if err := os.Symlink(filepath.Join(dir, "elsewhere"), filepath.Join(dir, "test-link")); err != nil {
		t.Fatal(err)
	}
	write(filepath.Join(dir, "owner"), valid)
	if err := os.Mkdir(filepath.Join(dir, "test-linked"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "owner"), filepath.Join(dir, "test-linked", OwnerFile)); err != nil {
		t.Fatal(err)
	}
	if swept, err := Sweep(dir, "test-"); err != nil || len(swept) > 0 {
		t.Errorf("swept %v, %v; want nothing", swept, err)
	}
	write(filepath.Join(dir, "test-dead", OwnerFile), valid)
	if swept, err := Sweep(dir, "test-"); err != nil || len(swept) != 1 {
		t.Errorf("swept %v, %v; want test-dead", swept, err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 10 {
		t.Errorf("left: %v", entries)
	}
}

func TestAPlaceIsOnesAtATime(t *testing.T) {
	dir := t.TempDir()
	first, err := NewExclusiveScratch(dir, ".out-")
	if err != nil {
		t.Fatal(err)
	}
	var busy *BusyError
	if _, err := NewExclusiveScratch(dir, ".out-"); !errors.As(err, &busy) || busy.Dir != first.Dir {
		t.Errorf("a second one: %v; want a BusyError that names %s", err, first.Dir)
	}
	if other, err := NewExclusiveScratch(dir, ".other-"); err != nil {
		t.Errorf("another place: %v", err)
	} else if err := other.Remove(); err != nil {
		t.Error(err)
	}
	moved := filepath.Join(dir, "out")
	if err := errors.Join(os.Rename(first.Dir, moved), first.Release(moved)); err != nil {
		t.Fatal(err)
	}
	if exists(filepath.Join(moved, OwnerFile)) || !exists(moved) {
		t.Error("a released directory keeps its owner's file, or is gone")
	}
	second, err := NewExclusiveScratch(dir, ".out-")
	if err != nil {
		t.Fatalf("after the release: %v", err)
	}
	if err := errors.Join(second.Remove(), second.Remove()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(second.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("still there: %v", err)
	}
}

// TestManyAtOnce lets many want one place at the same moment: exactly one gets it.
func TestManyAtOnce(t *testing.T) {
	dir := t.TempDir()
	got := make(chan error, 8)
	for range cap(got) {
		go func() {
			_, err := NewExclusiveScratch(dir, ".out-")
			got <- err
		}()
	}
	won := 0
	for range cap(got) {
		var busy *BusyError
		switch err := <-got; {
		case err == nil:
			won++
		case !errors.As(err, &busy):
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d got the place", won)
	}
}

func TestForgottenIsNotSwept(t *testing.T) {
	w, err := StartWatchdog([]string{os.Args[0], "watchdog"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewScratch(t.TempDir(), "test-")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Watch(s), w.Forget(s)); err != nil {
		t.Fatal(err)
	}
	if err := s.unlock(); err != nil { // as if its owner were dead
		t.Fatal(err)
	}
	if err := w.Close(); err != nil || !exists(s.Dir) {
		t.Errorf("%v; the directory is there: %v", err, exists(s.Dir))
	}
	var none *Watchdog
	if err := errors.Join(none.Watch(s), none.Forget(s), none.Close()); err != nil {
		t.Error(err)
	}
}

// TestAShellThatLooksIsNobodys holds that only what was started with the directory in its environment belongs to it.
func TestAShellThatLooksIsNobodys(t *testing.T) {
	dir := t.TempDir()
	looker := exec.Command(os.Args[0], "child")
	looker.Dir = dir
	looker.Env = append(os.Environ(), "OLDPWD="+filepath.Join(dir, "x"), "NEAR="+dir+"2")
	if _, err := Start(looker); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = Kill(looker.Process) }()
	if got := Processes(dir); len(got) > 0 {
		t.Errorf("processes %v belong to %s", got, dir)
	}
}

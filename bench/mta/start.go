package mta

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/supervise"
)

// command is a command of the MTA, with the environment that makes it belong to the instance.
func (i *instance) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...) // #nosec G204 -- programs as the adapter's find found them, or that lie beside them; no shell
	cmd.Dir = i.o.Dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH") + ":/usr/sbin:/sbin", "HOME=" + i.o.Dir, "TMPDIR=" + i.o.Dir, "LC_ALL=C", "TZ=UTC", supervise.Environment + "=" + i.o.Dir}
	if i.environment != nil {
		cmd.Env = append(cmd.Env, i.environment(i)...)
	}
	apart(cmd, i.drops())
	return cmd
}

// counted is a command whose use of CPU and memory is the agent's: one that takes mail for it.
func (i *instance) counted(ctx context.Context, args ...string) *exec.Cmd {
	if g := i.group.Load(); g != nil {
		args = g.within(args)
	}
	return i.command(ctx, args...)
}

// output runs a command and returns what it says; the error has the last line of its complaints.
func (i *instance) output(ctx context.Context, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	cmd := i.command(ctx, args...)
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w: %s", filepath.Base(args[0]), err, lastLine(complaints.String()+"\n"+out.String()))
	}
	return out.Bytes(), nil
}

func (i *instance) Start(ctx context.Context) error {
	i.lifecycle.Lock()
	defer i.lifecycle.Unlock()
	return i.start(ctx)
}

func (i *instance) start(ctx context.Context) error {
	if i.daemon == nil {
		return fmt.Errorf("%s is not prepared", i.name)
	}
	if i.main != nil {
		select {
		case <-i.ended:
			i.main = nil
		default:
			return fmt.Errorf("%s runs already", i.name)
		}
	}
	// Some MTAs try a port that is taken again and again, others don't say why they end.
	free, err := net.Listen("tcp", i.addr)
	if err == nil {
		err = free.Close()
	}
	if err != nil {
		return fmt.Errorf("start %s: %w", i.name, err)
	}
	// A file instead of a pipe: its processes inherit it, and may outlive the first.
	out, err := os.OpenFile(i.console(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644) // #nosec G302 G304 -- in the instance's own folder, for daemons of the MTA's user
	if err != nil {
		return fmt.Errorf("start %s: %w", i.name, err)
	}
	defer out.Close()
	if i.ready != nil {
		if err := i.ready(i); err != nil {
			return fmt.Errorf("start %s: %w", i.name, err)
		}
	}
	if err := i.serve(); err != nil {
		return fmt.Errorf("start %s: %w", i.name, err)
	}
	if i.front != nil {
		intake, err := i.front(i)
		if err != nil {
			return errors.Join(fmt.Errorf("start %s: %w", i.name, err), i.kill())
		}
		i.intake = intake
	}
	cmd, begin := i.grouped(context.WithoutCancel(ctx))
	cmd.Stdout, cmd.Stderr = out, out
	logged, printed := fileSize(i.LogPath()), fileSize(i.console())
	ended, err := supervise.Start(cmd)
	if err != nil {
		begin(0)
		return errors.Join(fmt.Errorf("start %s: %w", i.name, err), i.kill())
	}
	begin(cmd.Process.Pid)
	i.main, i.ended = cmd, ended
	if err := i.awaitGreeting(ctx, printed); err != nil {
		return errors.Join(fmt.Errorf("start %s: %w%s", i.name, err, i.complaint(logged, printed)), i.kill())
	}
	return nil
}

// grouped is the command that runs the agent in a control group, where one can be made; begin must be called with its process. A shell stands
// in for the agent until it is in the group, so that nothing is started outside.
func (i *instance) grouped(ctx context.Context) (cmd *exec.Cmd, begin func(pid int)) {
	if i.group.Load() == nil {
		i.group.Store(newGroup())
	}
	g := i.group.Load()
	if g == nil {
		return i.command(ctx, i.daemon...), func(int) {}
	}
	cmd = i.command(ctx, append([]string{"/bin/sh", "-c", `read -r go; exec "$@" </dev/null`, "sh"}, i.daemon...)...)
	read, write, err := os.Pipe()
	if err != nil {
		return i.command(ctx, i.daemon...), func(int) {}
	}
	cmd.Stdin = read
	return cmd, func(pid int) {
		if pid > 0 { // else it did not start
			_ = g.take(pid) // without it, usage finds the group empty, and goes by the processes
		}
		_, _ = write.WriteString("go\n")
		_, _ = write.Close(), read.Close()
	}
}

// complaint is what the agent said last when it did not start: since log and console had a size.
func (i *instance) complaint(logged, printed int64) string {
	for _, text := range []string{readFrom(i.LogPath(), logged), readFrom(i.console(), printed)} {
		last := ""
		for line := range strings.Lines(text) {
			line = strings.TrimSpace(line)
			if lower := strings.ToLower(line); last == "" || strings.Contains(lower, "fatal") || strings.Contains(lower, "error") || strings.Contains(lower, "failed") {
				last = line
			}
		}
		if last != "" {
			return ": " + last
		}
	}
	return ""
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

func fileSize(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// readFrom returns a file's text from an offset on, or nothing when it can't be read.
func readFrom(path string, offset int64) string {
	f, err := os.Open(path) // #nosec G304 -- a log of the instance, below its own folder
	if err != nil {
		return ""
	}
	defer f.Close()
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return ""
	}
	text, _ := io.ReadAll(io.LimitReader(f, 1<<20)) // what was read counts
	return string(text)
}

// awaitGreeting polls until the port greets, and the program has announced itself if it does: on the console, from an offset on.
func (i *instance) awaitGreeting(ctx context.Context, printed int64) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		last := greets(ctx, i.addr)
		if last == nil && !strings.Contains(readFrom(i.console(), printed), i.announces) {
			last = errors.New("the program behind it is not ready")
		}
		if last == nil {
			return nil
		}
		select {
		case err := <-i.ended:
			i.main = nil
			return fmt.Errorf("it ended at once (%w)", err)
		case <-ctx.Done():
			return fmt.Errorf("it doesn't greet on %s: %w", i.addr, last)
		case <-time.After(pollInterval):
		}
	}
}

// greets connects once and reads the greeting.
func greets(ctx context.Context, addr string) error {
	dialer := net.Dialer{Timeout: time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	buf := make([]byte, 512)
	n, err := conn.Read(buf)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(string(buf[:n]), "220") {
		return fmt.Errorf("greeting %q", buf[:n])
	}
	// The agent has to be done with this connection, so that nothing of it is under way when Start returns.
	if _, err = conn.Write([]byte("QUIT\r\n")); err == nil {
		_, err = io.Copy(io.Discard, conn)
	}
	return err
}

package run

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/supervise"
)

// Exit statuses of k6 (its package errext/exitcodes) that are results and not failures.
const (
	k6ThresholdsCrossed = 99
	k6ExternalAbort     = 105 // it was asked to stop by a signal
)

// job is one k6 run.
type job struct {
	name   string   // of the leg, for messages
	script string   // path of the script
	record string   // path of the record that the output extension writes
	claims string   // path of the file of what is sent; empty: nobody keeps it
	stdout string   // path of the file that takes k6's summary
	stderr string   // path of the file that takes its log
	env    []string // NAME=VALUE for the script
	args   []string // more flags of k6 run
	tuning []string // NAME=VALUE for k6 itself
	tie    string   // NAME=VALUE by which k6 and what it starts belong to this run
	own    bool     // the user's own script, for which the user's K6_ variables hold
	limit  time.Duration
}

// exit is how a k6 run ended.
type exit struct {
	status      int
	interrupted bool   // it ended early, because it was asked to
	overran     bool   // it was asked to end because its time was over
	broke       string // the end of its log, when it had sent messages and then failed by itself; empty: it didn't
	started     time.Time
	wall, cpu   time.Duration
}

// tailLines is how much of k6's log an error shows.
const tailLines = 15

// k6Error is a failure of k6 other than a crossed threshold.
type k6Error struct {
	leg    string
	status int
	tail   string
}

func (e *k6Error) Error() string {
	return fmt.Sprintf("k6 failed in leg %s with exit status %d; the end of its log:\n%s", e.leg, e.status, e.tail)
}

// grace is how long k6 may take to end after it was asked to: iterations under way finish, and the record is written.
const grace = 20 * time.Second

// runK6 runs k6 to its end and calls tick four times a second meanwhile. Closing stop asks k6 to end in good order, cancelling
// ctx kills it. The error is a *k6Error when k6 itself failed.
func runK6(ctx context.Context, binary string, j job, stop <-chan struct{}, tick func()) (exit, error) {
	stdout, err := os.Create(j.stdout)
	if err != nil {
		return exit{}, err
	}
	defer stdout.Close()
	stderr, err := os.Create(j.stderr)
	if err != nil {
		return exit{}, err
	}
	defer stderr.Close()

	args := []string{"run", "--quiet", "--no-color", "-o", "smtpstorm=" + j.record}
	for _, e := range j.env {
		args = append(args, "--env", e)
	}
	args = append(append(args, j.args...), shortest(j.script)) // it goes into the record: no more of the machine than need be
	cmd := exec.Command(binary, args...)                       // #nosec G204 -- the k6 and the script that the user names, or this program found; no shell
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.Env = append(append(k6Env(os.Environ(), j.own), j.tuning...), j.tie)
	if j.claims != "" {
		cmd.Env = append(cmd.Env, claimsVariable+"="+j.claims)
	}
	started := time.Now()
	done, err := supervise.Start(cmd)
	if err != nil {
		return exit{}, inputErrorf("k6 binary %s can't be run (%v): build it with: make build", binary, reason(err))
	}
	e, err := watch(ctx, cmd.Process, done, stop, j.limit, tick)
	e.started, e.wall = started, time.Since(started)
	if cmd.ProcessState != nil {
		e.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	if err != nil {
		return e, err
	}
	asked := e.interrupted || e.overran
	if e.status == 0 || e.status == k6ThresholdsCrossed || (asked && e.status == k6ExternalAbort) {
		return e, nil
	}
	if j.hasSent() {
		e.broke = tail(j.stderr, 1)
		return e, nil
	}
	return e, &k6Error{leg: j.name, status: e.status, tail: tail(j.stderr, tailLines)}
}

// hasSent reports whether there is something to judge, however k6 ended: a script of the user's own that aborts its test, or whose
// teardown throws, has sent what it has claimed, and k6 wrote its record.
func (j *job) hasSent() bool {
	if !j.own || j.claims == "" {
		return false
	}
	claims, err := os.Stat(j.claims)
	if err != nil || claims.Size() == 0 {
		return false
	}
	_, err = os.Stat(j.record)
	return err == nil
}

// watch waits for the process, passing on requests to stop.
func watch(ctx context.Context, process *os.Process, done <-chan error, stop <-chan struct{}, limit time.Duration, tick func()) (exit, error) {
	ticker := time.NewTicker(250 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	var kill <-chan time.Time // set once the process was asked to end
	var e exit
	ask := func() {
		if kill == nil {
			_ = supervise.Interrupt(process) // it may have ended by itself meanwhile
			kill = time.After(grace)
		}
	}
	for {
		select {
		case err := <-done:
			status, err := exitStatus(err)
			e.status = status
			return e, err
		case <-ticker.C:
			tick()
		case <-stop:
			e.interrupted, stop = true, nil
			ask()
		case <-deadline.C:
			e.overran = true
			ask()
		case <-kill:
			_ = supervise.Kill(process)
			<-done
			return e, fmt.Errorf("k6 did not end within %v after it was asked to, and was killed", grace)
		case <-ctx.Done():
			_ = supervise.Kill(process)
			<-done
			return e, ctx.Err()
		}
	}
}

// exitStatus sorts out what Wait returned: a status is a result, everything else an error.
func exitStatus(err error) (int, error) {
	var exited *exec.ExitError
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &exited) && exited.ExitCode() >= 0:
		return exited.ExitCode(), nil
	case errors.As(err, &exited):
		return -1, fmt.Errorf("k6 was ended from outside: %v", exited)
	}
	return -1, fmt.Errorf("wait for k6: %w", err)
}

// k6Env returns the environment of a k6 run: nothing phones out, and unless the script is the user's own, no variable of k6
// changes what is measured.
func k6Env(environ []string, own bool) []string {
	env := slices.DeleteFunc(slices.Clone(environ), func(e string) bool {
		return !own && strings.HasPrefix(e, "K6_")
	})
	return append(env, "K6_NO_USAGE_REPORT=true", "K6_AUTO_EXTENSION_RESOLUTION=false")
}

// tail returns the last lines of a file.
func tail(path string, lines int) string {
	text, err := os.ReadFile(path) // #nosec G304 -- a log that this program wrote
	if err != nil {
		return "(no log: " + err.Error() + ")"
	}
	all := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	if len(all) > lines {
		all = all[len(all)-lines:]
	}
	return string(bytes.Join(all, []byte("\n")))
}

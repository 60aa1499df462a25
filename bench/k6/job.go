// Package k6 runs k6 with the smtp extension as a child: it finds the program and the bundled scripts, keeps k6 from dialling beyond loopback,
// ends it in good order or by force, serves its dashboard, and reads the record that it leaves.
//
// It knows nothing of sinks and of what stands between; who judges what was sent is bench/pipeline.
package k6

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

	"github.com/smtpstorm/xk6-smtp/bench/input"
	"github.com/smtpstorm/xk6-smtp/bench/supervise"
)

// Exit statuses of k6 (its package errext/exitcodes) that are results and not failures.
const (
	ThresholdsCrossed = 99
	externalAbort     = 105 // it was asked to stop by a signal
)

// Job is one k6 run.
type Job struct {
	Name   string        // of the leg, for messages
	Script string        // path of the script
	Record string        // path of the record that the output extension writes
	Claims string        // path of the file of what is sent; empty: nobody keeps it
	Stdout string        // path of the file that takes k6's summary
	Stderr string        // path of the file that takes its log
	Env    []string      // NAME=VALUE for the script
	Args   []string      // more flags of k6 run
	Tuning []string      // NAME=VALUE for k6 itself
	Tie    string        // NAME=VALUE by which k6 and what it starts belong to this run
	Own    bool          // the user's own script, for which the user's K6_ variables hold
	Beyond bool          // it may dial beyond loopback: the user has vouched for the target
	Limit  time.Duration // after which it is asked to end
}

// Exit is how a k6 run ended.
type Exit struct {
	Status      int    // -1: a signal ended it
	Interrupted bool   // it ended early, because it was asked to
	Overran     bool   // it was asked to end because its time was over
	Broke       string // how it ended otherwise than it should: by a status that is no result, or by a signal that nobody here sent
	Log         string // with Broke: the end of its log
	Sent        bool   // it claims to have sent something, so that there is something to judge, however it ended
	Started     time.Time
	Wall, CPU   time.Duration
}

// tailLines is how much of k6's log is told.
const tailLines = 15

// Error is a failure of k6 other than a crossed threshold.
type Error struct {
	Leg string
	Exit
}

// Error says how k6 ended.
func (e *Error) Error() string {
	return fmt.Sprintf("leg %s: %s; the end of its log:\n%s", e.Leg, e.Broke, e.Log)
}

// Failure returns an *Error if k6 broke, and nil otherwise.
func (j *Job) Failure(e Exit) error {
	if e.Broke == "" {
		return nil
	}
	return &Error{Leg: j.Name, Exit: e}
}

// grace is how long k6 may take to end after it was asked to: iterations under way finish, and the record is written.
const grace = 20 * time.Second

// ClaimsVariable tells k6 where to write what it sends, a claim a line.
const ClaimsVariable = "K6_SMTPSTORM_SENT"

// Run runs k6 to its end and calls tick four times a second meanwhile. Closing stop asks k6 to end in good order, cancelling
// ctx kills it. That k6 failed is no error: see Exit.Broke. The error is an *input.Error when the script wanted to go beyond loopback, which
// the job forbids.
func (j *Job) Run(ctx context.Context, binary string, stop <-chan struct{}, tick func()) (Exit, error) {
	e, err := j.run(ctx, binary, stop, tick)
	if beyond := j.stayedIn(); beyond != nil {
		return e, beyond
	}
	return e, err
}

func (j *Job) run(ctx context.Context, binary string, stop <-chan struct{}, tick func()) (Exit, error) {
	stdout, err := os.Create(j.Stdout)
	if err != nil {
		return Exit{}, err
	}
	defer stdout.Close()
	stderr, err := os.Create(j.Stderr)
	if err != nil {
		return Exit{}, err
	}
	defer stderr.Close()

	args := []string{"run", "--quiet", "--no-color", "-o", "smtpstorm=" + j.Record}
	for _, e := range j.Env {
		args = append(args, "--env", e)
	}
	args = append(append(args, j.Args...), input.Shortest(j.Script)) // it goes into the record: no more of the machine than need be
	cmd := exec.Command(binary, args...)                             // #nosec G204 -- the k6 and the script that the user names, or this program found; no shell
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.Env = append(append(environment(os.Environ(), j.Own), j.Tuning...), j.Tie)
	if !j.Beyond {
		cmd.Env = append(cmd.Env, "K6_BLACKLIST_IPS="+beyondLoopback())
	}
	if j.Claims != "" {
		cmd.Env = append(cmd.Env, ClaimsVariable+"="+j.Claims)
	}
	started := time.Now()
	done, err := supervise.Start(cmd)
	if err != nil {
		return Exit{}, input.Errorf("k6 binary %s can't be run (%v): build it with: make build", binary, input.Reason(err))
	}
	e, err := watch(ctx, cmd.Process, done, stop, j.Limit, tick)
	e.Started, e.Wall, e.Sent = started, time.Since(started), j.hasSent()
	if cmd.ProcessState != nil {
		e.CPU = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	if e.Broke != "" {
		e.Log = tail(j.Stderr, tailLines)
	}
	return e, err
}

// hasSent reports whether there are claims.
func (j *Job) hasSent() bool {
	claims, err := os.Stat(j.Claims)
	return err == nil && claims.Size() > 0
}

// watch waits for the process, passing on requests to stop.
func watch(ctx context.Context, process *os.Process, done <-chan error, stop <-chan struct{}, limit time.Duration, tick func()) (Exit, error) {
	ticker := time.NewTicker(250 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	var kill <-chan time.Time // set once the process was asked to end
	var e Exit
	ask := func() {
		if kill == nil {
			_ = supervise.Interrupt(process) // it may have ended by itself meanwhile
			kill = time.After(grace)
		}
	}
	for {
		select {
		case err := <-done:
			return e, e.ended(err)
		case <-ticker.C:
			tick()
		case <-stop:
			e.Interrupted, stop = true, nil
			ask()
		case <-deadline.C:
			e.Overran = true
			ask()
		case <-kill:
			_ = supervise.Kill(process)
			<-done
			e.Status, e.Broke = -1, fmt.Sprintf("k6 did not end within %v after it was asked to, and was killed", grace)
			return e, nil
		case <-ctx.Done():
			_ = supervise.Kill(process)
			<-done
			return e, ctx.Err()
		}
	}
}

// ended sorts out what Wait returned: a status or a signal is a result, everything else an error.
func (e *Exit) ended(err error) error {
	asked := e.Interrupted || e.Overran
	var exited *exec.ExitError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &exited):
		return fmt.Errorf("wait for k6: %w", err)
	}
	e.Status = exited.ExitCode()
	switch {
	case e.Status == ThresholdsCrossed, asked && e.Status == externalAbort:
	case e.Status >= 0:
		e.Broke = fmt.Sprintf("k6 ended with status %d", e.Status)
	case !asked: // else it was too young to hear of it
		e.Broke = fmt.Sprintf("k6 was ended from outside (%v)", exited)
	}
	return nil
}

// environment returns the environment of a k6 run: nothing phones out, and unless the script is the user's own, no variable of k6
// changes what is measured.
func environment(environ []string, own bool) []string {
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

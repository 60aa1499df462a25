package mta

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/supervise"
	"github.com/smtpstorm/xk6-smtp/sink/mtalog"
)

// group is a control group (cgroups(7)) for the processes of an instance: whatever they start is in it, and what they used stays counted when
// they have ended. A tree of processes undercounts wherever a parent doesn't wait for its children.
type group struct {
	cpu, memory string // directories; the same where there is one hierarchy
	unified     bool
}

const (
	cgroupRoot   = "/sys/fs/cgroup"
	cgroupPrefix = "smtpstorm-"
)

// newGroup makes a control group; nil where this user can't.
func newGroup() *group {
	id := cgroupPrefix + supervise.NewID()[:12]
	if _, err := os.Stat(filepath.Join(cgroupRoot, "cgroup.controllers")); err == nil {
		dir := filepath.Join(cgroupRoot, id)
		sweepGroups(cgroupRoot)
		if os.Mkdir(dir, 0o755) != nil { // #nosec G301 -- a control group, for all to see
			return nil
		}
		return &group{cpu: dir, memory: dir, unified: true}
	}
	g := &group{cpu: filepath.Join(cgroupRoot, "cpuacct", id), memory: filepath.Join(cgroupRoot, "memory", id)}
	for _, dir := range []string{g.cpu, g.memory} {
		sweepGroups(filepath.Dir(dir))
		if os.Mkdir(dir, 0o755) != nil { // #nosec G301 -- as above
			_ = g.remove() // what was made of it
			return nil
		}
	}
	return g
}

// sweepGroups removes the groups that killed programs have left. One in which something runs can't be removed.
func sweepGroups(parent string) {
	left, _ := filepath.Glob(filepath.Join(parent, cgroupPrefix+"*")) // the pattern is well formed
	for _, dir := range left {
		if info, err := os.Stat(dir); err == nil && time.Since(info.ModTime()) > time.Minute {
			_ = os.Remove(dir)
		}
	}
}

// take puts a process into the group.
func (g *group) take(pid int) error {
	text := []byte(strconv.Itoa(pid))
	err := os.WriteFile(filepath.Join(g.cpu, "cgroup.procs"), text, 0o644) // #nosec G306 -- it is there
	if err == nil && !g.unified {
		err = os.WriteFile(filepath.Join(g.memory, "cgroup.procs"), text, 0o644) // #nosec G306 -- as above
	}
	return err
}

// within is the command that runs another one in the group.
func (g *group) within(command []string) []string {
	const enter = `for d in "$1" "$2"; do echo $$ >"$d/cgroup.procs"; done 2>/dev/null; shift 2; exec "$@"`
	return append([]string{"/bin/sh", "-c", enter, "sh", g.cpu, g.memory}, command...)
}

// usage is what the group's processes have used; ok is false where it can't be read.
func (g *group) usage() (cpu time.Duration, memory int64, ok bool) {
	if g.unified {
		text, err := os.ReadFile(filepath.Join(g.cpu, "cpu.stat"))
		micros, found := mtalog.Between(string(text), "usage_usec ", "\n")
		n, numberErr := strconv.ParseInt(micros, 10, 64)
		return time.Duration(n) * time.Microsecond, readNumber(filepath.Join(g.memory, "memory.peak")), err == nil && found && numberErr == nil
	}
	nanos := readNumber(filepath.Join(g.cpu, "cpuacct.usage"))
	return time.Duration(nanos), readNumber(filepath.Join(g.memory, "memory.max_usage_in_bytes")), nanos > 0
}

func readNumber(path string) int64 {
	text, err := os.ReadFile(path) // #nosec G304 -- below /sys
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64) // the kernel's own digits
	return n
}

// remove removes the group, whose processes have ended. The kernel may need a moment to notice.
func (g *group) remove() (err error) {
	for _, dir := range []string{g.cpu, g.memory} {
		for end := time.Now().Add(2 * time.Second); ; time.Sleep(pollInterval) {
			if err = os.Remove(dir); err == nil || errors.Is(err, os.ErrNotExist) {
				err = nil
				break
			}
			if time.Now().After(end) {
				return err
			}
		}
	}
	return err
}

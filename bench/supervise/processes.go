package supervise

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Processes returns the ids of the processes that belong to a directory, as far as this user may know: those that were started with a
// variable in their environment whose value is the directory or lies below it, and their descendants. PWD and OLDPWD don't count,
// nor does a working directory: a shell in which somebody looks at the files belongs to that somebody. It is empty where there is
// no /proc.
func Processes(dir string) []int {
	var pids []int
	parents := map[int]int{}
	for _, pid := range allProcesses() {
		if pid == os.Getpid() {
			continue
		}
		parents[pid] = parentOf(pid)
		if carries(pid, dir) {
			pids = append(pids, pid)
		}
	}
	// A child comes after its parent only by chance: look until nobody is added.
	for grown := true; grown; {
		grown = false
		for pid, parent := range parents {
			if !slices.Contains(pids, pid) && slices.Contains(pids, parent) {
				pids, grown = append(pids, pid), true
			}
		}
	}
	slices.Sort(pids)
	return pids
}

// EndProcesses kills the processes that belong to a directory, and returns once none is left. The error names those that are left
// after patience.
func EndProcesses(dir string, patience time.Duration) error {
	for end := time.Now().Add(patience); ; {
		left := Processes(dir)
		if len(left) == 0 {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("processes %v of %s don't end", left, dir)
		}
		kill(left, dir)
		time.Sleep(10 * time.Millisecond)
	}
}

// kill kills those processes that still belong to a directory: a number may have gone to another process since it was listed, but a
// handle is of one process, and who belongs to the directory after the handle was taken is the one that the handle is of.
func kill(pids []int, dir string) {
	handles := map[int]*os.Process{}
	for _, pid := range pids {
		if process, err := os.FindProcess(pid); err == nil {
			handles[pid] = process
		}
	}
	for _, pid := range Processes(dir) {
		if process := handles[pid]; process != nil {
			_ = process.Kill() // it may have ended by itself meanwhile
		}
	}
	for _, process := range handles {
		_ = process.Release() // a handle; there is nothing to do about an error
	}
}

// allProcesses lists /proc.
func allProcesses() []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// parentOf returns the id of a process's parent; 0 when it is not known.
func parentOf(pid int) int {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat")) // #nosec G304 -- a number below /proc
	if err != nil {
		return 0
	}
	// The name, in parentheses, may hold anything: what follows the last one is state and parent.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 2 || fields[0] == "Z" { // a zombie has ended
		return 0
	}
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		return 0
	}
	return parent
}

// carries reports whether a process was started with a variable that names the directory or something in it.
func carries(pid int, dir string) bool {
	environ, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "environ")) // #nosec G304 -- a number below /proc
	if err != nil {
		return false
	}
	for entry := range bytes.SplitSeq(environ, []byte{0}) {
		name, value, ok := strings.Cut(string(entry), "=")
		if ok && name != "PWD" && name != "OLDPWD" && (value == dir || strings.HasPrefix(value, dir+string(filepath.Separator))) {
			return true
		}
	}
	return false
}

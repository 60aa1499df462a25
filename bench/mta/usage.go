package mta

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// ticks is the unit of times in /proc (proc_pid_stat(5)): Linux has 100 a second wherever Go runs.
const ticks = time.Second / 100

// Usage asks the control group, or else reads /proc.
func (i *instance) Usage() Usage {
	var u Usage
	if g := i.group.Load(); g != nil {
		if u.CPU, u.Memory, u.Whole = g.usage(); u.Whole {
			return u
		}
		u = Usage{}
	}
	for _, pid := range i.processes() {
		dir := filepath.Join("/proc", strconv.Itoa(pid))
		stat, err := os.ReadFile(filepath.Join(dir, "stat")) // #nosec G304 -- a number below /proc
		if err != nil {
			continue // it has ended
		}
		// The name, in parentheses, may hold anything: what follows the last one begins with the third field.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		const utime, cstime, rss = 14 - 3, 17 - 3, 24 - 3
		if len(fields) <= rss {
			continue
		}
		u.Processes++
		for _, field := range fields[utime : cstime+1] { // user and system time, its own and of its children
			n, _ := strconv.ParseInt(field, 10, 64) // the kernel's own digits
			u.CPU += time.Duration(n) * ticks
		}
		pages, _ := strconv.ParseInt(fields[rss], 10, 64)
		u.Memory += pages * int64(os.Getpagesize())
	}
	return u
}

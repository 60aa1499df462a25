//go:build unix

package run

import (
	"os"
	"os/exec"
	"syscall"
	"time"
)

// detach gives the child a process group of its own: Ctrl-C at the terminal then reaches this program alone, which passes it on
// once. A second one would make k6 end without its record.
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// interrupt asks a process to end in good order.
func interrupt(p *os.Process) error { return p.Signal(os.Interrupt) }

// usage returns the CPU time that this process has used so far.
func usage() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

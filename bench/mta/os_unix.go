//go:build unix

package mta

import (
	"os"
	"os/exec"
	"syscall"
)

// apart gives a command a session of its own, as Postfix's master wants one, and another user if drop says so.
func apart(cmd *exec.Cmd, drop bool) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if drop {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
}

// terminate asks a process to end in good order.
func terminate(p *os.Process) error { return p.Signal(syscall.SIGTERM) }

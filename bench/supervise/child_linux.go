package supervise

import (
	"os"
	"os/exec"
	"syscall"
)

func tie(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// apart gives a command a session of its own: no signal of a terminal, and no end of one, reaches it.
func apart(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

// Interrupt asks a process to end in good order.
func Interrupt(p *os.Process) error { return p.Signal(os.Interrupt) }

// Kill ends a command of Start and the processes of its group at once.
func Kill(p *os.Process) error { return syscall.Kill(-p.Pid, syscall.SIGKILL) }

//go:build !unix

package supervise

import (
	"os"
	"os/exec"
)

func tie(*exec.Cmd) {}

func apart(*exec.Cmd) {}

// Interrupt ends a process: there is no signal that asks.
func Interrupt(p *os.Process) error { return p.Kill() }

// Kill ends a command of Start at once.
func Kill(p *os.Process) error { return p.Kill() }

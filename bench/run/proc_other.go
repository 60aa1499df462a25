//go:build !unix

package run

import (
	"os"
	"os/exec"
	"time"
)

// detach does nothing: there are no process groups to leave.
func detach(*exec.Cmd) {}

// interrupt ends the process: there is no signal that asks.
func interrupt(p *os.Process) error { return p.Kill() }

// usage is unknown here.
func usage() time.Duration { return 0 }

//go:build !unix

package mta

import (
	"os"
	"os/exec"
)

func apart(*exec.Cmd, bool) {}

// terminate ends a process: there is no signal that asks.
func terminate(p *os.Process) error { return p.Kill() }

package mta

import (
	"os/exec"
	"path/filepath"
)

// Candidate is a mail transfer agent that this package can run.
type Candidate struct {
	Name    string // as flags and reports write it: "postfix"
	Path    string // its main binary; empty when it isn't installed
	Package string // the Debian and Ubuntu package that holds it
}

// Present reports whether the agent is installed.
func (c Candidate) Present() bool { return c.Path != "" }

// InstallCommand returns the command that installs the agent on Debian and Ubuntu.
func (c Candidate) InstallCommand() string { return "apt-get install -y " + c.Package }

// Find looks up every agent that this package can run, installed or not.
func Find() []Candidate {
	return []Candidate{{Name: "postfix", Path: lookTool("postfix"), Package: "postfix"}}
}

// sbin is searched after PATH, because a desktop user's PATH often lacks it.
var sbin = [...]string{"/usr/sbin", "/usr/local/sbin", "/sbin"}

// lookTool returns the path of an executable, or "" when there is none.
func lookTool(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, dir := range sbin {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	return ""
}

// Command smtpbench runs mail load against the fault-injecting sink, in calm and in a storm, and compares the runs. Try
// smtpbench --help.
package main

import (
	"os"

	"github.com/smtpstorm/xk6-smtp/bench/cmd"
)

func main() {
	var host cmd.Host
	if program, err := os.Executable(); err == nil {
		host.Self = []string{program}
	}
	os.Exit(cmd.Run(host, os.Args[1:], os.Stdout, os.Stderr))
}

// Command smtpsink is an SMTP server that throws mail away very fast and injects faults on purpose: weighted reply codes, modes
// and delays, at any stage of the dialogue. Try smtpsink --help.
package main

import (
	"os"

	"github.com/smtpstorm/xk6-smtp/sink/cmd"
)

func main() {
	os.Exit(cmd.Run(os.Args[1:], os.Stdout, os.Stderr))
}

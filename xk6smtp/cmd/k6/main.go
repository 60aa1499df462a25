// Command k6 is k6 with this module built in, by plain go build: go.sum holds, and so do -race and -cover. Users build the same
// with xk6.
package main

import (
	"go.k6.io/k6/v2/cmd"

	_ "github.com/smtpstorm/xk6-smtp" // registers the module and the output
)

func main() {
	cmd.Execute()
}

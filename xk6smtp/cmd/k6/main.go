// Command k6 is k6 with this module built in, by plain go build: go.sum holds, and so do -race and -cover. Users build the same
// with xk6, but for the ballast.
package main

import (
	"os"
	"runtime"

	"go.k6.io/k6/v2/cmd"

	_ "github.com/smtpstorm/xk6-smtp" // registers the module and the output
)

// ballast is how much the heap seems larger than it is. A hundred VUs live in 30 MB, of which Go's collector would make a round every
// two or three thousand messages: a fifth of the processor's time. A block that nobody touches takes no memory, lets some 90 MB
// of garbage pile up between two rounds instead of 30, and changes nothing for those whose heap is large.
const ballast = 64 << 20

func main() {
	var block []byte
	if os.Getenv("GOGC") == "" { // otherwise the user has decided
		block = make([]byte, ballast)
	}
	cmd.Execute()
	runtime.KeepAlive(block)
}

// Command k6 is k6 with this module built in, by plain go build: go.sum holds, and so do -race and -cover. Users build the same
// with xk6, but for the ballast.
package main

import (
	"fmt"
	"os"
	"runtime"

	"go.k6.io/k6/v2/cmd"

	_ "github.com/smtpstorm/xk6-smtp" // registers the module and the output
)

// ballast is how much the heap seems larger than it is. A hundred VUs live in 30 MB, of which Go's collector would make a round every
// two or three thousand messages: a fifth of the processor's time. A block that nobody touches takes no memory, lets some 90 MB
// of garbage pile up between two rounds instead of 30, and changes nothing for those whose heap is large.
const ballast = 64 << 20

// quiet are k6's settings that have it call other machines without being asked: they are off unless the user says otherwise in the environment, or for
// reports by --no-usage-report=false. A script that imports an unknown module is refused then, instead of a k6 being fetched that has it.
var quiet = map[string]string{"K6_NO_USAGE_REPORT": "true", "K6_AUTO_EXTENSION_RESOLUTION": "false"}

func main() {
	for name, value := range quiet {
		if _, set := os.LookupEnv(name); !set {
			if err := os.Setenv(name, value); err != nil {
				fmt.Fprintf(os.Stderr, "k6: set %s: %v\n", name, err)
				os.Exit(1)
			}
		}
	}
	var block []byte
	if os.Getenv("GOGC") == "" { // otherwise the user has decided
		block = make([]byte, ballast)
	}
	cmd.Execute()
	runtime.KeepAlive(block)
}

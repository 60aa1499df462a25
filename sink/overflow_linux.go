package sink

import (
	"os"
	"slices"
	"strconv"
	"strings"
)

// listenOverflows returns how many connections have met a full accept queue since this system (or network namespace) has started; ok is
// false when the kernel doesn't say.
func listenOverflows() (n uint64, ok bool) {
	text, err := os.ReadFile("/proc/self/net/netstat")
	if err != nil {
		return 0, false
	}
	return parseNetstat(string(text), "ListenOverflows")
}

// parseNetstat finds a counter of TcpExt: a line of names is followed by one of values.
func parseNetstat(text, name string) (uint64, bool) {
	var names []string
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != "TcpExt:" {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		if i := slices.Index(names, name); i >= 0 && i < len(fields) {
			n, err := strconv.ParseUint(fields[i], 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

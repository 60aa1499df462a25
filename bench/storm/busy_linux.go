package storm

import (
	"os"
	"strconv"
	"strings"
	"time"
)

// loadAverage returns how many processes of the machine ran or waited for a core in the last minute, as the kernel says; 0: not known.
func loadAverage() float64 {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(text), " ")
	load, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return 0
	}
	return load
}

// ticks are those of USER_HZ, which is 100 on all systems of Linux that Go runs on.
const ticks = time.Second / 100

// machineCPU returns the CPU time of all processes of the machine since it started, and 0 when it isn't known.
func machineCPU() time.Duration {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(text), "\n")
	var sum time.Duration
	for i, field := range strings.Fields(line) {
		n, err := strconv.ParseInt(field, 10, 64)
		// user nice system [idle iowait] irq softirq; guests are in user (proc_stat(5))
		if err == nil && i >= 1 && i <= 7 && i != 4 && i != 5 {
			sum += time.Duration(n) * ticks
		}
	}
	return sum
}

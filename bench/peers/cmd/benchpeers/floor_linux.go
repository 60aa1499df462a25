package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// floor is how late a bare loop is on this machine, that does nothing but wait until due times: nobody who waits can be better.
type floor struct{ late []time.Duration }

// measure waits until n due times, uniform over so long, as the sink does: in epoll_pwait2, whose timeout has nanoseconds. No
// scheduler but the kernel's is asked.
func (f *floor) measure(n int, over time.Duration) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	defer unix.Close(epfd)
	due := make([]time.Duration, n)
	for i := range due {
		due[i] = rand.N(over) // #nosec G404 -- due times are no secret
	}
	slices.Sort(due)
	var event unix.EpollEvent
	start := time.Now()
	for len(due) > 0 {
		now := time.Since(start)
		if wait := due[0] - now; wait > 0 {
			ts := unix.NsecToTimespec(int64(wait))
			// #nosec G103 -- the memory outlives the call, and its own length goes with it
			_, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT2, uintptr(epfd), uintptr(unsafe.Pointer(&event)), 1, uintptr(unsafe.Pointer(&ts)), 0, 0)
			if errno != 0 && errno != unix.EINTR {
				return os.NewSyscallError("epoll_pwait2", errno)
			}
			continue
		}
		f.late = append(f.late, now-due[0])
		due = due[1:]
	}
	return nil
}

// millis returns the q-quantile in milliseconds.
func (f *floor) millis(q float64) float64 {
	slices.Sort(f.late)
	return f.late[int(q*float64(len(f.late)-1))].Seconds() * 1000
}

// stolen returns the time that the machine's CPUs were ready to run and the hypervisor ran others, and the time of all its CPUs, in
// ticks (proc_stat(5)).
func stolen() (steal, all float64, err error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0, err
	}
	return parseStolen(string(text))
}

func parseStolen(stat string) (steal, all float64, err error) {
	line, _, _ := strings.Cut(stat, "\n")
	fields := strings.Fields(line)
	const stealAt, guestAt = 8, 9
	if len(fields) <= stealAt || fields[0] != "cpu" {
		return 0, 0, fmt.Errorf("/proc/stat begins with %q", line)
	}
	for i, field := range fields[1:min(len(fields), guestAt)] { // guests are in user and nice already
		v, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("/proc/stat: %w", err)
		}
		if all += v; i+1 == stealAt {
			steal = v
		}
	}
	return steal, all, nil
}

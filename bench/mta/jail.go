package mta

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// jail returns the command that runs another one in name spaces of its own (unshare(1)). It sees files of the instance where it expects
// those of the system; its /dev is one with the socket of syslog(3), and it needs no DNS for its own name. What it mounts ends with it.
// Its first process is the first of a process name space: the kernel ends all others with it, however they have detached themselves.
// mounts are pairs of a path below the instance's directory and one of the system. It needs root.
func (i *instance) jail(mounts [][2]string, command ...string) ([]string, error) {
	host := i.name + ".bench.test"
	if err := i.mkdirs("dev"); err != nil {
		return nil, err
	}
	if err := os.WriteFile(i.path("hosts"), []byte("127.0.0.1 localhost\n127.0.1.1 "+host+" "+i.name+"\n"), 0o644); err != nil { // #nosec G306 -- as /etc/hosts
		return nil, err
	}
	var script strings.Builder
	fmt.Fprintf(&script, "set -e\nhostname %s\n", host)
	bind := func(from, to string) { fmt.Fprintf(&script, "mount --rbind '%s' '%s'\n", from, to) } // paths of an instance hold no quotes: Options.check
	for _, device := range [...]string{"null", "zero", "random", "urandom"} {
		if err := os.WriteFile(i.path("dev", device), nil, 0o600); err != nil {
			return nil, err
		}
		bind("/dev/"+device, i.path("dev", device))
	}
	bind(i.path("dev"), "/dev")
	for _, m := range append(mounts, [2]string{"hosts", "/etc/hosts"}) {
		bind(i.path(m[0]), m[1])
	}
	script.WriteString("exec \"$@\"\n")
	return append([]string{lookTool("unshare"), "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", script.String(), "sh"}, command...), nil
}

// serve opens what serves the agent's processes, unless it is open.
func (i *instance) serve() error {
	if i.served != nil {
		return nil
	}
	if i.syslog != "" {
		said, err := openSyslog(i.path(i.syslog), i.LogPath())
		if err != nil {
			return err
		}
		i.served = append(i.served, said)
	}
	if i.service != nil {
		service, err := i.service(i)
		if err != nil {
			return errors.Join(err, i.served.Close())
		}
		i.served = append(i.served, service)
	}
	return nil
}

// jailed returns the process inside a jail whose unshare(1) is the process pid; 0 when there is none.
func jailed(pid int) int {
	id := strconv.Itoa(pid)
	children, err := os.ReadFile(filepath.Join("/proc", id, "task", id, "children")) // #nosec G304 -- a number below /proc
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(children), " ")
	child, err := strconv.Atoi(first)
	if err != nil {
		return 0
	}
	return child
}

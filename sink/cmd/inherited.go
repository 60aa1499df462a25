package cmd

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink"
)

// The protocol of sd_listen_fds(3): who starts this process hands over listening sockets from descriptor 3 on.
const (
	envListenPID   = "LISTEN_PID"     // whom they are for
	envListenFDs   = "LISTEN_FDS"     // how many there are
	envListenNames = "LISTEN_FDNAMES" // their names, between colons
	firstInherited = 3
)

// inheritedListeners returns a listener for each socket that this process was handed, by the socket's name (systemd: FileDescriptorName).
// It takes the variables out of the environment, so that no other process of this program mistakes them for its own.
func inheritedListeners() ([]sink.Listener, error) {
	pid, number, names := os.Getenv(envListenPID), os.Getenv(envListenFDs), os.Getenv(envListenNames)
	if number == "" || pid != strconv.Itoa(os.Getpid()) {
		return nil, nil
	}
	for _, name := range []string{envListenPID, envListenFDs, envListenNames} {
		if err := os.Unsetenv(name); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	given, err := inheritedNames(number, names)
	if err != nil {
		return nil, err
	}
	var listeners []sink.Listener
	for i, name := range given {
		l, err := inheritedListener(firstInherited+i, name)
		if err != nil {
			return nil, fmt.Errorf("inherited socket %q: %w", name, err)
		}
		listeners = append(listeners, l)
	}
	return listeners, nil
}

// inheritedNames returns the name of each socket, as the environment gives their number and, between colons, their names.
func inheritedNames(number, names string) ([]string, error) {
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || n > maxInherited {
		return nil, fmt.Errorf("%s: invalid number %.64q (want 1 to %d)", envListenFDs, number, maxInherited)
	}
	given := strings.Split(names, ":")
	out := make([]string, n)
	for i := range out {
		out[i] = "unknown" // as sd_listen_fds_with_names(3) has it
		if i < len(given) && given[i] != "" {
			out[i] = given[i]
		}
		if slices.Contains(out[:i], out[i]) {
			return nil, fmt.Errorf("two inherited sockets have the name %q: name them apart (systemd: a socket unit for each, with its FileDescriptorName=)", out[i])
		}
	}
	return out, nil
}

// maxInherited bounds the descriptors that are looked at.
const maxInherited = 64

func inheritedListener(fd int, name string) (sink.Listener, error) {
	if err := listens(fd); err != nil {
		return sink.Listener{}, err
	}
	file := os.NewFile(uintptr(fd), name) // #nosec G115 -- a small positive number
	ln, err := net.FileListener(file)     // only to ask for its address: of a duplicate
	if err != nil {
		return sink.Listener{}, err
	}
	address := ln.Addr().String()
	return sink.Listener{Name: name, Network: "tcp", Address: address, Inherited: file}, ln.Close()
}

// inherit takes the sockets that this process was handed. They are listeners beside those of --listen, and take the place of its default.
func (o *options) inherit() (err error) {
	o.inherited, err = inheritedListeners()
	if len(o.inherited) > 0 && !o.listenGiven {
		o.listen = nil
	}
	return err
}

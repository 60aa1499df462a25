package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// kind is a server that can be measured.
type kind struct {
	name    string
	share   int // it gets one message in so many: a slow server would hold up the rest; 1: all
	maxConn int // idle connections that it can be asked for; 0: as many as the workload wants
	argv    func(addr string) []string
}

const (
	nameSink   = "sink"
	nameCanned = "canned"
	namePost   = "smtp-sink"
	nameGnet   = "gnet"
	nameGoSMTP = "go-smtp"
	nameAio    = "aiosmtpd"
	nameBefore = "before" // another build of the sink
	nameProbe  = "probe"  // the sink in a process that tells of its garbage collector
	nameGoTLS  = "go-tls" // a plain Go TLS server
)

// programs are the paths of what the harness starts.
type programs struct {
	sink, peer, probe, source string
	before                    string // another build of the sink; empty: none

	certificate, certificateKey string // for the servers with TLS
}

// findPrograms looks beside this program and on the PATH. Only the sink, the peer server and smtp-source must be there.
func findPrograms(sink string) (p programs, err error) {
	self, err := os.Executable()
	if err != nil {
		return p, err
	}
	beside := func(name string) string { return filepath.Join(filepath.Dir(self), name) }
	p = programs{sink: sink, peer: beside("peerserver"), probe: beside("sinkprobe")}
	if sink == "" {
		p.sink = beside("smtpsink")
	}
	for _, path := range []string{p.sink, p.peer, p.probe} {
		if _, err := os.Stat(path); err != nil {
			return p, fmt.Errorf("%w (make bench-peers builds it)", err)
		}
	}
	if p.source, err = lookPath("smtp-source"); err != nil {
		return p, fmt.Errorf("%w (apt-get install postfix)", err)
	}
	return p, nil
}

// lookPath also looks where Debian puts Postfix's tools, which a user's PATH often lacks.
func lookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		return path, nil
	}
	if path := filepath.Join("/usr/sbin", name); exec.Command("test", "-x", path).Run() == nil { // #nosec G204 -- a name that this program has for a tool
		return path, nil
	}
	return "", err
}

// sinkArgs starts the sink as a user would, with one loop; extra are further flags.
func (p *programs) sinkArgs(addr string, extra ...string) []string {
	return append([]string{p.sink, "--listen", addr, "--driver", "epoll", "--quiet", "--json", "--drain-timeout", "1s"}, extra...)
}

// kinds lists the servers that are here, and says why others are not.
func (p *programs) kinds() (found []kind, missing []string) {
	peer := func(name string) func(string) []string {
		return func(addr string) []string { return []string{p.peer, name, addr} }
	}
	found = []kind{
		{name: nameSink, share: 1, argv: func(addr string) []string { return p.sinkArgs(addr) }},
		{name: nameCanned, share: 1, argv: peer("canned")},
		{name: nameGnet, share: 1, argv: peer("gnet")},
		{name: nameGoSMTP, share: 1, argv: peer("go-smtp")},
	}
	if p.before != "" {
		old := *p
		old.sink = p.before
		found = append(found, kind{name: nameBefore, share: 1, argv: func(addr string) []string { return old.sinkArgs(addr) }})
	}
	if path, err := lookPath("smtp-sink"); err != nil {
		missing = append(missing, namePost+" (apt-get install postfix)")
	} else {
		argv := []string{path, "-m", "20000"}
		if os.Getuid() == 0 {
			argv = append(argv, "-u", "nobody") // it refuses to run as root
		}
		found = append(found, kind{name: namePost, share: 1, maxConn: 2000, argv: func(addr string) []string {
			return append(slices.Clone(argv), addr, "4096") // the length of its listen queue
		}})
	}
	if python := pythonWith("aiosmtpd"); python == "" {
		missing = append(missing, nameAio+" (apt-get install python3-aiosmtpd)")
	} else {
		found = append(found, kind{name: nameAio, share: 20, maxConn: 2000, argv: func(addr string) []string {
			return []string{python, "-m", "aiosmtpd", "-n", "-c", "aiosmtpd.handlers.Sink", "-l", addr}
		}})
	}
	return found, missing
}

// pythonWith returns a Python that has the module: Debian's before the PATH's.
func pythonWith(module string) string {
	for _, python := range []string{"/usr/bin/python3", "python3"} {
		if exec.Command(python, "-c", "import "+module).Run() == nil { // #nosec G204 -- a name that this program has for a module
			return python
		}
	}
	return ""
}

// pick returns the named kinds, in the order of names.
func pick(kinds []kind, names []string) (out []kind) {
	for _, name := range names {
		if i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == name }); i >= 0 {
			out = append(out, kinds[i])
		}
	}
	return out
}

// only keeps the kinds that the user named, or all; it refuses unknown names.
func only(kinds []kind, names string) ([]kind, error) {
	if names == "" {
		return kinds, nil
	}
	wanted := strings.Split(names, ",")
	out := pick(kinds, wanted)
	if len(out) != len(wanted) {
		var valid []string
		for _, k := range kinds {
			valid = append(valid, k.name)
		}
		return nil, fmt.Errorf("unknown or missing server in %q (valid: %s)", names, strings.Join(valid, " "))
	}
	return out, nil
}

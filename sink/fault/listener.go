package fault

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Listener is a named address that a plan declares: one destination of the client's.
type Listener struct {
	Name        string // unique; what rules match
	Address     string // host:port, where port 0 means any free one, or unix:/path
	LMTP        bool   // speaks LMTP (RFC 2033)
	ImplicitTLS bool   // TLS from the first octet on (RFC 8314 section 3.3)
	Proxied     bool   // clients come through a proxy, which takes replies that they may never get
	DSN         bool   // all that comes is taken for delivery status notifications
	Service            // how it serves, where not as the server does
}

// ListenerFault is what is wrong with a whole listener, before any session exists.
type ListenerFault uint8

// The faults.
const (
	ListenerUp         ListenerFault = iota
	ListenerRefused                  // its sockets are closed: connections are refused
	ListenerUnaccepted               // nobody accepts: connections are established by the kernel until its backlog is full
	ListenerNoBanner                 // connections are accepted, and never greeted
)

var listenerFaults = [...]string{"none", "refused", "unaccepted", "no-banner"}

// String returns the name as plans write it.
func (f ListenerFault) String() string { return nameOf(listenerFaults[:], int(f)) }

// ParseListenerFault parses a name; the error names the valid ones.
func ParseListenerFault(name string) (ListenerFault, error) {
	return parseName[ListenerFault]("listener fault", name, listenerFaults[:], 0)
}

// AllListeners stands for every listener that has no entry of its own, in ListenerFaultSpec.
const AllListeners = "*"

// ListenerFaultSpec gives a listener a fault.
type ListenerFaultSpec struct {
	Listener string // a name, or AllListeners
	Fault    ListenerFault
}

func (l *Listener) validate() (field string, err error) {
	if field, err := l.Service.Validate(); err != nil {
		return field, err
	}
	if l.Name == "" || l.Name == AllListeners || strings.ContainsAny(l.Name, " \t\r\n\x00=") {
		return "name", fmt.Errorf("invalid listener name %q (want a word without blanks and =)", l.Name)
	}
	if path, unix := strings.CutPrefix(l.Address, "unix:"); unix {
		if path == "" || strings.ContainsRune(path, 0) {
			return "address", fmt.Errorf("invalid address %q (want unix:/path)", l.Address)
		}
		return "", nil
	}
	i := strings.LastIndexByte(l.Address, ':')
	if i < 0 || !validListenHost(l.Address[:i]) {
		return "address", fmt.Errorf("invalid address %q (want host:port, [IPv6]:port or unix:/path)", l.Address)
	}
	if _, err := strconv.ParseUint(l.Address[i+1:], 10, 16); err != nil {
		return "address", fmt.Errorf("invalid port %q (want 0 to 65535)", l.Address[i+1:])
	}
	return "", nil
}

// validListenHost accepts an address, a host name, or nothing for every address.
func validListenHost(host string) bool {
	if literal, bracketed := strings.CutPrefix(host, "["); bracketed {
		_, err := netip.ParseAddr(strings.TrimSuffix(literal, "]"))
		return err == nil && strings.HasSuffix(host, "]")
	}
	return host == "" || !strings.ContainsAny(host, ":/*@<> \t\r\n\x00")
}

// listenerFaultsOf checks the faults of the plan or of a phase, and returns them by name.
func listenerFaultsOf(specs []ListenerFaultSpec, declared map[string]int) (map[string]ListenerFault, error) {
	if len(specs) == 0 {
		return nil, nil
	}
	faults := map[string]ListenerFault{}
	for _, s := range specs {
		if s.Listener != AllListeners {
			if err := checkListener(s.Listener, declared); err != nil {
				return nil, err
			}
		}
		if int(s.Fault) >= len(listenerFaults) {
			return nil, fmt.Errorf("unknown listener fault %v", s.Fault)
		}
		if _, twice := faults[s.Listener]; twice {
			return nil, fmt.Errorf("listener %q has two faults", s.Listener)
		}
		faults[s.Listener] = s.Fault
	}
	return faults, nil
}

// checkListener refuses a name that a plan with listeners doesn't declare. A plan without any leaves them to the server.
func checkListener(name string, declared map[string]int) error {
	if name == "" {
		return fmt.Errorf("empty listener name")
	}
	if _, ok := declared[name]; ok || len(declared) == 0 {
		return nil
	}
	return fmt.Errorf("undeclared listener %q (declared: %s)", name, strings.Join(sortedKeys(declared), " "))
}

// anyPort reports whether the system chooses the address's port.
func anyPort(address string) bool {
	return strings.HasSuffix(address, ":0") && !strings.HasPrefix(address, "unix:")
}

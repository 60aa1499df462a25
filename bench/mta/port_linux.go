package mta

import (
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ReservedPort is a port of 127.0.0.1 that nobody else gets, while whoever is told of it may listen on it.
type ReservedPort struct {
	fd     int
	number int
}

// lowestPort is where the ports begin that are given away. They end below those that the kernel gives to clients, so that no
// connection takes the port of an agent that is being restarted.
const lowestPort = 20000

// ReservePort reserves a free port. It stays bound without listening: the kernel lets another socket bind it and listen only if both
// have SO_REUSEADDR, as servers have, which this one gets after its own bind; two reservations of one port therefore fail.
func ReservePort() (*ReservedPort, error) {
	highest := lowestEphemeral()
	if highest <= lowestPort {
		return nil, fmt.Errorf("no port from %d on lies below those of clients (net.ipv4.ip_local_port_range begins at %d): name a port to listen on", lowestPort, highest)
	}
	first, err := rand.Int(rand.Reader, big.NewInt(int64(highest-lowestPort)))
	if err != nil {
		return nil, err
	}
	for n := range highest - lowestPort {
		port := lowestPort + (int(first.Int64())+n)%(highest-lowestPort)
		fd, err := bindOnly(port)
		if err == nil {
			return &ReservedPort{fd, port}, nil
		}
		if !errors.Is(err, unix.EADDRINUSE) && !errors.Is(err, unix.EACCES) {
			return nil, fmt.Errorf("reserve a loopback port: %w", err)
		}
	}
	return nil, fmt.Errorf("no loopback port from %d to %d is free", lowestPort, highest-1)
}

func bindOnly(port int) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err = unix.Bind(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}
	if err != nil {
		return -1, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}

// lowestEphemeral is the first port that the kernel gives to clients.
func lowestEphemeral() int {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if fields := strings.Fields(string(text)); err == nil && len(fields) == 2 {
		if n, err := strconv.Atoi(fields[0]); err == nil {
			return n
		}
	}
	return 32768 // the kernel's default
}

func (p *ReservedPort) Addr() string   { return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.number)) }
func (p *ReservedPort) Release() error { return unix.Close(p.fd) }

package sink_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// A link of 25 ms each way, in a network namespace of its own: a TUN device gives a process the packets for linkPeer, which gives them back
// with source and destination swapped (their checksums stay the same). So who connects to linkPeer reaches linkServer, and each end has
// the kernel's own TCP with a round trip of 50 ms; no proxy acknowledges anything.
const (
	linkDevice = "smtpstorm0"
	linkOneWay = 25 * time.Millisecond
	linkSetup  = `ip link set lo up && ip tuntap add dev "$1" mode tun && ip addr add 10.9.0.1/24 dev "$1" && ip link set "$1" up && shift && exec "$@"`
)

// link holds back what is sent to some ports.
var link = gate{held: map[uint16][][]byte{}}

type gate struct {
	mu    sync.Mutex
	held  map[uint16][][]byte // the packets that are held back, of each port that isn't reached
	write func(packet []byte)
}

// pass delivers a packet of IPv4, or keeps it for release. A segment of TCP without data passes: a client that gets no acknowledgment sends
// what it has sent again, and nothing else.
func (g *gate) pass(packet []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	const tcp, least = 6, 20 // protocol, octets of a header without options: RFC 9293 3.1
	if header := int(packet[0]&15) * 4; packet[9] == tcp && len(packet) >= header+least {
		port, data := binary.BigEndian.Uint16(packet[header+2:]), packet[header+int(packet[header+12]>>4)*4:]
		if held, closed := g.held[port]; closed && len(data) > 0 {
			g.held[port] = append(held, packet)
			return
		}
	}
	g.write(packet)
}

// flush waits until all that was sent before has arrived: the link keeps the order.
func (g *gate) flush(t *testing.T) {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(os.Getenv(linkServer))})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	to := &net.UDPAddr{IP: net.ParseIP(os.Getenv(linkPeer)), Port: conn.LocalAddr().(*net.UDPAddr).Port}
	if _, err := conn.WriteToUDP([]byte("marker"), to); err != nil {
		t.Fatal(err)
	}
	if _, _, err := conn.ReadFromUDP(make([]byte, 16)); err != nil {
		t.Fatalf("what was sent over the link doesn't come: %v", err)
	}
}

// hold keeps back the data on its way to a port, until release.
func (g *gate) hold(port uint16) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held[port] = [][]byte{}
}

func (g *gate) release(port uint16) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, packet := range g.held[port] {
		g.write(packet)
	}
	delete(g.held, port)
}

func init() {
	overLink = func(m *testing.M) int {
		tun, err := openLink()
		if err != nil {
			fmt.Println(err)
			return 1
		}
		defer tun.Close()
		return m.Run()
	}
}

// openLink starts giving packets back, until the device is closed.
func openLink() (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	request, err := unix.NewIfreq(linkDevice)
	if err != nil {
		return nil, err
	}
	request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, err
	}
	tun := os.NewFile(uintptr(fd), "tun")
	type packet struct {
		due    time.Time
		octets []byte
	}
	under := make(chan packet, 4096)
	link.write = func(p []byte) { _, _ = tun.Write(p) } // a packet may be lost
	go func() {
		defer close(under)
		for buf := make([]byte, 1<<16); ; {
			n, err := tun.Read(buf)
			if err != nil {
				return
			}
			if p := buf[:n]; n >= 20 && p[0]>>4 == 4 {
				octets := append([]byte(nil), p...)
				copy(octets[12:16], p[16:20])
				copy(octets[16:20], p[12:16])
				under <- packet{time.Now().Add(linkOneWay), octets}
			}
		}
	}()
	go func() {
		for p := range under {
			time.Sleep(time.Until(p.due)) // the link's delay
			link.pass(p.octets)
		}
	}()
	return tun, nil
}

// TestToldOverALink goes through the table of TestTold over a link with a round trip of 50 ms.
func TestToldOverALink(t *testing.T) {
	unshare := sinktest.RequireTool(t, "unshare", "util-linux")
	sinktest.RequireTool(t, "ip", "iproute2")
	sinktest.RequireRoot(t, "a TUN device")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	inside := func(command ...string) ([]byte, error) {
		cmd := exec.CommandContext(ctx, unshare, append([]string{"-n", "sh", "-c", linkSetup, "sh", linkDevice}, command...)...)
		cmd.Env = append(os.Environ(), linkServer+"=10.9.0.1", linkPeer+"=10.9.0.2")
		return cmd.CombinedOutput()
	}
	if out, err := inside("true"); err != nil {
		sinktest.Missing(t, "this machine allows no TUN device in a network namespace: %v: %s", err, out)
	}
	out, err := inside(os.Args[0], "-test.run", "^TestTold(LMTP|OverTLS)?$", "-test.parallel", "32")
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

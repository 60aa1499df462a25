package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// loadSpec is a load of the harness's own generator: what smtp-source can't do (pipelining, 19,000 connections that are timed or
// held). It runs in a process of its own, as an epoll loop that does as little as it can.
type loadSpec struct {
	Addr       string `json:"addr"`
	Conns      int    `json:"conns"`
	Messages   int    `json:"messages"`
	Size       int    `json:"size"` // octets of a message
	Recipients int    `json:"recipients"`
	// Pipelining sends MAIL, RCPT and DATA at once, and the next message's behind a body (RFC 2920).
	Pipelining bool `json:"pipelining"`
	// Greet says EHLO on each connection.
	Greet bool `json:"greet"`
	// Window bounds the connections that are being opened at once; 0 means 512, which is below most listen queues.
	Window int `json:"window"`
	// Wait says when all connections are ready, and waits for a line on standard input before the first message.
	Wait bool `json:"wait"`
	// Hold keeps the connections until standard input ends.
	Hold bool `json:"hold"`
	// TLS makes each message a STARTTLS session of its own, Conns of them at once; Resume takes up the session before (RFC 8446
	// section 2.2).
	TLS    bool `json:"tls,omitempty"`
	Resume bool `json:"resume,omitempty"`
	// CPUs, if not empty, are those that the generator may use, as taskset writes them.
	CPUs string `json:"-"`
}

// loadResult is what a load took, in seconds.
type loadResult struct {
	Connect  float64 `json:"connect_s"` // from the first connect to the last greeting (and EHLO reply)
	Wall     float64 `json:"wall_s"`    // the messages
	CPU      float64 `json:"cpu_s"`     // of the generator, the messages only
	Messages int     `json:"messages"`
	// Said is when the last message's last recipient was said; not when pipelining.
	Said    float64 `json:"said_s"`
	Resumed int     `json:"resumed,omitempty"` // TLS sessions
}

// generator is one run. All replies must be positive.
type generator struct {
	spec     loadSpec
	epfd     int
	conns    []*genConn // by descriptor
	steps    []genStep
	first    genStep // of a connection's first message, when pipelining
	last     genStep
	left     int // messages not begun
	finished int
	said     int // messages whose recipients were all said
	saidAt   time.Time
	opened   int // connect was called
	ready    int // greeted
	in       [64 << 10]byte
}

// genStep is something to say, and how many replies it gets.
type genStep struct {
	out  []byte
	want int
	ends bool // a message
}

type genConn struct {
	fd    int32
	want  int // replies that are awaited
	step  int // what comes next
	state genState
	ends  bool // the reply that is awaited ends a message
	col   int
	more  bool // the line is not the last of its reply
	out   []byte
	armed bool // for output
}

type genState uint8

const (
	genConnecting genState = iota
	genGreeting
	genEhlo
	genIdle
	genBusy
)

// perSource is how many connections have the same source address.
const perSource = 4000

func newGenerator(spec loadSpec) *generator {
	g := &generator{spec: spec, left: spec.Messages}
	var envelope bytes.Buffer
	n := max(spec.Recipients, 1)
	single := func(s string) { g.steps = append(g.steps, genStep{out: []byte(s), want: 1}) }
	lines := []string{"MAIL FROM:<a@example.com>\r\n"}
	for i := range n {
		lines = append(lines, fmt.Sprintf("RCPT TO:<%db@example.com>\r\n", i+1))
	}
	lines = append(lines, "DATA\r\n")
	for _, line := range lines {
		envelope.WriteString(line)
		if !spec.Pipelining {
			single(line)
		}
	}
	body := genBody(spec.Size)
	if !spec.Pipelining {
		g.steps = append(g.steps, genStep{out: body, want: 1, ends: true})
		return g
	}
	g.first = genStep{out: envelope.Bytes(), want: len(lines)}
	g.steps = []genStep{{out: append(bytes.Clone(body), envelope.Bytes()...), want: 1 + len(lines), ends: true}}
	g.last = genStep{out: body, want: 1, ends: true}
	return g
}

// genBody returns a message of about size octets with the dot that ends it, in lines as smtp-source writes them.
func genBody(size int) []byte {
	var b bytes.Buffer
	b.WriteString("From: <a@example.com>\r\nTo: <b@example.com>\r\nSubject: benchmark\r\n\r\n")
	line := strings.Repeat("X", 78) + "\r\n"
	for b.Len() < size {
		b.WriteString(line[max(0, b.Len()+len(line)-max(size, b.Len()+2)):])
	}
	b.WriteString(".\r\n")
	return b.Bytes()
}

// run drives the load. It calls ready, unless nil, when all connections are ready, and hold when all messages were sent.
func (g *generator) run(ready, hold func(loadResult)) error {
	addr, err := netip.ParseAddrPort(g.spec.Addr)
	if err != nil {
		return err
	}
	if g.epfd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	defer g.close()
	to := &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}
	var res loadResult
	start := time.Now()
	window := g.spec.Window
	if window == 0 {
		window = 512
	}
	for g.ready < g.spec.Conns {
		for g.opened < g.spec.Conns && g.opened-g.ready < window {
			if err := g.open(to); err != nil {
				return fmt.Errorf("connection %d: %w", g.opened, err)
			}
		}
		if err := g.turn(); err != nil {
			return err
		}
	}
	res.Connect = time.Since(start).Seconds()
	if ready != nil {
		ready(res)
	}
	start = time.Now()
	cpu := ownCPU()
	for _, c := range g.conns {
		if c != nil && c.state == genIdle {
			if err := g.begin(c); err != nil {
				return err
			}
		}
	}
	for g.finished < g.spec.Messages {
		if err := g.turn(); err != nil {
			return err
		}
	}
	res.Wall, res.CPU, res.Messages = time.Since(start).Seconds(), (ownCPU() - cpu).Seconds(), g.finished
	if !g.saidAt.IsZero() {
		res.Said = g.saidAt.Sub(start).Seconds()
	}
	hold(res)
	return nil
}

func ownCPU() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func (g *generator) close() {
	for _, c := range g.conns {
		if c != nil { // by RST: no descriptor lingers in TIME_WAIT
			_ = unix.SetsockoptLinger(int(c.fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
			_ = unix.Close(int(c.fd))
		}
	}
	_ = unix.Close(g.epfd)
}

func (g *generator) open(to unix.Sockaddr) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	c := &genConn{fd: int32(fd), want: 1} // #nosec G115 -- a descriptor is a C int
	for fd >= len(g.conns) {
		g.conns = append(g.conns, nil)
	}
	g.conns[fd] = c
	g.opened++
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return err
	}
	// The kernel searches long for a free port once half of the range is taken: a source address for every few thousand.
	from := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, byte(1 + (g.opened-1)/perSource)}} // #nosec G115 -- a load has manyConns connections at most: a handful of sources
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
		return err
	}
	if err := unix.Bind(fd, from); err != nil {
		return err
	}
	if err := unix.Connect(fd, to); err != nil && err != unix.EINPROGRESS {
		return err
	}
	return unix.EpollCtl(g.epfd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}) // #nosec G115 -- a descriptor is a C int
}

// turn waits for events and deals with them.
func (g *generator) turn() error {
	var events [256]unix.EpollEvent
	// #nosec G103 -- the memory outlives the call, and its own length goes with it
	r, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(g.epfd), uintptr(unsafe.Pointer(&events)), uintptr(len(events)), 0, 0, 0)
	n := int(r)
	if errno != 0 || n == 0 {
		var err error
		if n, err = unix.EpollWait(g.epfd, events[:], 60_000); err == unix.EINTR {
			return nil
		} else if err != nil {
			return err
		} else if n == 0 {
			return fmt.Errorf("no reply for a minute: %d of %d connections ready, %d of %d messages done", g.ready, g.spec.Conns, g.finished, g.spec.Messages)
		}
	}
	for _, ev := range events[:n] {
		c := g.conns[ev.Fd]
		if ev.Events&unix.EPOLLOUT != 0 {
			if err := g.flush(c); err != nil {
				return err
			}
		}
		if ev.Events&^unix.EPOLLOUT != 0 {
			if err := g.read(c); err != nil {
				return err
			}
		}
	}
	return nil
}

func (g *generator) read(c *genConn) error {
	// #nosec G103 G115 -- the memory outlives the call, and its own length goes with it; fd is open
	r, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(c.fd), uintptr(unsafe.Pointer(&g.in)), uintptr(len(g.in)), 0, 0, 0)
	switch {
	case errno == unix.EAGAIN || errno == unix.EINTR:
		return nil
	case errno != 0:
		return fmt.Errorf("the server's connection: %w", errno)
	case r == 0:
		return fmt.Errorf("the server closed a connection: %w", io.ErrUnexpectedEOF)
	}
	for _, b := range g.in[:r] {
		switch c.col {
		case 0:
			if b != '2' && b != '3' {
				return fmt.Errorf("the server refuses: %.100q", g.in[:r])
			}
		case 3:
			c.more = b == '-'
		}
		c.col++
		if b != '\n' {
			continue
		}
		c.col = 0
		if c.more {
			continue
		}
		if c.want--; c.ends {
			c.ends = false
			g.finished++
		}
		if c.want < 0 {
			return fmt.Errorf("a reply too many: %.100q", g.in[:r])
		}
	}
	if c.want > 0 {
		return nil
	}
	return g.next(c)
}

// next goes on where all replies have come.
func (g *generator) next(c *genConn) error {
	switch {
	case c.state < genGreeting && g.spec.Greet:
		c.state = genEhlo
		c.want = 1
		return g.send(c, []byte("EHLO client.example.com\r\n"))
	case c.state <= genEhlo:
		c.state = genIdle
		g.ready++
		return nil
	}
	return g.say(c)
}

// begin starts a connection's first message.
func (g *generator) begin(c *genConn) error {
	if g.left == 0 {
		return nil
	}
	c.state = genBusy
	if g.spec.Pipelining {
		g.left--
		c.want = g.first.want
		return g.send(c, g.first.out)
	}
	return g.say(c)
}

// say says what comes next on a busy connection; nothing when no messages are left.
func (g *generator) say(c *genConn) error {
	if g.spec.Pipelining {
		if c.step < 0 { // the last body is through
			c.state = genIdle
			return nil
		}
		s := g.steps[0]
		if g.left == 0 {
			s, c.step = g.last, -1
		} else {
			g.left--
		}
		c.want, c.ends = s.want, s.ends
		return g.send(c, s.out)
	}
	if c.step == 0 {
		if g.left == 0 {
			c.state = genIdle
			return nil
		}
		g.left--
	}
	s := g.steps[c.step]
	if c.step == len(g.steps)-3 { // before DATA and the body
		if g.said++; g.said == g.spec.Messages {
			defer func() { g.saidAt = time.Now() }()
		}
	}
	c.step = (c.step + 1) % len(g.steps)
	c.want, c.ends = s.want, s.ends
	return g.send(c, s.out)
}

func (g *generator) send(c *genConn, p []byte) error {
	c.out = p
	return g.flush(c)
}

func (g *generator) flush(c *genConn) error {
	for len(c.out) > 0 {
		n, err := unix.SendmsgN(int(c.fd), c.out, nil, nil, unix.MSG_NOSIGNAL)
		if err == unix.EAGAIN {
			break
		}
		if err != nil {
			return fmt.Errorf("write: %w", err)
		}
		c.out = c.out[n:]
	}
	if armed := len(c.out) > 0; armed != c.armed {
		c.armed = armed
		ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: c.fd}
		if armed {
			ev.Events |= unix.EPOLLOUT
		}
		return unix.EpollCtl(g.epfd, unix.EPOLL_CTL_MOD, int(c.fd), &ev)
	}
	return nil
}

// generateCommand is the hidden first argument that makes a process a generator.
const generateCommand = "generate"

// generate is the generator's main: a spec as its argument, a result on standard output.
func generate(arg string, stdin io.Reader, stdout io.Writer) error {
	var spec loadSpec
	if err := json.Unmarshal([]byte(arg), &spec); err != nil {
		return err
	}
	if spec.TLS {
		res, err := securely(spec)
		if err != nil {
			return err
		}
		return json.NewEncoder(stdout).Encode(res)
	}
	var ready func(loadResult)
	if spec.Wait {
		ready = func(r loadResult) {
			_ = json.NewEncoder(stdout).Encode(r)
			_, _ = stdin.Read(make([]byte, 1))
		}
	}
	return newGenerator(spec).run(ready, func(r loadResult) {
		_ = json.NewEncoder(stdout).Encode(r)
		if spec.Hold {
			_, _ = io.Copy(io.Discard, stdin)
		}
	})
}

// startLoad runs a generator in a process of its own. The result is there when it has finished its messages; release lets a
// holding one go, and must be called. A load that waits goes on when ready, called meanwhile, returns.
func startLoad(ctx context.Context, spec loadSpec, ready func() error) (res loadResult, release func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return res, nil, err
	}
	arg, err := json.Marshal(spec)
	if err != nil {
		return res, nil, err
	}
	argv := onCPUs(spec.CPUs, []string{self, generateCommand, string(arg)})
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...) // #nosec G204 -- this program itself, by taskset if it shall have CPUs of its own
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return res, nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return res, nil, err
	}
	if err := cmd.Start(); err != nil {
		return res, nil, err
	}
	release = func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	}
	decoder := json.NewDecoder(stdout)
	err = decoder.Decode(&res)
	if err == nil && spec.Wait {
		if err = ready(); err == nil {
			_, err = io.WriteString(stdin, "\n")
		}
		if err == nil {
			err = decoder.Decode(&res)
		}
	}
	if err != nil {
		release()
		return res, nil, fmt.Errorf("generator: %w: %s", err, strings.TrimSpace(stderr.String()))
	}
	return res, release, nil
}

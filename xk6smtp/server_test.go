package xk6smtp

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// fakeServer is an SMTP server that says what a test wants. It keeps every command and body that it got.
type fakeServer struct {
	listener net.Listener
	// answer returns the reply to a command line, or to "." for a message; "" stands for the plain positive reply, "close" for
	// closing the connection, "hang" for silence until the client closes, "half" for ending its own direction only, "stall" for 354 and
	// never reading again, "flood" and "flood lines" for a reply without end.
	answer func(connection int, line string) string
	// hello is the reply to EHLO without its last line "250 mx.test".
	hello string
	// tls encrypts from the start, if implicit is set, or after STARTTLS.
	tls      *tls.Config
	implicit bool

	ended    chan struct{} // with the test
	flooded  atomic.Int64  // octets of floods that were taken
	mu       sync.Mutex
	commands []string // with the connection's number in front: "1 MAIL FROM:<a@b>"
	bodies   []string
	conns    map[net.Conn]struct{}
	accepted int
	wg       sync.WaitGroup
}

// newFakeServer serves until the test ends; prepare sets it up before.
func newFakeServer(t testing.TB, answer func(connection int, line string) string, prepare ...func(*fakeServer)) *fakeServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if answer == nil {
		answer = func(int, string) string { return "" }
	}
	s := &fakeServer{listener: listener, answer: answer, conns: make(map[net.Conn]struct{}), ended: make(chan struct{})}
	for _, p := range prepare {
		p(s)
	}
	s.wg.Add(1)
	go s.accept()
	t.Cleanup(func() {
		close(s.ended)
		_ = listener.Close()
		s.mu.Lock()
		for conn := range s.conns {
			_ = conn.Close()
		}
		s.mu.Unlock()
		s.wg.Wait()
	})
	return s
}

func (s *fakeServer) accept() {
	defer s.wg.Done()
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.accepted++
		number := s.accepted
		s.conns[conn] = struct{}{}
		s.mu.Unlock()
		s.wg.Add(1)
		go func() {
			defer s.wg.Done()
			s.serve(conn, number)
			_ = conn.Close()
			s.mu.Lock()
			delete(s.conns, conn)
			s.mu.Unlock()
		}()
	}
}

var plainReplies = map[string]string{
	"": "220 mx.test", "HELO": "250 mx.test", "MAIL": "250 2.1.0 ok", "RCPT": "250 2.1.5 ok", "DATA": "354 go on",
	".": "250 2.0.0 queued", "RSET": "250 2.0.0 ok", "STARTTLS": "220 2.0.0 go", "VRFY": "252 2.1.5 maybe", "AUTH": "235 2.7.0 ok", "NOOP": "250 2.0.0 ok", "QUIT": "221 2.0.0 bye",
}

func (s *fakeServer) serve(conn net.Conn, number int) {
	if s.implicit {
		conn = tls.Server(conn, s.tls)
	}
	in := bufio.NewReader(conn)
	line := ""
	for {
		reply := s.answer(number, line)
		verb, _, _ := strings.Cut(line, " ")
		switch {
		case reply != "":
		case verb == "EHLO" || verb == "LHLO":
			reply = s.hello + "250 mx.test"
		default:
			reply = plainReplies[verb]
		}
		switch reply {
		case "close":
			return
		case "hang":
			_, _ = io.Copy(io.Discard, in)
			return
		case "half":
			_ = conn.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, in)
			return
		case "stall":
			_, _ = io.WriteString(conn, "354 go on\r\n")
			<-s.ended
			return
		case "flood":
			s.flood(conn, "250 ", strings.Repeat("x", 1<<16))
			return
		case "flood lines":
			s.flood(conn, "", strings.Repeat("250-x\r\n", 1<<13))
			return
		}
		if _, err := io.WriteString(conn, reply+"\r\n"); err != nil || verb == "QUIT" || strings.HasPrefix(reply, "421") {
			return
		}
		if verb == "STARTTLS" && strings.HasPrefix(reply, "220") {
			encrypted := tls.Server(conn, s.tls)
			if encrypted.Handshake() != nil {
				return
			}
			conn, in = encrypted, bufio.NewReader(encrypted)
		}
		if verb == "DATA" && strings.HasPrefix(reply, "354") {
			var body strings.Builder
			for {
				part, err := in.ReadString('\n')
				if err != nil {
					return
				}
				if part == ".\r\n" {
					break
				}
				body.WriteString(part)
			}
			s.mu.Lock()
			s.bodies = append(s.bodies, body.String())
			s.mu.Unlock()
			line = "."
			continue
		}
		command, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSuffix(command, "\r\n")
		s.mu.Lock()
		s.commands = append(s.commands, string(rune('0'+number))+" "+line)
		s.mu.Unlock()
	}
}

// floodSize is more than any client should take.
const floodSize = 100 << 20

// flood writes one reply of floodSize, or as much of it as is taken.
func (s *fakeServer) flood(conn net.Conn, begin, piece string) {
	n, err := io.WriteString(conn, begin)
	for total := n; err == nil && total < floodSize; total += n {
		s.flooded.Add(int64(n))
		n, err = io.WriteString(conn, piece)
	}
}

func (s *fakeServer) port() int { return s.listener.Addr().(*net.TCPAddr).Port }

// got returns a copy of the commands so far.
func (s *fakeServer) got() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.commands)
}

// messages returns a copy of the bodies so far.
func (s *fakeServer) messages() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.bodies)
}

// offering has a server announce extensions.
func offering(extensions ...string) func(*fakeServer) {
	return func(s *fakeServer) {
		s.hello = "250-mx.test\r\n"
		for _, e := range extensions {
			s.hello += "250-" + e + "\r\n"
		}
	}
}

// total is how many connections there were.
func (s *fakeServer) total() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted
}

// open is how many connections stand.
func (s *fakeServer) open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

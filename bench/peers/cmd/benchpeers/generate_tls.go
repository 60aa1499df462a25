package main

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// securely runs a load of STARTTLS sessions: spec.Messages of them, spec.Conns at once, each with one message and a connection of its
// own. It uses crypto/tls and a goroutine per connection: what a handshake costs leaves nothing to gain from an event loop.
func securely(spec loadSpec) (loadResult, error) {
	var (
		wg            sync.WaitGroup
		begun, reused atomic.Int64
		errs          = make([]error, spec.Conns)
		start         = time.Now()
		cpu           = ownCPU()
	)
	for i := range spec.Conns {
		wg.Go(func() {
			c := &secureClient{spec: &spec, body: genBody(spec.Size)}
			// The server is the harness's own, and its certificate is made for the occasion: what is measured is the server.
			c.config = &tls.Config{InsecureSkipVerify: true, ServerName: "localhost"} // #nosec G402 -- see above
			if spec.Resume {
				c.config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			}
			for errs[i] == nil && begun.Add(1) <= int64(spec.Messages) {
				var resumed bool
				if resumed, errs[i] = c.session(); resumed {
					reused.Add(1)
				}
			}
		})
	}
	wg.Wait()
	res := loadResult{Wall: time.Since(start).Seconds(), CPU: (ownCPU() - cpu).Seconds(), Messages: spec.Messages, Resumed: int(reused.Load())}
	return res, errors.Join(errs...)
}

// secureClient is one client after the other.
type secureClient struct {
	spec   *loadSpec
	config *tls.Config
	body   []byte
	in     bufio.Reader
}

// session runs one session, and reports whether its handshake was an abbreviated one.
func (c *secureClient) session() (resumed bool, err error) {
	nc, err := net.DialTimeout("tcp", c.spec.Addr, patience)
	if err != nil {
		return false, err
	}
	defer nc.Close()
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
		return false, err
	}
	ehlo := []byte("EHLO client.example.com\r\n")
	if err := c.say(nc, nil, ehlo, []byte("STARTTLS\r\n")); err != nil {
		return false, err
	}
	secure := tls.Client(nc, c.config)
	if err := secure.Handshake(); err != nil {
		return false, err
	}
	c.in.Reset(secure)
	for _, p := range [][]byte{ehlo, []byte("MAIL FROM:<a@example.com>\r\n"), []byte("RCPT TO:<b@example.com>\r\n"), []byte("DATA\r\n"), c.body, []byte("QUIT\r\n")} {
		if err := c.exchange(secure, p); err != nil {
			return false, err
		}
	}
	return secure.ConnectionState().DidResume, nil
}

// say has a plain dialogue; nil sends nothing.
func (c *secureClient) say(nc net.Conn, commands ...[]byte) error {
	c.in.Reset(nc)
	for _, p := range commands {
		if err := c.exchange(nc, p); err != nil {
			return err
		}
	}
	if n := c.in.Buffered(); n > 0 {
		return fmt.Errorf("%d octets behind the reply to STARTTLS", n)
	}
	return nil
}

// exchange sends p and reads one reply, which must be positive.
func (c *secureClient) exchange(w io.Writer, p []byte) error {
	if len(p) > 0 {
		if _, err := w.Write(p); err != nil {
			return err
		}
	}
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if line[0] != '2' && line[0] != '3' {
			return fmt.Errorf("the server refuses %.20q: %.100q", p, line)
		}
		if len(line) < 4 || line[3] != '-' {
			return nil
		}
	}
}

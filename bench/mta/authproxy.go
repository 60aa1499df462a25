package mta

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"sync"
	"time"
)

// fronts are several that are closed together.
type fronts []front

// Close closes all of them.
func (f fronts) Close() (err error) {
	for _, one := range f {
		err = errors.Join(err, one.Close())
	}
	return err
}

// authProxy takes connections for an MTA that wants its clients to have authenticated over TLS. To each it opens one to the MTA, does
// both, and passes octets to and fro: what the MTA says is what the client hears. It runs in this process: what it costs isn't in the instance's
// Usage.
type authProxy struct {
	listener        net.Listener
	target          string // host:port, TLS from the first octet
	user, password  string
	mu              sync.Mutex
	open            map[net.Conn]struct{} // of both sides
	closed          bool
	all             sync.WaitGroup
	closeOnce       sync.Once
	listenerClosing error
}

// authPatience bounds connecting and authenticating.
const authPatience = 10 * time.Second

func openAuthProxy(address, target, user, password string) (*authProxy, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	p := &authProxy{listener: listener, target: target, user: user, password: password, open: map[net.Conn]struct{}{}}
	p.all.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return // closed
			}
			p.all.Go(func() { p.serve(client) })
		}
	})
	return p, nil
}

// Close ends listener and connections where they are, as the end of a process does.
func (p *authProxy) Close() error {
	p.closeOnce.Do(func() {
		p.listenerClosing = p.listener.Close()
		p.mu.Lock()
		p.closed = true
		for c := range p.open {
			_ = c.Close() // that is all there is to do
		}
		p.mu.Unlock()
		p.all.Wait()
	})
	return p.listenerClosing
}

// keep has Close close a connection; it closes it at once when Close came first.
func (p *authProxy) keep(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = c.Close() // nobody uses it any more
		return
	}
	p.open[c] = struct{}{}
}

func (p *authProxy) drop(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
	_ = c.Close() // it is over, whatever it says
}

func (p *authProxy) serve(client net.Conn) {
	p.keep(client)
	defer p.drop(client)
	plain, err := net.DialTimeout("tcp", p.target, authPatience)
	if err != nil {
		return // the MTA isn't there, and so neither are we
	}
	server := tls.Client(plain, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}) // #nosec G402 -- a certificate that this program has just made, on a loopback address
	p.keep(server)
	defer p.drop(server)
	greeting, err := p.authenticate(server)
	if err != nil {
		greeting = "421 4.3.0 " + err.Error()
	}
	if _, err2 := io.WriteString(client, greeting+"\r\n"); err != nil || err2 != nil {
		return
	}
	p.all.Go(func() {
		_, _ = io.Copy(server, client) // until either side ends
		_ = server.CloseWrite()        // a client that has gone; the MTA may still answer
	})
	_, _ = io.Copy(client, server)
}

// authenticate says who we are and returns the line with which the MTA has greeted.
func (p *authProxy) authenticate(server *tls.Conn) (greeting string, err error) {
	if err := server.SetDeadline(time.Now().Add(authPatience)); err != nil {
		return "", err
	}
	c := textproto.NewConn(server)
	if greeting, err = c.ReadLine(); err != nil {
		return "", err
	}
	for _, step := range [...]struct {
		command string
		want    int
	}{
		{"EHLO proxy.bench.test", 250},
		{"AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00"+p.user+"\x00"+p.password)), 235},
	} {
		if err := c.PrintfLine("%s", step.command); err != nil {
			return "", err
		}
		if _, _, err := c.ReadResponse(step.want); err != nil {
			return "", fmt.Errorf("the MTA doesn't let its user in: %w", err)
		}
	}
	return greeting, server.SetDeadline(time.Time{})
}

package xk6smtp

import (
	"bytes"
	"context"
	"io"
	"net"
	"strconv"
	"testing"
	"time"
)

// cannedDialer connects to a server in memory that costs next to nothing: it takes everything.
type cannedDialer struct{}

func (cannedDialer) DialContext(context.Context, string, string) (net.Conn, error) {
	return &cannedServer{pending: []byte("220 mx.test\r\n")}, nil
}

type cannedServer struct {
	net.Conn // nil: only what is overridden is called
	pending  []byte
	body     bool
}

var newline = []byte("\n")

func (c *cannedServer) Write(p []byte) (int, error) {
	if c.body {
		c.body = false
		c.pending = append(c.pending, "250 2.0.0 queued\r\n"...)
		return len(p), nil
	}
	for rest := p; len(rest) > 0; {
		line, after, _ := bytes.Cut(rest, newline)
		rest = after
		switch line[0] {
		case 'E':
			c.pending = append(c.pending, "250-mx.test\r\n250 PIPELINING\r\n"...)
		case 'D':
			c.pending = append(c.pending, "354 go on\r\n"...)
			c.body = true
		default:
			c.pending = append(c.pending, "250 2.1.0 ok\r\n"...)
		}
	}
	return len(p), nil
}

func (c *cannedServer) Read(p []byte) (int, error) {
	if len(c.pending) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.pending)
	c.pending = append(c.pending[:0], c.pending[n:]...)
	return n, nil
}

func (c *cannedServer) Close() error { return nil }
func (c *cannedServer) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 25}
}
func (c *cannedServer) SetDeadline(time.Time) error { return nil }

// BenchmarkSend is a message of 1 KiB from JavaScript and back, metrics included; "floor" is the same loop over a promise that
// is resolved at once.
func BenchmarkSend(b *testing.B) {
	for _, mode := range []struct{ name, call string }{
		{"send", "const r = await client.send(message, {from: 's+' + i + '@src.test', to: i + '@dst.test'}); if (!r.ok) throw r.error;"},
		{"floor", "const r = await Promise.resolve({from: 's+' + i + '@src.test', to: i + '@dst.test'}); if (!r.from) throw 1;"},
	} {
		b.Run(mode.name, func(b *testing.B) {
			v := newVU(b).activate()
			v.rt.VU.StateField.Dialer = cannedDialer{}
			done := make(chan struct{})
			go func() {
				for range v.samples {
				}
				close(done)
			}()
			v.global("PORT", 25)
			b.ReportAllocs()
			b.ResetTimer()
			if got := v.run(`
				const client = new Client({host: '127.0.0.1', port: PORT});
				const message = new Message({from: 'a@src.test', to: 'b@dst.test', subject: 'x', text: 'hello', size: 1024});
				for (let i = 0; i < ` + strconv.Itoa(b.N) + `; i++) { ` + mode.call + ` }`); got != "undefined" {
				b.Fatal(got)
			}
			b.StopTimer()
			close(v.samples)
			<-done
		})
	}
}

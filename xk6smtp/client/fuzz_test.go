package client

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// FuzzServer has a server say anything at all, in one piece, and end: the client must come to an end by itself, with a result or an *Error,
// count no reply twice, and never go on with a connection that broke.
func FuzzServer(f *testing.F) {
	for _, said := range []string{
		"", "220 mx\r\n250-mx\r\n250 PIPELINING\r\n250 ok\r\n250 ok\r\n354 go\r\n250 queued\r\n221 bye\r\n",
		"220 mx\r\n250-mx\r\n250-SIZE 10\r\n250 CHUNKING\r\n250 ok\r\n250 ok\r\n250 ok\r\n", "220-mx\r\n220-mx\r\n", "220 mx\r\n500 no\r\n250 mx\r\n",
		"220 mx\n250 mx\n250 ok\n421 4.3.2 bye\r\n", "554 no\r\n", "\x00\xff\r\n", "220 mx\r\n250-mx\r\n550 mx\r\n", "HTTP/1.1 400 Bad Request\r\n\r\n",
	} {
		f.Add([]byte(said), true)
		f.Add([]byte(said), false)
	}
	f.Fuzz(func(t *testing.T, said []byte, chunking bool) {
		server, conn := net.Pipe()
		go func() {
			_, _ = server.Write(said)
			_ = server.Close()
		}()
		discarded := make(chan struct{})
		go func() {
			_, _ = io.Copy(io.Discard, server)
			close(discarded)
		}()
		defer func() { <-discarded }()
		defer conn.Close()
		cfg := Config{Dialer: pipeDialer{conn}, Timeouts: AllTimeouts(10 * time.Second), Now: time.Now}
		if chunking {
			cfg.ChunkSize = 5
		}
		var seen log
		var greeting Greeting
		c, err := Connect(context.Background(), &cfg, &seen, &greeting)
		var broken *Error
		if err != nil {
			if !errors.As(err, &broken) {
				t.Fatalf("connect: %T %v", err, err)
			}
			return
		}
		var result Result
		err = c.Send(context.Background(), &Message{From: "a@src.test", To: []string{"b@dst.test", "c@dst.test"}, Body: NewBody([]byte("hello\n"))}, &result)
		if err != nil && (!errors.As(err, &broken) || c.Open()) {
			t.Fatalf("send: %T %v, open %v", err, err, c.Open())
		}
		if len(result.Recipients) != 2 {
			t.Fatalf("%d recipients", len(result.Recipients))
		}
		if c.Open() {
			_, _ = c.Quit(context.Background())
		}
		if c.Open() || len(c.awaited) != 0 {
			t.Fatalf("after QUIT: open %v, %v awaited", c.Open(), c.awaited)
		}
	})
}

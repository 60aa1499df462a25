package main

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/smtpstorm/xk6-smtp/bench/canned"
	"github.com/smtpstorm/xk6-smtp/bench/peers/program"
)

func TestBodies(t *testing.T) {
	for _, size := range []int{0, 100, 1024, 1025, 262144} {
		body := genBody(size)
		if !bytes.HasSuffix(body, []byte("\r\n.\r\n")) {
			t.Errorf("size %d: ends in %q", size, body[len(body)-10:])
		}
		if got, headers := len(body)-len(".\r\n"), len(genBody(0))-len(".\r\n"); got != max(size, headers) {
			t.Errorf("size %d: %d octets, expected %d", size, got, max(size, headers))
		}
		if bytes.Contains(bytes.ReplaceAll(body, []byte("\r\n"), nil), []byte("\n")) {
			t.Errorf("size %d: a bare LF", size)
		}
	}
}

// The server counts as many messages as the generator says it sent, whatever the load looks like.
func TestGeneratorAgainstCanned(t *testing.T) {
	for _, spec := range []loadSpec{
		{Conns: 1, Messages: 1, Size: 1024},
		{Conns: 7, Messages: 100, Size: 1024, Greet: true},
		{Conns: 7, Messages: 100, Size: 1024, Recipients: 5, Pipelining: true, Greet: true},
		{Conns: 3, Messages: 20, Size: 1 << 20, Pipelining: true},
		{Conns: 50, Messages: 10, Size: 0, Pipelining: true, Greet: true, Window: 4},
		{Conns: 100, Greet: true},
	} {
		t.Run(fmt.Sprintf("%+v", spec), func(t *testing.T) {
			server, err := canned.Listen("127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			served := make(chan error, 1)
			go func() { served <- server.Serve() }()
			spec.Addr = server.Addr().String()
			var res loadResult
			if err := newGenerator(spec).run(nil, func(r loadResult) { res = r }); err != nil {
				t.Error(err)
			}
			if err := server.Close(); err != nil {
				t.Error(err)
			}
			if err := <-served; err != nil {
				t.Error(err)
			}
			if res.Messages != spec.Messages || server.Messages() != uint64(spec.Messages) {
				t.Errorf("%d messages sent, %d received, expected %d", res.Messages, server.Messages(), spec.Messages)
			}
		})
	}
}

func TestGeneratorRefused(t *testing.T) {
	addr, err := program.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	if err := newGenerator(loadSpec{Addr: addr, Conns: 2}).run(nil, func(loadResult) {}); err == nil {
		t.Error("no error without a server")
	}
}

package mta

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// TestAuthProxy: a client is greeted as the MTA greets, once the proxy has logged in, and from then on they talk to each other.
func TestAuthProxy(t *testing.T) {
	i := &instance{o: Options{Dir: t.TempDir()}}
	if err := i.selfSigned(".", "mta.test"); err != nil {
		t.Fatal(err)
	}
	certificate, err := tls.LoadX509KeyPair(i.path("fullchain.pem"), i.path("privkey.pem"))
	if err != nil {
		t.Fatal(err)
	}
	server, err := tls.Listen("tcp4", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	go func() {
		for {
			conn, err := server.Accept()
			if err != nil {
				return
			}
			go func() { // an MTA that knows one user, and then says after us
				defer conn.Close()
				fmt.Fprint(conn, "220 mta.test ready\r\n")
				for lines := bufio.NewScanner(conn); lines.Scan(); {
					switch command, argument, _ := strings.Cut(lines.Text(), " "); {
					case command == "EHLO":
						fmt.Fprint(conn, "250-mta.test\r\n250 AUTH PLAIN\r\n")
					case command != "AUTH":
						fmt.Fprintf(conn, "250 %s\r\n", lines.Text())
					case argument == "PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00me@mta.test\x00secret")):
						fmt.Fprint(conn, "235 welcome\r\n")
					default:
						fmt.Fprint(conn, "535 who are you\r\n")
					}
				}
			}()
		}
	}()
	for _, tt := range []struct{ password, want string }{
		{"secret", "220 mta.test ready\r\n250 NOOP 1\r\n"},
		{"guess", "421 4.3.0 the MTA doesn't let its user in: 535 \"who are you\"\r\n"},
	} {
		proxy, err := openAuthProxy("127.0.0.1:0", server.Addr().String(), "me@mta.test", tt.password)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial("tcp4", proxy.listener.Addr().String())
		if err == nil {
			err = conn.SetDeadline(time.Now().Add(20 * time.Second))
		}
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(conn, "NOOP 1\r\n")
		got, read := "", bufio.NewReader(conn)
		for range strings.Count(tt.want, "\n") {
			line, _ := read.ReadString('\n') // what there was
			got += line
		}
		if got != tt.want {
			t.Errorf("with the password %s a client hears\n%q, want\n%q", tt.password, got, tt.want)
		}
		if err := proxy.Close(); err != nil {
			t.Error(err)
		}
		if _, err := read.ReadByte(); err == nil {
			t.Error("a connection outlives the proxy")
		}
		_ = conn.Close()
	}
}

package sink_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/sasl"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// trusting returns the configuration of a client that trusts the sink's authority, and remembers sessions.
func trusting(t *testing.T, server *sink.Server) *tls.Config {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(server.Authority()) {
		t.Fatalf("the authority is no certificate: %q", server.Authority())
	}
	return &tls.Config{RootCAs: pool, ServerName: "sink.test", ClientSessionCache: tls.NewLRUClientSessionCache(4)}
}

// secure does the client's handshake.
func (c *rawClient) secure(config *tls.Config) error {
	secure := tls.Client(c.conn, config)
	if err := secure.Handshake(); err != nil {
		return err
	}
	c.conn, c.in = secure, bufio.NewReader(secure)
	return nil
}

func TestTLS(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		server := faulty(t, kind, "listeners: [{name: plain, address: \"127.0.0.1:0\"}, {name: tls, address: \"127.0.0.1:0\", tls: implicit}]\n"+
			"rules: [{name: secure only, stage: rcpt, match: {tls: false}, reply: 530}]", func(cfg *sink.Config) { cfg.Listeners = nil })
		config := trusting(t, server.Server)

		c := dial(t, server.Server, "plain")
		c.expect("220 ")
		if got := c.command("EHLO client.test", "250-"); !strings.Contains(got, "STARTTLS\r\n") {
			t.Errorf("EHLO says %q, want STARTTLS", got)
		}
		if got := c.envelope(); !strings.HasPrefix(got, "530 ") {
			t.Errorf("RCPT without TLS got %q, want 530", got)
		}
		c.command("RSET", "250 ")
		c.command("STARTTLS", "220 ")
		if err := c.secure(config); err != nil {
			t.Fatal(err)
		}
		c.command("MAIL FROM:<a@sender.test>", "503 ") // it starts again before EHLO
		if got := c.command("EHLO client.test", "250-"); strings.Contains(got, "STARTTLS\r\n") {
			t.Errorf("EHLO says %q under TLS, want no STARTTLS", got)
		}
		c.deliver("a@sender.test", "b@recipient.test")
		over := func() { // then its row is written
			eventually(t, server.Server, "the connection has ended", func(s *sink.Stats) bool { return s.Open == 0 })
		}
		c.quit()
		over()

		for i := range 2 {
			c := dial(t, server.Server, "tls")
			if err := c.secure(config); err != nil {
				t.Fatal(err)
			}
			if resumed := c.conn.(*tls.Conn).ConnectionState().DidResume; !resumed {
				t.Errorf("handshake %d after the first did not resume its session", i+1)
			}
			c.expect("220 ")
			c.command("EHLO client.test", "250-")
			c.message()
			c.expect("250 ")
			c.quit()
			over()
		}
		want := []string{"attempt b@recipient.test rcpt 530 reply rule:secure only sent", "attempt b@recipient.test message 250 reply plain delivered sent", "connection quit"}
		want = append(want, want[1:]...)
		want = append(want, want[1:3]...)
		if got := server.rows(); !slices.Equal(got, want) {
			t.Errorf("the ledger says\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
		}
	})
}

// What a middlebox, or an attacker, puts behind STARTTLS is never a command under TLS (RFC 3207 section 6).
func TestPlaintextBehindSTARTTLS(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		server := sinktest.Start(t, sinktest.WithDriver(kind), sinktest.With(func(cfg *sink.Config) { cfg.TLS.Offer = sink.TLSOfferAlways }))
		c := greeted(t, server)
		c.send("STARTTLS\r\nMAIL FROM:<evil@sender.test>\r\nVRFY x\r\n")
		c.expect("220 ")
		if err := c.secure(trusting(t, server)); err != nil {
			t.Fatal(err)
		}
		c.command("EHLO client.test", "250-")
		c.command("RCPT TO:<b@recipient.test>", "503 ")
		c.quit()
		s := eventually(t, server, "it is gone", func(s *sink.Stats) bool { return s.Open == 0 })
		if n := replyCount(s, "mail", "250") + replyCount(s, "vrfy", "252"); n != 0 {
			t.Errorf("%d commands behind STARTTLS were answered, want none", n)
		}
	})
}

func TestTLSFaults(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		for _, test := range []struct {
			fault string
			fits  func(error) bool
		}{
			{"garbage", func(err error) bool { return errors.As(err, new(tls.RecordHeaderError)) }},
			{"refused", func(err error) bool { return err != nil && strings.Contains(err.Error(), "handshake failure") }},
			{"reset", func(err error) bool { return errors.Is(err, syscall.ECONNRESET) }},
			{"stall", func(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }},
			{"expired", func(err error) bool {
				var invalid x509.CertificateInvalidError
				return errors.As(err, &invalid) && invalid.Reason == x509.Expired
			}},
			{"self-signed", func(err error) bool { return errors.As(err, new(x509.UnknownAuthorityError)) }},
			{"wrong-name", func(err error) bool { return errors.As(err, new(x509.HostnameError)) }},
		} {
			for _, implicit := range []bool{false, true} {
				name := map[bool]string{false: "starttls", true: "implicit"}[implicit]
				t.Run(test.fault+"/"+name, func(t *testing.T) {
					text := "rules: [{name: r, stage: starttls, tls: " + test.fault + "}]"
					if implicit {
						text = "listeners: [{name: tls, address: \"127.0.0.1:0\", tls: implicit}]\nrules: [{name: r, stage: connect, tls: " + test.fault + "}]"
					}
					server := faulty(t, kind, text, nil)
					c := dial(t, server.Server, "")
					if !implicit {
						c.expect("220 ")
						c.command("EHLO client.test", "250-")
						c.command("STARTTLS", "220 ")
					}
					if test.fault == "stall" {
						// Of reading alone: what the client says first must get out, however late.
						if err := c.conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
							t.Fatal(err)
						}
					}
					err := c.secure(trusting(t, server.Server))
					if !test.fits(err) {
						t.Errorf("the handshake ended with %v, want the error of %s", err, test.fault)
					}
					_ = c.conn.Close()
					if got := server.rows(); len(got) != 1 || !strings.HasPrefix(got[0], "connection ") || !strings.HasSuffix(got[0], " tls-"+test.fault) {
						t.Errorf("the ledger says %q, want a connection that ended by tls-%s", got, test.fault)
					}
				})
			}
		}
	})
}

// A stalled handshake ends when the sink has had enough, too.
func TestStalledHandshakeEnds(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		server := faulty(t, kind, "rules: [{name: r, stage: starttls, tls: stall}]", func(cfg *sink.Config) { cfg.MaxHold = 50 * time.Millisecond })
		c := greeted(t, server.Server)
		c.command("STARTTLS", "220 ")
		c.send("\x16\x03\x01 the beginning of a hello")
		c.expectEOF()
	})
}

// shaken connects, says EHLO and shakes hands.
func shaken(t *testing.T, server *sink.Server) *rawClient {
	t.Helper()
	c := greeted(t, server)
	c.command("STARTTLS", "220 ")
	if err := c.secure(trusting(t, server)); err != nil {
		t.Fatal(err)
	}
	c.command("EHLO client.test", "250-")
	return c
}

// What is held back under TLS, for the sake of fewer system calls, leaves before every end, every pause and every reset.
func TestFaultsUnderTLS(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		for _, test := range slices.Concat(closeFaults, replyFaults) {
			if test.client == nil {
				continue // it is not greeted
			}
			t.Run(test.name, func(t *testing.T) {
				t.Parallel()
				server := faulty(t, kind, test.plan, func(cfg *sink.Config) {
					if test.config != nil {
						test.config(cfg)
					}
					cfg.TLS.Offer = sink.TLSOfferAlways
				})
				c := shaken(t, server.Server)
				raw := c.conn.(*tls.Conn).NetConn()
				test.client(c)
				_ = raw.Close()
				if got := server.rows(); !slices.Equal(got, test.rows) {
					t.Errorf("the ledger says\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(test.rows, "\n\t"))
				}
			})
		}
	})
}

// The last reply and the farewell of TLS leave by one system call.
func TestFarewellIsWrittenWithTheLastReply(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		server := sinktest.Start(t, sinktest.WithDriver(kind), sinktest.With(func(cfg *sink.Config) { cfg.TLS.Offer = sink.TLSOfferAlways }))
		c := shaken(t, server)
		c.quit()
		s := eventually(t, server, "it is gone", func(s *sink.Stats) bool { return s.Open == 0 })
		// Greeting, EHLO, STARTTLS; the handshake; EHLO, QUIT.
		if s.Net.Writes != 6 {
			t.Errorf("%d writes for a session, want 6", s.Net.Writes)
		}
	})
}

// A server that goes away tells clients under TLS, and lets their transactions end.
func TestShutdownUnderTLS(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		server := sinktest.Start(t, sinktest.WithDriver(kind), sinktest.With(func(cfg *sink.Config) { cfg.TLS.Offer = sink.TLSOfferAlways }))
		idle, busy, shaking := shaken(t, server), shaken(t, server), greeted(t, server)
		busy.command("MAIL FROM:<a@sender.test>", "250 ")
		shaking.command("STARTTLS", "220 ")
		result := make(chan error, 1)
		go func() { result <- server.Shutdown(t.Context()) }()
		idle.expect("421 ")
		idle.expectEOF()
		shaking.expectEOF()
		busy.command("RCPT TO:<b@recipient.test>", "250 ")
		busy.command("DATA", "354 ")
		busy.send(theMessage)
		busy.expect("250 ")
		busy.expect("421 ")
		busy.expectEOF()
		for _, c := range []*rawClient{idle, busy, shaking} {
			_ = c.conn.Close()
		}
		if err := <-result; err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if s := server.Stats(); s.Open != 0 || s.Connections != 3 || s.Net.Closed != 3 || s.Messages != 1 {
			t.Errorf("after Shutdown: %d connections, %d open, %d closed, %d messages; want 3, 0, 3, 1", s.Connections, s.Open, s.Net.Closed, s.Messages)
		}
	})
}

func TestAUTH(t *testing.T) {
	users := func(cfg *sink.Config) {
		cfg.Auth = sink.AuthConfig{Accounts: sasl.Users{"alice": "secret"}, Require: true}
	}
	plain := "AUTH PLAIN AGFsaWNlAHNlY3JldA=="
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		t.Run("accounts", func(t *testing.T) {
			server := faulty(t, kind, "rules: []", users)
			c := greeted(t, server.Server)
			c.command("MAIL FROM:<a@sender.test>", "530 5.7.0 ")
			c.command("AUTH PLAIN AGFsaWNlAHdyb25n", "535 5.7.8 ")
			c.command("AUTH LOGIN", "334 VXNlcm5hbWU6")
			c.command("*", "501 5.7.0 ")
			c.command("AUTH DIGEST-MD5", "504 5.5.4 ")
			c.command(plain, "235 2.7.0 ")
			c.command(plain, "503 ")
			c.deliver("a@sender.test", "b@recipient.test")
			c.quit()
		})
		for _, code := range []string{"535", "454", "534", "538", "530"} {
			t.Run(code, func(t *testing.T) {
				server := faulty(t, kind, "rules: [{name: r, stage: auth, reply: "+code+"}]", users)
				c := greeted(t, server.Server)
				c.command(plain, code+" ")
				c.command("MAIL FROM:<a@sender.test>", "530 5.7.0 ")
				c.quit()
				if s := server.Stats(); replyCount(s, "auth", code) != 1 {
					t.Errorf("%d replies %s at auth were counted, want 1: %+v", replyCount(s, "auth", code), code, s.Replies)
				}
			})
		}
	})
}

func TestLoadCertificate(t *testing.T) {
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	keys := make([]string, 2)
	var certificate string
	for i := range keys {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		keys[i] = write(fmt.Sprintf("key%d.pem", i), "PRIVATE KEY", der)
		if i == 0 {
			template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"own.test"}, NotAfter: time.Now().Add(time.Hour)}
			der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
			if err != nil {
				t.Fatal(err)
			}
			certificate = write("cert.pem", "CERTIFICATE", der)
		}
	}
	own, err := sink.LoadCertificate(certificate, keys[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []struct {
		name, cert, key string
		says            []string
	}{
		{"another key", certificate, keys[1], []string{"cert.pem", "key1.pem", "does not match"}},
		{"no certificate", keys[0], keys[0], []string{"key0.pem", "no certificate"}},
		{"no key", certificate, certificate, []string{"cert.pem"}},
		{"broken certificate", write("broken.pem", "CERTIFICATE", []byte("x")), keys[0], []string{"broken.pem"}},
		{"missing file", filepath.Join(dir, "missing.pem"), keys[0], []string{"missing.pem", "no such file"}},
	} {
		_, err := sink.LoadCertificate(bad.cert, bad.key)
		if err == nil {
			t.Errorf("%s: no error", bad.name)
			continue
		}
		for _, want := range bad.says {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %q, want it to say %q", bad.name, err, want)
			}
		}
	}

	server := sinktest.Start(t, sinktest.With(func(cfg *sink.Config) { cfg.TLS.Certificate = own }))
	if server.Authority() != nil {
		t.Error("the sink names an authority for a certificate that it was given")
	}
	c := greeted(t, server)
	c.command("STARTTLS", "220 ")
	if err := c.secure(&tls.Config{InsecureSkipVerify: true}); err != nil { // the name is what is looked at
		t.Fatal(err)
	}
	if names := c.conn.(*tls.Conn).ConnectionState().PeerCertificates[0].DNSNames; !slices.Equal(names, []string{"own.test"}) {
		t.Errorf("the sink shows a certificate for %v, want own.test", names)
	}
	_, _ = io.WriteString(c.conn, "QUIT\r\n")
}

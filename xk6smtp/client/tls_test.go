package client

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/sasl"
)

// testCertificate is valid for mx.test, in the year of any clock, and signed by itself.
var testCertificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mx.test"}, DNSNames: []string{"mx.test"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
})

// serverTLS sends no session tickets: over a pipe nobody would read them.
func serverTLS() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{testCertificate()}, MinVersion: tls.VersionTLS12, SessionTicketsDisabled: true}
}

func clientTLS() *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(testCertificate().Leaf)
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}

// authenticate is the server's side of AUTH, by the sink's own mechanisms.
func authenticate(conn io.Writer, in *bufio.Reader, mechanism string) error {
	provider := sasl.Provider{Accounts: sasl.Users{"ann": "secret"}, Hostname: "mx.test", Random: rand.Reader}
	line, err := in.ReadString('\n')
	if err != nil {
		return err
	}
	initial, ok := strings.CutPrefix(strings.TrimRight(line, "\r\n"), "AUTH "+mechanism)
	if !ok {
		return fmt.Errorf("client sent %q", line)
	}
	x, err := provider.Start(mechanism, nil)
	if err != nil {
		return err
	}
	var response []byte
	if initial = strings.TrimSpace(initial); initial != "" {
		if response, err = base64.StdEncoding.DecodeString(initial); err != nil {
			return err
		}
	}
	for {
		challenge, done, err := x.Next(response)
		switch {
		case err != nil:
			_, err = io.WriteString(conn, "535 5.7.8 no\r\n")
			return err
		case done:
			_, err = io.WriteString(conn, "235 2.7.0 ok\r\n")
			return err
		}
		if _, err := fmt.Fprintf(conn, "334 %s\r\n", base64.StdEncoding.EncodeToString(challenge)); err != nil {
			return err
		}
		if line, err = in.ReadString('\n'); err != nil {
			return err
		}
		if response, err = base64.StdEncoding.DecodeString(strings.TrimRight(line, "\r\n")); err != nil {
			return err
		}
	}
}

const offersTLS = `
	S: 220 mx.test ready
	C: EHLO localhost
	S: 250-mx.test
	S: 250-PIPELINING
	S: 250 STARTTLS
	`

func TestStartTLS(t *testing.T) {
	for _, mode := range []TLSMode{TLSOpportunistic, TLSRequired} {
		t.Run(mode.String(), func(t *testing.T) {
			dialogue(t, offersTLS+`
				C: STARTTLS
				S: 220 2.0.0 go
				tls
				C: EHLO localhost
				S: 250-mx.test
				S: 250 SIZE 100
				C: NOOP
				S: 250 2.0.0 ok
				hang
				`, func(s *session) {
				s.cfg.TLS, s.cfg.TLSConfig = mode, clientTLS()
				conn, err := Connect(s.ctx, &s.cfg, &s.log, &s.greeting)
				if err != nil {
					t.Fatal(err)
				}
				s.conn = conn
				s.log.expect(t, "connect 220", "ehlo 250", "starttls 220 2.0.0", "ehlo 250")
				if _, err := conn.Noop(s.ctx); err != nil {
					t.Error(err)
				}
				if state, ok := conn.TLS(); !ok || state.Version != tls.VersionTLS13 {
					t.Errorf("TLS %v %x", ok, state.Version)
				}
				if lines := conn.Capabilities().Lines(); len(lines) != 1 || lines[0] != "SIZE 100" {
					t.Errorf("capabilities %q: those from before the handshake are void", lines)
				}
				if timings := s.greeting.Timings; timings.TLS == NotMeasured || timings.EhloTLS == NotMeasured {
					t.Errorf("timings %v", timings)
				}
				if !conn.Usable() {
					t.Error("the quiet connection is not usable")
				}
			})
		})
	}
}

func TestTLSThatIsNotToBeHad(t *testing.T) {
	refusing := offersTLS + "C: STARTTLS\nS: 454 4.7.0 not now\n"
	for _, test := range []struct {
		name, script string
		mode         TLSMode
		want         string // part of the error; none if the connection stands
		lost         string
	}{
		{"not offered, opportunistic", greeted + "hang", TLSOpportunistic, "", ""},
		{"not offered, required", greeted + "hang", TLSRequired, "starttls: the server does not offer STARTTLS", "starttls lost: the server does not offer STARTTLS"},
		{"refused, opportunistic", refusing + "hang", TLSOpportunistic, "", ""},
		{"refused, required", refusing + "hang", TLSRequired, "starttls: 454 4.7.0 not now", ""},
		{"421, opportunistic", offersTLS + "C: STARTTLS\nS: 421 4.3.2 bye\n", TLSOpportunistic, "starttls: 421 4.3.2 bye", ""},
		{"closed in the handshake", offersTLS + "C: STARTTLS\nS: 220 go\n+1ms\nclose", TLSRequired, "starttls: TLS handshake: ", "starttls lost: TLS handshake: "},
		{"plaintext behind the reply", offersTLS + `C: STARTTLS
			S= "220 go\r\n250 injected\r\n"
			hang`, TLSRequired, "starttls: reply without a command", "starttls lost: reply without a command"},
		{"silence in the handshake", offersTLS + "C: STARTTLS\nS: 220 go\n+5m\nclose", TLSRequired, "starttls: timeout", "starttls lost: timeout"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dialogue(t, test.script, func(s *session) {
				s.tolerated = "io: read/write on closed pipe"
				s.cfg.TLS, s.cfg.TLSConfig = test.mode, clientTLS()
				conn, err := Connect(s.ctx, &s.cfg, &s.log, &s.greeting)
				s.conn = conn
				if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
					t.Errorf("error %v, expected %q", err, test.want)
				}
				last := s.log.lines[len(s.log.lines)-1]
				if strings.Contains(last, "lost") != (test.lost != "") || !strings.Contains(last, test.lost) {
					t.Errorf("last event %q, expected %q", last, test.lost)
				}
			})
		})
	}
}

func TestImplicitTLSChecksTheName(t *testing.T) {
	dialogue(t, "tls\nS: 220 mx.test ready\nC: EHLO localhost\nS: 250 mx.test\nhang", func(s *session) {
		s.cfg.TLS, s.cfg.TLSConfig = TLSImplicit, clientTLS()
		s.connect()
		if s.greeting.Timings.TLS == NotMeasured {
			t.Error("the handshake was not timed")
		}
	})
	dialogue(t, "tls\nhang", func(s *session) {
		s.tolerated = "tls"
		s.cfg.Address = "other.test:465"
		s.cfg.TLS, s.cfg.TLSConfig = TLSImplicit, clientTLS()
		_, err := Connect(s.ctx, &s.cfg, &s.log, &s.greeting)
		var wrongName x509.HostnameError
		var handshake *HandshakeError
		if !errors.As(err, &wrongName) || !errors.As(err, &handshake) {
			t.Errorf("error %v, expected a wrong host name", err)
		}
	})
}

func TestUnaskedForReplyInsideTLSIsNeverTheNextOne(t *testing.T) {
	dialogue(t, "tls\nS: 220 mx.test ready\nC: EHLO localhost\nS= \"250 mx.test\\r\\n250 once more\\r\\n\"\nhang", func(s *session) {
		s.cfg.TLS, s.cfg.TLSConfig = TLSImplicit, clientTLS()
		s.connect()
		if s.conn.Usable() {
			t.Error("a connection with an unread reply is usable")
		}
	})
}

func TestAuth(t *testing.T) {
	offers := func(mechanisms string) string {
		return "S: 220 mx.test ready\nC: EHLO localhost\nS: 250-mx.test\nS: 250 AUTH " + mechanisms + "\n"
	}
	for _, test := range []struct {
		offered, named, password string
		used                     string
		want                     string
	}{
		{"PLAIN LOGIN CRAM-MD5 SCRAM-SHA-256 XOAUTH2", "", "secret", "SCRAM-SHA-256", ""},
		{"PLAIN LOGIN CRAM-MD5", "", "secret", "CRAM-MD5", ""},
		{"LOGIN PLAIN", "", "secret", "PLAIN", ""},
		{"LOGIN", "", "secret", "LOGIN", ""},
		{"PLAIN XOAUTH2", "xoauth2", "secret", "XOAUTH2", ""},
		{"PLAIN", "LOGIN", "secret", "LOGIN", ""},
		{"PLAIN", "", "wrong", "PLAIN", "auth: 535 5.7.8 no"},
		{"LOGIN", "", "wrong", "LOGIN", "auth: 535 5.7.8 no"},
		{"CRAM-MD5", "", "wrong", "CRAM-MD5", "auth: 535 5.7.8 no"},
		{"SCRAM-SHA-256", "", "wrong", "SCRAM-SHA-256", "auth: 535 5.7.8 no"},
		{"XOAUTH2", "XOAUTH2", "wrong", "XOAUTH2", "auth: 535 5.7.8 no"},
		{"XOAUTH2", "", "secret", "", "auth: the server offers no mechanism of AUTH that fits"},
	} {
		t.Run(test.offered+" "+test.named+" "+test.password, func(t *testing.T) {
			script := offers(test.offered)
			if test.used != "" {
				script += "auth " + test.used + "\n"
			}
			dialogue(t, script+"hang", func(s *session) {
				s.tolerated = "closed pipe"
				var trace strings.Builder
				s.cfg.Trace = func(e TraceEntry) { fmt.Fprintln(&trace, e.Speaker, e.Text) }
				var err error
				if s.cfg.Credentials, err = NewCredentials(test.named, "ann", test.password); err != nil {
					t.Fatal(err)
				}
				s.conn, err = Connect(s.ctx, &s.cfg, &s.log, &s.greeting)
				if fmt.Sprint(err) != test.want && (err != nil || test.want != "") {
					t.Errorf("error %v, expected %q", err, test.want)
				}
				if (s.greeting.Timings.Auth == NotMeasured) != (test.used == "") {
					t.Errorf("timing %v", s.greeting.Timings.Auth)
				}
				for _, secret := range []string{test.password, base64.StdEncoding.EncodeToString([]byte(test.password)), base64.StdEncoding.EncodeToString([]byte("\x00ann\x00" + test.password))} {
					if strings.Contains(trace.String(), secret) {
						t.Errorf("the transcript shows the credentials:\n%s", trace.String())
					}
				}
			})
		})
	}
}

func TestAuthThatTheClientEnds(t *testing.T) {
	const plain = "S: 220 mx.test ready\nC: EHLO localhost\nS: 250-mx.test\nS: 250 AUTH PLAIN SCRAM-SHA-256\n"
	for _, test := range []struct{ name, mechanism, script, want string }{
		{"challenge that PLAIN has no answer to", "PLAIN", "C: AUTH PLAIN AGFubgBzZWNyZXQ=\nS: 334 d2hhdD8=\nC: AGFubgBzZWNyZXQ=\nS: 334 d2hhdD8=\nC: *\nS: 501 5.7.0 ended\n", "auth: unexpected challenge"},
		{"challenge that is no base64", "CRAM-MD5", "C: AUTH CRAM-MD5\nS: 334 !!!\nC: *\nS: 501 5.7.0 ended\n", "auth: unexpected challenge: illegal base64 data at input byte 0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dialogue(t, plain+test.script, func(s *session) {
				var err error
				if s.cfg.Credentials, err = NewCredentials(test.mechanism, "ann", "secret"); err != nil {
					t.Fatal(err)
				}
				if _, err = Connect(s.ctx, &s.cfg, &s.log, &s.greeting); fmt.Sprint(err) != test.want {
					t.Errorf("error %v, expected %q", err, test.want)
				}
			})
		})
	}
}

func TestServerThatDoesNotProveItself(t *testing.T) {
	dialogue(t, "S: 220 mx.test ready\nC: EHLO localhost\nS: 250-mx.test\nS: 250 AUTH SCRAM-SHA-256\nC~ AUTH SCRAM-SHA-256 \nS: 235 2.7.0 fine\n", func(s *session) {
		var err error
		if s.cfg.Credentials, err = NewCredentials("", "ann", "secret"); err != nil {
			t.Fatal(err)
		}
		if _, err = Connect(s.ctx, &s.cfg, &s.log, &s.greeting); !errors.Is(err, ErrServerUnproven) {
			t.Errorf("error %v", err)
		}
	})
}

func TestCredentialsThatCannotBeUsed(t *testing.T) {
	for _, test := range []struct{ mechanism, user, want string }{
		{"NTLM", "ann", `unknown mechanism "NTLM" (valid: SCRAM-SHA-256 CRAM-MD5 PLAIN LOGIN XOAUTH2)`},
		{"PLAIN", "a\x00b", "user and password must not hold NUL"},
	} {
		if _, err := NewCredentials(test.mechanism, test.user, "x"); fmt.Sprint(err) != test.want {
			t.Errorf("error %v, expected %s", err, test.want)
		}
	}
}

package sink_test

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/sasl"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// authScript lets Python's smtplib authenticate by every mechanism of the sink, under STARTTLS and under implicit TLS. SCRAM (RFC 5802)
// and XOAUTH2 are spelt out: smtplib lacks them, and so does the curl of Debian, which is built without GSASL.
const authScript = `
import base64, hashlib, hmac, os, smtplib, ssl, sys
host, plain, secure, ca = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
context = ssl.create_default_context(cafile=ca)
user, password = "alice", "secret"

class Scram:
    def __init__(self):
        self.first = "n=%s,r=%s" % (user, base64.b64encode(os.urandom(18)).decode())
    def __call__(self, challenge=None):
        if challenge is None:
            return "n,," + self.first
        text = challenge.decode()
        fields = dict(field.split("=", 1) for field in text.split(","))
        if "v" in fields:
            assert base64.b64decode(fields["v"]) == self.server, "the server does not know the password"
            self.verified = True
            return ""
        sign = lambda key, what: hmac.new(key, what, "sha256").digest()
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(fields["s"]), int(fields["i"]))
        client, last = sign(salted, b"Client Key"), "c=biws,r=" + fields["r"]
        message = ",".join((self.first, text, last)).encode()
        self.server = sign(sign(salted, b"Server Key"), message)
        proof = bytes(a ^ b for a, b in zip(client, sign(hashlib.sha256(client).digest(), message)))
        return last + ",p=" + base64.b64encode(proof).decode()

for implicit in (False, True):
    for mechanism in ("PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256", "XOAUTH2"):
        if implicit:
            client = smtplib.SMTP_SSL(host, secure, "client.test", timeout=20, context=context)
        else:
            client = smtplib.SMTP(host, plain, "client.test", timeout=20)
            client.starttls(context=context)
        client.ehlo()
        client.user, client.password = user, password
        scram = Scram()
        how = {"SCRAM-SHA-256": scram, "XOAUTH2": lambda challenge=None: "user=%s\x01auth=Bearer %s\x01\x01" % (user, password)}.get(mechanism)
        client.auth(mechanism, how or getattr(client, "auth_" + mechanism.lower().replace("-", "_")))
        assert mechanism != "SCRAM-SHA-256" or scram.verified
        client.sendmail("a@sender.test", ["b@recipient.test"], "Subject: test\r\n\r\nbody\r\n")
        client.quit()
        print("ok", implicit, mechanism)
`

// secured is a sink that wants TLS and AUTH of everybody. ca is the file of its authority.
func secured(t *testing.T, kind sink.DriverKind, plan string) (server *booked, ca string) {
	t.Helper()
	server = faulty(t, kind, plan, func(cfg *sink.Config) {
		cfg.Listeners = []sink.Listener{{Name: "plain", Address: "127.0.0.1:0"}, {Name: "tls", Address: "127.0.0.1:0", ImplicitTLS: true}}
		cfg.TLS = sink.TLSConfig{Offer: sink.TLSOfferAlways, Require: true}
		cfg.Auth = sink.AuthConfig{Accounts: sasl.Users{"alice": "secret"}, Require: true, NeedsTLS: true}
		cfg.MaxHold = 5 * time.Second
	})
	ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, server.Authority(), 0o600); err != nil {
		t.Fatal(err)
	}
	return server, ca
}

func (b *booked) port(listener string) string {
	b.t.Helper()
	_, port, err := net.SplitHostPort(b.Addr(listener).String())
	if err != nil {
		b.t.Fatal(err)
	}
	return port
}

// secureClient delivers one message under TLS, which the listener's name chooses, and authenticated. It verifies the certificate.
type secureClient struct {
	name    string
	deliver func(t *testing.T, server *booked, listener, ca, mechanism string) (output string, delivered bool)
}

var secureClients = []secureClient{
	{"swaks", func(t *testing.T, server *booked, listener, ca, mechanism string) (string, bool) {
		program := sinktest.RequireTool(t, "swaks", "swaks")
		sinktest.RequirePerlModule(t, "Net::SSLeay", "libnet-ssleay-perl")
		start := map[string]string{"plain": "--tls", "tls": "--tls-on-connect"}[listener]
		out, status := runTool(t, program, "--server", "127.0.0.1", "--port", server.port(listener), start, "--tls-verify", "--tls-ca-path", ca, "--tls-sni", "localhost",
			"--auth", mechanism, "--auth-user", "alice", "--auth-password", "secret", "--timeout", "2",
			"--helo", "client.test", "--from", "a@sender.test", "--to", "b@recipient.test")
		return out, status == 0
	}},
	{"curl", func(t *testing.T, server *booked, listener, ca, mechanism string) (string, bool) {
		program := sinktest.RequireTool(t, "curl", "curl")
		scheme := map[string]string{"plain": "smtp", "tls": "smtps"}[listener]
		args := []string{"--silent", "--show-error", "--max-time", "2", "--cacert", ca, "--ssl-reqd", "--url", scheme + "://localhost:" + server.port(listener) + "/client.test",
			"--mail-from", "a@sender.test", "--mail-rcpt", "b@recipient.test", "--upload-file", "-"}
		if mechanism == "XOAUTH2" {
			args = append(args, "--user", "alice", "--oauth2-bearer", "secret")
		} else {
			args = append(args, "--user", "alice:secret", "--login-options", "AUTH="+mechanism)
		}
		out, status := runTool(t, program, args...)
		return out, status == 0
	}},
}

// Real clients do TLS and AUTH with the sink.
func TestTLSAndAUTHByRealClients(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		t.Run("smtplib", func(t *testing.T) {
			server, ca := secured(t, kind, "rules: []")
			out, status := runTool(t, python(t), "-c", authScript, "127.0.0.1", server.port("plain"), server.port("tls"), ca)
			if status != 0 || strings.Count(out, "ok ") != 10 {
				t.Errorf("exit status %d: %s", status, out)
			}
		})
		for _, client := range secureClients {
			mechanisms := map[string][]string{"swaks": {"PLAIN", "LOGIN", "CRAM-MD5"}, "curl": {"PLAIN", "LOGIN", "CRAM-MD5", "XOAUTH2"}}[client.name]
			for _, listener := range []string{"plain", "tls"} {
				t.Run(client.name+"/"+listener, func(t *testing.T) {
					server, ca := secured(t, kind, "rules: []")
					for _, mechanism := range mechanisms {
						if out, delivered := client.deliver(t, server, listener, ca, mechanism); !delivered {
							t.Errorf("%s: %s", mechanism, out)
						}
					}
					want := []string{"attempt b@recipient.test message 250 reply plain delivered sent", "connection quit"}
					if got := server.rows(); !slices.Equal(got, slices.Repeat(want, len(mechanisms))) {
						t.Errorf("the ledger says %q, want a delivery by each of %v", got, mechanisms)
					}
				})
			}
		}
	})
}

// What real clients make of each thing that can be wrong with TLS and AUTH: no message is delivered, and the ledger says why. The name
// in a certificate swaks does not verify.
func TestTLSAndAUTHFaultsMetByRealClients(t *testing.T) {
	for _, client := range secureClients {
		for _, fault := range []string{"garbage", "refused", "reset", "stall", "expired", "self-signed", "wrong-name"} {
			for listener, stage := range map[string]string{"plain": "starttls", "tls": "connect"} {
				t.Run(client.name+"/"+fault+"/"+stage, func(t *testing.T) {
					t.Parallel()
					server, ca := secured(t, sink.DriverAuto, "rules: [{name: r, stage: "+stage+", tls: "+fault+"}]")
					out, delivered := client.deliver(t, server, listener, ca, "PLAIN")
					unverified := client.name == "swaks" && fault == "wrong-name"
					if delivered != unverified {
						t.Errorf("delivered is %t: %s", delivered, out)
					}
					rows := server.rows()
					if last := rows[len(rows)-1]; !strings.HasSuffix(last, " tls-"+fault) || len(rows) > 1 != unverified {
						t.Errorf("the ledger says %q, want tls-%s in the connection's row", rows, fault)
					}
				})
			}
		}
		for _, code := range []string{"454", "530", "534", "535", "538"} {
			t.Run(client.name+"/auth "+code, func(t *testing.T) {
				t.Parallel()
				server, ca := secured(t, sink.DriverAuto, "rules: [{name: r, stage: auth, reply: "+code+"}]")
				if out, delivered := client.deliver(t, server, "plain", ca, "PLAIN"); delivered {
					t.Errorf("delivered: %s", out)
				}
				if s := server.Stats(); replyCount(s, "auth", code) == 0 {
					t.Errorf("no reply %s at auth was counted: %+v", code, s.Replies)
				}
				server.rows()
			})
		}
	}
}

func python(t *testing.T) string {
	t.Helper()
	const system = "/usr/bin/python3"
	if _, err := os.Stat(system); err == nil {
		return system
	}
	return sinktest.RequireTool(t, "python3", "python3")
}

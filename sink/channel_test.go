package sink_test

import (
	"crypto/tls"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/xdg-go/scram"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/sasl"
)

// TestChannelBinding authenticates by SCRAM bound to the TLS connection, by each type of binding that its version has.
func TestChannelBinding(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		server := faulty(t, kind, "listeners: [{name: mx, address: \"127.0.0.1:0\", tls: implicit, auth: [SCRAM-SHA-256-PLUS, SCRAM-SHA-1-PLUS, SCRAM-SHA-1]}, "+
			"{name: plain, address: \"127.0.0.1:0\", auth: [SCRAM-SHA-256-PLUS, SCRAM-SHA-1]}]", func(cfg *sink.Config) {
			cfg.Listeners, cfg.Auth.Accounts = nil, sasl.Users{"ann": "secret"}
		})
		plain := dial(t, server.Server, "plain")
		plain.expect("220 ")
		if got := plain.command("EHLO client.test", "250-"); !strings.Contains(got, "AUTH SCRAM-SHA-1\r\n") {
			t.Errorf("without TLS EHLO says %q, want no mechanism that is bound to it", got)
		}
		plain.command("AUTH SCRAM-SHA-256-PLUS", "504 ")
		for _, tt := range []struct {
			name    string
			version uint16
			bind    func(*tls.ConnectionState) (scram.ChannelBinding, error)
			want    string
		}{
			{"tls-exporter by TLS 1.3", tls.VersionTLS13, scram.NewTLSExporterBinding, "235 "},
			{"tls-exporter by TLS 1.2", tls.VersionTLS12, scram.NewTLSExporterBinding, "235 "},
			{"tls-server-end-point", tls.VersionTLS13, scram.NewTLSServerEndpointBinding, "235 "},
			{"tls-unique", tls.VersionTLS12, func(s *tls.ConnectionState) (scram.ChannelBinding, error) {
				return scram.NewTLSUniqueBinding(s.TLSUnique), nil
			}, "235 "},
			{"another connection's", tls.VersionTLS13, func(*tls.ConnectionState) (scram.ChannelBinding, error) {
				return scram.ChannelBinding{Type: scram.ChannelBindingTLSExporter, Data: make([]byte, 32)}, nil
			}, "535 "},
		} {
			for _, mechanism := range []string{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS"} {
				c := dial(t, server.Server, "mx")
				config := trusting(t, server.Server)
				config.MinVersion, config.MaxVersion, config.ClientSessionCache = tt.version, tt.version, nil
				if err := c.secure(config); err != nil {
					t.Fatal(err)
				}
				c.expect("220 ")
				if got := c.command("EHLO client.test", "250-"); !strings.Contains(got, "AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS SCRAM-SHA-1\r\n") {
					t.Errorf("EHLO says %q", got)
				}
				state := c.conn.(*tls.Conn).ConnectionState()
				binding, err := tt.bind(&state)
				if err != nil {
					t.Fatal(err)
				}
				hash := scram.SHA256
				if mechanism == "SCRAM-SHA-1-PLUS" {
					hash = scram.SHA1
				}
				client, err := hash.NewClient("ann", "secret", "")
				if err != nil {
					t.Fatal(err)
				}
				conversation := client.NewConversationWithChannelBinding(binding)
				message, err := conversation.Step("")
				if err != nil {
					t.Fatal(err)
				}
				got := c.command("AUTH "+mechanism+" "+base64.StdEncoding.EncodeToString([]byte(message)), "334 ")
				for strings.HasPrefix(got, "334 ") {
					challenge, err := base64.StdEncoding.DecodeString(strings.TrimSpace(got[len("334 "):]))
					if err != nil {
						t.Fatal(err)
					}
					if message, err = conversation.Step(string(challenge)); err != nil {
						t.Fatal(err)
					}
					got = c.command(base64.StdEncoding.EncodeToString([]byte(message)), "")
				}
				if !strings.HasPrefix(got, tt.want) || (tt.want == "235 ") != conversation.Valid() {
					t.Errorf("%s, %s: %q, the server's signature is valid: %v", tt.name, mechanism, got, conversation.Valid())
				}
				c.quit()
			}
		}
	})
}

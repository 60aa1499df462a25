package sink_test

import (
	"crypto/tls"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink"
)

// Each listener does handshakes by the versions that it has, whatever carries them, by STARTTLS and from the first octet on.
func TestListenersHaveTheirTLSVersions(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		server := faulty(t, kind, `
listeners:
  - {name: old, address: "127.0.0.1:0", tls_versions: 1.0-1.2}
  - {name: new, address: "127.0.0.1:0", tls: implicit, tls_versions: 1.3}
  - {name: any, address: "127.0.0.1:0"}`, func(cfg *sink.Config) {
			cfg.Listeners, cfg.TLS.Offer = nil, sink.TLSOfferAlways
		})
		for _, c := range []struct {
			listener string
			most     uint16
			want     uint16 // 0: the handshake fails
		}{
			{"old", tls.VersionTLS13, tls.VersionTLS12}, {"old", tls.VersionTLS11, tls.VersionTLS11},
			{"new", tls.VersionTLS13, tls.VersionTLS13}, {"new", tls.VersionTLS12, 0},
			{"any", tls.VersionTLS13, tls.VersionTLS13}, {"any", tls.VersionTLS12, tls.VersionTLS12},
		} {
			config := trusting(t, server.Server)
			config.MinVersion, config.MaxVersion = tls.VersionTLS10, c.most
			client := dial(t, server.Server, c.listener)
			if c.listener != "new" {
				client.expect("220 ")
				client.command("EHLO client.test", "250-")
				client.command("STARTTLS", "220 ")
			}
			err := client.secure(config)
			got := uint16(0)
			if err == nil {
				got = client.conn.(*tls.Conn).ConnectionState().Version
			}
			if got != c.want {
				t.Errorf("listener %s, client up to %s: version %s, want %s (%v)", c.listener, tls.VersionName(c.most), tls.VersionName(got), tls.VersionName(c.want), err)
			}
			_ = client.conn.Close()
		}
	})
}

// A swap of plans changes how a listener serves at the address where it is.
func TestSwapChangesHowAListenerServes(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		server := faulty(t, kind, "listeners: [{name: mx, address: \"127.0.0.1:0\", max_size: 1000}]", func(cfg *sink.Config) { cfg.Listeners = nil })
		size := func() string {
			c := dial(t, server.Server, "mx")
			c.expect("220 ")
			reply := c.command("EHLO client.test", "250-")
			c.quit()
			_, line, _ := strings.Cut(reply, "250-SIZE ")
			line, _, _ = strings.Cut(line, "\r\n")
			return line
		}
		if got := size(); got != "1000" {
			t.Errorf("SIZE is %q, want 1000", got)
		}
		swap(t, server.Server, parsePlan(t, "listeners: [{name: mx, address: \"127.0.0.1:0\", max_size: 2000}]").Plan)
		if got := size(); got != "2000" {
			t.Errorf("SIZE is %q after the swap, want 2000", got)
		}
	})
}

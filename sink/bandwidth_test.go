package sink_test

import (
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// linkSlack is how much earlier than octets and rate say a client may be served: what a rest of the link may have saved, and a clock's grain.
const linkSlack = 20 * time.Millisecond

// What a client sends, and what it reads, takes the time that the octets need at the planned rate, whatever carries the connection; and the
// server does nothing meanwhile but what each tenth of a second asks for.
func TestBandwidth(t *testing.T) {
	const rate, size = 12_500, 20_000 // octets a second: 100 kbit/s
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		for _, secure := range []bool{false, true} {
			t.Run(fmt.Sprintf("tls=%v", secure), func(t *testing.T) {
				t.Parallel()
				server := faulty(t, kind, "rules: [{name: slow, stage: mail, bandwidth: {in: 100kbit/s, out: 1kB/s}}]", func(cfg *sink.Config) { cfg.TLS.Offer = sink.TLSOfferAlways })
				c := greeted(t, server.Server)
				if secure {
					c.command("STARTTLS", "220 ")
					if err := c.secure(trusting(t, server.Server)); err != nil {
						t.Fatal(err)
					}
					c.command("EHLO client.test", "250-")
				}
				began := time.Now()
				said := len(c.command("MAIL FROM:<a@sender.test>", "250 ")) + len(c.command("RCPT TO:<b@recipient.test>", "250 ")) + len(c.command("DATA", "354 "))
				if took, least := time.Since(began), time.Duration(said)*time.Millisecond-linkSlack; took < least {
					t.Errorf("replies of %d octets took %v, want %v at least", said, took, least)
				}
				before := server.Stats()
				began = time.Now()
				c.send(strings.Repeat(strings.Repeat("x", 98)+"\r\n", size/100) + ".\r\n")
				c.expect("250 ")
				if took, least := time.Since(began), size*time.Second/rate-linkSlack; took < least {
					t.Errorf("%d octets at %d a second took %v, want %v at least", size, rate, took, least)
				}
				// 16 parts pass, and the reply by one more.
				after := server.Stats()
				if reads, waits := after.Net.Reads-before.Net.Reads, after.Net.Waits-before.Net.Waits; reads > 100 || waits > 200 {
					t.Errorf("the server has read %d times and waited %d times for events, want less than 100 and 200: it polls", reads, waits)
				}
				c.command("QUIT", "221 ")
				_ = c.conn.Close()
				want := []string{"attempt b@recipient.test message 250 reply plain delivered sent", "connection quit bandwidth"}
				if got := server.rows(); strings.Join(got, "; ") != strings.Join(want, "; ") {
					t.Errorf("the ledger says %q, want %q", got, want)
				}
			})
		}
	})
}

// Beside a connection that is read by an octet a second others are served as ever; that one ends when its client does, and the server
// doesn't wait for its octets when it closes.
func TestBandwidthBesideOthers(t *testing.T) {
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		server := faulty(t, kind, "rules: [{name: slow, stage: data, match: {sender: slow@sender.test}, bandwidth: 1B/s}]", nil)
		slow, gone := greeted(t, server.Server), greeted(t, server.Server)
		for _, c := range []*rawClient{slow, gone} {
			c.command("MAIL FROM:<slow@sender.test>", "250 ")
			c.command("RCPT TO:<b@recipient.test>", "250 ")
			c.send("DATA\r\n")
		}
		quick := greeted(t, server.Server)
		quick.command("MAIL FROM:<a@sender.test>", "250 ")
		quick.command("RCPT TO:<c@recipient.test>", "250 ")
		quick.command("DATA", "354 ")
		quick.send(strings.Repeat(strings.Repeat("x", 98)+"\r\n", 40_000) + ".\r\n")
		quick.expect("250 ")
		quick.quit()
		eventually(t, server.Server, "only the slow connections are left", func(s *sink.Stats) bool { return s.Open == 2 })
		gone.reset()
		eventually(t, server.Server, "the client that is gone is noticed", func(s *sink.Stats) bool { return s.Open == 1 })
		_ = slow.conn.Close()
	})
}

// sizedClients are real clients that deliver a file.
func sizedClients(t *testing.T) map[string]func(host, port string) *exec.Cmd {
	return map[string]func(host, port string) *exec.Cmd{
		"curl": func(host, port string) *exec.Cmd {
			return exec.Command(sinktest.RequireTool(t, "curl", "curl"), "-sS", "--url", "smtp://"+net.JoinHostPort(host, port), "--mail-from", "a@sender.test", "--mail-rcpt", "b@recipient.test", "-T", "-")
		},
		"swaks": func(host, port string) *exec.Cmd {
			return exec.Command(sinktest.RequireTool(t, "swaks", "swaks"), "--server", host, "--port", port, "--from", "a@sender.test", "--to", "b@recipient.test", "--data", "-")
		},
		"smtplib": func(host, port string) *exec.Cmd {
			return exec.Command(python(t), "-c", `
import smtplib, sys
with smtplib.SMTP(sys.argv[1], int(sys.argv[2]), timeout=60) as client:
    client.sendmail("a@sender.test", ["b@recipient.test"], sys.stdin.read())`, host, port)
		},
	}
}

// Real clients have patience with a slow link, and it takes the time that it needs.
func TestBandwidthMetByRealClients(t *testing.T) {
	const size = 8000
	for name, program := range sizedClients(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := faulty(t, sink.DriverAuto, "rules: [{name: slow, stage: connect, bandwidth: 40kbit/s}]", nil)
			host, port, err := net.SplitHostPort(server.Addr("").String())
			if err != nil {
				t.Fatal(err)
			}
			cmd := program(host, port)
			cmd.Stdin = strings.NewReader("Subject: test\r\n\r\n" + strings.Repeat(strings.Repeat("x", 98)+"\r\n", size/100))
			began := time.Now()
			out, err := cmd.CombinedOutput()
			if took, least := time.Since(began), size*time.Second/5000; err != nil || took < least {
				t.Errorf("it took %v (%v), want a delivery in %v at least:\n%s", took, err, least, out)
			}
			want := []string{"attempt b@recipient.test message 250 reply plain delivered sent", "connection quit bandwidth"}
			if got := server.rows(); strings.Join(got, "; ") != strings.Join(want, "; ") {
				t.Errorf("the ledger says %q, want %q", got, want)
			}
		})
	}
}

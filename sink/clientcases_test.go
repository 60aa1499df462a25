package sink_test

import (
	"context"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// The clients of TestFaultsMetByClients, which tell by their exit status whether they take a message for delivered.
var caseClients = []string{"smtp-source", "swaks", "curl", "smtplib", "msmtp"}

// clientCommand returns the command by which a client sends a small message to the recipients. None waits longer than some seconds for a
// reply, but smtp-source, which waits five minutes.
func clientCommand(ctx context.Context, t *testing.T, name, host, port string, recipients ...string) *exec.Cmd {
	t.Helper()
	var cmd *exec.Cmd
	switch name {
	case "smtp-source":
		cmd = exec.CommandContext(ctx, sinktest.RequireTool(t, "smtp-source", "postfix"), "-s", "1", "-m", "1", "-l", "100", "-M", "client.test", "-f", "a@sender.test", "-t", recipients[0], net.JoinHostPort(host, port))
	case "swaks":
		cmd = exec.CommandContext(ctx, sinktest.RequireTool(t, "swaks", "swaks"), "--server", host, "--port", port, "--timeout", "3", "--helo", "client.test", "--from", "a@sender.test", "--to", strings.Join(recipients, ","))
	case "curl":
		args := []string{"-sS", "--max-time", "4", "--url", "smtp://" + net.JoinHostPort(host, port) + "/client.test", "--mail-from", "a@sender.test", "-T", "-"}
		for _, r := range recipients {
			args = append(args, "--mail-rcpt", r)
		}
		cmd = exec.CommandContext(ctx, sinktest.RequireTool(t, "curl", "curl"), args...)
	case "smtplib":
		cmd = exec.CommandContext(ctx, python(t), append([]string{"-c", `
import smtplib, sys
with smtplib.SMTP(sys.argv[1], int(sys.argv[2]), "client.test", timeout=3) as client:
    refused = client.sendmail("a@sender.test", sys.argv[3:], sys.stdin.read())
    sys.exit(len(refused))`, host, port}, recipients...)...)
	case "msmtp":
		cmd = exec.CommandContext(ctx, sinktest.RequireTool(t, "msmtp", "msmtp"), append([]string{"-C", "/dev/null", "--host=" + host, "--port=" + port, "--timeout=3", "--domain=client.test", "--auth=off", "--tls=off", "--from=a@sender.test", "--"}, recipients...)...)
	}
	cmd.Stdin = strings.NewReader("From: a@sender.test\r\nTo: b@recipient.test\r\nSubject: test\r\n\r\nbody\r\n")
	return cmd
}

// among reports whether a client is named by a list: all is each.
func among(client, list string) bool {
	return list == "all" || slices.Contains(strings.Fields(list), client)
}

// What real clients make of replies that are cut, that nobody has asked for, that come too early, or that are no replies; and which of
// them take a message for delivered that the sink has not accepted, or the other way round: what the judge calls lost, and duplicated once they try
// again. Python's smtplib takes the beginning of a line for a reply when the connection ends there.
func TestFaultsMetByClients(t *testing.T) {
	for _, c := range []struct {
		name, plan string
		delivers   string // clients that take the message for delivered
		accepted   string // clients whose message the sink has accepted
		skip       string // a client that would wait for minutes
	}{
		{"a greeting that is cut", "rules: [{stage: connect, cut: {octets: 2, close: fin}}]", "", "", ""},
		{"a reply to RCPT that is cut, then silence", "rules: [{stage: rcpt, cut: {octets: 3}}]", "", "", "smtp-source"},
		{"a reply to RCPT that is cut, then a reset", "rules: [{stage: rcpt, cut: {octets: 5, close: rst}}]", "", "", ""},
		{"a reply to the message of which the code came", "rules: [{stage: message, cut: {octets: 3, close: fin}}]", "smtplib", "", ""},
		{"a reply to the message without its line end", "rules: [{stage: message, reply: {code: 250, text: Ok}, cut: {octets: 12, close: fin}}]", "smtplib", "", ""},
		{"the beginning of a refusal of several lines", "rules: [{stage: message, reply: {code: 554, text: [No, thanks]}, cut: {octets: 16, close: fin}}]", "", "", ""},
		{"421 in mid-body, then the end", "rules: [{stage: data, body: {after: 20, reply: 421/4.3.2, close: fin}}]", "", "", ""},
		{"451 in mid-body, and the message is accepted", "rules: [{stage: data, body: {after: 20, reply: 451}}]", "", "all", ""},
		{"250 in mid-body, and the message is refused", "rules: [{stage: data, body: {after: 20, reply: 250}}, {stage: message, reply: 554}]", "curl msmtp smtp-source swaks", "", ""},
		{"a door that is shut for who talks first", "rules: [{stage: connect, delay: 200ms}, {stage: pregreet, reply: 554}]", "all", "all", ""},
		{"an empty line before a reply", `rules: [{stage: rcpt, reply: 250, raw: "\r\n250 2.1.5 Ok\r\n"}]`, "curl swaks", "curl swaks", ""},
		{"a reply that ends with LF alone", `rules: [{stage: rcpt, reply: 250, raw: "250 2.1.5 Ok\n"}]`, "all", "all", ""},
		{"a reply of nothing but its code", `rules: [{stage: rcpt, reply: 250, raw: "250\r\n"}]`, "curl smtp-source smtplib", "curl smtp-source smtplib", ""},
		{"a reply that is no UTF-8", `rules: [{stage: rcpt, reply: 250, raw: {base64: MjUwIMP/Cg==}}]`, "all", "all", ""},
		{"a reply too many, which is a refusal", `rules: [{stage: rcpt, reply: 250, raw: "250 Ok\r\n554 No\r\n"}]`, "", "", ""},
		{"a code that there is not", `rules: [{stage: rcpt, reply: 250, raw: "999 Ok\r\n"}]`, "", "", ""},
	} {
		for _, client := range caseClients {
			if client == c.skip {
				continue
			}
			t.Run(c.name+"/"+client, func(t *testing.T) {
				t.Parallel()
				server := faulty(t, sink.DriverAuto, c.plan, nil)
				host, port, err := net.SplitHostPort(server.Addr("").String())
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				out, err := clientCommand(ctx, t, client, host, port, "b@recipient.test").CombinedOutput()
				if delivered, want := err == nil, among(client, c.delivers); delivered != want {
					t.Errorf("it takes the message for delivered: %v, want %v (%v):\n%s", delivered, want, err, out)
				}
				rows := strings.Join(server.rows(), "; ")
				if accepted, want := strings.Contains(rows, " delivered"), among(client, c.accepted); accepted != want {
					t.Errorf("the sink has accepted it: %v, want %v: %s", accepted, want, rows)
				}
			})
		}
	}
}

// What real clients make of octets behind the reply to STARTTLS, which an attacker may have put there ("NO STARTTLS", USENIX Security 2021): curl
// and msmtp give up, smtplib forgets them, and swaks takes them for what was said within TLS: here the refusal of a MAIL that wasn't refused.
func TestInjectionMetByClients(t *testing.T) {
	for name, command := range map[string]func(host, port string) *exec.Cmd{
		"swaks": func(host, port string) *exec.Cmd {
			sinktest.RequirePerlModule(t, "Net::SSLeay", "libnet-ssleay-perl")
			return exec.Command(sinktest.RequireTool(t, "swaks", "swaks"), "--tls", "--server", host, "--port", port, "--timeout", "3", "--from", "a@sender.test", "--to", "b@recipient.test")
		},
		"curl": func(host, port string) *exec.Cmd {
			return exec.Command(sinktest.RequireTool(t, "curl", "curl"), "-sS", "--insecure", "--ssl-reqd", "--max-time", "4", "--url", "smtp://"+net.JoinHostPort(host, port), "--mail-from", "a@sender.test", "--mail-rcpt", "b@recipient.test", "-T", "-")
		},
		"smtplib": func(host, port string) *exec.Cmd {
			return exec.Command(python(t), "-c", `
import smtplib, ssl, sys
with smtplib.SMTP(sys.argv[1], int(sys.argv[2]), timeout=3) as client:
    client.starttls(context=ssl._create_unverified_context())
    client.sendmail("a@sender.test", ["b@recipient.test"], "Subject: test\r\n\r\ntext\r\n")`, host, port)
		},
		"msmtp": func(host, port string) *exec.Cmd {
			return exec.Command(sinktest.RequireTool(t, "msmtp", "msmtp"), "-C", "/dev/null", "--host="+host, "--port="+port, "--timeout=3", "--tls=on", "--tls-starttls=on", "--tls-certcheck=off", "--tls-trust-file=", "--auth=off", "--from=a@sender.test", "--", "b@recipient.test")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := faulty(t, sink.DriverAuto, `rules: [{stage: starttls, reply: 220, raw: "220 Go ahead\r\n250-sink.test\r\n250 AUTH PLAIN\r\n554 No\r\n"}]`, func(cfg *sink.Config) { cfg.TLS.Offer = sink.TLSOfferAlways })
			host, port, err := net.SplitHostPort(server.Addr("").String())
			if err != nil {
				t.Fatal(err)
			}
			cmd := command(host, port)
			cmd.Stdin = strings.NewReader("Subject: test\r\n\r\ntext\r\n")
			out, err := cmd.CombinedOutput()
			rows := strings.Join(server.rows(), "; ")
			delivered, begun := err == nil && strings.Contains(rows, " delivered"), strings.Contains(rows, "transaction ")
			if delivered != (name == "smtplib") || begun != (name == "swaks") {
				t.Errorf("it has delivered the message: %v, or begun to by what it was told (%v): %s\n%s", delivered, err, rows, out)
			}
		})
	}
}

// Clients that don't know LIMITS (RFC 9422) meet the limit as a reply; one that asks for REQUIRETLS (RFC 8689) gets it where it is kept.
func TestServicesMetByClients(t *testing.T) {
	for _, c := range []struct{ client, accepted string }{{"swaks", "b"}, {"curl", ""}, {"smtplib", "b"}, {"msmtp", ""}} {
		t.Run("LIMITS/"+c.client, func(t *testing.T) {
			t.Parallel()
			server := faulty(t, sink.DriverAuto, `listeners: [{name: few, address: "127.0.0.1:0", limits: {rcptmax: 1}}]`, func(cfg *sink.Config) { cfg.Listeners = nil })
			host, port, err := net.SplitHostPort(server.Addr("few").String())
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			out, err := clientCommand(ctx, t, c.client, host, port, "b@recipient.test", "c@recipient.test").CombinedOutput()
			rows := strings.Join(server.rows(), "; ")
			accepted := ""
			for _, name := range []string{"b", "c"} {
				if strings.Contains(rows, "attempt "+name+"@recipient.test message 250 reply plain delivered") {
					accepted += name
				}
			}
			if accepted != c.accepted || !strings.Contains(rows, "attempt c@recipient.test rcpt 452 reply protocol sent") {
				t.Errorf("the sink has accepted the message for %q, want %q: %s (%v)\n%s", accepted, c.accepted, rows, err, out)
			}
		})
	}
	for _, c := range []struct{ requiretls, tls, says string }{
		{"accept", "yes", "delivered"}, {"refuse", "yes", "550 5.7.30"}, {"accept", "no", "530 5.7.0"}, {"off", "yes", "555 5.5.4"},
	} {
		t.Run("REQUIRETLS/"+c.requiretls+"/tls="+c.tls, func(t *testing.T) {
			t.Parallel()
			server := faulty(t, sink.DriverAuto, `listeners: [{name: l, address: "127.0.0.1:0", requiretls: `+c.requiretls+`}]`, func(cfg *sink.Config) { cfg.Listeners, cfg.TLS.Offer = nil, sink.TLSOfferAlways })
			host, port, err := net.SplitHostPort(server.Addr("l").String())
			if err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command(python(t), "-c", `
import smtplib, ssl, sys
with smtplib.SMTP(sys.argv[1], int(sys.argv[2]), timeout=20) as client:
    if sys.argv[3] == "yes":
        client.starttls(context=ssl._create_unverified_context())
    client.ehlo()
    announced = client.has_extn("requiretls")
    try:
        client.sendmail("a@sender.test", ["b@recipient.test"], "Subject: test\r\n\r\ntext\r\n", mail_options=["REQUIRETLS"])
        print(announced, "delivered")
    except smtplib.SMTPSenderRefused as e:
        print(announced, e.smtp_code, e.smtp_error.decode())`, host, port, c.tls).CombinedOutput()
			announced := map[bool]string{true: "True ", false: "False "}[c.tls == "yes" && c.requiretls != "off"]
			if got := string(out); err != nil || !strings.HasPrefix(got, announced+c.says) {
				t.Errorf("smtplib says %q (%v), want %s...", got, err, announced+c.says)
			}
		})
	}
}

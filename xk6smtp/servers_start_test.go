package xk6smtp

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/mta"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
	"github.com/smtpstorm/xk6-smtp/sink/testkit"
)

// TestServerSink runs the cases against the project's own sink.
func TestServerSink(t *testing.T) {
	v := newVU(t).activate()
	got := v.run(`
		const data = await Sink.start({version: 1, rules: [{stage: 'rcpt', match: {recipient: 'refused@dst.test'}, outcomes: [{reply: {code: 550, enhanced: '5.1.1', text: 'no such user'}}]}]},
			{tls: 'always', auth: {ann: 'secret'}});
		return JSON.stringify(data)`)
	var data sinkData
	if err := json.Unmarshal([]byte(got), &data); err != nil {
		t.Fatalf("%v: %s", err, got)
	}
	runServerCases(t, &realServer{
		host: data.Host, port: data.Port, ca: data.CA,
		offers:     strings.Fields("8BITMIME AUTH CHUNKING DSN PIPELINING SIZE SMTPUTF8 STARTTLS"),
		mechanisms: strings.Fields("PLAIN LOGIN CRAM-MD5 SCRAM-SHA-256 XOAUTH2"),
	})
}

// TestServerGoSMTP runs the cases against emersion's go-smtp, which is built from the module of the peers: it enters no user's k6.
func TestServerGoSMTP(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "gosmtpserver")
	build := exec.Command("go", "build", "-C", filepath.Join("..", "bench", "peers"), "-o", binary, "./cmd/gosmtpserver")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v: %s", err, out)
	}
	cert, key, ca := certificateFiles(t)
	args := []string{"-cert", cert, "-key", key, "-user", "ann", "-password", "secret", "-max-bytes", "1000000"}
	host, port := serverProcess(t, binary, args...)
	runServerCases(t, &realServer{
		host: host, port: port, ca: ca, digests: true, mechanisms: strings.Fields("PLAIN LOGIN"),
		offers: strings.Fields("8BITMIME AUTH CHUNKING DSN PIPELINING SIZE SMTPUTF8 STARTTLS"),
	})
	t.Run("LMTP", func(t *testing.T) {
		host, port := serverProcess(t, binary, "-lmtp")
		v := newVU(t).activate().global("HOST", host).global("PORT", port)
		got := v.run(serverPrelude + `
			const client = make({lmtp: true});
			const r = await client.send(message, {to: ['b@dst.test', 'refused@dst.test', 'c@dst.test']});
			const again = await client.send(message);
			return [r.ok, again.ok].join() + r.recipients.map(x => ' ' + [x.ok, x.code, x.phase].join(':')).join('')`)
		if want := "false,true true:250:message false:550:rcpt true:250:message"; got != want {
			t.Errorf("got %s, expected %s", got, want)
		}
	})
	t.Run("TLS from the first octet on", func(t *testing.T) {
		host, port := serverProcess(t, binary, append(args, "-implicit")...)
		implicitTLS(t, host, port, ca)
	})
}

// TestServerAiosmtpd runs the cases against Python's aiosmtpd.
func TestServerAiosmtpd(t *testing.T) {
	python := pythonOf(t, sinktest.RequireTool(t, "aiosmtpd", "python3-aiosmtpd"))
	cert, key, ca := certificateFiles(t)
	start := func(t *testing.T, implicit bool) (string, int) {
		t.Helper()
		options, err := json.Marshal(map[string]any{"cert": cert, "key": key, "user": "ann", "password": "secret", "limit": 1_000_000, "implicit": implicit})
		if err != nil {
			t.Fatal(err)
		}
		return serverProcess(t, python, "-W", "ignore", filepath.Join("testdata", "aiosmtpd_server.py"), string(options))
	}
	host, port := start(t, false)
	runServerCases(t, &realServer{
		host: host, port: port, ca: ca, digests: true, mechanisms: strings.Fields("PLAIN LOGIN"),
		offers: strings.Fields("8BITMIME AUTH SIZE SMTPUTF8 STARTTLS"),
	})
	t.Run("TLS from the first octet on", func(t *testing.T) {
		host, port := start(t, true)
		implicitTLS(t, host, port, ca)
	})
}

// pythonOf is the interpreter that a program of Python names in its first line: the one that has its packages.
func pythonOf(t *testing.T, program string) string {
	t.Helper()
	text, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	interpreter := strings.Fields(strings.TrimPrefix(line, "#!"))
	if len(interpreter) == 0 {
		t.Fatalf("%s names no interpreter: %q", program, line)
	}
	return interpreter[len(interpreter)-1]
}

// TestServerPostfix runs the cases against Postfix, whose AUTH is Cyrus SASL's, and sees the trap message arrive at the next hop.
func TestServerPostfix(t *testing.T) {
	sinktest.RequireTool(t, "postfix", "postfix")
	saslpasswd := sinktest.RequireTool(t, "saslpasswd2", "sasl2-bin libsasl2-modules")
	nextHop := newFakeServer(t, nil, offering("8BITMIME", "PIPELINING"))
	cert, key, ca := certificateFiles(t)
	dir, err := os.MkdirTemp("", "postfix") // t.TempDir can't be entered by user postfix
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	// Debian's Postfix looks for SASL's settings beside main.cf, whatever cyrus_sasl_config_path says.
	sasl := filepath.Join(dir, "instance", "etc", "sasl")
	database := filepath.Join(sasl, "users")
	if err := errors.Join(os.MkdirAll(sasl, 0o755), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	conf := "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: " + database + "\nmech_list: PLAIN LOGIN CRAM-MD5 SCRAM-SHA-256\n"
	if err := os.WriteFile(filepath.Join(sasl, "smtpd.conf"), []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	add := exec.Command(saslpasswd, "-p", "-c", "-f", database, "-u", "mx.test", "ann")
	add.Stdin = strings.NewReader("secret")
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("saslpasswd2: %v: %s", err, out)
	}
	if err := os.Chmod(database, 0o644); err != nil { // smtpd runs as user postfix
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	postfix, err := mta.Start(ctx, "postfix", mta.Options{Dir: filepath.Join(dir, "instance"), Relay: "127.0.0.1:" + strconv.Itoa(nextHop.port()), Extra: strings.Join([]string{
		"smtpd_tls_security_level = may", "smtpd_tls_cert_file = " + cert, "smtpd_tls_key_file = " + key,
		"smtpd_sasl_auth_enable = yes", "smtpd_sasl_local_domain = mx.test", "cyrus_sasl_config_path = " + sasl,
		"smtpd_recipient_restrictions = check_recipient_access inline:{ {refused@dst.test = 550 5.1.1 no such user} }",
		"smtpd_error_sleep_time = 0", "message_size_limit = 1000000",
	}, "\n")})
	if errors.Is(err, mta.ErrNeedsRoot) {
		sinktest.Missing(t, "%v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := postfix.Close(); err != nil {
			t.Error(err)
		}
	})
	host, port := hostPort(t, postfix.Addr())
	runServerCases(t, &realServer{
		host: host, port: port, ca: ca, mechanisms: strings.Fields("PLAIN LOGIN CRAM-MD5 SCRAM-SHA-256"),
		offers: strings.Fields("8BITMIME AUTH CHUNKING DSN PIPELINING SIZE SMTPUTF8 STARTTLS"),
	})
	t.Run("the trap message arrives as it was", func(t *testing.T) {
		_, trap, _ := strings.Cut(trapMessage, "\r\n\r\n")
		wire := strings.ReplaceAll("\r\n\r\n"+trap, "\r\n.", "\r\n..")
		testkit.Await(t, "both trap messages at the next hop", func() bool {
			arrived := 0
			for _, body := range nextHop.messages() {
				if strings.Contains(body, "X-Storm-Id: trap-1\r\n") && strings.HasSuffix(body, wire) {
					arrived++
				}
			}
			return arrived == 2
		})
	})
}

// implicitTLS sends a message over a connection that is encrypted from its first octet on.
func implicitTLS(t *testing.T, host string, port int, ca string) {
	t.Helper()
	v := newVU(t).activate().global("HOST", host).global("PORT", port).global("CA", ca)
	got := v.run(serverPrelude + `
		const client = make({tls: 'implicit', tlsOptions: {ca: CA}});
		const [c, r, q] = await Promise.all([client.connect(), client.send(message), client.quit()]);
		return [c.tls && c.tls.version, r.ok, q.code].join()`)
	if got != "tls1.3,true,221" {
		t.Errorf("got %s", got)
	}
}

// certificateFiles writes a certificate of the server and its key where user postfix can read them; ca is what clients trust.
func certificateFiles(t *testing.T) (certFile, keyFile, ca string) {
	t.Helper()
	_, cert, key := certificate(t)
	dir, err := os.MkdirTemp("", "certificate")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	err = errors.Join(os.Chmod(dir, 0o755), os.WriteFile(certFile, []byte(cert), 0o644), os.WriteFile(keyFile, []byte(key), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	return certFile, keyFile, cert
}

// serverProcess starts a server that says its address in its first line and ends with its standard input; it runs until the test ends.
func serverProcess(t *testing.T, program string, args ...string) (host string, port int) {
	t.Helper()
	cmd := exec.Command(program, args...)
	var complaints strings.Builder
	cmd.Stderr = &complaints
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(2*time.Minute, func() { _ = cmd.Process.Kill() })
	t.Cleanup(func() {
		_ = in.Close()
		err := cmd.Wait()
		kill.Stop()
		if err != nil || t.Failed() {
			t.Logf("%s ended with %v: %s", filepath.Base(program), err, complaints.String())
		}
	})
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	if err != nil {
		t.Fatalf("%s says no address: %v: %s", program, err, complaints.String())
	}
	go func() { _, _ = io.Copy(io.Discard, lines) }()
	return hostPort(t, strings.TrimSpace(line))
}

func hostPort(t *testing.T, address string) (host string, port int) {
	t.Helper()
	host, digits, err := net.SplitHostPort(address)
	if err == nil {
		port, err = strconv.Atoi(digits)
	}
	if err != nil {
		t.Fatalf("address %q: %v", address, err)
	}
	return host, port
}
